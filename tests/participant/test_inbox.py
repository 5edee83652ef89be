"""What is read the short way is what the long way finds, for any record."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.records import StepCommand
from orchestrator.codec.wire import RecordCodec
from orchestrator.participant.inbox import Inbox, Refusal, Task

CODEC = RecordCodec()
REPLIES = "saga.replies.airline"
TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
sagas = st.sampled_from(("s1", "s" * 128, "s s", ""))
steps = st.sampled_from(("seat", "x" * 256))
ids = st.sampled_from((b"", b"s1/seat/do/1", b"\xff", b"x" * 600, None))
traces = st.sampled_from((TRACE, TRACE + b" ", b"", None))
names = st.sampled_from(("id", "traceparent", "other", "\n", "x" * 65))
headers = st.one_of(
    st.just("usual"),
    st.tuples(st.just("trace"), traces),
    st.lists(st.tuples(names, st.one_of(ids, traces)), max_size=3),
    st.just([("other", b"")] * 17),
)


@st.composite
def envelopes(draw):
    saga, step, direction = draw(sagas), draw(steps), draw(st.sampled_from(("do", "undo")))
    attempt = draw(st.sampled_from((0, 1, 12)))
    effect = f"{saga}/{step}/{direction}/{attempt}"
    command = StepCommand(
        draw(st.sampled_from((effect, effect, effect, "s1/seat/do/2"))),
        saga,
        step,
        direction,
        attempt,
        draw(st.sampled_from((-1, 5_000, 5_000, 5_000))),
        "ReserveSeat",
        draw(st.sampled_from((REPLIES, REPLIES, REPLIES, "saga.commands"))),
        draw(st.sampled_from((0, 3, 4, -1))),
        draw(st.sampled_from((b"", b"p" * 300, b"p" * 300_000))),
    )
    value = CODEC.encode_step_command(command)
    value = draw(
        st.sampled_from((value, value, value, value, value[:-1], value + b"x", b"", None))
    )
    key = saga.encode()
    key = draw(st.sampled_from((key, key, key, key, b"other", b"k" * 129, b"", None)))
    found = draw(headers)
    if found == "usual":
        found = [("id", effect.encode())]
    elif found[:1] == ("trace",):
        found = [("id", effect.encode()), ("traceparent", found[1])]
    return Envelope(Origin("airline.commands", 0, 0), key, value, tuple(found), 0)


def sent(partition):
    """A command that wants its reply on this partition."""
    effect = "s1/seat/do/1"
    command = StepCommand(
        effect, "s1", "seat", "do", 1, 5_000, "ReserveSeat", REPLIES, partition, b""
    )
    value = CODEC.encode_step_command(command)
    origin = Origin("airline.commands", 0, 0)
    return Envelope(origin, b"s1", value, (("id", effect.encode()),), 0)


def untraced():
    """A command whose trace context is there, but empty."""
    effect = "s1/seat/do/1"
    command = StepCommand(effect, "s1", "seat", "do", 1, 5_000, "ReserveSeat", REPLIES, 0, b"")
    sent = (("id", effect.encode()), ("traceparent", b""))
    value = CODEC.encode_step_command(command)
    return Envelope(Origin("airline.commands", 0, 0), b"s1", value, sent, 0)


@given(st.lists(envelopes(), max_size=8))
@example([untraced()])
@example([sent(3), sent(4)])
def test_both_ways_find_the_same(batch):
    inbox = Inbox(CODEC, REPLIES, 4)
    for envelope in batch * 2:
        found = inbox.read(envelope)
        assert found == inbox.examine(envelope)
        assert isinstance(found, Task | Refusal)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": b"k" * 129}, "oversize_key"),
        ({"key": b"other"}, "key_mismatch"),
        ({"key": b""}, "missing_key"),
        ({"value": b"x" * 262_145}, "oversize_value"),
        ({"headers": (("id", b"x" * 513),)}, "oversize_header"),
        ({"headers": (("id", b"\xff"),)}, "bad_header"),
        ({"headers": (("id", b"s1/seat/do/1"),) * 2}, "bad_header"),
    ],
)
def test_one_fault_is_enough(changes, reason):
    inbox = Inbox(CODEC, REPLIES, 4)
    command = StepCommand("s1/seat/do/1", "s1", "seat", "do", 1, 9, "Do", REPLIES, 3, b"")
    header = ("id", b"s1/seat/do/1")
    good = Envelope(
        Origin("airline.commands", 0, 0), b"s1", CODEC.encode_step_command(command), (header,), 0
    )
    assert isinstance(inbox.read(good), Task)
    found = inbox.read(good._replace(**changes))
    assert isinstance(found, Refusal)
    assert found.reason == reason


class Counting:
    """A codec that counts how often it is asked to read."""

    def __init__(self):
        self.count = 0

    def decode_step_command(self, data):
        self.count += 1
        return CODEC.decode_step_command(data)


@pytest.mark.parametrize("trace", [(), (("traceparent", TRACE),)])
def test_the_long_way_is_gone_once_a_step(trace):
    codec = Counting()
    inbox = Inbox(codec, REPLIES, 4)
    for number in range(50):
        effect = f"trip-{number}/seat/do/1"
        command = StepCommand(
            effect, f"trip-{number}", "seat", "do", 1, number, "Do", REPLIES, number % 4, b"x"
        )
        value, found = CODEC.encode_step_command(command), (("id", effect.encode()), *trace)
        origin = Origin("airline.commands", 0, number)
        task = inbox.read(Envelope(origin, command.saga.encode(), value, found, 0))
        assert (task.key, task.reply_partition, task.headers) == (effect[:-2], number % 4, trace)
    assert codec.count == 1


def test_an_operation_is_the_effect_without_its_attempt():
    inbox = Inbox(CODEC, REPLIES, 4)
    command = StepCommand("s1/seat/undo/7", "s1", "seat", "undo", 7, 9, "Do", REPLIES, 3, b"")
    value = CODEC.encode_step_command(command)
    header = ("id", b"s1/seat/undo/7")
    task = inbox.read(Envelope(Origin("airline.commands", 0, 0), b"s1", value, (header,), 0))
    assert isinstance(task, Task)
    assert (task.key, task.saga, task.headers) == ("s1/seat/undo", "s1", ())
    assert task.operation == ("s1/seat/undo", "s1", "seat", "undo", 7, 9)
