"""The one place where a user's code is called."""

import pytest

from orchestrator import guard


class Mute(Exception):
    def __str__(self):
        raise ValueError


def inner():
    raise KeyError("seat")


def outer(depth):
    return inner() if depth == 0 else outer(depth - 1)


def test_a_value_passes():
    assert guard.call(max, 1, 2) == 2
    assert guard.call(dict, a=1) == {"a": 1}


def test_what_is_raised_comes_back_with_its_place():
    found = guard.call(outer, 2)
    assert isinstance(found, guard.Raised)
    assert found.text == f"KeyError: 'seat' (test_guard.py:{inner.__code__.co_firstlineno + 1})"


def test_the_place_is_in_the_user_s_file_even_if_a_library_raised():
    def read():
        return int("x" * 9)

    def parse():
        import json  # noqa: PLC0415

        return json.loads("{")

    assert "(test_guard.py:" in guard.call(read).text
    assert "(test_guard.py:" in guard.call(parse).text


def test_a_long_message_is_cut():
    def shout():
        raise ValueError("x" * 10_000)

    assert len(guard.call(shout).text) < 600


def test_a_message_that_cannot_be_shown():
    def mute():
        raise Mute

    assert guard.call(mute).summary == "Mute: (its message cannot be shown)"


def test_an_exit_comes_back_and_an_interrupt_passes():
    def leave():
        raise SystemExit(1)

    def stop():
        raise KeyboardInterrupt

    assert guard.call(leave).summary == "SystemExit: 1"
    with pytest.raises(KeyboardInterrupt):
        guard.call(stop)


def test_a_call_that_does_not_fit_comes_back():
    assert guard.call(inner, 1).summary.startswith("TypeError: inner() takes 0")
