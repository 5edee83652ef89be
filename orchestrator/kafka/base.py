"""The ports to Kafka, and the values that cross them. No client library in sight.

Failures are the five children of `TransactionError`, which are the five things a caller can do;
`kafka/errors.py` is the one place that maps the client's codes to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from orchestrator.codec.envelope import Envelope, Record


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Position(NamedTuple):
    """How far a partition is consumed: `offset` is the next one to read."""

    topic: str
    partition: int
    offset: int


class GroupMetadata(NamedTuple):
    """Proof of membership: what the group's coordinator checks when offsets are sent."""

    raw: bytes
    """As the client library gave it; passed back unread."""
    generation: int
    member_id: str

    @property
    def live(self) -> bool:
        """Whether it proves anything: brokers wave a generation of -1 or an empty member through."""
        return self.generation >= 0 and self.member_id != ""


class Assigned(NamedTuple):
    """The group gave us these partitions (all that we now have). Nothing is read before `assign`."""

    partitions: tuple[TopicPartition, ...]


class Revoked(NamedTuple):
    """The group takes these partitions back; until the next `Assigned` nothing is ours."""

    partitions: tuple[TopicPartition, ...]


class Lost(NamedTuple):
    """We were thrown out of the group: others may own these partitions already."""

    partitions: tuple[TopicPartition, ...]


Rebalance = Assigned | Revoked | Lost


class FaultKind(StrEnum):
    """What is wrong with a partition, as far as the reader's next action depends on it."""

    OUT_OF_RANGE = "out_of_range"
    """The offset asked for no longer exists: data was lost or the topic was made anew."""
    GONE = "gone"
    """The topic or the partition does not exist."""
    FORBIDDEN = "forbidden"
    """An ACL is missing."""
    BAD_RECORD = "bad_record"
    """A record cannot be read: its checksum or its compression is broken."""
    EXPELLED = "expelled"
    """We polled too late and have left the group; a `Lost` follows or came."""
    TRANSIENT = "transient"
    """Brokers are away or slow; the client library goes on trying."""


class ReadFault(NamedTuple):
    """An error that stood in the place of a record. `topic` is empty if it concerns the client."""

    kind: FaultKind
    topic: str
    partition: int
    offset: int
    text: str
    """For people: the client's code and words."""


class Polled(NamedTuple):
    """What one poll brought. Handle `rebalances`, in order, before `records`."""

    records: Sequence[Envelope]
    """In offset order per partition. None is of a partition taken away in `rebalances`."""
    rebalances: tuple[Rebalance, ...]
    faults: tuple[ReadFault, ...]


