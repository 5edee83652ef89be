"""Replay of an earlier moment against what compaction has left."""

from __future__ import annotations

import pytest

from orchestrator.audit.compare import Kind, Snapshot
from orchestrator.audit.instant import compare_at
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.events import SagaStarted, StepRequested
from orchestrator.core.log import fold

CODEC = RecordCodec()
EVENTS = (
    SagaStarted("ann", "book_trip", 1, 7, 1, 0, 1_000, 9_000, b"8bytes..", b"trip"),
    StepRequested(0, 1, 5_000, b"seat?", "reserve_seat"),
)


def state_at(sequence):
    return fold(EVENTS[:sequence])


def compared(*snapshots, states=None):
    return compare_at(
        0,
        {"ann": state_at(1)} if states is None else states,
        [("ann", snapshot) for snapshot in snapshots],
        encode=CODEC.encode_snapshot,
        decode=CODEC.decode_snapshot,
    )


def snapshot(state, offset=5):
    return Snapshot(CODEC.encode_snapshot(state), offset)


def test_the_snapshot_of_that_moment_is_found_among_others():
    report = compared(snapshot(state_at(2)), snapshot(state_at(1)))

    assert (report.compared_count, report.absent_count, report.differences) == (1, 0, ())


def test_a_snapshot_that_was_compacted_away_is_no_difference():
    report = compared(snapshot(state_at(2)))

    assert (report.compared_count, report.absent_count, report.differences) == (0, 1, ())


def test_a_changed_byte_is_found():
    report = compared(snapshot(state_at(1)._replace(payload=b"trap"), offset=8))

    (difference,) = report.differences
    assert (difference.kind, difference.offset, difference.sequence) == (Kind.BYTES, 8, 1)
    assert (difference.expected.payload, difference.found.payload) == (b"trip", b"trap")
    assert report.absent_count == 0


@pytest.mark.parametrize("snapshots", [(0, 1), (1, 0)])
def test_an_unreadable_snapshot_counts_only_without_a_good_one(snapshots):
    broken, good = Snapshot(b"\xff\xff", 3), snapshot(state_at(1))

    assert compared(*([broken, good][which] for which in snapshots)).differences == ()
    (difference,) = compared(broken).differences
    assert difference.kind is Kind.UNREADABLE


def test_another_life_of_the_same_id_at_the_same_sequence_is_no_difference():
    later = state_at(1)._replace(started_ms=7_000, start_digest=b"otherone")

    assert compared(snapshot(later)).differences == ()
