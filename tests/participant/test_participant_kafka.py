"""A participant's process against a real broker."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import kafka_airline
import pytest
from kafka_airline import CancelSeat, ReserveSeat, Wait, rocks_reserve

from orchestrator.codec.envelope import Record
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import StepCommand
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import ReplyOutcome
from orchestrator.core.ids import EffectId
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Position, TopicPartition, TopicSpec
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.sink import TransactionalSink
from orchestrator.kafka.source import KafkaSource
from orchestrator.participant.appetite import Appetite
from orchestrator.participant.dispatch import Dispatcher
from orchestrator.participant.handler import bind
from orchestrator.participant.inbox import Inbox
from orchestrator.participant.ledger_rocks import RocksLedger
from orchestrator.participant.ledgers import read_ledger
from orchestrator.participant.loop import Loop
from orchestrator.participant.process import group
from orchestrator.participant.run import Runner
from orchestrator.topics import Topics

PARTITIONS = 2
PATIENCE_S = 60
CODEC, PAYLOADS = RecordCodec(), AvroPayloads()
SCRIPT = Path(kafka_airline.__file__)


class Service:
    """One test's topics, its participant's processes, and what a worker would do."""

    def __init__(self, servers, prefix, directory, kind, *, letters=True):
        self.servers, self.prefix, self.directory, self.kind = servers, prefix, directory, kind
        self.name = f"{prefix}-airline"
        self.topics = Topics(f"{prefix}-saga")
        self.commands = self.topics.participant_commands(self.name)
        self.replies = self.topics.replies(self.name)
        self.letters = self.topics.participant_dead_letters(self.name)
        self.kafka = KafkaSettings(bootstrap_servers=servers)
        self.admin = KafkaAdmin(self.kafka)
        names = [self.commands, self.replies, *([self.letters] if letters else [])]
        self.admin.create([TopicSpec(name, PARTITIONS, 1, {}) for name in names])
        await_(lambda: len(self.admin.topics(names)) == len(names))
        self.producer = PlainProducer(self.kafka, "test")
        self.children = []

    def start(self, ordinal=0):
        arguments = [self.servers, self.topics.prefix, str(self.directory), self.kind]
        number = len(self.children)
        with (
            self.output(number, "out").open("w") as out,
            self.output(number, "err").open("w") as err,
        ):
            child = subprocess.Popen(
                [sys.executable, str(SCRIPT), *arguments, str(ordinal)],
                stdout=out,
                stderr=err,
                env=os.environ | {"AIRLINE": self.name},
            )
        self.children.append(child)
        return child

    def output(self, number, stream):
        return self.directory / f"child-{number}.{stream}"

    def stop(self, child):
        child.send_signal(signal.SIGTERM)
        return self.last_words(child)

    def last_words(self, child):
        number = self.children.index(child)
        assert child.wait(PATIENCE_S) == 0, self.output(number, "err").read_text()
        return json.loads(self.output(number, "out").read_text().splitlines()[-1])

    def kill(self, child):
        child.kill()
        child.wait(PATIENCE_S)

    def close(self):
        for child in self.children:
            if child.poll() is None:
                self.kill(child)
        self.producer.close()

    def record(self, command, saga, direction="do", attempt=1, step="seat", **changes):
        effect = EffectId(saga, step, direction, attempt)
        number = sum(saga.encode()) % PARTITIONS
        fields = StepCommand(
            str(effect),
            *effect,
            0,
            type(command).__name__,
            self.replies,
            number,
            PAYLOADS.encode(command, type(command)),
        )._replace(**changes)
        value = CODEC.encode_step_command(fields)
        return Record(self.commands, number, saga.encode(), value, (("id", str(effect).encode()),))

    def send(self, *records):
        self.producer.send(records)

    def replies_count(self):
        pairs = [TopicPartition(self.replies, number) for number in range(PARTITIONS)]
        return sum(self.admin.end_offsets(pairs).values())

    def read(self, topic):
        reader, found = ChangelogReader(self.kafka), []
        pairs = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        for pair, end in self.admin.end_offsets(pairs).items():
            for batch in reader.read(Position(*pair, 0), end):
                found += batch
        reader.close()
        return found

    def answers(self):
        return [CODEC.decode_reply(record.value) for record in self.read(self.replies)]

    def await_answers(self, effects):
        def arrived():
            for number, child in enumerate(self.children):
                assert child.poll() in (None, 0, -9), self.output(number, "err").read_text()
            found = self.answers()
            return found if {reply.effect for reply in found} >= set(effects) else None

        return await_(arrived)

    def ledger(self):
        ledger = read_ledger(self.directory, self.name)
        entries = {entry.operation: entry for entry in ledger.entries()}
        if self.kind == "rocksdb":
            seats = ledger.handle.number("seats", "LH1")
        else:
            (seats,) = ledger.handle.execute("select sum(amount) from seats").fetchone()
        ledger.close()
        return entries, seats


def await_(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


@pytest.fixture(params=["rocksdb", "sqlite"])
def service(request, kafka, topic_prefix, tmp_path):
    service = Service(kafka.bootstrap_servers, topic_prefix, tmp_path, request.param)
    yield service
    service.close()


@pytest.fixture
def rocks_service(kafka, topic_prefix, tmp_path):
    service = Service(kafka.bootstrap_servers, topic_prefix, tmp_path, "rocksdb")
    yield service
    service.close()


def test_answers_refusals_and_a_clean_stop(service):
    child = service.start()
    full = service.record(ReserveSeat("full"), "s2")
    foreign = service.record(ReserveSeat("LH1"), "s3", reply_topic="elsewhere")
    service.send(
        service.record(ReserveSeat("LH1"), "s1"),
        full,
        Record(service.commands, 0, b"s1", b"\xff\xfe rubbish"),
        Record(service.commands, 1, b"s1", None),
        foreign,
        service.record(CancelSeat("LH1"), "s4", "undo"),
        service.record(ReserveSeat("LH1"), "s4"),
        service.record(ReserveSeat("LH1"), "s1", attempt=2),
    )
    wanted = ["s1/seat/do/1", "s2/seat/do/1", "s4/seat/undo/1", "s4/seat/do/1", "s1/seat/do/2"]
    answers = {reply.effect: reply for reply in service.await_answers(wanted)}
    assert service.stop(child) == {"ran": 2, "repeated": 3}
    assert [answers[effect].outcome for effect in wanted] == [1, 2, 1, 2, 1]
    assert answers["s1/seat/do/1"].payload == answers["s1/seat/do/2"].payload
    letters = [CODEC.decode_dead_letter(found.value) for found in service.read(service.letters)]
    assert sorted(letter.reason for letter in letters) == [
        "foreign_reply_topic",
        "missing_value",
        "unknown_format",
    ]
    (letter,) = [letter for letter in letters if letter.reason == "foreign_reply_topic"]
    assert (letter.key, letter.value, letter.headers) == (b"s3", foreign.value, foreign.headers)
    assert letter.origin.topic == service.commands
    entries, seats = service.ledger()
    assert seats == 1
    assert entries["s4/seat/do"].text == "undone before it was done"
    again = service.start()
    service.send(service.record(ReserveSeat("LH1"), "s1", attempt=3))
    service.await_answers(["s1/seat/do/3"])
    assert service.stop(again) == {"ran": 0, "repeated": 1}


def test_killed_again_and_again_every_effect_is_applied_once(service):
    rng = random.Random(7)
    sagas = [f"s{number:04}" for number in range(1_200)]
    undone = sagas[::3]
    commands, wanted = [], []
    for saga in sagas:
        commands.append(service.record(ReserveSeat("LH1"), saga))
        commands.append(service.record(ReserveSeat("LH1"), saga, attempt=2))
        wanted += [f"{saga}/seat/do/1", f"{saga}/seat/do/2"]
        if saga in undone:
            commands.append(service.record(CancelSeat("LH1"), saga, "undo"))
            wanted.append(f"{saga}/seat/undo/1")
    portion, kills_count, interrupted_count = len(commands) // 7, 6, 0
    for number in range(1, kills_count + 1):
        service.send(*commands[(number - 1) * portion : number * portion])
        child, seen = service.start(), service.replies_count()
        await_(lambda seen=seen: service.replies_count() > seen)
        time.sleep(rng.uniform(0, 0.03))  # at some other place of the loop each time
        service.kill(child)
        answered = {reply.effect for reply in service.answers()}
        interrupted_count += len(answered) < number * portion
    assert interrupted_count > 0, "the kills came too late to matter"
    service.send(*commands[kills_count * portion :])
    child = service.start()
    answers = service.await_answers(wanted)
    assert service.stop(child)["ran"] > 0
    entries, seats = service.ledger()
    assert {entry.applied_count for entry in entries.values()} == {1}
    assert len(entries) == len(sagas) + len(undone)
    assert seats == len(sagas) - len(undone)
    told = {}
    for reply in answers:
        assert reply.outcome == ReplyOutcome.SUCCEEDED
        operation = reply.effect.rpartition("/")[0]
        assert told.setdefault(operation, reply.payload) == reply.payload


def test_sigterm_finishes_what_runs_and_leaves_the_rest(rocks_service, tmp_path):
    service, gate = rocks_service, tmp_path / "gate"
    child = service.start()
    sagas = ["s1", "s3", "s5"]  # all of one partition
    service.send(*[service.record(Wait(str(gate)), saga) for saga in sagas])
    await_(Path(f"{gate}.begun").exists)
    child.send_signal(signal.SIGTERM)
    gate.touch()
    assert service.last_words(child) == {"ran": 1, "repeated": 0}
    assert [reply.effect for reply in service.answers()] == ["s1/seat/do/1"]
    assert list(service.ledger()[0]) == ["s1/seat/do"]
    again = service.start()
    service.await_answers([f"{saga}/seat/do/1" for saga in sagas])
    assert service.stop(again) == {"ran": 2, "repeated": 0}


class Killed(BaseException):
    """What a test raises where a process might die."""


class DyingProducer(PlainProducer):
    def send(self, records, _on_acknowledged=None):
        if list(records):
            raise Killed


def test_a_death_before_the_replies_commits_nothing(rocks_service):
    service = rocks_service
    ledger = RocksLedger(service.directory / service.name / "ledger.rocksdb")
    runner = Runner(bind([rocks_reserve]), PAYLOADS, 10_000)
    inlet = KafkaSource(
        service.kafka,
        group=group(service.topics, service.name),
        instance_id=f"{service.name}-000",
        topics=[service.commands],
        keeps_positions=True,
    )
    loop = Loop(
        name=service.name,
        inlet=inlet,
        outlet=DyingProducer(service.kafka, "dying"),
        dispatcher=Dispatcher(
            Inbox(CODEC, service.replies, PARTITIONS), runner, ledger, lambda: 0
        ),
        codec=CODEC,
        letters_topic="",
        appetite=Appetite(50),
        handling_s_max=10,
        now_ms=lambda: 0,
    )
    service.send(service.record(ReserveSeat("LH1"), "s1"))
    until = time.monotonic() + PATIENCE_S
    with pytest.raises(Killed):
        loop.run(lambda: time.monotonic() > until)
    pairs = [TopicPartition(service.commands, number) for number in range(PARTITIONS)]
    assert set(inlet.committed(pairs, 10).values()) == {None}
    inlet.close()
    ledger.close()
    assert service.answers() == []
    child = service.start()
    service.await_answers(["s1/seat/do/1"])
    assert service.stop(child) == {"ran": 0, "repeated": 1}
    assert service.ledger()[1] == 1


def test_commands_that_the_engine_took_back_are_not_seen(rocks_service):
    service = rocks_service
    sink = TransactionalSink(service.kafka, f"{service.prefix}-txn")
    sink.init()
    sink.begin()
    sink.send(service.record(ReserveSeat("LH1"), "aborted"))
    sink.abort()
    sink.rotate()
    sink.begin()
    sink.send(service.record(ReserveSeat("LH1"), "committed"))
    sink.commit()
    sink.close()
    child = service.start()
    service.await_answers(["committed/seat/do/1"])
    service.stop(child)
    assert list(service.ledger()[0]) == ["committed/seat/do"]


def test_a_second_process_of_a_rocks_ledger_is_refused(rocks_service):
    first = rocks_service.start()
    rocks_service.send(rocks_service.record(ReserveSeat("LH1"), "s1"))
    rocks_service.await_answers(["s1/seat/do/1"])
    second = rocks_service.start(ordinal=1)
    assert second.wait(PATIENCE_S) == 1
    assert "belongs to one process" in rocks_service.output(1, "err").read_text()
    assert rocks_service.stop(first)["ran"] == 1


def test_two_processes_share_a_sqlite_ledger(kafka, topic_prefix, tmp_path):
    service = Service(kafka.bootstrap_servers, topic_prefix, tmp_path, "sqlite")
    children = [service.start(ordinal) for ordinal in (0, 1)]
    sagas = [f"s{number:03}" for number in range(100)]
    for attempt in (1, 2):
        service.send(
            *[service.record(ReserveSeat("LH1"), saga, attempt=attempt) for saga in sagas]
        )
        service.await_answers([f"{saga}/seat/do/{attempt}" for saga in sagas])
    assert sum(service.stop(child)["ran"] for child in children) == len(sagas)
    entries, seats = service.ledger()
    assert (len(entries), seats) == (len(sagas), len(sagas))
    service.close()


def test_without_its_own_dead_letters_it_only_logs(kafka, topic_prefix, tmp_path):
    service = Service(kafka.bootstrap_servers, topic_prefix, tmp_path, "rocksdb", letters=False)
    child = service.start()
    rubbish = Record(service.commands, 0, b"s1", b"rubbish")
    service.send(rubbish, service.record(ReserveSeat("LH1"), "s1"))
    service.await_answers(["s1/seat/do/1"])
    service.stop(child)
    service.close()


def test_a_missing_topic_is_said_with_its_cure(kafka, topic_prefix, tmp_path):
    arguments = [kafka.bootstrap_servers, topic_prefix, str(tmp_path), "rocksdb", "0"]
    child = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert child.returncode == 1
    assert "Make them with `saga topics`" in child.stderr
