"""The consumer: a static member of the workers' group that reads from where it is told to."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException

from orchestrator.codec.envelope import Envelope, new_envelope, new_origin
from orchestrator.errors import Doubtful, Fenced, Retriable
from orchestrator.kafka import errors
from orchestrator.kafka.base import (
    Assigned,
    GroupMetadata,
    Lost,
    Polled,
    Position,
    ReadFault,
    Rebalance,
    Revoked,
    TopicPartition,
)
from orchestrator.kafka.bounded import Bounded
from orchestrator.kafka.ear import LOGGER, Ear
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.threads import yielding

_METADATA_PREFIX = b"CGMDv2:"
_GENERATION = struct.Struct("<i")
_STORED_MS_MAX = 200
"""How long a stored position may wait to be committed: what a crash in between has read again."""
_CLOSING_S_MAX = 5.0
_NOBODY = GroupMetadata(b"", -1, "")


def consumer_config(settings: KafkaSettings) -> dict[str, object]:
    """What every consumer of ours has in common: explicit positions, committed records only."""
    return {
        **settings.to_librdkafka(),
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Positions come from cursors; a reset is always a fault, never a reason to skip or repeat.
        "auto.offset.reset": "error",
        "check.crcs": settings.check_crcs,
        "fetch.wait.max.ms": 50,
        "fetch.error.backoff.ms": 50,
        # The default second is how long an empty queue would wait once it had been full.
        "fetch.queue.backoff.ms": 20,
        "fetch.message.max.bytes": settings.message_bytes_max,
        "fetch.max.bytes": 8 * settings.message_bytes_max,
        "receive.message.max.bytes": 8 * settings.message_bytes_max + 1_048_576,
        "queued.min.messages": 5_000,
        "queued.max.messages.kbytes": 16_384,
    }


def _gives_up(line: str) -> bool:
    """Whether a line of the library's log says that it gives its session up: nothing else does."""
    return line.startswith("SESSTMOUT")


