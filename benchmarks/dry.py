"""The worker's own work without Kafka: what an input costs in CPU, by stage, and in function calls.

The real interpreter, transactor, codec and store, between a source and a sink that cost nothing.
Broker and network are absent, so the figures are steady on a busy machine, and the number of calls
is the same on any machine: what a guard in CI can hold on to.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import workload
from benchmarks.rounds import write_result
from benchmarks.trip import Confirmed, Declined, trip
from benchmarks.verdict import WrongEffects
from orchestrator import Done, collector
from orchestrator.codec.envelope import Envelope, Origin, Record
from orchestrator.codec.limits import DEFAULT_LIMITS
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import Reply
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import ReplyOutcome, StartSaga
from orchestrator.kafka.base import GroupMetadata, Position, TopicPartition
from orchestrator.runtime.batch import Interpreter, Outbox
from orchestrator.runtime.program import catalog_of
from orchestrator.runtime.shard import Shard, ShardStatus
from orchestrator.runtime.stages import Stages
from orchestrator.runtime.transaction import Transactor
from orchestrator.store.rocks import RocksShared, RocksStore, StoreSettings
from orchestrator.topics import Topics

BATCH_COUNT = 500
STAGES = ("decode", "decide", "encode", "commit")
_GROUP = GroupMetadata(b"x", 1, "member")
_CACHE_COUNT = 20_000
_NOW_MS = 1_790_000_000_000


class _NoSink:
    """A sink that keeps what it is given until the commit, and loses nothing, not even time."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._offsets: Counter[TopicPartition] = Counter()

    def init(self) -> None:
        pass

    def begin(self) -> None:
        self.records = []

    def send_all(self, records: Iterable[Record]) -> None:
        self.records.extend(records)

    def send(self, record: Record, *, track: bool = False) -> None:
        self.records.append(record)
        if track:
            self._offsets[TopicPartition(record.topic, record.partition)] += 1

    def send_offsets(self, positions: Sequence[Position], group: GroupMetadata) -> None:
        pass

    def commit(self) -> Mapping[TopicPartition, int]:
        return self._offsets

    def leeway(self) -> float:
        return math.inf

    def abort(self) -> None:
        pass

    def rotate(self) -> None:
        pass

    def close(self) -> None:
        pass


