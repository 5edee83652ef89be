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


def decoded(read):
    try:
        return read()
    except DecodeError as error:
        return error.reason


class Counting:
    """A codec that counts how often it is asked to read."""

    def __init__(self):
        self.count = 0

    def decode_step_command(self, data):
        self.count += 1
        return CODEC.decode_step_command(data)


@given(st.lists(commands, max_size=20))
def test_what_is_read_is_what_the_codec_reads(batch):
    reader = StepReader(CODEC)
    for command in batch * 2:
        value = CODEC.encode_step_command(command)
        found = reader.read(command.saga.encode(), value)
        assert found == command
        assert type(found) is StepCommand


def test_the_codec_is_asked_once_a_step():
    codec = Counting()
    reader = StepReader(codec)
    for number in range(50):
        saga = f"trip-{number}"
        for direction in ("do", "undo"):
            effect = f"{saga}/flight/{direction}/1"
            command = StepCommand(
                effect, saga, "flight", direction, 1, number, "Fly", "r", number % 4, b"x"
            )
            value = CODEC.encode_step_command(command)
            assert reader.read(saga.encode(), value) == command
    assert codec.count == 2


@given(commands, st.sampled_from([*SAGAS, "", "no saga"]), st.integers(0, 1 << 32))
def test_damaged_bytes_and_other_keys_get_what_the_codec_gives(command, key, seed):
    reader, rng = StepReader(CODEC), random.Random(seed)
    good = CODEC.encode_step_command(command)
    reader.read(command.saga.encode(), good)  # so that there is something to compare with
    for number in range(30):
        value = bytearray(good)
        if number % 3 == 0:
            del value[rng.randrange(len(value)) :]
        elif number % 3 == 1:
            value.insert(rng.randrange(len(value)), rng.randrange(256))
        else:
            value[rng.randrange(min(len(value), 400))] = rng.randrange(256)
        for each in (command.saga, key):
            wanted = decoded(lambda data=bytes(value): CODEC.decode_step_command(data))
            found = decoded(lambda data=bytes(value), k=each: reader.read(k.encode(), data))
            assert found == wanted


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
    reader, (key, value) = StepReader(CODEC), hostile
    good_key, good = like_others()
    assert far(good, b"\x00") == good
    reader.read(good_key, good)
    wanted = decoded(lambda: CODEC.decode_step_command(value))
    assert decoded(lambda: reader.read(key, value)) == wanted
    assert isinstance(wanted, str) == (value != good)


def test_what_is_remembered_is_bounded():
    reader = StepReader(CODEC)
    for attempt in range(1, 3_000):
        effect = f"s/step/do/{attempt}"
        command = StepCommand(effect, "s", "step", "do", attempt, 0, "Do", "r", 0, b"p" * 1_000)
        assert reader.read(b"s", CODEC.encode_step_command(command)) == command
    assert len(reader._known) <= 1_024
    assert not any(known.fields.payload for known in reader._known.values())


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
