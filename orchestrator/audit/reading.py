"""Reading the engine's topics: committed records only, no group, nothing written or committed.

Nothing here can disturb a worker: partitions are read from offsets of our own choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import NamedTuple

from orchestrator.audit.compare import Snapshot
from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.keys import CURSOR_KEY, SNAPSHOT_KEY
from orchestrator.codec.records import Cursor, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import DecodeError, NotFound, StateError
from orchestrator.kafka.base import Admin, Position, Reader, TopicPartition
from orchestrator.kafka.partitioner import partition
from orchestrator.topics import Topics

# A worker's transaction lasts milliseconds, a dead one's is ended by its heir within a minute. One
# that is open for longer hides everything behind it from readers, and somebody must be told.
_STALLED_S = 120.0

OnCount = Callable[[int], None]
"""Told how many more offsets have been passed."""


def _nobody(_count: int) -> None:
    pass


class Span(NamedTuple):
    """The offsets of one partition from the first that is kept to the end (exclusive)."""

    start: int
    end: int

    @property
    def width(self) -> int:
        """Offsets in it; an upper bound of the records."""
        return self.end - self.start


class Unreadable(NamedTuple):
    """A record whose bytes cannot be decoded."""

    origin: Origin
    key: bytes | None
    error: DecodeError


class Log:
    """One installation's events and changelog."""

    def __init__(self, admin: Admin, reader: Reader, codec: RecordCodec, topics: Topics) -> None:
        self._admin = admin
        self._reader = reader
        self._codec = codec
        self.topics = topics
        self._partitions: dict[str, int] = {}

    @property
    def partitions_count(self) -> int:
        """P: how many shards there are.

        Raises:
            NotFound: The topics do not exist under this prefix.
        """
        return self.partitions_of(self.topics.events)

    def partitions_of(self, topic: str) -> int:
        """Give the number of partitions of a topic.

        Raises:
            NotFound: It does not exist.
        """
        if topic not in self._partitions:
            state = self._admin.topics([topic]).get(topic)
            if state is None:
                raise NotFound("unknown_topic", f"there is no topic {topic}: is --prefix right?")
            self._partitions[topic] = state.partitions
        return self._partitions[topic]

    def shard_of(self, saga_id: str) -> int:
        """Give the partition that holds everything about a saga."""
        return partition(saga_id.encode(), self.partitions_count)

    def span(self, topic: str, partition: int) -> Span:
        """Give the offsets that a partition holds now."""
        there = TopicPartition(topic, partition)
        start = self._admin.start_offsets([there])[there]
        return Span(start, self._admin.end_offsets([there])[there])

    def records(
        self, topic: str, partition: int, span: Span, on_count: OnCount = _nobody
    ) -> Iterator[Envelope]:
        """Read every committed record of a span.

        Raises:
            StateError: An open transaction hides the rest, and does not end.
        """
        passed, moved_s = span.start, monotonic()
        if not span.width:
            return
        for batch in self._reader.read(Position(topic, partition, span.start), span.end):
            for envelope in batch:
                if envelope.origin.offset < span.end:
                    yield envelope
            if batch:
                last = min(batch[-1].origin.offset + 1, span.end)
                on_count(last - passed)
                passed, moved_s = last, monotonic()
            elif monotonic() - moved_s > _STALLED_S:
                raise StateError(
                    f"{topic}/{partition}: nothing to read from offset {passed} to {span.end} for"
                    f" {_STALLED_S:.0f} s: a transaction was left open there"
                )
        on_count(span.end - passed)  # control records at the end are nobody's to count

    def transitions(
        self, partition: int, span: Span, *, saga: str | None = None, on_count: OnCount = _nobody
    ) -> Iterator[tuple[Origin, Transition] | Unreadable]:
        """Read the log of a shard, or of one saga in it, in order."""
        key = None if saga is None else saga.encode()
        for envelope in self.records(self.topics.events, partition, span, on_count):
            if key is not None and envelope.key != key:
                continue
            try:
                transition = self._codec.decode_transition(envelope.value or b"")
            except DecodeError as error:
                yield Unreadable(envelope.origin, envelope.key, error)
            else:
                yield envelope.origin, transition

    def changelog(
        self, partition: int, span: Span, on_count: OnCount = _nobody
    ) -> tuple[dict[str, Snapshot], Cursor | None]:
        """Read a shard's changelog as a restore would: the last snapshot of each saga, the cursor.

        Raises:
            DecodeError: The cursor cannot be read.
        """
        snapshots: dict[str, Snapshot] = {}
        cursor: bytes | None = None
        for key, value, offset in self._changes(partition, span, on_count):
            if key == CURSOR_KEY:
                cursor = value
            elif value is None:
                snapshots.pop(_saga(key), None)
            else:
                snapshots[_saga(key)] = Snapshot(value, offset)
        return snapshots, None if cursor is None else self._codec.decode_cursor(cursor)

    def snapshots(
        self, partition: int, span: Span, on_count: OnCount = _nobody
    ) -> Iterator[tuple[str, Snapshot]]:
        """Read every snapshot that compaction has left in a shard's changelog, the old ones too."""
        for key, value, offset in self._changes(partition, span, on_count):
            if key != CURSOR_KEY and value is not None:
                yield _saga(key), Snapshot(value, offset)

    def _changes(
        self, partition: int, span: Span, on_count: OnCount
    ) -> Iterator[tuple[bytes, bytes | None, int]]:
        for envelope in self.records(self.topics.changelog, partition, span, on_count):
            key = envelope.key or b""
            if key == CURSOR_KEY or key.startswith(SNAPSHOT_KEY):
                yield key, envelope.value, envelope.origin.offset


def _saga(key: bytes) -> str:
    return key[len(SNAPSHOT_KEY) :].decode("ascii", "replace")