class DryWorker:
    """One shard, fed with trips; participants that answer at once."""

    def __init__(self, folder: Path) -> None:
        """Assemble it as a worker is; its store lies in `folder`."""
        self._codec, self._payloads, self._topics = RecordCodec(), AvroPayloads(), Topics("dry")
        catalog = catalog_of([trip], self._payloads)
        self._sink = _NoSink()
        self._interpreter = Interpreter(
            catalog=catalog,
            codec=self._codec,
            limits=DEFAULT_LIMITS,
            topics=self._topics,
            partitions=1,
            participant_partitions=dict.fromkeys(catalog.participants, 1),
            record_bytes_max=900_000,
            postpone_ms=60_000,
            worker="dry-000",
        )
        self._transactor = Transactor(
            sink=self._sink, codec=self._codec, topics=self._topics, owner="dry-000", partitions=1
        )
        store = RocksStore(folder, RocksShared(StoreSettings()))
        self._shard = Shard(0, store, self._codec.decode_snapshot, _CACHE_COUNT)
        self._shard.status = ShardStatus.RUNNING
        self._inputs: deque[Envelope] = deque()
        self._offsets: Counter[str] = Counter()
        self.outcomes_count = self.calls_count = 0
        self.counting = False
        self._stages = Stages(time.thread_time_ns)

    def close(self) -> None:
        """Release the store."""
        self._shard.store.close()

    def begin(self, batch: str, count: int) -> None:
        """Put start commands into the queue."""
        for number in range(count):
            saga_id = workload.saga_id(batch, number)
            payload = self._payloads.encode(workload.payload(batch, number), trip.input_type)
            command = StartSaga(saga_id, trip.id, trip.version, payload)
            value = self._codec.encode_command(command)
            self._queue(self._topics.commands, saga_id.encode(), value)

    def spent_us(self) -> dict[str, float]:
        """The CPU of each stage so far."""
        return {name: self._stages.spent_ns[name] / 1e3 for name in STAGES}

    def run(self) -> int:
        """Work until nothing is left; give the number of inputs."""
        inputs_count = 0
        while self._inputs:
            batch = [self._inputs.popleft() for _ in range(min(BATCH_COUNT, len(self._inputs)))]
            inputs_count += len(batch)
            with self._counting():
                outbox = Outbox(_NOW_MS, self._stages)
                self._interpreter.take(outbox, self._shard, batch)
                self._transactor.commit(outbox, _GROUP)
                outbox.lap("commit")
            if outbox.dead_letters:
                raise WrongEffects(f"refused: {outbox.notes[:3]}")
            self._answer()
        return inputs_count

    def _answer(self) -> None:
        for record in self._sink.records:
            if record.topic == self._topics.outcomes:
                self.outcomes_count += 1
            elif record.topic.endswith(".commands"):
                self._reply(record)

    def _reply(self, record: Record) -> None:
        command = self._codec.decode_step_command(record.value or b"")
        number = int(command.saga.rpartition("-")[2])
        direction = command.effect.split("/")[2]
        if command.type == "ChargeCard" and workload.fails(number):
            outcome = ReplyOutcome.FAILED
            payload = self._payloads.encode(Declined("card declined"), Declined)
        elif direction == "undo":
            outcome, payload = ReplyOutcome.SUCCEEDED, self._payloads.encode(Done(), Done)
        else:
            given = Confirmed(command.step, command.saga, "0" * 66, "ok")
            outcome, payload = ReplyOutcome.SUCCEEDED, self._payloads.encode(given, Confirmed)
        reply = Reply(command.effect, command.saga, int(outcome), "", payload)
        value = self._codec.encode_reply(reply)
        self._queue(command.reply_topic, record.key, value)

    def _queue(self, topic: str, key: bytes, value: bytes) -> None:
        origin = Origin(topic, 0, self._offsets[topic])
        self._offsets[topic] += 1
        self._inputs.append(Envelope(origin, key, value, (), _NOW_MS))

    @contextmanager
    def _counting(self) -> Iterator[None]:
        self._stages.lap("answer")
        sys.setprofile(self._count_call if self.counting else None)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _count_call(self, _frame: FrameType, event: str, _argument: Any) -> None:
        self.calls_count += event in {"call", "c_call"}


def calls_per_input(worker: DryWorker, batch: str, count: int) -> float:
    """Count the Python and C functions that an input costs, over `count` trips."""
    worker.begin(batch, count)
    worker.counting, worker.calls_count = True, 0
    inputs_count = worker.run()
    worker.counting = False
    return worker.calls_count / inputs_count


def measure(options: Namespace) -> int:
    """Measure rounds of trips; print the least of each stage, in us of CPU an input."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        worker = DryWorker(Path(folder) / "store")
        collector.spare()
        for number in range(options.rounds + 1):  # the first is for warming up
            worker.begin(f"dry{number}", options.sagas)
            before_us = worker.spent_us()
            inputs_count = worker.run()
            spent_us = worker.spent_us()
            rows.append(
                {
                    name: round((spent_us[name] - before_us[name]) / inputs_count, 2)
                    for name in STAGES
                }
            )
        calls = round(calls_per_input(worker, "counted", 500), 1)
        worker.close()
    least = {name: min(row[name] for row in rows[1:]) for name in rows[0]}
    print(f"us of CPU an input: {least}, together {sum(least.values()):.1f}; calls: {calls}")
    path = write_result(
        options.name, vars(options), rows[1:], least_us_per_input=least, calls_per_input=calls
    )
    print(f"written to {path}")
    return 0
