"""Notices of what shards wait for: left once, repeated, taken away, and of one member only."""

from __future__ import annotations

import pytest

from orchestrator.runtime.notices import HALTED, HELD, Notice, Notices, read, written

GONE = Notice(HELD, "unwritable", "no such topic")
BAD = Notice(HALTED, "bad_record", "its checksum is wrong")


class Board:
    """Takes notices down, and has a clock."""

    def __init__(self):
        self.left, self.now_s = [], 100.0
        self.notices = Notices(self.left.append, lambda: self.now_s)

    def show(self, **waiting):
        """Show what shards wait for, and give what was left because of it."""
        self.left.clear()
        shards = {int(name[1:]): notice for name, notice in waiting.items()}
        self.notices.show(shards, lambda: "me")
        return [{shard: read(note, "me") for shard, note in notes.items()} for notes in self.left]


def test_what_did_not_change_is_left_once_and_again_after_a_while():
    board = Board()
    assert board.show() == []
    assert board.show(s1=GONE) == [{1: GONE}]
    board.now_s += 1
    assert board.show(s1=GONE) == []
    assert board.show(s1=GONE, s2=BAD) == [{1: GONE, 2: BAD}]
    board.now_s += 20
    assert board.show(s1=GONE, s2=BAD) == [{1: GONE, 2: BAD}]


def test_what_is_over_is_taken_away_and_once_more_for_good():
    board = Board()
    board.show(s1=GONE)
    assert board.show() == [{1: None}]
    assert board.show() == []
    board.now_s += 20
    assert board.show() == [{1: None}]
    board.now_s += 20
    assert board.show() == []


def test_a_notice_is_of_the_member_that_left_it():
    note = written(GONE, "me-17")
    assert read(note, "me-17") == GONE
    assert read(note, "me-18") is None


@pytest.mark.parametrize("note", ["", "nonsense", "[]", "{}", '{"member": "me", "colour": "red"}'])
def test_what_is_no_notice_says_nothing(note):
    assert read(note, "me") is None


def test_the_longest_notice_is_as_long_as_a_broker_takes():
    note = written(Notice(HELD, "unwritable", "\N{GRINNING FACE}" * 5_000), "m" * 100)
    assert len(note.encode()) <= 4_096
