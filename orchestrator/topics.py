"""Topics: their names, how each must be configured and why, and what is wrong with those that exist.

Pure but for `apply`. `docs/topics.md` says the same for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from orchestrator.core.ids import is_id
from orchestrator.errors import ConfigurationError
from orchestrator.kafka.base import Admin, TopicSpec, TopicState

_NAME_LENGTH_MAX = 249
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_UNLIMITED = -1


class Topics:
    """Names of all topics of one installation, under one prefix."""

    def __init__(self, prefix: str = "saga") -> None:
        """Raises ConfigurationError if `prefix` cannot begin a topic's name."""
        if not is_id(prefix):
            raise ConfigurationError(f"prefix={prefix!r}: must be [A-Za-z0-9._-]{{1,128}}")
        self.prefix = prefix
        self.commands = f"{prefix}.commands"
        self.events = f"{prefix}.events"
        self.changelog = f"{prefix}.changelog"
        self.outcomes = f"{prefix}.outcomes"
        self.dead_letters = f"{prefix}.dead-letters"

    def replies(self, participant: str) -> str:
        """Where one participant, and nobody else, answers."""
        return self._named(f"{self.prefix}.replies.{participant}", participant)

    def participant_commands(self, participant: str) -> str:
        """Where a participant reads its step commands."""
        return self._named(f"{participant}.commands", participant)

    def participant_dead_letters(self, participant: str) -> str:
        """Where a participant puts records that it cannot obey: its own, as its rights are."""
        return self._named(f"{participant}.dead-letters", participant)

    def _named(self, name: str, participant: str) -> str:
        if not is_id(participant):
            raise ConfigurationError(
                f"participant {participant!r}: must be [A-Za-z0-9._-]{{1,128}}"
            )
        if participant == self.prefix or participant.startswith(f"{self.prefix}."):
            raise ConfigurationError(
                f"participant {participant!r}: its command topic would be among our own,"
                f" {self.prefix}.*; rename the participant or choose another prefix"
            )
        if len(name) > _NAME_LENGTH_MAX:
            raise ConfigurationError(
                f"topic {name}: {len(name)} characters, Kafka allows {_NAME_LENGTH_MAX}"
            )
        return name


