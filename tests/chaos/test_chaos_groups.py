"""M61, M62: members that come and go without end, and one that comes back in time or too late."""

from __future__ import annotations

import signal
import time
from itertools import pairwise

import pytest
from town import Town, wait_until

from orchestrator.codec.keys import CURSOR_KEY
from orchestrator.kafka.base import Position

CHANGES_COUNT = 30
CHANGE_S = 2.0
"""Between a member that joins and one that leaves: that is the fault, nothing is waited for."""
WINDOW_COUNT = 15
"""Changes in which some saga must end. A rebalance waits for a dead member until its session of 6 s is
over, and then the next one begins: for most of the time nobody has a shard."""
BESIDE_COUNT = 2
"""Members beside the one that stays."""
IDENTITIES_COUNT = 6
"""An identity comes back when its last session is long over."""


@pytest.fixture
def crowd(broker, topic_prefix, tmp_path):
    """An installation with twice as many shards as members."""
    with Town(broker, topic_prefix, tmp_path, partitions=6) as made:
        made.open_shop()
        yield made


def feed_for(town, seconds):
    """Let clients start sagas, and see them end, for so long."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        if town.open_count < 30:
            town.begin(6)
        town.look(0.1)


def cursors(town, shard):
    """Every cursor that was ever committed, oldest first."""
    (place,) = [each for each in town.places(town.topics.changelog) if each.partition == shard]
    end = town.admin.end_offsets([place])[place]
    envelopes = [e for batch in town.reader.read(Position(*place, 0), end) for e in batch]
    return [town.codec.decode_cursor(e.value) for e in envelopes if e.key == CURSOR_KEY]


def test_members_that_come_and_go_every_two_seconds(crowd, record_property):
    stays = crowd.worker(0)
    crowd.begin(24)
    crowd.wait_ended()
    passing, joined_count, ended_counts = [], 0, [len(crowd.ended)]
    for change in range(CHANGES_COUNT):
        if len(passing) < BESIDE_COUNT or change % 2:
            passing.append(crowd.worker(1 + joined_count % IDENTITIES_COUNT))
            joined_count += 1
        else:
            leaving = passing.pop(0)
            if change % 4:
                leaving.kill()
            else:
                leaving.signal(signal.SIGTERM)
        feed_for(crowd, CHANGE_S)
        ended_counts.append(len(crowd.ended))

    crowd.wait_ended()

    record_property("ended", ended_counts)
    record_property("rebalances", len(stays.lines("rebalance")))
    assert stays.code is None
    windows = pairwise(ended_counts[::WINDOW_COUNT])
    assert all(before < after for before, after in windows), ended_counts
    assert len(stays.lines("rebalance")) > CHANGES_COUNT // 4
    crowd.check()
    owners_counts = [owners_count(cursors(crowd, shard)) for shard in range(crowd.partitions)]
    record_property("owners", owners_counts)
    assert max(owners_counts) > 1


def owners_count(found):
    """How many workers had a shard, by its cursors; in each generation of the group only one."""
    owners = {}
    for before, after in pairwise(found):
        assert after.transaction == before.transaction + 1
        assert after.generation >= before.generation
    for cursor in found:
        assert owners.setdefault(cursor.generation, cursor.owner) == cursor.owner
    return len(set(owners.values()))


def test_a_member_that_comes_back_within_its_session_moves_no_shard(town):
    first, second = (town.worker(n, session_ms=60_000) for n in (0, 1))
    wait_until(lambda: (first.shards(), second.shards()) == ({0}, {1}), "a shard each")
    town.begin(24)
    town.wait_ended()
    before = first.lines("rebalance")

    for end in (signal.SIGTERM, signal.SIGKILL):
        town.begin(24)
        second.signal(end)
        second.died()
        second = town.worker(1, session_ms=60_000)
        second.wait_logged("shard_running")
        town.begin(24)
        town.wait_ended()

    assert first.lines("rebalance") == before
    assert second.shards() == {1}
    town.check()
    assert len({cursor.generation for cursor in cursors(town, 0)[-3:]}) == 1


def test_a_member_that_comes_back_after_its_session_gets_its_shard_again(town):
    first, second = town.worker(0), town.worker(1)
    wait_until(lambda: (first.shards(), second.shards()) == ({0}, {1}), "a shard each")
    town.begin(24)
    town.wait_ended()
    second.kill()
    wait_until(lambda: first.shards() == {0, 1}, "the heir")
    town.begin(24)
    town.wait_ended()

    again = town.worker(1)
    wait_until(lambda: (first.shards(), again.shards()) == ({0}, {1}), "a shard each, once more")
    town.begin(24)
    town.wait_ended()

    assert first.lines("fenced_dead_predecessor")
    town.check()
    assert owners_count(cursors(town, 1)) == 2