class KafkaSource:
    """A `Source` (see `kafka.base`): classic protocol, `range`, static membership.

    When its coordinator was silent for a session, the library forgets its member id and still sends
    heartbeats under its name: brokers take it for a second one and refuse it for good (librdkafka
    #3437). A consumer to which that has happened is replaced by one that joins anew.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        instance_id: str,
        topics: Sequence[str],
        session_timeout_ms: int = 10_000,
        poll_interval_ms_max: int = 60_000,
        keeps_positions: bool = False,
    ) -> None:
        """Join `group` with the first polls.

        `instance_id` must sort as the instances are numbered (`saga-003`), and be ours alone.
        `session_timeout_ms` is how long a dead worker's shards stay idle; brokers refuse less
        than 6,000. `poll_interval_ms_max` is how long a batch may take before we are thrown out.
        With `keeps_positions`, what is given to `store` is committed outside of transactions.
        """
        self._rebalances: list[Rebalance] = []
        self._faults: list[ReadFault] = []
        self._fatal: KafkaError | None = None
        self._membership = _NOBODY
        self._topics = list(topics)
        self._config = {
            **consumer_config(settings),
            **(self._keeping() if keeps_positions else {}),
            "client.id": instance_id,
            "group.id": group,
            "group.instance.id": instance_id,
            "group.protocol": "classic",
            "partition.assignment.strategy": "range",
            "session.timeout.ms": session_timeout_ms,
            "heartbeat.interval.ms": max(session_timeout_ms // 6, 500),
            "max.poll.interval.ms": max(poll_interval_ms_max, session_timeout_ms),
            "error_cb": self._on_error,
        }
        self._ear = Ear(_gives_up)
        self._consumer = self._join()

    def poll_batch(self, count_max: int, timeout_s: float) -> Polled:
        """Wait for a first record, then take what is there."""
        messages = take(self._consumer, count_max, timeout_s)
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            self._faults += [read_fault(message) for message in messages if message.error()]
            self._remember_fatal(message.error() for message in messages)
        if self._fatal is not None:
            self._join_anew(self._fatal)
            return Polled([], (Lost(()),), ())
        rebalances, self._rebalances = tuple(self._rebalances), []
        faults, self._faults = tuple(self._faults), []
        # What was read before the group changed belongs to another owner now, or is read again.
        return Polled([] if rebalances else envelopes(good), rebalances, faults)

    def group_metadata(self) -> GroupMetadata:
        """Proof of our membership as it is now."""
        # Asking costs a wait for the library's own thread, and our membership changes only with a
        # rebalance. One that we have not heard of yet makes this one stale: brokers refuse it.
        if not self._membership.live:
            raw = self._consumer.consumer_group_metadata()
            self._membership = _NOBODY if raw is None else parse_group_metadata(raw)
        return self._membership

    def assign(self, positions: Sequence[Position]) -> None:
        """Read exactly these partitions from these offsets on."""
        self._consumer.assign(
            [confluent_kafka.TopicPartition(*position) for position in positions]
        )

    def seek(self, position: Position) -> None:
        """Go on from another offset in a partition that is being read."""
        try:
            self._consumer.seek(confluent_kafka.TopicPartition(*position))
        except KafkaException as error:
            raise errors.cluster_error(errors.cause(error), f"seeking {position}") from error

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Read no more of these until `resume`."""
        self._consumer.pause([confluent_kafka.TopicPartition(*pair) for pair in partitions])

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these again."""
        self._consumer.resume([confluent_kafka.TopicPartition(*pair) for pair in partitions])

    def committed(
        self, partitions: Sequence[TopicPartition], timeout_s: float
    ) -> Mapping[TopicPartition, int | None]:
        """Committed offset of each, once no transaction holds a pending one."""
        wanted = [confluent_kafka.TopicPartition(*pair) for pair in partitions]
        try:
            found = self._consumer.committed(wanted, timeout=timeout_s)
        except KafkaException as error:
            doing = "reading committed offsets"
            raise errors.cluster_error(errors.cause(error), doing) from error
        for entry in found:
            if entry.error is not None:
                raise Retriable(f"committed offset of {entry.topic}: {entry.error}")
        return {
            TopicPartition(entry.topic, entry.partition): entry.offset
            if entry.offset >= 0
            else None
            for entry in found
        }

    def store(self, positions: Sequence[Position]) -> None:
        """Have it written down how far this group has read, soon and at the latest by `close`.

        A position that could not be committed is a fault of a later poll. Raises Retriable if a
        partition is not being read any more.
        """
        offsets = [confluent_kafka.TopicPartition(*position) for position in positions]
        try:
            self._consumer.store_offsets(offsets=offsets)
        except KafkaException as error:
            raise errors.cluster_error(errors.cause(error), "storing positions") from error

    def close(self) -> None:
        """Stop reading; the group waits for us to come back until the session ends.

        What was stored last is committed, if brokers take it within 5 s.
        """
        closing = Bounded("closing a consumer")
        try:
            closing.run(self._consumer.close, _CLOSING_S_MAX)
        except Doubtful as error:
            LOGGER.warning("%s; what it stored last is read again", error)
        closing.close()

    def _keeping(self) -> dict[str, object]:
        # The library's own thread commits what is stored: nobody waits for it with each batch.
        return {
            "enable.auto.commit": True,
            "auto.commit.interval.ms": _STORED_MS_MAX,
            "on_commit": self._on_commit,
        }

    def _join(self) -> Consumer:
        with yielding():
            consumer = Consumer(self._config, logger=self._ear)
        consumer.subscribe(
            self._topics,
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        return consumer

    def _join_anew(self, fatal: KafkaError) -> None:
        """Be a new member if the library gave the old one up. Raises Fenced if it did not."""
        self._consumer.poll(0)  # what it has still to say
        if not self._ear.heard:
            raise Fenced(f"reading as a group member: {errors.describe(fatal)}")
        self._consumer.close()
        self._rebalances, self._faults, self._fatal = [], [], None
        self._membership, self._ear = _NOBODY, Ear(_gives_up)
        self._consumer = self._join()

    # The group's callbacks run inside `poll_batch`. They only note what happened: an error that
    # escaped one would make the client library assign by itself, and slow work would hold it up.

    def _on_assign(self, consumer: Consumer, found: list[confluent_kafka.TopicPartition]) -> None:
        # An empty assignment of our own keeps the library from reading at committed offsets.
        consumer.assign([])
        self._note(Assigned(_pairs(found)))

    def _on_revoke(self, _: Consumer, found: list[confluent_kafka.TopicPartition]) -> None:
        self._note(Revoked(_pairs(found)))

    def _on_lost(self, _: Consumer, found: list[confluent_kafka.TopicPartition]) -> None:
        self._note(Lost(_pairs(found)))

    def _note(self, rebalance: Rebalance) -> None:
        self._membership = _NOBODY
        self._rebalances.append(rebalance)

    def _on_commit(
        self, error: KafkaError | None, found: list[confluent_kafka.TopicPartition]
    ) -> None:
        told = [error] if error is not None else [entry.error for entry in found]
        self._remember_fatal(told)
        for each in told:
            if each is not None and each.code() != KafkaError._NO_OFFSET:  # noqa: SLF001
                text = f"positions were not committed: {errors.describe(each)}"
                self._faults.append(ReadFault(errors.fault_kind(each), "", -1, -1, text))

    def _on_error(self, error: KafkaError) -> None:
        self._remember_fatal([error])
        self._faults.append(
            ReadFault(errors.fault_kind(error), "", -1, -1, errors.describe(error))
        )

    def _remember_fatal(self, found: Iterable[KafkaError | None]) -> None:
        for error in found:
            if error is not None and (errors.is_fatal(error) or errors.is_fenced(error)):
                self._fatal = error


def take(consumer: Consumer, count_max: int, timeout_s: float) -> list[Any]:
    """Wait up to `timeout_s` for a first message, then take what is there, `count_max` in all."""
    # One call that waits for a full batch would wait even when a record is there.
    first = consumer.poll(timeout_s)
    if first is None:
        return []
    return [first, *consumer.consume(count_max - 1, 0)] if count_max > 1 else [first]


def envelopes(messages: list[Any]) -> list[Envelope]:
    """Convert good messages: the one loop over all records, so a comprehension.

    Typed `Any`, as the library's stubs allow None in places where only errors have it.
    """
    return [
        new_envelope(
            new_origin(message.topic(), message.partition(), message.offset()),
            message.key(),
            message.value(),
            tuple(message.headers() or ()),
            message.timestamp()[1],
        )
        for message in messages
    ]


def read_fault(message: Any) -> ReadFault:
    """An error that came in the place of a record, as a value."""
    error = message.error()
    partition, offset = message.partition(), message.offset()
    return ReadFault(
        errors.fault_kind(error),
        message.topic() or "",
        -1 if partition is None else partition,
        -1 if offset is None else offset,
        errors.describe(error),
    )


def parse_group_metadata(raw: bytes) -> GroupMetadata:
    """Read what the library gives as opaque: prefix, generation, group, member, instance.

    Anything of another shape proves nothing: its generation is -1.
    """
    start = len(_METADATA_PREFIX) + _GENERATION.size
    if not raw.startswith(_METADATA_PREFIX) or len(raw) < start:
        return GroupMetadata(raw, -1, "")
    (generation,) = _GENERATION.unpack_from(raw, len(_METADATA_PREFIX))
    _group, _, rest = raw[start:].partition(b"\0")
    member, end, _ = rest.partition(b"\0")
    return GroupMetadata(raw, generation if end else -1, member.decode("utf-8", "replace"))


def _pairs(found: list[confluent_kafka.TopicPartition]) -> tuple[TopicPartition, ...]:
    return tuple(TopicPartition(entry.topic, entry.partition) for entry in found)
