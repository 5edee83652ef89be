"""M11 to M17 and M34 with whole workers: requests late, lost and repeated between worker and broker.

Each test names what must have happened to the worker; a run in which it did not has shown nothing.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from town import wait_until

from orchestrator.codec.keys import CURSOR_KEY
from orchestrator.kafka.base import Position, TopicPartition
from orchestrator.testing.frame_proxy import Api, Direction

QUICK_NETWORK = {"socket_timeout_ms": 1_000}


@pytest.fixture
def behind(town, proxy):
    """Starts workers that reach the broker through the proxy; they have ended sagas already."""

    def start(**how):
        worker = town.worker(proxied=True, kafka=QUICK_NETWORK, **how)
        town.begin(12)
        town.wait_ended()
        return worker

    yield start
    proxy.clear()


def failures(worker):
    """What kinds of transaction failures a worker has met, in order."""
    return [line["reason"] for line in worker.lines("transaction_failed")]


def meet_next_transaction(town, proxy):
    """An `EndTxn` that is late until the next transaction has written a part and sent no offsets."""
    late = proxy.hold(Api.END_TXN, client=town.prefix)
    town.begin(12)
    late.wait()
    offsets = proxy.hold(Api.ADD_OFFSETS_TO_TXN, client=town.prefix)
    written = proxy.watch(Api.PRODUCE, client=town.prefix)
    rest = proxy.hold(Api.PRODUCE, client=town.prefix, skip=1, count=None)
    offsets.wait()
    written.wait_answered()
    rest.wait()
    late.release()
    late.wait_answered()
    rest.release()
    offsets.release()


def test_without_rotation_a_transaction_is_torn_and_the_checkers_find_it(town, proxy, behind):
    worker = behind(planted="trusting")

    meet_next_transaction(town, proxy)

    # The worker halts a shard if its cursor was in the half that was committed, else it goes on.
    wait_until(
        lambda: (
            worker.lines("shard_halted") or len(worker.lines("shard_running")) > town.partitions
        ),
        "the next take-over",
    )
    broken = {problem.invariant for problem in town.judge()}
    assert broken & {"I5", "I7", "I8"}


def test_with_rotation_a_late_end_does_no_harm(town, proxy, behind):
    worker = behind()

    meet_next_transaction(town, proxy)

    town.wait_ended()
    town.check()
    assert "Doubtful" in failures(worker)
    assert worker.lines("producer_rotated")


def test_a_lost_answer_to_the_end_is_found_out_from_the_changelog(town, proxy, behind):
    worker = behind()
    lost = proxy.drop(Api.END_TXN, Direction.RESPONSE, client=town.prefix)
    town.begin(24)

    town.wait_ended()

    town.check()
    assert len(lost.frames) == 1
    assert "Doubtful" in failures(worker)


def test_a_slow_commit_costs_the_producer_its_life_and_nothing_else(town, proxy, behind):
    worker = behind(transactions={"commit_doubt_ms": 200})
    slow = proxy.delay(Api.END_TXN, by_ms=400, client=town.prefix)
    town.begin(24)

    town.wait_ended()

    town.check()
    assert len(slow.frames) == 1
    assert failures(worker)[:1] == ["Doubtful"]


def test_commits_that_are_always_slow_are_soon_undoubted(town, proxy, behind):
    worker = behind(transactions={"commit_doubt_ms": 200})
    slow = proxy.delay(Api.END_TXN, by_ms=400, client=town.prefix, count=None)
    while len(slow.frames) < 16:
        town.begin(4)
        town.wait_ended()
    commits_count = len(slow.frames)

    town.check()
    assert 0 < len(failures(worker)) < commits_count / 2


def test_a_transaction_that_outlives_its_time_is_aborted_and_done_again(town, proxy, behind):
    worker = behind(transactions={"transaction_timeout_ms": 2_000})
    held = proxy.hold(Api.ADD_OFFSETS_TO_TXN, client=town.prefix, count=None)
    town.begin(12)
    held.wait()
    worker.wait_logged("transaction_failed")
    town.begin(12)

    held.release()

    town.wait_ended()
    town.check()
    assert worker.lines("producer_rotated")


@pytest.mark.parametrize("api", [Api.TXN_OFFSET_COMMIT, Api.ADD_OFFSETS_TO_TXN, Api.PRODUCE])
def test_a_lost_request_is_repeated_or_its_transaction_done_again(town, proxy, behind, api):
    behind()
    lost = proxy.drop(api, client=town.prefix)
    town.begin(24)

    town.wait_ended()

    town.check()
    assert len(lost.frames) == 1


def test_a_duplicated_request_changes_nothing(town, proxy, behind):
    behind()
    twice = [
        proxy.duplicate(api, client=town.prefix, count=3)
        for api in (Api.PRODUCE, Api.ADD_PARTITIONS_TO_TXN, Api.TXN_OFFSET_COMMIT, Api.END_TXN)
    ]
    town.begin(36)

    town.wait_ended()

    town.check()
    assert all(rule.frames for rule in twice)


def test_an_abort_before_the_partitions_are_registered_ends_in_rotation(town, proxy):
    worker = town.worker(proxied=True, kafka=QUICK_NETWORK, planted="aborting")
    slow = proxy.delay(
        Api.ADD_PARTITIONS_TO_TXN, Direction.RESPONSE, by_ms=300, client=town.prefix, count=None
    )
    town.begin(12)
    worker.wait_logged("transaction_failed")
    slow.release()

    town.wait_ended()

    town.check()
    assert failures(worker)[:1] == ["MustAbort"]


def test_a_worker_cut_off_from_the_brokers_comes_back(town, proxy, behind):
    worker = behind()
    other = town.worker(1)
    worker.wait_logged("rebalance", 2)
    other.wait_logged("shard_running")
    proxy.cut()
    town.begin(24)
    other.wait_logged("fenced_dead_predecessor")
    town.wait_ended()
    proxy.mend()

    town.begin(24)
    other.wait_logged("rebalance", 3)
    town.wait_ended()

    town.check()


BOTH = (Api.ADD_PARTITIONS_TO_TXN, Api.END_TXN)
NO_ERROR = b"\0\0"  # with which an answer about partitions ends if the last one was taken
PATIENT = {"commit_doubt_ms": 30_000, "transaction_timeout_ms": 60_000}


def test_the_transaction_after_a_slow_commit_carries_what_came_meanwhile(town, proxy):
    worker = town.worker(proxied=True, transactions=PATIENT, kafka={"socket_timeout_ms": 30_000})
    town.begin(12)
    town.wait_ended()
    slow = proxy.hold(Api.END_TXN, client=town.prefix)
    town.begin(2, ["m-ok"], shard=0)
    slow.wait()
    town.begin(800, ["m-ok"], shard=0)
    worker.wait_logged("counters", len(worker.lines("counters")) + 4)  # it has turned many times
    asked = [proxy.watch(api, client=town.prefix, count=None) for api in BOTH]
    slow.release()
    town.wait_ended()

    town.check()
    assert not worker.lines("transaction_failed")
    assert max(inputs_counts(town, 0)) > 600
    registrations, ends = asked
    # One that comes while the last transaction's markers are written is refused, and repeated.
    registered = [each for each in registrations.answers if each.body.endswith(NO_ERROR)]
    assert len(registered) < 1.5 * len(ends.frames)  # once, unless the sender waited for a core


def inputs_counts(town, shard):
    """How far the positions of a shard's inputs moved in each transaction, by its cursors."""
    place = TopicPartition(town.topics.changelog, shard)
    records = town.reader.read(Position(*place, 0), town.admin.end_offsets([place])[place])
    moved = [
        sum(offset for _, offset in town.codec.decode_cursor(envelope.value).inputs)
        for batch in records
        for envelope in batch
        if envelope.key == CURSOR_KEY
    ]
    return [after - before for before, after in pairwise(moved)]