class Source(Protocol):
    """A group member that reads the inputs of the shards it owns. One thread uses it."""

    def poll_batch(self, count_max: int, timeout_s: float) -> Polled:
        """Wait up to `timeout_s` for a first record, then take what is there, `count_max` in all.

        Raises Fenced if another process has our instance id.
        """
        ...

    def group_metadata(self) -> GroupMetadata:
        """Proof of our membership as of the last poll; check `live` before relying on it.

        Brokers refuse a proof that was overtaken since.
        """
        ...

    def assign(self, positions: Sequence[Position]) -> None:
        """Read exactly these partitions from these offsets on, instead of those read until now."""

    def seek(self, position: Position) -> None:
        """Go on from another offset in a partition that is being read."""

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Read no more of these until `resume`; `assign` resumes all."""

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these again, where they were paused."""

    def committed(
        self, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> Mapping[TopicPartition, int | None]:
        """Committed offset of each, None where there is none. Waits for pending commits.

        Raises Retriable when they do not become stable within `timeout_s`.
        """
        ...

    def close(self) -> None:
        """Stop reading. A static member stays in the group until its session ends."""


class Sink(Protocol):
    """A transactional producer. One transaction at a time: begin, send, send_offsets, commit.

    Every method raises only children of `TransactionError`: `Retriable` is handled inside within a
    time budget and ends as `Doubtful`. After any of them but `MustAbort` and `Unwritable` only
    `rotate` helps; after these `abort` and then `rotate`, as any abort puts the connection in doubt.
    """

    def init(self) -> None:
        """Take the transactional id: ends a predecessor's open transaction and shuts it out."""

    def begin(self) -> None:
        """Open a transaction."""

    def send(self, record: Record, *, track: bool = False) -> None:
        """Hand over a record. The offset of a tracked one is in what `commit` returns.

        Who refuses a tracked one is in the `Unwritable` of `commit`. Track only the cursor (or
        barrier) of a shard, and what is rare: a tracked record costs a callback.
        """

    def send_all(self, records: Iterable[Record]) -> None:
        """Hand over records, in order; none is tracked."""

    def send_offsets(self, positions: Sequence[Position], group: GroupMetadata) -> None:
        """Commit these input positions with the transaction, if `group` is still current.

        Raises MustAbort if the generation is stale, or if `positions` is empty or `group` proves
        nothing (either would leave the transaction unfenced).
        """

    def commit(self) -> Mapping[TopicPartition, int]:
        """Commit; give the offset of the last tracked record of each partition.

        Raises Doubtful also after a success that was slow or during which the client met an
        error: a late request of this epoch could still hit the next transaction.
        """
        ...

    def leeway(self) -> float:
        """How many times as long the last transaction's slowest step might take undoubted."""
        ...

    def abort(self) -> None:
        """Give the open transaction up. No open transaction is no error."""

    def rotate(self) -> None:
        """Replace the producer by a new one of the same id, and `init` it.

        When it returns, the fate of the earlier transaction is decided.
        """

    def close(self) -> None:
        """Drop the producer; an open transaction is left to `init` or its timeout."""


class Entries(NamedTuple):
    """Records of one partition without what only some readers look at: a million of them are read."""

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    position: int
    """Offset of the next record after these."""


class Reader(Protocol):
    """Reads single partitions outside any group, committed records only."""

    def read(self, start: Position, until: int) -> Iterator[Sequence[Envelope]]:
        """Yield batches from `start` on until every committed record below offset `until` is out.

        A batch is empty when nothing came for a moment, so that the caller can do other work or
        give up. Offset 0 means the beginning, wherever that is. The last batch may hold records
        at or above `until`. Raises StateError if `start` is out of range.
        """
        ...

    def read_entries(self, start: Position, until: int, count_max: int) -> Iterator[Entries]:
        """Yield what `read` does, at most `count_max` at once, in a third of the time."""
        ...

    def close(self) -> None:
        """Release connections."""


class Tailed(NamedTuple):
    """What following some partitions of one topic brought."""

    records: Sequence[Envelope]
    """In offset order per partition."""
    ends: Mapping[int, int]
    """Partitions that were read to their end just now, and that end: nothing below is missing."""
    lost: Mapping[int, str]
    """Partitions whose next offset is not there any more, or cannot be read, and why."""


class Tail(Protocol):
    """Follows partitions as they grow, outside any group, committed records only."""

    def follow(self, start: Position) -> None:
        """Read this partition as well, from `start` on. Offset 0 means the beginning."""

    def forget(self, partition: TopicPartition) -> None:
        """Read this partition no more. One that is not read is no error."""

    def poll(self, count_max: int, timeout_s: float) -> Tailed:
        """Give what has come, waiting up to `timeout_s` for a first record."""
        ...

    def commit(self, positions: Sequence[Position]) -> None:
        """Let everybody see how far we are. Nobody waits for it, and nothing depends on it."""

    def close(self) -> None:
        """Release connections."""


class TopicSpec(NamedTuple):
    """How a topic must be. `config` holds Kafka's own names and values as text."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class TopicState(NamedTuple):
    """How a topic is. `config` holds effective values, defaults included."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class GroupMember(NamedTuple):
    """A member of a consumer group as its coordinator sees it."""

    member_id: str
    instance_id: str
    """Empty for a dynamic member."""
    partitions: tuple[TopicPartition, ...]


class Admin(Protocol):
    """What we ask of a cluster besides reading and writing.

    Raises ConfigurationError if the cluster does not answer or forbids it.
    """

    def topics(self, names: Sequence[str]) -> Mapping[str, TopicState]:
        """Those of these topics that exist."""
        ...

    def partitions(self, names: Sequence[str]) -> Mapping[str, int]:
        """Number of partitions of those of these topics that exist; asks for no configuration."""
        ...

    def create(self, specs: Sequence[TopicSpec]) -> None:
        """Create topics; one that exists already is no error."""

    def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Set these values of a topic, and no others."""

    def broker_config(self) -> Mapping[str, str]:
        """Effective configuration of one broker."""
        ...

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """High watermark of each (open transactions included)."""
        ...

    def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """First offset of each that has not been deleted."""
        ...

    def refusals(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, str]:
        """Those of these that we may not write to, or that do not exist, and why."""
        ...

    def members(self, group: str) -> tuple[GroupMember, ...]:
        """Who is in the group now; empty if there is no such group."""
        ...

    def positions(self, group: str) -> Mapping[TopicPartition, int]:
        """Every position that was committed to a group; empty if there is no such group."""
        ...

    def notes(self, group: str) -> Mapping[TopicPartition, str]:
        """What lies beside the positions of a group; empty if there is no such group."""
        ...
