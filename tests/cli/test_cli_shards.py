"""The parts of `saga shards` and `saga standby` that need no broker."""

from __future__ import annotations

import pytest

from orchestrator.cli.shards import Last, state_of
from orchestrator.cli.worker import standby_arguments
from orchestrator.codec.records import Cursor
from orchestrator.runtime.notices import HALTED, HELD, Notice
from orchestrator.runtime.recovery import Begin
from orchestrator.runtime.shard import Halt

GOES_ON = Begin({}, ())


def last(owner, *, taken_over=False):
    cursor = Cursor(3, (("saga.commands", 4),), 1, owner, 1, 4, 1) if owner else None
    return Last(cursor, 10, taken_over, 12)


@pytest.mark.parametrize(
    ("owner", "written_by", "taken_over", "state"),
    [
        ("saga-000", "saga-000", False, "running"),
        ("saga-001", "saga-000", False, "taking over"),
        ("saga-001", "saga-000", True, "running"),
        ("saga-000", "", True, "running"),
        ("saga-000", "", False, "taking over"),
        ("", "saga-000", False, "unowned"),
    ],
)
def test_states_follow_from_owner_and_changelog(owner, written_by, taken_over, state):
    found = state_of(owner, last(written_by, taken_over=taken_over), GOES_ON, None)
    assert found[0] == state


def test_what_a_take_over_would_refuse_is_halted_whoever_has_it():
    halt = Halt("torn", "compare")
    for owner in ("saga-000", ""):
        for notice in (None, Notice(HELD, "unwritable", "no topic")):
            found = state_of(owner, last("saga-000"), halt, notice)
            assert found == ("halted", "torn", "compare")


@pytest.mark.parametrize(
    "notice",
    [
        Notice(HELD, "unwritable", "no topic"),
        Notice(HALTED, "bad_record", "its checksum is wrong"),
    ],
)
def test_what_the_owner_says_that_it_waits_for_counts_as_long_as_it_has_the_shard(notice):
    assert state_of("saga-000", last("saga-000"), GOES_ON, notice) == notice
    assert state_of("", last("saga-000"), GOES_ON, notice)[0] == "unowned"


def test_a_standby_gets_its_workers_options():
    words = ["--prefix", "worker", "worker", "--instance", "3", "--processes", "1", "--group=g"]
    assert standby_arguments(words) == [
        *("--prefix", "worker", "standby"),
        *("--instance", "3", "--group=g"),
    ]
