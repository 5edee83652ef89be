"""From inputs to records on an overlay, without Kafka: what a transaction would carry."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from orchestrator import (
    Command,
    Done,
    Flow,
    Later,
    Participant,
    Payload,
    minutes,
    saga,
    seconds,
    step,
)
from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.keys import REROUTED
from orchestrator.codec.limits import DEFAULT_LIMITS
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import Cursor, Reply
from orchestrator.codec.refusals import REFUSALS
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import ResolveStep, RetrySaga, StartSaga
from orchestrator.core.events import SagaEnded
from orchestrator.core.state import Phase, timers
from orchestrator.errors import CorruptStore, DiskFailed, Retriable
from orchestrator.kafka.base import Position
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.runtime.batch import Interpreter, Outbox
from orchestrator.runtime.catalog import Catalog
from orchestrator.runtime.program import catalog_of
from orchestrator.runtime.shard import Shard, ShardStatus
from orchestrator.runtime.transaction import positions, snapshots
from orchestrator.store.memory import MemoryStore
from orchestrator.topics import Topics

CODEC, PAYLOADS, TOPICS = RecordCodec(), AvroPayloads(), Topics("t")
till = Participant("till")


class Sale(Payload):
    item: str


class Paid(Payload):
    receipt: str


class Pay(Command[Paid], to=till):
    item: str


class Refund(Command[Done], to=till):
    item: str


@step(within=seconds(5))
def pay(sale: Sale) -> Pay:
    return Pay(sale.item * (1_000 if sale.item == "huge" else 1))


@pay.undo(within=seconds(5))
def refund(command: Pay, _: Paid | None) -> Refund:
    return Refund(command.item)


@saga(version=1, deadline=minutes(5))
def sell(flow: Flow, sale: Later[Sale]) -> Later[Paid]:
    return flow.do(pay(sale))


KNOWN = catalog_of((sell,), PAYLOADS)
NOW_MS = 1_000_000


PAID = PAYLOADS.encode(Paid("r"), Paid)


class Bench:
    """One shard, and the inputs that are put to it."""

    def __init__(self, catalog=KNOWN, codec=CODEC, partitions=1, record_bytes_max=3_000):
        self.interpreter = Interpreter(
            catalog=catalog,
            codec=codec,
            limits=DEFAULT_LIMITS,
            topics=TOPICS,
            partitions=partitions,
            participant_partitions={"till": 3},
            record_bytes_max=record_bytes_max + 100_000,
            postpone_ms=60_000,
            worker="w",
        )
        writer = self.interpreter._writer
        writer._record_bytes_max = record_bytes_max
        writer._command_bytes_max = min(record_bytes_max, DEFAULT_LIMITS.value_bytes_max)
        self.codec = codec
        self.store = MemoryStore()
        self.shard = Shard(0, self.store, CODEC.decode_snapshot, 100)
        self.shard.status = ShardStatus.RUNNING
        self.shard.positions = {TOPICS.commands: 0, TOPICS.replies("till"): 0}
        self.offset = 0
        self.outbox = Outbox(NOW_MS)

    def put(self, topic, key, value, headers=()):
        origin = Origin(topic, 0, self.offset)
        self.offset += 1
        envelope = Envelope(origin, key, value, headers, 1)
        self.interpreter.take(self.outbox, self.shard, [envelope])
        return origin

    def start(self, saga_id="s-1", item="hat", headers=(), **changes):
        start = StartSaga(saga_id, "sell", 0, PAYLOADS.encode(Sale(item), Sale))._replace(
            **changes
        )
        value = CODEC.encode_command(start)
        return self.put(TOPICS.commands, saga_id.encode(), value, headers)

    def reply(self, saga_id="s-1", effect="s-1/pay/do/1", key=None, outcome=1, payload=PAID):
        value = CODEC.encode_reply(Reply(effect, saga_id, outcome, "", payload))
        return self.put(TOPICS.replies("till"), (key or saga_id).encode(), value)

    def seal(self):
        """As when the transaction is on its way."""
        self.shard.seal()
        self.outbox = Outbox(NOW_MS)

    def settle(self):
        """As after a commit."""
        snapshots(self.outbox, "c", self.codec)
        self.shard.seal()
        self.acknowledge()

    def acknowledge(self):
        cursor = Cursor(1, (), NOW_MS, "w", 1, 1, 0)
        self.shard.settle(cursor, CODEC.encode_cursor(cursor), 1, NOW_MS)
        self.outbox = Outbox(NOW_MS)

    def topics(self):
        return [record.topic for record in self.outbox.records]

    def letters(self):
        found = [r for r in self.outbox.records if r.topic == TOPICS.dead_letters]
        return [CODEC.decode_dead_letter(record.value) for record in found]


def test_a_saga_runs_through_with_its_records_and_nothing_is_stored_before_the_commit():
    bench = Bench()
    traced = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
    started = bench.start(headers=(("traceparent", traced), ("other", b"x")))

    assert bench.topics() == [TOPICS.events, "till.commands"]
    assert bench.store.get("s-1") is None
    transition = CODEC.decode_transition(bench.outbox.records[0].value)
    assert (transition.sequence, transition.cause.kind, transition.cause.origin) == (
        1,
        "start",
        started,
    )
    sent = bench.outbox.records[1]
    command = CODEC.decode_step_command(sent.value)
    assert sent.headers == (("id", b"s-1/pay/do/1"), ("traceparent", traced))
    assert sent.partition == partition_of(b"s-1", 3)
    assert (command.reply_topic, command.reply_partition) == (TOPICS.replies("till"), 0)
    assert command.due_ms == NOW_MS + 5_000

    bench.reply()

    assert bench.topics()[2:] == [TOPICS.events, TOPICS.outcomes]
    assert len(snapshots(bench.outbox, "c", bench.codec)) == 1
    transition = CODEC.decode_transition(bench.outbox.records[2].value)
    assert (transition.sequence, transition.cause.actor) == (3, "till")
    bench.settle()
    assert CODEC.decode_snapshot(bench.store.get("s-1")).ended


def test_a_dropped_overlay_leaves_no_trace():
    bench = Bench()
    bench.start()
    first = [record.value for record in bench.outbox.records]
    bench.shard.forget_overlay()
    bench.outbox, bench.offset = Outbox(NOW_MS), 0
    bench.start()

    assert [record.value for record in bench.outbox.records] == first


@pytest.mark.parametrize("cached", [True, False])
def test_a_settled_saga_is_found_in_memory_and_on_disk(cached):
    bench = Bench()
    bench.start()
    bench.settle()
    if not cached:
        bench.shard.reset()
    bench.reply()
    assert bench.topics() == [TOPICS.events, TOPICS.outcomes]


def test_timers_are_indexed_by_what_changed_and_fire():
    bench = Bench()
    bench.start()
    bench.settle()
    (due,) = bench.shard.due(NOW_MS + 5_000, 10)
    bench.outbox = Outbox(NOW_MS + 5_000)
    bench.interpreter.fire(bench.outbox, bench.shard, [due])

    assert bench.topics() == [TOPICS.events]
    transition = CODEC.decode_transition(bench.outbox.records[0].value)
    assert (transition.cause.kind, transition.cause.origin.offset) == ("timer", -1)
    assert bench.outbox.work == [due]
    # A transaction of timers alone sends a position all the same, or nothing would fence it.
    bench.shard.announced = True
    assert positions(bench.outbox) == [Position(TOPICS.commands, 0, 1)]


def test_an_answered_step_leaves_no_timer_behind():
    bench = Bench()
    bench.start()
    bench.settle()
    bench.reply()
    bench.settle()
    left = bench.shard.due(NOW_MS * NOW_MS, 10)
    assert [timer.step for timer in left] == [-1]


def test_a_timer_that_an_input_of_the_same_batch_disarmed_is_passed_over():
    bench = Bench()
    bench.start()
    bench.settle()
    (due,) = bench.shard.due(NOW_MS + 5_000, 10)
    bench.reply()
    bench.interpreter.fire(bench.outbox, bench.shard, [due])
    assert bench.outbox.timers_count == 0
    assert bench.shard.postponed == {}


def test_the_first_transaction_of_a_shard_sends_every_position():
    bench = Bench()
    bench.start()
    found = positions(bench.outbox)
    assert sorted(found) == [
        Position(TOPICS.commands, 0, 1),
        Position(TOPICS.replies("till"), 0, 0),
    ]
    bench.settle()
    bench.reply()
    assert positions(bench.outbox) == [Position(TOPICS.replies("till"), 0, 2)]


def test_json_is_taken_and_unknown_sagas_are_refused_with_what_is_known():
    bench = Bench()
    start = {"start": "sell", "saga": "s-1", "payload": {"item": "hat"}}
    bench.put(TOPICS.commands, b"s-1", json.dumps(start).encode())
    bench.start("s-2", definition="nope")
    bench.start("s-3", version=4)
    bench.start("s-4", payload=b"\xc3\x01rubbish")

    assert bench.topics()[:2] == [TOPICS.events, "till.commands"]
    letters = bench.letters()
    assert [letter.reason for letter in letters] == [
        "unknown_definition",
        "unknown_version",
        "unknown_schema",
    ]
    assert "sell 1" in letters[0].text


def test_a_misrouted_command_is_passed_on_once():
    bench = Bench(partitions=2)
    stray = next(f"s-{n}" for n in range(99) if partition_of(f"s-{n}".encode(), 2) == 1)
    origin = bench.start(stray, headers=(("a", None),))
    bench.start(stray, headers=((REROUTED, b"x"),))

    passed, letter = bench.outbox.records
    assert (passed.topic, passed.partition) == (TOPICS.commands, 1)
    assert passed.headers == (("a", b""), (REROUTED, "{}/{}/{}".format(*origin).encode()))
    assert CODEC.decode_dead_letter(letter.value).reason == "misrouted"
    assert bench.shard.moved == {TOPICS.commands: 2}


def test_what_would_be_too_large_is_refused_and_the_saga_is_untouched():
    bench = Bench()
    bench.start(item="huge")
    assert [letter.reason for letter in bench.letters()] == ["too_large_effect"]
    assert bench.shard.overlay == {}


def test_a_step_command_that_no_participant_would_take_begins_no_saga():
    bench, limit = Bench(record_bytes_max=900_000), DEFAULT_LIMITS.value_bytes_max
    bench.start("s-1", item="x" * (limit - 50))
    assert [letter.reason for letter in bench.letters()] == ["too_large_effect"]
    assert bench.shard.overlay == {}
    bench.start("s-2", item="x" * (limit - 100))
    assert bench.topics().count(TOPICS.participant_commands("till")) == 1
    # What only workers and readers see may be larger.
    assert max(len(record.value) for record in bench.outbox.records) > limit


def test_a_bug_of_ours_poisons_one_input_only():
    def encode(transition):
        if transition.saga == "s-2":
            raise ZeroDivisionError("ours")
        return CODEC.encode_transition(transition)

    broken = RecordCodec()
    broken.encode_transition = encode
    bench = Bench(codec=broken)
    for saga_id in ("s-1", "s-2", "s-3"):
        bench.start(saga_id)

    (letter,) = bench.letters()
    assert (letter.reason, letter.key) == ("poison", b"s-2")
    assert "ZeroDivisionError" in letter.text
    assert set(bench.shard.overlay) == {"s-1", "s-3"}
    assert bench.shard.moved == {TOPICS.commands: 3}


def test_a_broken_store_is_nobodys_poison():
    bench = Bench()
    bench.start()
    bench.settle()
    bench.shard.reset()
    bench.store.get = lambda _: b"\xc3\x01not a snapshot"
    with pytest.raises(CorruptStore, match="s-1"):
        bench.reply()
    assert bench.outbox.records == []


def test_a_disk_that_fails_is_nobodys_poison():
    bench = Bench()
    bench.start()
    bench.settle()
    bench.shard.reset()

    def refuse(_):
        raise DiskFailed("IO error: planted")

    bench.store.get = refuse
    with pytest.raises(DiskFailed):
        bench.reply()
    assert bench.outbox.records == []


def other(change):
    """The catalog after a deployment that changed or dropped what sagas run on."""
    (known,) = KNOWN._by_version.values()
    return Catalog((known._replace(definition=replace(known.definition, **change)),))


@pytest.mark.parametrize(
    ("catalog", "reason"),
    [
        (other({"version": 2}), "definition_missing"),
        (other({"fingerprint": 5}), "definition_changed"),
    ],
)
def test_without_its_definition_a_saga_is_left_as_it_is_and_its_timers_rest(catalog, reason):
    bench = Bench()
    bench.start()
    bench.settle()
    before = dict(bench.store.items())
    later = Bench(catalog)
    later.store = later.shard.store = bench.store
    later.reply()
    (due,) = later.shard.due(NOW_MS + 5_000, 10)
    later.interpreter.fire(later.outbox, later.shard, [due])

    assert [letter.reason for letter in later.letters()] == [reason]
    assert later.shard.overlay == {}
    assert dict(later.store.items()) == before
    assert later.shard.due(NOW_MS + 5_000, 10) == ()
    assert later.shard.due(NOW_MS + 65_001, 10)[0] == due


def test_replies_must_agree_with_their_key_and_be_spelled_right():
    bench = Bench()
    bench.start()
    bench.reply(key="s-9")
    bench.reply(effect="s-1/pay/do/7")
    assert [letter.reason for letter in bench.letters()] == ["key_mismatch"]
    assert bench.shard.overlay["s-1"].state.sequence == 3


def test_a_result_given_by_hand_is_checked_against_its_type():
    bench = Bench()
    bench.start()
    for result in (b'{"receipt":"by hand"}', b'{"receipt":1}', b"\xff"):
        command = ResolveStep("s-1", "pay", "ann", "did it", result)
        bench.put(TOPICS.commands, b"s-1", CODEC.encode_command(command))
    reasons = [letter.reason for letter in bench.letters()]
    assert reasons[0] == "malformed_payload"
    assert len(reasons) == 2


@pytest.mark.parametrize("payload", [b"\xff", PAID[:-1], PAYLOADS.encode(Sale("x"), Sale), b""])
def test_a_result_that_no_step_could_read_does_not_get_into_a_saga(payload):
    bench = Bench()
    bench.start()
    bench.reply(payload=payload)
    (letter,) = bench.letters()
    assert letter.reason in REFUSALS
    assert bench.shard.overlay["s-1"].state.sequence == 2


def test_a_result_may_be_json():
    bench = Bench()
    bench.start()
    bench.reply(payload=b'{"receipt": "r"}')
    assert bench.letters() == []
    assert bench.outbox.event_types.count(SagaEnded) == 1
    assert PAID in bench.outbox.records[-1].value


def test_a_registry_that_is_away_makes_no_dead_letter():
    class Away(RecordCodec):
        def decode_command(self, data):
            raise Retriable(f"the registry is away: {len(data)} bytes wait")

    bench = Bench(codec=Away())
    with pytest.raises(Retriable):
        bench.start()
    assert bench.outbox.records == []
    assert bench.shard.moved == {}


def test_a_shards_clock_never_runs_back():
    bench = Bench()
    assert bench.shard.tick(10) == 10
    assert bench.shard.tick(3) == 10


def test_the_cache_is_bounded_and_drops_what_was_longest_unchanged():
    bench = Bench()
    bench.shard._cache_count_max = 2
    for saga_id in ("s-1", "s-2", "s-3"):
        bench.start(saga_id)
        bench.settle()
    assert list(bench.shard._known) == ["s-2", "s-3"]


def armed(bench):
    return set(bench.store.due(2**62, 100))


def test_what_is_on_its_way_is_what_is_decided_on():
    bench = Bench()
    bench.start()
    bench.seal()
    bench.reply()
    assert bench.letters() == []
    assert bench.outbox.event_types.count(SagaEnded) == 1
    assert bench.shard.next_offset(TOPICS.commands) == 1
    assert dict(bench.store.items()) == {}
    bench.acknowledge()
    ended, _ = bench.shard.look_up("s-1")
    assert ended.ended
    assert CODEC.decode_snapshot(dict(bench.store.items())["s-1"]).phase == Phase.RUNNING
    bench.settle()
    assert CODEC.decode_snapshot(dict(bench.store.items())["s-1"]).ended
    assert bench.shard._known == {}  # hardly anybody will ask
    assert armed(bench) == set(timers(ended))


def test_what_was_on_its_way_and_what_came_after_are_forgotten_together():
    bench = Bench()
    bench.start()
    bench.seal()
    bench.reply()
    bench.shard.forget_overlay()
    assert bench.shard.look_up("s-1") == (None, None)
    assert set(bench.shard.offsets().values()) == {0}


def test_a_timer_that_fired_in_the_transaction_under_way_is_not_due_again():
    bench = Bench()
    bench.start()
    bench.settle()
    (due, *_) = bench.shard.due(NOW_MS + 5_000, 10)
    bench.outbox.now_ms = NOW_MS + 5_000
    bench.interpreter.fire(bench.outbox, bench.shard, [due])
    assert bench.outbox.timers_count == 1
    assert due not in bench.shard.due(NOW_MS + 5_000, 10)
    bench.seal()
    assert due not in bench.shard.due(NOW_MS + 5_000, 10)
    bench.acknowledge()
    assert due not in bench.shard.due(NOW_MS + 5_000, 10)


def test_a_resting_timer_stays_in_the_index_while_its_saga_goes_on():
    bench = Bench()
    bench.start()
    bench.settle()
    deadline = max(armed(bench))
    bench.shard.postpone(deadline, deadline.due_ms + 60_000)
    bench.put(TOPICS.commands, b"s-1", CODEC.encode_command(RetrySaga("s-1", "ann", "why")))
    bench.settle()
    assert deadline in armed(bench)
    assert deadline not in bench.shard.due(deadline.due_ms, 10)
    assert deadline in bench.shard.due(deadline.due_ms + 60_000, 10)


WIDTH = 40


def payments(sale: Later[Sale]) -> list[Any]:
    return [pay.named(f"pay_{n}")(sale) for n in range(WIDTH)]


@saga(version=1, deadline=minutes(5))
def stock_up(flow: Flow, sale: Later[Sale]) -> None:
    flow.parallel(*payments(sale))


class CountingCodec(RecordCodec):
    """Notes how often a state was encoded."""

    def __init__(self):
        super().__init__()
        self.snapshots_count = 0
        self._encode, self.encode_snapshot = self.encode_snapshot, self._encode_and_count

    def _encode_and_count(self, state):
        self.snapshots_count += 1
        return self._encode(state)


def test_a_state_is_encoded_once_a_transaction_however_many_answers_change_it():
    codec = CountingCodec()
    bench = Bench(catalog_of((stock_up,), PAYLOADS), codec, record_bytes_max=100_000)
    bench.start(definition="stock_up")
    bench.settle()
    codec.snapshots_count = 0
    for n in range(WIDTH - 1):
        bench.reply(effect=f"s-1/pay_{n}/do/1")
    (snapshot,) = snapshots(bench.outbox, "c", bench.codec)

    assert codec.snapshots_count == 2  # the first, against the limit, and the last
    assert CODEC.decode_snapshot(snapshot.value) == bench.shard.overlay["s-1"].state
    assert len(snapshot.value) <= bench.shard.overlay["s-1"].bytes_max
    bench.settle()
    assert bench.store.get("s-1") == snapshot.value


def test_a_saga_that_outgrows_a_record_within_a_transaction_is_refused_all_the_same():
    receipt = PAYLOADS.encode(Paid("r" * 500), Paid)
    bench = Bench(catalog_of((stock_up,), PAYLOADS), record_bytes_max=10_000)
    bench.start(definition="stock_up")
    for n in range(WIDTH - 1):
        bench.reply(effect=f"s-1/pay_{n}/do/1", payload=receipt)

    (snapshot,) = snapshots(bench.outbox, "c", bench.codec)
    assert 9_000 < len(snapshot.value) <= 10_000
    assert {letter.reason for letter in bench.letters()} == {"too_large_effect"}
