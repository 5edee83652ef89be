"""Owners and heirs: a pure function of who is in the group."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.placement import awaited, heirs, inherited, owners
from orchestrator.runtime.settings import instance_id

PARTITIONS = st.integers(1, 40)
GROUPS = st.sets(st.integers(0, 999), min_size=1, max_size=9).map(
    lambda found: [instance_id("saga", ordinal) for ordinal in found]
)


def test_owners_are_those_of_the_range_assignor():
    """As librdkafka and Kafka assign: 7 partitions of each topic to 3 members in bytewise order."""
    assert owners(7, ["saga-002", "saga-000", "saga-010"]) == (
        *("saga-000",) * 3,
        *("saga-002",) * 2,
        *("saga-010",) * 2,
    )
    assert owners(1, ["saga-001", "saga-000"]) == ("saga-000",)
    assert owners(3, []) == ()


@given(PARTITIONS, GROUPS)
def test_every_shard_has_one_heir_who_is_not_its_owner(partitions, group):
    owned_by = owners(partitions, group)
    for partition in range(partitions):
        line = heirs(partition, partitions, group, 1)
        assert len(line) == (1 if len(group) > 1 else 0)
        assert owned_by[partition] not in line


@given(PARTITIONS, GROUPS, st.integers(1, 3))
def test_who_is_lost_does_not_matter_with_as_many_heirs_as_losses(partitions, group, count):
    """After any `count` losses, a shard is with its old owner or with one of its heirs."""
    owned_by = owners(partitions, group)
    for lost in combinations(group, min(count, len(group) - 1)):
        after = owners(partitions, set(group) - set(lost))
        for partition in range(partitions):
            line = heirs(partition, partitions, group, count)
            assert after[partition] in {owned_by[partition], *line}


@given(PARTITIONS, GROUPS, st.integers(1, 3), st.randoms())
def test_all_members_compute_the_same(partitions, group, count, random):
    """In whatever order the group is told; the parts of all make up each shard's line of heirs."""
    shuffled = random.sample(group, len(group))
    for partition in range(partitions):
        line = heirs(partition, partitions, group, count)
        assert line == heirs(partition, partitions, shuffled, count)
        assert sorted(line) == [
            me for me in sorted(group) if partition in inherited(me, partitions, shuffled, count)
        ]


@given(PARTITIONS, GROUPS)
def test_who_joins_awaits_what_it_then_owns(partitions, group):
    for me in group:
        rest = set(group) - {me}
        owned = {p for p, owner in enumerate(owners(partitions, group)) if owner == me}
        assert awaited(me, partitions, rest) == owned


@pytest.mark.parametrize("count", [0, 1, 5])
def test_nobody_inherits_from_himself(count):
    assert heirs(0, 4, ["saga-000"], count) == []
    assert inherited("saga-000", 4, ["saga-000"], count) == frozenset()
