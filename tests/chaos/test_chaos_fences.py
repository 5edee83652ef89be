"""M06, M07: of the two fences that keep a zombie out, each alone is enough; without both it does harm.

The group refuses positions of a member that it has thrown out; the brokers refuse a producer whose
transactional id somebody has taken since. Here one of them is taken down at a time.
"""

from __future__ import annotations

import signal

import pytest
from test_chaos_zombies import feed, wake, zombie_of, zombie_stands
from town import wait_until

GROUP_SAYS = ("UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION", "FENCED_INSTANCE_ID")
PRODUCER_SAYS = ("INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED", "_FENCED", "_FATAL")
"""The last to whoever sends one more record after a broker has refused him."""


@pytest.fixture
def stand(town):
    """Lets a worker stand still at a point, and another one have its shard; gives both."""

    def stood(point, heirs_plant="", zombies_plant=""):
        heir = town.worker(0, planted=heirs_plant)
        zombie = zombie_of(town, point, planted=zombies_plant)
        wait_until(lambda: zombie.shards() == {1}, "a shard each")
        wait_until(lambda: feed(town) and zombie_stands(zombie), "standstill")
        return heir, zombie

    return stood


def succeed(town, heir):
    """The heir has both shards, and ends sagas."""
    wait_until(lambda: heir.shards() == {0, 1}, "the heir")
    town.begin(24)
    town.wait_ended()


def come_back(town, zombie):
    """Wake it up, and see that it is a worker as any other again; give what it was told."""
    failed = wake(zombie, "transaction_failed")
    town.begin(24)
    town.wait_ended()
    wait_until(lambda: zombie.shards() == {1}, "the zombie to join again")
    town.begin(24)
    town.wait_ended()
    return failed


def test_the_group_alone_keeps_a_zombie_out(town, stand):
    heir, zombie = stand("C03", heirs_plant="unfencing")
    succeed(town, heir)

    told = come_back(town, zombie)

    assert any(code in told["text"] for code in GROUP_SAYS), told
    town.check()


def test_a_zombie_past_the_group_commits_before_its_heir_or_never(town, stand):
    """It had sent its positions when it fell asleep: the heir waits for what becomes of them."""
    heir, zombie = stand("C07", heirs_plant="unfencing")
    heir.wait_logged("waiting_for_positions")

    zombie.signal(signal.SIGCONT)
    wait_until(lambda: heir.shards() | zombie.shards() == {0, 1}, "both shards")
    town.begin(24)
    town.wait_ended()

    town.check()


def test_the_transactional_id_alone_keeps_a_zombie_out(town, stand):
    heir, zombie = stand("C03", zombies_plant="groupless")
    succeed(town, heir)

    told = come_back(town, zombie)

    assert any(code in told["text"] for code in PRODUCER_SAYS), told
    town.check()


def test_without_both_fences_a_zombie_does_harm_and_the_checkers_find_it(town, stand):
    heir, zombie = stand("C03", heirs_plant="unfencing", zombies_plant="groupless")
    succeed(town, heir)

    wake(zombie, "rebalance")

    broken = {problem.invariant for problem in town.judge()}
    assert broken & {"I5", "I7", "I8"}