class Profile(StrEnum):
    """How many copies of everything a cluster keeps."""

    DEVELOPMENT = "development"
    """One copy: for a single broker. Survives a killed process, not a lost disk."""
    PRODUCTION = "production"
    """Three copies, two of which must have a record before it counts as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSettings:
    """How topics are created."""

    partitions: int = field(default=4, metadata={"min": 1, "max": 1_000})
    """Number P of shards, fixed for ever at creation. Default 4; in production 4 to 8 for each
    worker of the largest number foreseen. A transaction pays for each partition that it touches."""
    profile: str = field(default="production", metadata={"choices": tuple(map(str, Profile))})
    """`production`: 3 copies, 2 of them certain. `development`: 1 copy, for a single broker. Default
    production, since too few copies show only when it is too late."""
    inputs_retention_ms: int = field(default=7 * _DAY_MS, metadata={"min": _HOUR_MS})
    """How long commands and replies are kept, in ms. Default 7 days: the longest outage of all
    workers after which nothing is lost."""
    events_retention_ms: int = field(default=365 * _DAY_MS, metadata={"min": _UNLIMITED})
    """How long the audit log is kept, in ms. Default a year; -1: for ever."""
    outcomes_retention_ms: int = field(default=30 * _DAY_MS, metadata={"min": _UNLIMITED})
    """How long outcomes of ended sagas are kept, in ms. Default 30 days."""
    dead_letters_retention_ms: int = field(default=90 * _DAY_MS, metadata={"min": _UNLIMITED})
    """How long dead letters wait for a person, in ms. Default 90 days."""
    tombstones_retention_ms: int = field(default=7 * _DAY_MS, metadata={"min": _HOUR_MS})
    """How long the changelog tells that a saga is forgotten, in ms. Default 7 days. A local store
    that was out of touch for half as long is rebuilt."""
    topic_record_bytes_max: int = field(default=1_153_434, metadata={"min": 16_384})
    """Bytes of the largest record batch a topic takes. Default 1 MiB and a tenth: what a producer
    may send, and its frame."""

    @property
    def replication(self) -> int:
        """Copies of each partition."""
        return 3 if self.profile == Profile.PRODUCTION else 1

    @property
    def in_sync_min(self) -> int:
        """Copies that must have a record before it counts as written."""
        return 2 if self.profile == Profile.PRODUCTION else 1


def specs(
    topics: Topics, participants: Iterable[str], settings: TopicSettings
) -> tuple[TopicSpec, ...]:
    """How every topic must be, those of `participants` included."""
    names = sorted(set(participants))
    inputs = _deleted(settings.inputs_retention_ms)
    dead = _deleted(settings.dead_letters_retention_ms)
    shaped = {
        topics.commands: inputs,
        **{topics.replies(name): inputs for name in names},
        topics.events: _deleted(settings.events_retention_ms),
        topics.changelog: _changelog(settings),
        topics.outcomes: _deleted(settings.outcomes_retention_ms)
        | {"cleanup.policy": "compact,delete"},
        topics.dead_letters: dead,
        **{topics.participant_commands(name): inputs for name in names},
        **{topics.participant_dead_letters(name): dead for name in names},
    }
    common = {
        "min.insync.replicas": str(settings.in_sync_min),
        "unclean.leader.election.enable": "false",
        "max.message.bytes": str(settings.topic_record_bytes_max),
    }
    return tuple(
        TopicSpec(name, settings.partitions, settings.replication, common | config)
        for name, config in shaped.items()
    )


def _deleted(retention_ms: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}


def _changelog(settings: TopicSettings) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(settings.tombstones_retention_ms),
        # For an hour transactions stay whole, for standbys and for whoever looks for a fault.
        "min.compaction.lag.ms": str(_HOUR_MS),
        "max.compaction.lag.ms": str(_DAY_MS),
        # The active segment is never compacted: by default it would be for a week.
        "segment.ms": str(6 * _HOUR_MS),
        "segment.bytes": str(128 * 1024 * 1024),
        "min.cleanable.dirty.ratio": "0.3",
    }


class Problem(NamedTuple):
    """Something about a topic or the cluster that would cost data, or merely might."""

    topic: str
    """Empty for the cluster."""
    text: str
    cure: str
    fatal: bool = True
    """False: a warning."""
    mend: tuple[str, str] | None = None
    """The topic's setting, and the value, that would cure it."""

    def __str__(self) -> str:
        return f"{self.topic or 'cluster'}: {self.text}; cure: {self.cure}"


class Plan(NamedTuple):
    """What is to be done so that the topics are as they must be."""

    create: tuple[TopicSpec, ...]
    problems: tuple[Problem, ...]
    """Of what exists already."""

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """Problems with which no worker may start."""
        return tuple(problem for problem in self.problems if problem.fatal)


def plan(
    wanted: Sequence[TopicSpec],
    existing: Mapping[str, TopicState],
    broker: Mapping[str, str] | None = None,
) -> Plan:
    """Compare what must be with what is; `broker` is a broker's own configuration."""
    missing = tuple(spec for spec in wanted if spec.name not in existing)
    found = [
        problem
        for spec in wanted
        if spec.name in existing
        for problem in _topic_problems(spec, existing[spec.name])
    ]
    replicated = any(spec.replication > 1 for spec in wanted)
    return Plan(missing, (*found, *_cluster_problems(broker or {}, replicated=replicated)))


def apply(admin: Admin, todo: Plan, *, mend: bool = False) -> None:
    """Create what is missing; with `mend` set what is wrong and can be set.

    Raises ConfigurationError, before anything is changed, if a fatal problem would remain.
    """
    left = [problem for problem in todo.fatal if not (mend and problem.mend)]
    if left:
        raise ConfigurationError("\n".join(["the topics cannot be used:", *map(str, left)]))
    admin.create(todo.create)
    if mend:
        for problem in todo.problems:
            if problem.mend:
                admin.alter(problem.topic, dict([problem.mend]))


