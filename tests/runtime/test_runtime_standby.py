"""The standby's own decisions: what it follows, and when it lets go."""

from __future__ import annotations

import os

import pytest

from orchestrator.errors import DecodeError, Unreachable
from orchestrator.kafka.base import GroupMember, TopicPartition
from orchestrator.observability.log import get
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.orders import Lines, Order, order_line
from orchestrator.runtime.settings import StandbySettings
from orchestrator.runtime.standby import Standby


class Copies:
    """Remembers what it was told, in order."""

    def __init__(self):
        self.followed, self.done = frozenset(), []

    def follow(self, wanted):
        self.followed = frozenset(wanted)
        self.done.append(("follow", sorted(wanted)))

    def release(self, partitions):
        self.followed -= frozenset(partitions)
        self.done.append(("release", sorted(partitions)))

    def pump(self, _timeout_s):
        return 0

    def report(self):
        pass

    def lags(self):
        return {}

    def close(self):
        self.done.append(("close", []))


def group(*instances, partitions=4):
    """Members, and the shards that they have between them."""
    found = {name: [] for name in instances}
    for partition in range(partitions):
        found[instances[partition % len(instances)]].append(
            TopicPartition("saga.commands", partition)
        )
    return [GroupMember(f"m-{name}", name, tuple(pairs)) for name, pairs in found.items()]


class Bench:
    def __init__(self, me="saga-000"):
        self.read, self.write = os.pipe()
        self.members, self.copies, self.turns, self.now_s = [], Copies(), [], 0.0
        clock = SystemClock()
        clock.monotonic_s = lambda: self.now_s
        self.standby = Standby(
            instance_id=me,
            partitions=4,
            settings=StandbySettings(standbys=1),
            members=self.ask,
            copies=self.copies,
            orders=Lines(self.read),
            answer=lambda number: self.copies.done.append(("answer", number)),
            clock=clock,
            log=get(),
        )

    def ask(self):
        if isinstance(self.members, Exception):
            raise self.members
        return self.members

    def order(self, number, *taken):
        os.write(self.write, order_line(Order(number, frozenset(taken))))

    def turn(self):
        """One turn of the loop, some seconds after the last."""
        self.now_s += 10.0
        self.copies.done.clear()
        turns = iter([False, True])
        self.standby.run(lambda: next(turns))
        return [step for step in self.copies.done if step not in (("answer", 0), ("close", []))]


@pytest.fixture
def bench():
    made = Bench()
    yield made
    for descriptor in (made.read, made.write):
        os.close(descriptor)


def test_nothing_is_opened_before_the_first_order(bench):
    bench.members = group("saga-000", "saga-001")
    assert bench.turn() == []
    bench.order(1, 0, 1)
    assert bench.turn() == [("release", []), ("answer", 1), ("follow", [2, 3])]


def test_what_is_taken_is_let_go_before_the_answer(bench):
    bench.members = group("saga-000", "saga-001")
    bench.order(1, 0, 1)
    bench.turn()
    bench.members = group("saga-000")
    bench.order(2, 0, 1, 2, 3)
    assert bench.turn() == [("release", [2, 3]), ("answer", 2)]
    assert bench.copies.followed == frozenset()


def test_of_several_orders_each_is_answered_and_the_last_one_counts(bench):
    bench.members = group("saga-000", "saga-001")
    bench.order(1, 0)
    bench.order(2, 0, 1)
    assert bench.turn()[1::2] == [("answer", 1), ("answer", 2)]
    assert bench.copies.followed == {2, 3}


@pytest.mark.parametrize(
    "members",
    [
        Unreachable("away"),
        [],
        group("saga-001", "saga-002"),  # we were thrown out, or are not in it yet
        [GroupMember("m", "saga-000", ()), GroupMember("n", "saga-001", ())],  # being dealt
    ],
)
def test_a_group_that_says_nothing_changes_nothing(bench, members):
    bench.members = group("saga-000", "saga-001")
    bench.order(1, 0, 1)
    bench.turn()
    bench.members = members
    assert bench.turn() == []
    assert bench.copies.followed == {2, 3}


def test_when_the_group_grows_the_inheritance_changes(bench):
    bench.members = group("saga-000", "saga-001")
    bench.order(1, 0, 1)
    bench.turn()
    bench.members = group("saga-000", "saga-001", "saga-002", "saga-003")
    bench.order(2, 0)
    bench.turn()
    assert bench.copies.followed == {1}


def test_the_end_of_the_pipe_is_the_end(bench):
    bench.order(1, 0)
    os.close(bench.write)
    bench.standby.run(lambda: False)
    assert bench.copies.done[-1] == ("close", [])
    bench.write = os.dup(bench.read)


def test_an_order_that_is_none_ends_it_rather_than_being_guessed(bench):
    os.write(bench.write, b"keep off\n")
    with pytest.raises(DecodeError):
        bench.turn()
    assert bench.copies.done[-1] == ("close", [])
