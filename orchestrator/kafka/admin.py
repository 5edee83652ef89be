"""Questions to a cluster, and the making of topics."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import confluent_kafka
import confluent_kafka.admin
from confluent_kafka import KafkaError, KafkaException

from orchestrator.errors import ConfigurationError, Unreachable
from orchestrator.kafka import errors
from orchestrator.kafka.base import GroupMember, TopicPartition, TopicSpec, TopicState
from orchestrator.kafka.ear import LOGGER
from orchestrator.kafka.settings import KafkaSettings

_admin: Any = confluent_kafka.admin
"""The library does not declare what it documents as exported, so its types are of no use here."""

_ASKED_AGAIN_S = 1.0
"""After how long without an answer a partition's leader may be another."""
_ASKED_ANEW_S = 3.0
"""After how long without an answer to what any broker could answer another one may be asked."""
_PAUSE_S = 0.02
"""Before brokers that could not tell are asked again."""
_NEVER_S = 3_600.0
"""The longest that the library may be told to wait. It gives up no question to a coordinator before
we do: one that it has given up aborts the process as soon as that coordinator is back (an assertion in
`rd_kafka_enq_once_del_source_return`, librdkafka #4605). We let the client go, and the question with it."""
_LEADERLESS = errors.STALE | {KafkaError._TIMED_OUT, KafkaError._TRANSPORT}  # noqa: SLF001
_NO_GROUP = frozenset({KafkaError.GROUP_ID_NOT_FOUND})
_REFUSALS = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED})


