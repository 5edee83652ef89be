"""A cold restore without Kafka: what a changelog record costs the restoring thread.

What a worker wrote for sagas that wait, as the client library's own messages; the real reading of
them, the real codec, and a store on disk that is empty. Broker and network are absent, as in `dry`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

from confluent_kafka import Message

from benchmarks.long import sleeper
from benchmarks.rounds import write_result
from benchmarks.size import sleepers
from benchmarks.verdict import WrongEffects
from orchestrator import collector
from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.keys import CURSOR_KEY
from orchestrator.codec.limits import DEFAULT_LIMITS
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import StartSaga
from orchestrator.kafka.changelog import entries, without_errors
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import get
from orchestrator.runtime.batch import Interpreter, Outbox
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.program import catalog_of
from orchestrator.runtime.restore import Armed, Shelf
from orchestrator.runtime.settings import WorkerSettings
from orchestrator.runtime.shard import Shard, ShardStatus
from orchestrator.runtime.transaction import snapshots
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rocks import RocksStores, StoreSettings
from orchestrator.topics import Topics

SAGAS_COUNT = 30_000
_TRANSACTION_COUNT = 500
_TRANSACTION_MS = 50
"""Time between two of them: what a loaded worker needs for one."""
_NOW_MS = 1_790_000_000_000


def changelog(sagas_count: int) -> list[Message]:
    """What is in a shard's changelog once so many sagas wait."""
    topics, records = Topics("dry"), _records(sagas_count)
    return [
        Message(
            topic=topics.changelog,
            partition=0,
            offset=offset,
            key=key,
            value=value,
            timestamp=(1, _NOW_MS),
        )
        for offset, (key, value) in enumerate(records)
    ]


def _records(sagas_count: int) -> Iterator[tuple[bytes, bytes | None]]:
    codec, payloads, topics = RecordCodec(), AvroPayloads(), Topics("dry")
    catalog = catalog_of([sleeper], payloads)
    interpreter = Interpreter(
        catalog=catalog,
        codec=codec,
        limits=DEFAULT_LIMITS,
        topics=topics,
        partitions=1,
        participant_partitions=dict.fromkeys(catalog.participants, 1),
        record_bytes_max=900_000,
        postpone_ms=60_000,
        worker="dry-000",
    )
    shard = Shard(0, MemoryStore(), codec.decode_snapshot, 1)
    shard.status = ShardStatus.RUNNING
    starts = islice(sleepers(), sagas_count)
    for begin in range(0, sagas_count, _TRANSACTION_COUNT):
        envelopes = []
        outbox = Outbox(_NOW_MS + begin // _TRANSACTION_COUNT * _TRANSACTION_MS)
        for number, (saga_id, start) in enumerate(islice(starts, _TRANSACTION_COUNT), begin):
            payload = payloads.encode(start.payload, sleeper.input_type)
            command = StartSaga(saga_id, sleeper.id, sleeper.version, payload)
            origin, value = Origin(topics.commands, 0, number), codec.encode_command(command)
            envelopes.append(Envelope(origin, saga_id.encode(), value, (), _NOW_MS))
        interpreter.take(outbox, shard, envelopes)
        for record in snapshots(outbox, topics.changelog, codec):
            yield record.key, record.value
        shard.forget_overlay()
        inputs = ((topics.commands, begin + _TRANSACTION_COUNT),)
        cursor = Cursor(begin // _TRANSACTION_COUNT, inputs, outbox.now_ms, "dry-000", 1, 1, begin)
        yield CURSOR_KEY, codec.encode_cursor(cursor)


class DryRestore:
    """Restores one changelog again and again, each time into a new store below `folder`."""

    def __init__(self, folder: Path, sagas_count: int) -> None:
        """Write the changelog."""
        self._folder = folder
        self._sagas_count = sagas_count
        self.messages = changelog(sagas_count)
        self.calls_count = 0
        self._rounds_count = 0
        self._settings = WorkerSettings()

    def run(self, *, counting: bool = False) -> int:
        """Restore it; give the CPU of this thread, in ns."""
        self._rounds_count += 1
        stores = RocksStores(self._folder / f"round-{self._rounds_count}", StoreSettings())
        shelf = Shelf(
            stores=stores,
            settings=self._settings,
            codec=RecordCodec(),
            clock=SystemClock(),
            counters=Counters(),
            log=get(),
        )
        store, size = shelf.open(0), self._settings.restore_count_max
        began_ns, armed = time.thread_time_ns(), Armed(store)
        self.calls_count = 0
        sys.setprofile(self._count_call if counting else None)
        try:
            for begin in range(0, len(self.messages), size):
                taken = self.messages[begin : begin + size]
                shelf.apply(store, entries(without_errors(taken)), armed)
        finally:
            sys.setprofile(None)
        spent_ns = time.thread_time_ns() - began_ns
        found_count = sum(1 for _ in store.items())
        if found_count != self._sagas_count or store.next_due_ms() is None:
            raise WrongEffects(f"{found_count} of {self._sagas_count} sagas, or no timer")
        store.destroy()
        return spent_ns

    def _count_call(self, _frame: FrameType, event: str, _argument: Any) -> None:
        self.calls_count += event in {"call", "c_call"}


def measure(options: Namespace) -> int:
    """Measure rounds; print the least, in us of CPU a record."""
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        restore = DryRestore(Path(folder), options.sagas or SAGAS_COUNT)
        collector.spare()
        records_count = len(restore.messages)
        rows = [
            {"us_per_record": round(restore.run() / records_count / 1e3, 2)}
            for _ in range(options.rounds + 1)  # the first is for warming up
        ]
        restore.run(counting=True)
        calls = round(restore.calls_count / records_count, 1)
    least = min(row["us_per_record"] for row in rows[1:])
    print(f"us of CPU a record: {least:.1f}; calls: {calls}")
    path = write_result(
        options.name, vars(options), rows[1:], least_us_per_record=least, calls_per_record=calls
    )
    print(f"written to {path}")
    return 0
