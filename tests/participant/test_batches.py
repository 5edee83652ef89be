"""A batch, taken through one stage after the other, answers what its commands would one by one."""

from __future__ import annotations

from airline_bench import Bench, CancelSeat, ReserveSeat, SeatReserved, SoldOut
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.definition.payload import Done
from orchestrator.participant import RetryLater, Transaction
from orchestrator.participant.ledger_memory import MemoryLedger

BAD_JSON, UNKNOWN = "bad json", "unknown"
wishes = st.sampled_from(("LH1", "sold", "later", "boom", "wrong", "heavy", BAD_JSON, UNKNOWN))
asked = st.tuples(
    st.sampled_from(("s1", "s2", "s3", "s4")),
    st.sampled_from(("seat", "meal")),
    st.sampled_from(("do", "undo")),
    wishes,
)


@ReserveSeat.handler
def reserve(command: ReserveSeat, tables: Transaction) -> SeatReserved | SoldOut:
    tables.add("seats", "sold", 1)
    return _answer(command.flight, SeatReserved("1A"), SoldOut("LH1"))


@CancelSeat.handler
def cancel(command: CancelSeat, tables: Transaction) -> Done:
    tables.add("seats", "sold", -1)
    return _answer(command.flight, Done(), SoldOut("LH1"))


def _answer(flight, good, no):
    if flight == "later":
        raise RetryLater
    if flight == "boom":
        raise ValueError(flight)
    return {"sold": no, "wrong": 7, "heavy": SeatReserved("x" * 20_000)}.get(flight, good)


def bench():
    return Bench(MemoryLedger(), (reserve, cancel))


def record(on, saga, step, direction, wish):
    kind = ReserveSeat if direction == "do" else CancelSeat
    changes = {"payload": b"{"} if wish == BAD_JSON else {}
    changes |= {"type": "PaintSeat"} if wish == UNKNOWN else {}
    return on.record(kind(wish), saga, step, direction, **changes)


@given(st.lists(st.lists(asked, max_size=6), max_size=4))
@example(
    [[("s1", "seat", "do", "LH1"), ("s1", "seat", "undo", "LH1"), ("s2", "seat", "do", "LH1")]]
)
@example(
    [[("s1", "seat", "do", "LH1")], [("s1", "seat", "undo", "LH1"), ("s1", "seat", "do", "sold")]]
)
def test_a_batch_answers_what_its_commands_do_one_by_one(batches):
    together, alone = bench(), bench()
    for batch in batches:
        found = together.process(*[record(together, *each) for each in batch])
        singles = [alone.process(record(alone, *each)) for each in batch]
        assert list(found.replies) == [reply for each in singles for reply in each.replies]
        counts = [each.counts for each in singles] or [(0, 0, 0, 0)]
        assert found.counts == tuple(map(sum, zip(*counts, strict=True)))
        assert together.ledger.written == alone.ledger.written
        assert together.ledger.rows == alone.ledger.rows


@given(st.lists(asked, max_size=8), st.integers(0, 8))
def test_what_may_not_begin_is_answered_when_it_is_read_again(batch, begun_count):
    cut, whole = bench(), bench()
    allowed = iter([True] * begun_count)
    records = [record(cut, *each) for each in batch]
    found = cut.process(*records, may_begin=lambda: next(allowed, False))
    again = cut.process(*found.left)
    wanted = whole.process(*[record(whole, *each) for each in batch])
    key = lambda reply: (reply.value, reply.key)  # noqa: E731
    assert sorted([*found.replies, *again.replies], key=key) == sorted(wanted.replies, key=key)
    assert cut.ledger.written == whole.ledger.written
    assert cut.ledger.rows == whole.ledger.rows
