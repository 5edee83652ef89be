"""What a participant answers: once done, always the same; never a crash."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from airline_bench import Bench, CancelSeat, ReserveSeat, SeatReserved, SoldOut, read_reply

from orchestrator.core.commands import ReplyOutcome
from orchestrator.definition.payload import Done
from orchestrator.participant import Operation, RetryLater, Transaction
from orchestrator.participant.ledger import BEGUN, FAILED, SUCCEEDED
from orchestrator.participant.ledger_sqlite import SqliteLedger

DO, UNDO = ReserveSeat("LH1"), CancelSeat("LH1")
OK, NO, AGAIN = ReplyOutcome.SUCCEEDED, ReplyOutcome.FAILED, ReplyOutcome.RETRY


class Airline:
    """Handlers with effects elsewhere, written down in `calls`."""

    def __init__(self):
        self.calls = []
        self.answers = []

    def give(self, default):
        answer = self.answers.pop(0) if self.answers else default
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def handlers(self):
        @ReserveSeat.handler
        def reserve(command: ReserveSeat) -> SeatReserved | SoldOut:
            self.calls.append(("do", command.flight))
            return self.give(SeatReserved("1A"))

        @CancelSeat.handler
        def cancel(command: CancelSeat) -> Done:
            self.calls.append(("undo", command.flight))
            return self.give(Done())

        return reserve, cancel


@pytest.fixture
def airline():
    return Airline()


@pytest.fixture
def bench(open_ledger, airline):
    return Bench(open_ledger(), airline.handlers())


def outcomes(replies):
    return [reply.outcome for reply in replies]


def entry(bench, direction="do"):
    return bench.ledger.find(f"s1/seat/{direction}")


def test_a_result_is_a_success(bench):
    (record,) = bench.process(bench.record(DO)).replies
    assert (record.topic, record.partition, record.key) == ("saga.replies.airline", 1, b"s1")
    assert record.headers == ()
    assert read_reply(record) == ("s1/seat/do/1", "s1", OK, "", b'{"seat": "1A"}')
    assert entry(bench)[1:4] == (SUCCEEDED, False, 1)


def test_a_declared_failure_is_final(bench, airline):
    airline.answers = [SoldOut("LH1")]
    (reply,) = bench.ask(bench.record(DO))
    assert (reply.outcome, reply.text, reply.payload) == (NO, "SoldOut", b'{"flight": "LH1"}')
    (reply,) = bench.ask(bench.record(DO, attempt=2))
    assert (reply.outcome, reply.effect) == (NO, "s1/seat/do/2")
    assert len(airline.calls) == 1
    assert entry(bench)[1:4] == (FAILED, False, 0)


@pytest.mark.parametrize("together", [True, False])
def test_duplicates_and_later_attempts_are_answered_without_running(bench, airline, together):
    records = [bench.record(DO), bench.record(DO), bench.record(DO, attempt=2)]
    if together:
        replies = bench.ask(*records)
    else:
        replies = [reply for record in records for reply in bench.ask(record)]
    assert [reply.effect[-1] for reply in replies] == ["1", "1", "2"]
    assert {reply.payload for reply in replies} == {b'{"seat": "1A"}'}
    assert airline.calls == [("do", "LH1")]
    assert entry(bench).applied_count == 1


def test_answers_survive_a_restart(bench, airline, open_ledger):
    bench.process(bench.record(DO))
    bench.ledger.close()
    bench.ledger = open_ledger()
    bench.start()
    assert outcomes(bench.ask(bench.record(DO, attempt=2))) == [OK]
    assert len(airline.calls) == 1


@pytest.mark.parametrize("error", [RetryLater("full"), ValueError("broken"), SystemExit(3)])
def test_an_exception_means_again(bench, airline, error):
    airline.answers = [error]
    (reply,) = bench.ask(bench.record(DO))
    assert (reply.outcome, reply.payload) == (AGAIN, b"")
    assert str(error) in reply.text
    assert outcomes(bench.ask(bench.record(DO, attempt=2))) == [OK]
    assert len(airline.calls) == 2


@pytest.mark.parametrize("value", [None, Done(), "1A", SeatReserved])
def test_an_undeclared_answer_means_again(bench, airline, value):
    airline.answers = [value]
    (reply,) = bench.ask(bench.record(DO))
    assert reply.outcome == AGAIN
    assert "SeatReserved | SoldOut" in reply.text


@pytest.mark.parametrize("seat", [object(), "x" * 20_000])
def test_an_answer_that_cannot_travel_means_again(bench, airline, seat):
    airline.answers = [SeatReserved(seat)]
    assert outcomes(bench.ask(bench.record(DO))) == [AGAIN]


def test_an_unknown_command_means_again(bench):
    (reply,) = bench.ask(bench.record(DO, type="PaintSeat"))
    assert (reply.outcome, reply.text) == (AGAIN, "there is no handler for PaintSeat")
    assert entry(bench) is None


def test_a_payload_that_cannot_be_read_means_again(bench, airline):
    assert outcomes(bench.ask(bench.record(DO, payload=b'{"seat": 1}'))) == [AGAIN]
    assert airline.calls == []
    assert entry(bench) is None


def test_an_undo_after_its_do_runs_once(bench, airline):
    bench.ask(bench.record(DO))
    assert outcomes(bench.ask(bench.record(UNDO, direction="undo"))) == [OK]
    assert outcomes(bench.ask(bench.record(UNDO, direction="undo", attempt=2))) == [OK]
    assert airline.calls == [("do", "LH1"), ("undo", "LH1")]
    assert entry(bench, "undo")[1:4] == (SUCCEEDED, False, 1)


@pytest.mark.parametrize("together", [True, False])
def test_an_undo_before_its_do_keeps_the_do_from_running(bench, airline, together):
    records = [bench.record(UNDO, direction="undo"), bench.record(DO)]
    if together:
        undo, do = bench.ask(*records)
    else:
        undo, do = (bench.ask(record)[0] for record in records)
    assert (undo.outcome, do.outcome, do.payload) == (OK, NO, b"")
    assert do.text == "undone before it was done"
    assert airline.calls == []
    assert entry(bench, "undo").applied_count == entry(bench).applied_count == 0


def test_an_undo_of_a_declared_failure_does_not_run(bench, airline):
    airline.answers = [SoldOut("LH1")]
    bench.ask(bench.record(DO))
    assert outcomes(bench.ask(bench.record(UNDO, direction="undo"))) == [OK]
    assert airline.calls == [("do", "LH1")]


def test_an_undo_of_a_do_that_raised_runs_and_closes_the_do(bench, airline):
    airline.answers = [ValueError()]
    bench.ask(bench.record(DO))
    assert entry(bench)[1:3] == (BEGUN, True)
    assert outcomes(bench.ask(bench.record(UNDO, direction="undo"))) == [OK]
    assert airline.calls == [("do", "LH1"), ("undo", "LH1")]
    assert outcomes(bench.ask(bench.record(DO))) == [NO]


def test_an_undo_of_a_do_that_failed_only_after_it_raised_runs(bench, airline):
    airline.answers = [ValueError(), SoldOut("LH1")]
    bench.ask(bench.record(DO), bench.record(DO, attempt=2))
    bench.ask(bench.record(UNDO, direction="undo"))
    assert [call[0] for call in airline.calls] == ["do", "do", "undo"]


def test_an_undo_of_a_do_that_asked_for_later_does_not_run(bench, airline):
    airline.answers = [RetryLater("full")]
    bench.ask(bench.record(DO))
    assert entry(bench) is None
    assert outcomes(bench.ask(bench.record(UNDO, direction="undo"))) == [OK]
    assert [call[0] for call in airline.calls] == ["do"]


def test_later_after_an_exception_does_not_hide_it(bench, airline):
    airline.answers = [ValueError(), RetryLater("full")]
    bench.ask(bench.record(DO))
    bench.ask(bench.record(DO, attempt=2))
    assert entry(bench)[1:3] == (BEGUN, True)


def test_an_exception_after_later_is_remembered(bench, airline):
    airline.answers = [RetryLater("full"), ValueError()]
    bench.ask(bench.record(DO), bench.record(DO, attempt=2))
    assert entry(bench)[1:3] == (BEGUN, True)


def test_a_declared_failure_of_an_undo_is_not_final(bench, airline):
    bench.ask(bench.record(DO))
    airline.answers = [SoldOut("LH1"), SeatReserved("1A")]
    undo = [bench.record(DO, direction="undo", attempt=attempt) for attempt in (1, 2)]
    assert outcomes(bench.ask(undo[0])) == [NO]
    assert entry(bench, "undo") is None
    assert outcomes(bench.ask(undo[1])) == [OK]


def test_an_undo_that_raised_is_run_again(bench, airline):
    bench.ask(bench.record(DO))
    airline.answers = [ValueError()]
    assert outcomes(bench.ask(bench.record(UNDO, direction="undo"))) == [AGAIN]
    assert outcomes(bench.ask(bench.record(UNDO, direction="undo", attempt=2))) == [OK]
    assert entry(bench, "undo").applied_count == 1


def test_the_mark_of_a_dead_process_is_doubtful(bench, airline, open_ledger):
    class Killed(BaseException):
        pass

    airline.answers = [Killed()]
    with pytest.raises(Killed):
        bench.process(bench.record(DO))
    bench.ledger.close()
    bench.ledger = open_ledger()
    bench.start()
    assert entry(bench)[1:3] == (BEGUN, False)
    airline.answers = [SoldOut("LH1")]
    bench.ask(bench.record(DO))
    assert entry(bench)[1:3] == (FAILED, True)
    bench.ask(bench.record(UNDO, direction="undo"))
    assert [call[0] for call in airline.calls] == ["do", "do", "undo"]


def test_what_may_not_begin_is_left_unmarked(bench, airline):
    allowed = iter([True, False])
    batch = [bench.record(DO, saga=f"s{n}") for n in (1, 2, 3)]
    found = bench.process(*batch, may_begin=lambda: next(allowed))
    assert [envelope.origin.offset for envelope in found.left] == [1, 2]
    assert len(found.replies) == len(airline.calls) == 1
    assert bench.ledger.find("s2/seat/do") is None
    assert found.counts == (1, 0, 0, 0)


def test_hostile_records_are_refused_and_disturb_nobody(bench):
    good = bench.record(DO)
    foreign = [
        (bench.raw(b"\xff\x00"), "unknown_format"),
        (bench.raw(b""), "unknown_format"),
        (bench.raw(good.value[:-3]), "malformed_record"),
        (bench.raw(good.value + b"\x00"), "trailing_bytes"),
        (bench.raw(None), "missing_value"),
        (bench.raw(b"x" * 300_000), "oversize_value"),
        (good._replace(headers=(("x", b""),) * 17), "too_many_headers"),
        (bench.record(DO, effect="s1/seat/do/2"), "bad_id"),
        (bench.record(DO, effect="../../x"), "bad_id"),
        (bench.record(DO, attempt=0), "bad_id"),
        (good._replace(key=b"other"), "key_mismatch"),
        (good._replace(key=None), "missing_key"),
        (bench.record(DO, reply_topic="saga.replies.cards"), "foreign_reply_topic"),
        (bench.record(DO, reply_topic="saga.commands"), "foreign_reply_topic"),
        (bench.record(DO, reply_partition=4), "bad_reply_partition"),
        (bench.record(DO, reply_partition=-1), "out_of_range"),
    ]
    found = bench.process(*[record for record, _ in foreign], bench.record(DO, saga="good"))
    assert [refusal.reason for refusal in found.refusals] == [reason for _, reason in foreign]
    assert [record.key for record in found.replies] == [b"good"]
    assert found.counts.refused == len(foreign)


TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"


@pytest.mark.parametrize(
    ("headers", "passed"),
    [
        ([TRACE], True),
        ([TRACE + b" "], False),
        ([b"00-" + b"0" * 32 + TRACE[35:]], False),
        ([None], False),
    ],
)
def test_a_valid_trace_passes_through(bench, headers, passed):
    found = tuple(("traceparent", value) for value in headers)
    (record,) = bench.process(bench.record(DO)._replace(headers=found)).replies
    assert record.headers == ((("traceparent", TRACE),) if passed else ())


def inside(kind):  # noqa: C901
    """Handlers that count seats inside the ledger; LH9 is sold out, and says so after writing."""
    calls = []

    def take(store, amount, saga):
        calls.append(saga)
        if isinstance(store, Transaction):
            return store.add("seats", "LH1", amount)
        store.execute("create table if not exists seats (taken integer)")
        store.execute("insert into seats values (?)", (amount,))
        return store.execute("select sum(taken) from seats").fetchone()[0]

    def finish(command, taken):
        if command.flight == "LH9":
            return SoldOut("LH9")
        if command.flight == "LH0":
            raise ValueError("after writing")
        return SeatReserved(str(taken))

    if kind == "sqlite":

        @ReserveSeat.handler
        def reserve(
            command: ReserveSeat, db: sqlite3.Connection, operation: Operation
        ) -> SeatReserved | SoldOut:
            return finish(command, take(db, 1, operation.saga))

        @CancelSeat.handler
        def cancel(_command: CancelSeat, operation: Operation, db: sqlite3.Connection) -> Done:
            take(db, -1, operation.saga)
            return Done()
    else:

        @ReserveSeat.handler
        def reserve(
            command: ReserveSeat, tables: Transaction, operation: Operation
        ) -> SeatReserved | SoldOut:
            return finish(command, take(tables, 1, operation.saga))

        @CancelSeat.handler
        def cancel(_command: CancelSeat, operation: Operation, tables: Transaction) -> Done:
            take(tables, -1, operation.saga)
            return Done()

    return (reserve, cancel), calls


@pytest.fixture
def inner(open_ledger, ledger_kind):
    handlers, calls = inside(ledger_kind)
    bench = Bench(open_ledger(), handlers)
    bench.calls = calls
    return bench


def taken(ledger):
    if isinstance(ledger.handle, Transaction):
        return ledger.handle.number("seats", "LH1")
    try:
        return ledger.handle.execute("select sum(taken) from seats").fetchone()[0] or 0
    except sqlite3.OperationalError:
        return 0


def test_handlers_inside_see_each_others_writes_within_a_batch(inner):
    replies = inner.ask(*[inner.record(DO, saga=f"s{n}") for n in range(3)])
    assert [reply.payload for reply in replies] == [b'{"seat": "%d"}' % n for n in (1, 2, 3)]
    assert taken(inner.ledger) == 3


def test_a_failure_or_an_exception_inside_leaves_no_write(inner):
    bad = [inner.record(ReserveSeat(f"LH{n}"), saga=f"bad{n}") for n in (9, 0)]
    assert outcomes(inner.ask(inner.record(DO), *bad)) == [OK, NO, AGAIN]
    assert taken(inner.ledger) == 1
    assert inner.ledger.find("bad0/seat/do") is None


def test_effect_and_entry_inside_die_together(inner, open_ledger):
    class Killed(BaseException):
        pass

    class Dying(inner.ledger.__class__):
        def commit(self):
            if self.find("s1/seat/do") is not None:
                raise Killed

    inner.ledger.__class__ = Dying
    with pytest.raises(Killed):
        inner.process(inner.record(DO))
    inner.ledger.close()
    inner.ledger = open_ledger()
    inner.start()
    assert taken(inner.ledger) == 0
    assert outcomes(inner.ask(inner.record(UNDO, direction="undo"))) == [OK]
    assert taken(inner.ledger) == 0
    assert inner.calls == ["s1"]


def test_done_and_undone_inside(inner):
    inner.ask(inner.record(DO), inner.record(UNDO, direction="undo"), inner.record(DO))
    assert taken(inner.ledger) == 0
    assert inner.calls == ["s1", "s1"]


@pytest.mark.parametrize("statement", ["commit", "rollback", "COMMIT", "end", "commit -- ledger"])
def test_a_handler_cannot_end_the_ledgers_transaction(tmp_path, statement):
    @ReserveSeat.handler
    def reserve(command: ReserveSeat, db: sqlite3.Connection) -> SeatReserved | SoldOut:
        db.execute("create table if not exists mine (x)")
        db.execute("insert into mine values (1)")
        if command.flight == "LH1":
            getattr(db, statement)() if hasattr(db, statement) else db.execute(statement)
        return SeatReserved("1A")

    bench = Bench(SqliteLedger(tmp_path / "ledger"), [reserve])
    good = bench.record(ReserveSeat("LH2"), saga="good")
    assert outcomes(bench.ask(good, bench.record(DO))) == [OK, AGAIN]
    assert bench.ledger.handle.execute("select count(*) from mine").fetchone() == (1,)
    bench.ledger.close()


def test_a_handler_with_effects_elsewhere_holds_no_lock(tmp_path):
    @ReserveSeat.handler
    def reserve(_command: ReserveSeat) -> SeatReserved | SoldOut:
        other = sqlite3.connect(tmp_path / "ledger", timeout=0.1)
        with other:
            other.execute("create table if not exists mine (x)")
            other.execute("insert into mine values (1)")
        other.close()
        return SeatReserved("1A")

    bench = Bench(SqliteLedger(tmp_path / "ledger"), [reserve])
    assert outcomes(bench.ask(*[bench.record(DO, saga=f"s{n}") for n in range(3)])) == [OK] * 3
    bench.ledger.close()


def test_with_connection_is_refused(tmp_path):
    @ReserveSeat.handler
    def reserve(_command: ReserveSeat, db: sqlite3.Connection) -> SeatReserved | SoldOut:
        with db:
            db.execute("create table mine (x)")
        return SeatReserved("1A")

    bench = Bench(SqliteLedger(tmp_path / "ledger"), [reserve])
    (reply,) = bench.ask(bench.record(DO))
    assert (reply.outcome, "not authorized" in reply.text) == (AGAIN, True)
    bench.ledger.close()


def test_concurrency_runs_sagas_side_by_side_and_each_in_order(open_ledger):
    meeting = threading.Barrier(4, timeout=20)
    order = []

    @ReserveSeat.handler
    def reserve(_command: ReserveSeat, operation: Operation) -> SeatReserved | SoldOut:
        if operation.step == "first":
            meeting.wait()
        order.append((operation.saga, operation.step))
        return SeatReserved("1A")

    with ThreadPoolExecutor(4) as pool:
        bench = Bench(open_ledger(), [reserve], pool)
        steps = [(f"s{n}", step) for step in ("first", "second", "third") for n in range(4)]
        batch = [bench.record(DO, saga=saga, step=step) for saga, step in steps]
        replies = bench.ask(*batch)
    assert outcomes(replies) == [OK] * 12
    assert [reply.saga for reply in replies] == [saga for saga, _ in steps]
    for n in range(4):
        own = [step for saga, step in order if saga == f"s{n}"]
        assert own == ["first", "second", "third"]
    assert len(list(bench.ledger.entries())) == 12


def test_concurrent_sagas_stop_by_themselves(open_ledger, airline):
    with ThreadPoolExecutor(2) as pool:
        bench = Bench(open_ledger(), airline.handlers(), pool)
        bench.ask(bench.record(DO, saga="known"))
        batch = [bench.record(DO, saga=saga) for saga in ("known", "new", "known")]
        found = bench.process(*batch, may_begin=lambda: False)
    assert [envelope.key for envelope in found.left] == [b"new"]
    assert len(found.replies) == 2
