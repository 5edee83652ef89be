"""A batch that is taken together does what its inputs do one by one, whatever is among them."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import example, given
from hypothesis import strategies as st
from test_runtime_batch import CODEC, NOW_MS, PAID, PAYLOADS, TOPICS, Bench, Paid, Sale

from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.records import Reply
from orchestrator.core.commands import CancelSaga, StartSaga
from orchestrator.runtime.transaction import snapshots

SAGAS = ("s-1", "s-2", "s-3")


def start(saga_id, item="hat"):
    command = StartSaga(saga_id, "sell", 0, PAYLOADS.encode(Sale(item), Sale))
    return TOPICS.commands, saga_id, CODEC.encode_command(command)


def reply(saga_id, payload=PAID, outcome=1):
    value = CODEC.encode_reply(Reply(f"{saga_id}/pay/do/1", saga_id, outcome, "", payload))
    return TOPICS.replies("till"), saga_id, value


KINDS = {
    "start": start,
    "start of a command that is too large": lambda saga_id: start(saga_id, "huge"),
    "reply": reply,
    "reply that is too large": lambda saga_id: reply(
        saga_id, PAYLOADS.encode(Paid("r" * 3_000), Paid)
    ),
    "reply of no type": lambda saga_id: reply(saga_id, b"?"),
    "cancel": lambda saga_id: (
        TOPICS.commands,
        saga_id,
        CODEC.encode_command(CancelSaga(saga_id, "somebody", "")),
    ),
    "garbage": lambda saga_id: (TOPICS.commands, saga_id, b"garbage"),
    "wrong key": lambda saga_id: (TOPICS.commands, "another", start(saga_id)[2]),
}
inputs = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(SAGAS)), max_size=12)


def envelopes(kinds):
    offsets = defaultdict(int)
    for kind, saga_id in kinds:
        topic, key, value = KINDS[kind](saga_id)
        yield Envelope(Origin(topic, 0, offsets[topic]), key.encode(), value, (), 1)
        offsets[topic] += 1


def all_of(bench):
    """What the batch did; of the records, the order within a partition and key is what counts."""
    records = defaultdict(list)
    for record in bench.outbox.records:
        records[record.topic, record.partition, record.key].append(record)
    outbox = bench.outbox
    return {
        "records": records,
        "transitions": (outbox.transitions_count, Counter(outbox.event_types)),
        "overlay": bench.shard.overlay,
        "snapshots": sorted(snapshots(bench.outbox, "c", CODEC)),
        "moved": bench.shard.moved,
        "work": outbox.work,
        "dead letters": outbox.dead_letters,
        "notes": sorted(outbox.notes),
    }


@given(inputs, inputs)
@example([], [("start", "s-1"), ("reply that is too large", "s-1"), ("reply", "s-1")])
@example(
    [("start", "s-1")],
    [("reply that is too large", "s-1"), ("start", "s-2"), ("reply", "s-1"), ("cancel", "s-1")],
)
def test_together_is_one_by_one(before, batch):
    together, alone = Bench(), Bench()
    for bench in (together, alone):
        for envelope in envelopes(before):
            bench.interpreter.take(bench.outbox, bench.shard, [envelope])
        bench.settle()

    together.interpreter.take(together.outbox, together.shard, list(envelopes(batch)))
    for envelope in envelopes(batch):
        alone.interpreter.take(alone.outbox, alone.shard, [envelope])

    assert all_of(together) == all_of(alone)


@given(st.sets(st.sampled_from(SAGAS)), st.sets(st.sampled_from(SAGAS)))
def test_timers_that_are_due_together_fire_as_they_do_one_by_one(answered, cancelled):
    together, alone = Bench(), Bench()
    for bench in (together, alone):
        bench.interpreter.take(
            bench.outbox, bench.shard, list(envelopes([("start", saga) for saga in SAGAS]))
        )
        bench.settle()
        # Both timers of a saga are due: of its step and of all of it.
        bench.outbox.now_ms = NOW_MS + 600_000
        due = bench.shard.due(bench.outbox.now_ms, 100)
        kinds = [("reply", saga) for saga in answered] + [("cancel", saga) for saga in cancelled]
        bench.interpreter.take(bench.outbox, bench.shard, list(envelopes(kinds)))
        if bench is together:
            bench.interpreter.fire(bench.outbox, bench.shard, due)
        else:
            for timer in due:
                bench.interpreter.fire(bench.outbox, bench.shard, [timer])

    assert len(due) == 2 * len(SAGAS)
    assert all_of(together) == all_of(alone)
    assert together.shard.postponed == alone.shard.postponed
    assert together.outbox.timers_count == alone.outbox.timers_count


def test_what_was_fetched_before_a_seek_is_left_out():
    bench = Bench()
    fetched = list(envelopes([("start", "s-1"), ("start", "s-2"), ("reply", "s-1")]))
    bench.shard.positions[TOPICS.commands] = 1
    assert bench.shard.unread([*fetched, *fetched]) == fetched[1:]


def test_without_inputs_no_shard_is_touched():
    bench = Bench()
    bench.interpreter.take(bench.outbox, bench.shard, [])
    bench.interpreter.fire(bench.outbox, bench.shard, ())
    assert not bench.outbox.shards
