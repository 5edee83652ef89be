"""The runner's judgement: everything that must fail a run is planted once, and fails it."""

from __future__ import annotations

import random
import signal
from collections import Counter

import pytest
from deck import ENCORES_MAX, Deck
from faults import FAULTS, Faults
from verdict import Evidence, failures, taken_warm, unshown

GOOD = Evidence(
    wanted=frozenset({"kill_worker", "late_end", "freeze_worker"}),
    drawn=Counter(kill_worker=3, late_end=2, freeze_worker=1),
    caught={"late_end": 1},
    marked={"late_end": True, "freeze_worker": True},
    acknowledged=100,
    ended=100,
    violations=(),
    hung=(),
    halted=(),
    idle=(),
    unused=(),
    deaths={"worker-0": [-signal.SIGKILL, 0], "bank": [-signal.SIGKILL]},
)
PLANTED = {
    "a violation": ({"violations": ["I2 x: applied twice"]}, "violation: I2 x: applied twice"),
    "a hung worker": ({"hung": ["in poll"]}, "a worker hung: in poll"),
    "a halted shard": ({"halted": ["commands: torn"]}, "a shard was halted: commands: torn"),
    "an idle shard": ({"idle": [2]}, "shard 2 is not run by anybody"),
    "a worker without shards": (
        {"unused": ["worker-1"]},
        "worker-1 came back and runs no shard",
    ),
    "a saga without an end": ({"ended": 99}, "1 of 100 sagas have not ended"),
    "nothing started": ({"acknowledged": 0, "ended": 0}, "no saga was started"),
    "a worker's own end": ({"deaths": {"worker-0": [1]}}, "worker-0 ended by itself, code 1"),
    "a segmentation fault": ({"deaths": {"bank": [-11]}}, "bank ended by itself, code -11"),
    "a fault never drawn": (
        {"drawn": {"late_end": 2, "freeze_worker": 1}},
        "kill_worker: never drawn",
    ),
    "a rule without a frame": ({"caught": {"late_end": 0}}, "late_end: caught nothing"),
    "a mark never seen": (
        {"marked": {"late_end": True, "freeze_worker": False}},
        "freeze_worker: left no mark",
    ),
}


def test_a_run_without_a_blemish_passes():
    assert failures(GOOD) == []


@pytest.mark.parametrize("what", PLANTED)
def test_a_run_fails_and_says_why(what):
    planted, told = PLANTED[what]

    assert failures(GOOD._replace(**planted)) == [told]


def test_all_that_is_wrong_is_told_at_once():
    everything = {key: value for planted, _ in PLANTED.values() for key, value in planted.items()}
    bad = GOOD._replace(**{**everything, "acknowledged": 100, "ended": 99})

    assert len(failures(bad)) == 10


def test_faults_that_are_not_wanted_need_no_mark():
    only = GOOD._replace(wanted=frozenset({"kill_worker"}), drawn={"kill_worker": 1}, caught={})

    assert unshown(only) == {}


def test_every_mark_belongs_to_a_fault():
    marks = {name.removeprefix("mark_") for name in dir(Faults) if name.startswith("mark_")}

    assert marks <= set(FAULTS)


# --- the deck ---------------------------------------------------------------------------------


def test_a_deck_leaves_no_fault_out_and_its_seed_gives_the_order():
    orders = [
        [deck.draw(()) for _ in range(12)]
        for deck in (Deck("abcdef", random.Random(7)), Deck("fedcba", random.Random(7)))
    ]

    assert orders[0] == orders[1]
    assert sorted(orders[0][:6]) == sorted(orders[0][6:]) == list("abcdef")


def test_what_has_left_no_mark_comes_first_in_the_next_round():
    deck = Deck("abcdef", random.Random(7))
    for _ in range(6):
        deck.draw("abcdef")

    assert {deck.draw("bd"), deck.draw("bd")} == {"b", "d"}


def test_what_could_not_be_done_is_the_last_of_its_round():
    deck = Deck("abc", random.Random(7))
    first = deck.draw(())
    deck.put_back(first)

    assert [deck.draw(()) for _ in range(3)][-1] == first


def test_encores_are_given_in_turn_and_not_for_ever():
    deck = Deck("abc", random.Random(7))

    given = [deck.encore("ac") for _ in range(2 * ENCORES_MAX + 1)]

    assert given[:-1] == ["a", "c"] * ENCORES_MAX
    assert given[-1] is None
    assert deck.encore(()) is None


# --- a take-over from a warm copy --------------------------------------------------------------


def running(shard, restored_count, position=1_000):
    return {
        "event": "shard_running",
        "shard": shard,
        "restored_count": restored_count,
        "position": position,
    }


def test_a_take_over_is_warm_if_a_copy_was_let_go_and_little_was_read():
    released = {"event": "copy_released", "shard": 1, "position": 990}

    assert taken_warm([released, running(1, 1)], {1}) == {1}
    assert taken_warm([released, running(1, 900)], {1}) == set()
    assert taken_warm([running(1, 1)], {1}) == set()
    assert taken_warm([released, running(1, 1)], {2}) == set()
    assert taken_warm([released, running(1, 900), running(1, 1)], {1}) == set()
