"""A worker in a process of its own, with test-only switches. Arguments: one JSON object.

See `ASKED` for what may be in it.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
from functools import partial
from pathlib import Path
from typing import ClassVar

from confluent_kafka import Consumer

from orchestrator import modules
from orchestrator.codec import files
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.errors import Doubtful, MustAbort
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.sink import TransactionalSink, TransactionSettings
from orchestrator.kafka.source import KafkaSource
from orchestrator.observability import log
from orchestrator.runtime import disk
from orchestrator.runtime import main as wiring
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.settings import StandbySettings, WorkerSettings
from orchestrator.runtime.signals import STOP_S, StopRequest
from orchestrator.store import keys, rocks
from orchestrator.topics import Topics


class TrustingSink(TransactionalSink):
    """The planted bug: a commit that went through is believed, however long it took."""

    def commit(self):
        try:
            return super().commit()
        except Doubtful:
            if self._open:
                raise
            return self._offsets


class AbortingSink(TransactionalSink):
    """Gives its third transaction up after everything was sent."""

    commits_count = 0

    def commit(self):
        type(self).commits_count += 1
        if self.commits_count == 3:
            raise MustAbort("planted")
        return super().commit()


class JumpingClock(SystemClock):
    """Jumps with each SIGUSR1 to the next of some offsets, in ms."""

    jumps: list[int] = []  # noqa: RUF012 - one clock, one process

    def __init__(self):
        self._offset_ms = 0
        signal.signal(signal.SIGUSR1, self._jump)

    def _jump(self, *_):
        self._offset_ms = self.jumps.pop(0)

    def now_ms(self):
        return super().now_ms() + self._offset_ms


def fail_disk_while_there(mark):
    """Let the local stores be neither opened nor written while the file `mark` exists."""

    def refusing(function):
        def call(*args):
            if mark.exists():
                raise Exception("IO error: planted")  # noqa: TRY002 - what rocksdict raises
            return function(*args)

        return call

    for name in ("_open", "_write_piece"):
        setattr(rocks, name, refusing(getattr(rocks, name)))


def break_tables_when_told(mark):
    """Let the tables of the store that the file `mark` names be zeroed as a transaction is put into it.

    RocksDB finds it out by itself, while it compacts them, and refuses to write.
    """
    write_piece = rocks._write_piece

    def call(piece, handles):
        is_told = piece.cursor is not None and mark.exists()
        if is_told and mark.read_text() == Path(handles.database.path()).name:
            mark.unlink()
            break_tables(handles)
        return write_piece(piece, handles)

    rocks._write_piece = call


def break_tables(handles):
    """Zero the tables of an open store, and let it compact them."""
    for _ in range(2):  # one table alone would be moved as it is
        handles.sagas.put(keys.POSITION, handles.sagas.get(keys.POSITION))
        handles.sagas.flush()
    for table in Path(handles.database.path()).glob("*.sst"):
        table.write_bytes(b"\0" * table.stat().st_size)
    handles.sagas.compact_range(None, None)


class GrouplessSink(TransactionalSink):
    """Sends positions as a consumer that is in no group does: brokers take them from whoever."""

    def send_offsets(self, positions, group):
        nobody = Consumer({"bootstrap.servers": ASKED["servers"], "group.id": ASKED["prefix"]})
        super().send_offsets(positions, group._replace(raw=nobody.consumer_group_metadata()))
        nobody.close()


class FaultySink(TransactionalSink):
    """Some of its commits are not what they seem.

    `lost` n: of every n commits that went through, one is reported as doubtful. `refused` n: of
    every n, one is not even asked for. `poison` text: a transaction with a record whose key begins
    so is always refused.
    """

    faults: ClassVar[dict[str, object]] = {}

    def begin(self):
        super().begin()
        self.poisoned = False

    def send_all(self, records):
        poison = self.faults.get("poison")
        for record in records:
            is_poison = poison is not None and record.key.startswith(poison.encode())
            self.poisoned |= is_poison and not record.topic.endswith("dead-letters")
        super().send_all(records)

    def commit(self):
        self.commits = getattr(self, "commits", 0) + 1
        if self.poisoned:
            raise MustAbort("poison")
        if self.commits % self.faults.get("refused", 1_000_000) == 0:
            raise MustAbort("planted")
        offsets = super().commit()
        if self.commits % self.faults.get("lost", 1_000_000) == 0:
            raise Doubtful("planted")
        return offsets


ASKED = {
    "parent": 0,  # the process without which it ends
    "settings": {},
    "transactions": {},
    "kafka": {},
    "standby": None,  # settings of its standby, without which it has none
    "session_ms": 10_000,
    "planted": "",  # one of SINKS, or UNFENCING
    "faults": {},  # of a FaultySink
    "jumps": [],  # of a JumpingClock
    "broken": "",  # a file, see `fail_disk_while_there`
    "rotten": "",  # a file, see `break_tables_when_told`
    "free": "",  # a file that says how many bytes its disk has left
    "schemas": "",  # a folder of older schemas of payloads
}
"""By default; besides, there are `modules`, `prefix`, `ordinal`, `data_dir` and `servers`."""
SINKS = {"trusting": TrustingSink, "aborting": AbortingSink, "groupless": GrouplessSink}
UNFENCING = "unfencing"
"""Planted: whoever takes a shard over leaves its dead owner's producer alone."""


def main() -> None:
    ASKED.update(json.loads(sys.argv[1]))
    asked = ASKED
    faulthandler.register(signal.SIGUSR2)  # says where it stands, when a test asks
    log.configure("info")
    stop = StopRequest(asked["parent"], STOP_S)
    if asked["planted"] == UNFENCING:
        wiring.fence = lambda *_: None
    elif asked["planted"]:
        wiring.TransactionalSink = SINKS[asked["planted"]]
    if asked["faults"]:
        FaultySink.faults = asked["faults"]
        wiring.TransactionalSink = FaultySink
    if asked["jumps"]:
        JumpingClock.jumps = asked["jumps"]
        wiring.SystemClock = JumpingClock
    if asked["broken"]:
        fail_disk_while_there(Path(asked["broken"]))
    if asked["rotten"]:
        break_tables_when_told(Path(asked["rotten"]))
    if asked["free"]:
        disk.free_bytes = lambda _: int(Path(asked["free"]).read_text())
    older = files.read(Path(asked["schemas"])) if asked["schemas"] else ()
    wiring.KafkaSource = partial(KafkaSource, session_timeout_ms=asked["session_ms"])
    wiring.run_worker(
        modules.load(asked["modules"]),
        WorkerSettings(
            group=asked["prefix"],
            ordinal=asked["ordinal"],
            data_dir=Path(asked["data_dir"]),
            report_interval_ms=1_000,
            **asked["settings"],
        ),
        KafkaSettings(bootstrap_servers=asked["servers"], **asked["kafka"]),
        stop,
        transactions=TransactionSettings(**asked["transactions"]),
        topics=Topics(asked["prefix"]),
        payloads=AvroPayloads(older=older),
        standby=StandbySettings(**asked["standby"] or {}),
        standby_command=standby_command(asked) if asked["standby"] else (),
    )


def standby_command(asked):
    """What starts the worker's standby, as a user's worker would."""
    flags = {
        "bootstrap-servers": asked["servers"],
        "prefix": asked["prefix"],
        "data-dir": asked["data_dir"],
        "instance": asked["ordinal"],
        **{name.replace("_", "-"): value for name, value in asked["standby"].items()},
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "orchestrator", "standby", *words]


if __name__ == "__main__":
    main()
