"""The short way of reading step commands and writing replies gives what the codec gives, always."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codec.records import Reply, StepCommand
from orchestrator.codec.steps import ReplyWriter, StepReader
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import DecodeError

CODEC = RecordCodec()
SAGAS = ("a", "trip-1", "s" * 40, "x" * 128, "e", "do")
STEPS = ("flight", "e", "trip-1", "items[3]", "s" * 200)
numbers = st.one_of(st.integers(0, 3), st.integers(0, (1 << 31) - 1))
commands = st.builds(
    lambda saga, step, direction, attempt, *rest: StepCommand(
        f"{saga}/{step}/{direction}/{attempt}", saga, step, direction, attempt, *rest
    ),
    st.sampled_from(SAGAS),
    st.sampled_from(STEPS),
    st.sampled_from(("do", "undo")),
    st.sampled_from((1, 2, 77, 123_456_789)),
    st.one_of(st.just(1_790_000_000_000), st.integers(0, (1 << 63) - 1)),
    st.sampled_from(("ReserveSeat", "CancelSeat")),
    st.sampled_from(("saga.replies.airline", "saga.replies.hotels")),
    numbers,
    st.one_of(st.just(b""), st.binary(max_size=200), st.just(b"p" * 10_000)),
)


def wanted(saga, effect, value):
    """What must be read: what the codec reads, if it is the command of this saga and effect."""
    try:
        command = CODEC.decode_step_command(value)
    except DecodeError:
        return None
    if (command.saga.encode(), command.effect.encode()) != (saga, effect):
        return None
    _, _, step, direction, attempt, due_ms, kind, topic, partition, payload = command
    return (step, direction, attempt, kind, topic), due_ms, partition, payload


def learned(*commands):
    reader = StepReader()
    for command in commands:
        reader.learn(command)
    return reader


@given(st.lists(commands, max_size=20))
def test_what_is_read_is_what_the_codec_reads(batch):
    reader = StepReader()
    for command in batch * 2:
        saga, effect = command.saga.encode(), command.effect.encode()
        value = CODEC.encode_step_command(command)
        assert reader.read(saga, effect, value) in (None, wanted(saga, effect, value))
        reader.learn(command)
        assert reader.read(saga, effect, value) == wanted(saga, effect, value)


@given(commands, st.sampled_from([*SAGAS, "", "no saga"]), st.integers(0, 1 << 32))
def test_damaged_bytes_and_other_keys_are_left_to_the_codec(command, other, seed):
    reader, rng = learned(command), random.Random(seed)
    good = CODEC.encode_step_command(command)
    saga, effect = command.saga.encode(), command.effect.encode()
    foreign = other.encode() + effect.removeprefix(saga)
    for number in range(30):
        value = bytearray(good)
        if number % 3 == 0:
            del value[rng.randrange(len(value)) :]
        elif number % 3 == 1:
            value.insert(rng.randrange(len(value)), rng.randrange(256))
        else:
            value[rng.randrange(min(len(value), 400))] = rng.randrange(256)
        data = bytes(value)
        for asked in ((saga, effect), (other.encode(), foreign), (other.encode(), effect)):
            assert reader.read(*asked, data) in (None, wanted(*asked, data))


def like_others(**changes):
    effect = f"{changes.get('saga', 's')}/step/do/1"
    command = StepCommand(effect, "s", "step", "do", 1, 5, "Do", "r", 0, b"p")._replace(**changes)
    return command.saga.encode(), CODEC.encode_step_command(command)


def far(value, number):
    """The same value with another partition, which takes more bytes than an `int` may."""
    return value[:-3] + number + value[-2:]


@pytest.mark.parametrize(
    "hostile",
    [
        like_others(saga="s s"),
        like_others(saga="s/step"),
        like_others(saga=""),
        like_others(saga="\u00e9"),
        like_others(saga="x" * 129),
        like_others(due_ms=-1),
        like_others(reply_partition=-1),
        (b"s", far(like_others()[1], b"\x80\x80\x80\x80\x10")),
        (b"s", far(like_others()[1], b"\x80\x00")),
        (b"s", like_others()[1] + b"\x00"),
        (b"s", like_others()[1][:-1]),
        (b"", like_others()[1]),
        (b"x" * 5_000, like_others()[1]),
    ],
)
def test_what_is_wrong_in_itself_is_refused_although_it_is_like_others(hostile):
    key, value = hostile
    good_key, good = like_others()
    assert far(good, b"\x00") == good
    reader = learned(CODEC.decode_step_command(good))
    assert reader.read(good_key, b"s/step/do/1", good) == wanted(good_key, b"s/step/do/1", good)
    assert wanted(key, key + b"/step/do/1", value) is None
    assert reader.read(key, key + b"/step/do/1", value) is None


def test_an_effect_of_another_saga_is_no_command_of_this_one():
    good_key, good = like_others()
    reader = learned(CODEC.decode_step_command(good))
    _, value = like_others(effect="t/step/do/1")
    assert wanted(good_key, b"t/step/do/1", value) is None
    assert reader.read(good_key, b"t/step/do/1", value) is None


def test_what_is_remembered_is_bounded():
    reader = StepReader()
    for attempt in range(1, 3_000):
        effect = f"s/step/do/{attempt}"
        command = StepCommand(effect, "s", "step", "do", attempt, 0, "Do", "r", 0, b"p" * 1_000)
        reader.learn(command)
        assert reader.read(b"s", effect.encode(), CODEC.encode_step_command(command)) is not None
    assert len(reader._known) <= 1_024


class Registry:
    """A registry that gives every schema the number 7."""

    def register(self, _subject, _document):
        return 7

    def document(self, _schema_id):
        return None


@pytest.mark.parametrize("codec", [CODEC, RecordCodec(Registry())], ids=["plain", "registry"])
@pytest.mark.parametrize("size", [0, 63, 64, 4_095, 4_096, 200_000])
def test_a_reply_is_written_as_the_codec_writes_it(codec, size):
    for saga in SAGAS:
        effect, payload = f"{saga}/{'s' * 200}/undo/1", b"\xff" * size
        found = ReplyWriter(codec).write(effect.encode(), saga.encode(), payload)
        assert found == codec.encode_reply(Reply(effect, saga, 1, "", payload))