def _topic_problems(spec: TopicSpec, state: TopicState) -> Iterable[Problem]:
    if state.partitions != spec.partitions:
        yield Problem(
            spec.name,
            f"has {state.partitions} partitions, not {spec.partitions}; the number is fixed at"
            " creation, since it says which shard a saga belongs to",
            f"set partitions={state.partitions} if all topics have as many; if it was changed later,"
            " start a new prefix and migrate",
        )
    if state.replication < spec.replication:
        yield Problem(
            spec.name,
            f"has {state.replication} copies, not {spec.replication}",
            "add copies with kafka-reassign-partitions, or set profile=development",
        )
    for rule in _RULES:
        if rule.key in spec.config and rule.key in state.config:
            want, have = spec.config[rule.key], state.config[rule.key]
            if not rule.fits(want, have):
                yield Problem(
                    spec.name,
                    f"{rule.key}={have}, {rule.demand} {want}: {rule.reason}",
                    f"kafka-configs --alter --topic {spec.name} --add-config {_quoted(rule.key, want)}",
                    mend=(rule.key, want),
                )
    in_sync_min = int(state.config.get("min.insync.replicas", "1"))
    if state.replication > 1 and in_sync_min >= state.replication:
        yield Problem(
            spec.name,
            f"min.insync.replicas={in_sync_min} with {state.replication} copies: one broker away"
            " stops all writes",
            f"set it to {state.replication - 1}",
            fatal=False,
        )


def _quoted(key: str, value: str) -> str:
    return f"{key}=[{value}]" if "," in value else f"{key}={value}"


def _same(want: str, have: str) -> bool:
    return want == have


def _same_set(want: str, have: str) -> bool:
    return {part.strip() for part in want.split(",")} == {part.strip() for part in have.split(",")}


def _at_least(want: str, have: str) -> bool:
    return int(have) >= int(want)


def _as_long(want: str, have: str) -> bool:
    """Compare times, where -1 means for ever."""
    if int(have) == _UNLIMITED:
        return True
    return int(want) != _UNLIMITED and int(have) >= int(want)


class _Rule(NamedTuple):
    key: str
    fits: Callable[[str, str], bool]
    demand: str
    reason: str


_RULES = (
    _Rule(
        "cleanup.policy",
        _same_set,
        "must be",
        "a changelog that is deleted loses sagas, one that is not compacted grows for ever, and"
        " commands that are compacted swallow each other",
    ),
    _Rule(
        "retention.ms",
        _as_long,
        "must be at least",
        "what is deleted before it was read is lost",
    ),
    _Rule(
        "delete.retention.ms",
        _as_long,
        "must be at least",
        "a store that comes back later than this would bring forgotten sagas back to life",
    ),
    _Rule(
        "min.insync.replicas",
        _at_least,
        "must be at least",
        "a record that only one broker has is lost with that broker",
    ),
    _Rule(
        "unclean.leader.election.enable",
        _same,
        "must be",
        "a broker that lags would become leader and throw committed records away",
    ),
    _Rule(
        "max.message.bytes",
        _at_least,
        "must be at least",
        "a transaction with a record above it can never be committed",
    ),
)
"""What costs data if it is wrong. Other values are the operator's to tune."""


def _cluster_problems(broker: Mapping[str, str], *, replicated: bool) -> Iterable[Problem]:
    if broker.get("auto.create.topics.enable") == "true":
        yield Problem(
            "",
            "auto.create.topics.enable=true: a misspelt name makes a topic with the wrong shape",
            "set it to false on every broker",
            fatal=False,
        )
    if not replicated:
        return
    for key, least in _INTERNAL:
        if int(broker.get(key, least)) < least:
            yield Problem(
                "",
                f"{key}={broker[key]}, must be at least {least}: transactions and offsets would be"
                " kept less safely than the records they speak of",
                "set it on every broker, and add copies to the internal topic if it exists",
            )


_INTERNAL = (
    ("transaction.state.log.replication.factor", 3),
    ("transaction.state.log.min.isr", 2),
    ("offsets.topic.replication.factor", 3),
)