class KafkaAdmin:
    """An `Admin` (see `kafka.base`)."""

    def __init__(self, settings: KafkaSettings, timeout_s: float = 15.0) -> None:
        """Make ready; `timeout_s` is the longest wait of each question."""
        self._settings = settings
        self._timeout_s = timeout_s
        self._client = self._connected()

    def _connected(self) -> Any:
        return _admin.AdminClient(
            {
                **self._settings.to_librdkafka(),
                "client.id": "saga-admin",
                "error_cb": lambda _: None,
            },
            logger=LOGGER,
        )

    def topics(self, names: Sequence[str]) -> Mapping[str, TopicState]:
        """Those of these topics that exist."""
        shapes = self._shapes()
        present = [name for name in names if name in shapes]
        if not present:
            return {}
        found = self._client.describe_configs(
            [_admin.ConfigResource(_admin.ResourceType.TOPIC, name) for name in present],
            request_timeout=self._timeout_s,
        )
        configs = {
            resource.name: _values(self._answer(future, f"describing {resource.name}"))
            for resource, future in found.items()
        }
        return {name: TopicState(name, *shapes[name], configs[name]) for name in present}

    def partitions(self, names: Sequence[str]) -> Mapping[str, int]:
        """Number of partitions of those of these topics that exist; needs only Describe."""
        shapes = self._shapes()
        return {name: shapes[name][0] for name in names if name in shapes}

    def create(self, specs: Sequence[TopicSpec]) -> None:
        """Create topics, and wait until they can be used; one that exists already is no error.

        Raises Unreachable if the brokers do not know of them after the time limit.
        """
        if not specs:
            return
        futures = self._client.create_topics(
            [
                _admin.NewTopic(
                    spec.name,
                    num_partitions=spec.partitions,
                    replication_factor=spec.replication,
                    config=dict(spec.config),
                )
                for spec in specs
            ],
            operation_timeout=self._timeout_s,
            request_timeout=self._timeout_s,
        )
        for name, future in futures.items():
            self._answer(future, f"creating {name}", allowed=(KafkaError.TOPIC_ALREADY_EXISTS,))
        self._await([spec.name for spec in specs])

    def _await(self, names: Sequence[str]) -> None:
        # The controller answers as soon as it has decided; brokers hear of it a moment later, and
        # whoever asks one of them in between is told that there is no such topic.
        until_s = time.monotonic() + self._timeout_s
        while missing := sorted(set(names) - self._shapes().keys()):
            if time.monotonic() > until_s:
                raise Unreachable(f"created, but not known to the brokers yet: {missing}")
            time.sleep(_PAUSE_S)

    def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Set these values of a topic, and no others."""
        entries = [
            _admin.ConfigEntry(key, value, incremental_operation=_admin.AlterConfigOpType.SET)
            for key, value in config.items()
        ]
        resource = _admin.ConfigResource(
            _admin.ResourceType.TOPIC, name, incremental_configs=entries
        )
        futures = self._client.incremental_alter_configs(
            [resource], request_timeout=self._timeout_s
        )
        for future in futures.values():
            self._answer(future, f"altering {name}")

    def broker_config(self) -> Mapping[str, str]:
        """Effective configuration of one broker."""
        broker = str(min(self._metadata().brokers))
        futures = self._client.describe_configs(
            [_admin.ConfigResource(_admin.ResourceType.BROKER, broker)],
            request_timeout=self._timeout_s,
        )
        (future,) = futures.values()
        return _values(self._answer(future, f"describing broker {broker}"))

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """High watermark of each, open transactions included."""
        return self._offsets(partitions, _admin.OffsetSpec.latest(), "end")

    def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """First offset of each that has not been deleted."""
        return self._offsets(partitions, _admin.OffsetSpec.earliest(), "start")

    def _offsets(
        self, partitions: Sequence[TopicPartition], which: Any, name: str
    ) -> Mapping[TopicPartition, int]:
        found: dict[TopicPartition, int] = {}
        until_s = time.monotonic() + self._timeout_s
        while left := [pair for pair in partitions if pair not in found]:
            asked = {confluent_kafka.TopicPartition(*pair): which for pair in left}
            # A dead leader lets the whole question wait for its time limit.
            futures = self._client.list_offsets(asked, request_timeout=_ASKED_AGAIN_S)
            is_late = time.monotonic() > until_s
            known_count = len(found)
            for key, future in futures.items():
                doing = f"reading the {name} of {key.topic}/{key.partition}"
                answer = self._answer(future, doing, () if is_late else _LEADERLESS)
                # A leader that did not answer is told as an offset below 0, without an error.
                if answer is not None and answer.offset >= 0:
                    found[TopicPartition(key.topic, key.partition)] = answer.offset
                elif is_late:
                    raise Unreachable(f"{doing}: its leader does not answer")
            if len(found) < known_count + len(left):
                time.sleep(_PAUSE_S)
                self._metadata()  # the library keeps what it knew of leaders until it is asked
        return found

    def refusals(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, str]:
        """Those of these that we may not write to, or that do not exist, and why."""
        asked = confluent_kafka.TopicCollection(sorted({pair.topic for pair in partitions}))
        futures = self._client.describe_topics(
            asked, include_authorized_operations=True, request_timeout=self._timeout_s
        )
        found: dict[TopicPartition, str] = {}
        for name, future in futures.items():
            described = self._answer(future, f"describing {name}", allowed=_REFUSALS)
            for pair in partitions:
                why = _refusal(described, pair) if pair.topic == name else ""
                if why:
                    found[pair] = why
        return found

    def members(self, group: str) -> tuple[GroupMember, ...]:
        """Who is in the group now; empty if there is no such group."""
        futures = self._client.describe_consumer_groups([group], request_timeout=_NEVER_S)
        described = self._answer(futures[group], f"describing group {group}", _NO_GROUP)
        if described is None:
            return ()
        return tuple(
            GroupMember(
                member.member_id,
                member.group_instance_id or "",
                tuple(
                    TopicPartition(entry.topic, entry.partition)
                    for entry in member.assignment.topic_partitions
                ),
            )
            for member in described.members
        )

    def positions(self, group: str) -> Mapping[TopicPartition, int]:
        """Every position that was committed to a group; empty if there is no such group."""
        return {pair: entry.offset for pair, entry in self._committed(group).items()}

    def notes(self, group: str) -> Mapping[TopicPartition, str]:
        """What lies beside the positions of a group; empty if there is no such group."""
        return {pair: entry.metadata or "" for pair, entry in self._committed(group).items()}

    def _committed(self, group: str) -> dict[TopicPartition, Any]:
        asked = confluent_kafka.ConsumerGroupTopicPartitions(group)
        (future,) = self._client.list_consumer_group_offsets(
            [asked], request_timeout=_NEVER_S
        ).values()
        answer = self._answer(future, f"reading the positions of group {group}", _NO_GROUP)
        return {
            TopicPartition(entry.topic, entry.partition): entry
            for entry in ([] if answer is None else answer.topic_partitions)
            if entry.error is None and entry.offset >= 0
        }

    def _shapes(self) -> dict[str, tuple[int, int]]:
        """Partitions and replication of every topic."""
        return {
            name: (
                len(topic.partitions),
                min((len(part.replicas) for part in topic.partitions.values()), default=0),
            )
            for name, topic in self._metadata().topics.items()
            if topic.error is None
        }

    def _metadata(self) -> Any:
        until_s = time.monotonic() + self._timeout_s
        while True:
            left_s = until_s - time.monotonic()
            try:
                # Any broker is asked, perhaps one that hangs; each time anew.
                return self._client.list_topics(timeout=max(min(left_s, _ASKED_ANEW_S), 0.001))
            except KafkaException as error:
                if left_s > _ASKED_ANEW_S and errors.is_silence(errors.cause(error)):
                    continue
                raise self._refusal(error, "asking for topics") from error

    def _answer(self, future: Future[Any], doing: str, allowed: Collection[int] = ()) -> Any:
        """Wait for an answer; None if it was one of the errors `allowed`.

        Whoever got none asks through another client the next time.
        """
        try:
            return future.result(self._timeout_s + 1)
        except (KafkaException, TimeoutError) as error:
            if isinstance(error, KafkaException) and errors.cause(error).code() in allowed:
                return None
            refusal = self._refusal(error, doing)
            if isinstance(refusal, Unreachable):
                self._client = self._connected()  # see _NEVER_S
            raise refusal from error

    def _refusal(self, error: KafkaException | TimeoutError, doing: str) -> ConfigurationError:
        servers = self._settings.bootstrap_servers
        if isinstance(error, TimeoutError):
            return Unreachable(f"{doing}: {servers} does not answer")
        inner = errors.cause(error)
        kind = Unreachable if errors.is_unreachable(inner) else ConfigurationError
        return kind(f"{doing}: {errors.describe(inner)} (bootstrap_servers={servers})")


def _refusal(topic: Any, pair: TopicPartition) -> str:
    """Say why nobody, or not we, could write there; empty if we could. `topic` as it was described."""
    if topic is None:
        return "does not exist, or we may not even see it"
    if pair.partition >= len(topic.partitions):
        return f"has no partition {pair.partition}"
    allowed = set(topic.authorized_operations or ())  # empty: the broker does not say
    may_write = {_admin.AclOperation.WRITE, _admin.AclOperation.ALL} & allowed
    return "" if may_write or not allowed else "we may not write to it"


def _values(entries: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        name: entry.value for name, entry in (entries or {}).items() if entry.value is not None
    }
