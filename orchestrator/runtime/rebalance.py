"""What an assignment means for the shards. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchestrator.errors import ConfigurationError
from orchestrator.kafka.base import TopicPartition


def shards_of(
    assigned: Sequence[TopicPartition], topics: Collection[str], partitions: int
) -> tuple[int, ...]:
    """The shards that an assignment gives us: those partitions that it has of every input topic.

    Raises ConfigurationError if it does not have the same partitions of each: then the topics
    differ in partition count, or somebody else in the group subscribes to others, and a saga's
    commands and replies would reach different workers.
    """
    by_topic: dict[str, set[int]] = {topic: set() for topic in topics}
    for topic, partition in assigned:
        by_topic.setdefault(topic, set()).add(partition)
    found = next(iter(by_topic.values()), set())
    if any(owned != found for owned in by_topic.values()) or len(by_topic) != len(topics):
        told = "; ".join(f"{topic} {sorted(owned)}" for topic, owned in sorted(by_topic.items()))
        raise ConfigurationError(
            f"the group gave us different partitions of the input topics ({told}). All must have"
            " the same number of partitions, and all workers of a group the same modules"
        )
    if found and max(found) >= partitions:
        raise ConfigurationError(
            f"partition {max(found)} was assigned, but this worker began with {partitions}"
            " partitions a topic: the number of partitions of a running installation is fixed"
        )
    return tuple(sorted(found))
