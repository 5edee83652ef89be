"""Who owns a shard, who inherits it, and what a newcomer will get. Pure.

Static members under the `range` assignor: the assignment is a function of the sorted instance ids
and of P alone, so that every process can compute it for any group that could come to be.
"""

from __future__ import annotations

from collections.abc import Collection


def owners(partitions: int, instances: Collection[str]) -> tuple[str, ...]:
    """Who owns each shard, as `range` assigns: sorted bytewise, the first ones get one more."""
    ranked = sorted(set(instances))
    if not ranked:
        return ()
    share, more = divmod(partitions, len(ranked))
    return tuple(
        instance for rank, instance in enumerate(ranked) for _ in range(share + (rank < more))
    )


def heirs(partition: int, partitions: int, instances: Collection[str], count: int) -> list[str]:
    """At most `count` heirs of a shard, the next in line first.

    The first heir is who owns the shard in the group without its owner; the second, who owns it
    without these two; and so on. With one heir every loss of one worker is covered: whichever it
    is, each shard stays where it is or goes to its heir.
    """
    left = set(instances)
    line: list[str] = []
    while left and len(line) <= count:
        line.append(owners(partitions, left)[partition])
        left.discard(line[-1])
    return line[1:]


def inherited(me: str, partitions: int, instances: Collection[str], count: int) -> frozenset[int]:
    """The shards of which `me` is one of the first `count` heirs."""
    return frozenset(
        partition
        for partition in range(partitions)
        if me in heirs(partition, partitions, instances, count)
    )


def awaited(me: str, partitions: int, instances: Collection[str]) -> frozenset[int]:
    """The shards that `me` will own once it has joined these."""
    found = owners(partitions, {*instances, me})
    return frozenset(partition for partition, owner in enumerate(found) if owner == me)
