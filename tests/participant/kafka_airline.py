"""An airline as a child process: `kafka_airline.py SERVERS PREFIX DIRECTORY LEDGER ORDINAL`.

Its name is in the environment as AIRLINE.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from pathlib import Path

from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.wire import RecordCodec
from orchestrator.definition.payload import Command, Done, Participant, Payload
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.participant import Transaction
from orchestrator.participant.process import serve, stop_on_signals
from orchestrator.participant.settings import ParticipantSettings
from orchestrator.topics import Topics

NAME = os.environ.get("AIRLINE", "airline")
airline = Participant(NAME)


class SeatReserved(Payload):
    seat: str


class SoldOut(Payload):
    flight: str


class ReserveSeat(Command[SeatReserved, SoldOut], to=airline):
    flight: str


class CancelSeat(Command[Done], to=airline):
    flight: str


class Wait(Command[Done], to=airline):
    """Waits until a file appears, so that a test can stop the process meanwhile."""

    path: str


@Wait.handler
def on_wait(command: Wait) -> Done:
    Path(f"{command.path}.begun").touch()
    while not Path(command.path).exists():
        time.sleep(0.01)
    return Done()


def reserved(number, flight):
    return SoldOut(flight) if flight == "full" else SeatReserved(str(number))


@ReserveSeat.handler
def rocks_reserve(command: ReserveSeat, tables: Transaction) -> SeatReserved | SoldOut:
    return reserved(tables.add("seats", command.flight, 1), command.flight)


@CancelSeat.handler
def rocks_cancel(command: CancelSeat, tables: Transaction) -> Done:
    tables.add("seats", command.flight, -1)
    return Done()


@ReserveSeat.handler
def sql_reserve(command: ReserveSeat, db: sqlite3.Connection) -> SeatReserved | SoldOut:
    db.execute("create table if not exists seats (amount integer)")
    db.execute("insert into seats values (1)")
    return reserved(1, command.flight)


@CancelSeat.handler
def sql_cancel(_command: CancelSeat, db: sqlite3.Connection) -> Done:
    db.execute("insert into seats values (-1)")
    return Done()


def main(servers, prefix, directory, kind, ordinal):
    handlers = {
        "rocksdb": (rocks_reserve, rocks_cancel, on_wait),
        "sqlite": (sql_reserve, sql_cancel, on_wait),
    }[kind]
    totals = serve(
        NAME,
        handlers,
        kafka=KafkaSettings(bootstrap_servers=servers),
        topics=Topics(prefix),
        settings=ParticipantSettings(
            ledger_directory=Path(directory),
            commands_count_max=20,
            participant_ordinal=int(ordinal),
        ),
        codec=RecordCodec(),
        payloads=AvroPayloads(),
        stopping=stop_on_signals(),
    )
    json.dump({"ran": totals.ran_count, "repeated": totals.repeated_count}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
