"""Dead letters and bisection."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.runtime.quarantine import FAILURES_MAX, Bisection, Refusal, dead_letter


def origin(offset):
    return Origin("saga.commands", 0, offset)


def test_a_dead_letter_keeps_the_original_and_cuts_what_is_too_large():
    envelope = Envelope(
        origin(1), b"k" * 2_000, b"v" * 5_000, tuple((f"h{n}", b"x") for n in range(100)), 7
    )
    letter = dead_letter(
        envelope, Refusal("why", "because"), at_ms=9, worker="w", value_bytes_max=1_000
    )
    assert (letter.reason, letter.origin, letter.at_ms) == ("why", origin(1), 9)
    assert len(letter.value) == 1_000
    assert len(letter.key) == 1_024
    assert len(letter.headers) == 32
    assert all(size in letter.text for size in ("5000", "2000", "100 headers"))


def test_a_small_one_is_kept_as_it_is():
    envelope = Envelope(origin(1), None, None, (("a", None),), 7)
    letter = dead_letter(envelope, Refusal("r", "t"), at_ms=1, worker="w", value_bytes_max=10)
    assert (letter.key, letter.value, letter.headers, letter.text) == (
        None,
        None,
        (("a", None),),
        "t",
    )


@settings(max_examples=200)
@given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=4), st.integers(1, 128))
def test_the_poisoned_are_found_and_nobody_else_is_parked(count, numbers, count_max):
    inputs = [origin(n) for n in range(count)]
    poison = {origin(n) for n in numbers if n < count}
    parked = set()

    class Watching(Bisection):
        def succeeded(self, work):
            parked.update(self.poisoned.intersection(work))
            super().succeeded(work)

    bisection, at, failures = Watching(count_max), 0, 0
    while at < len(inputs):
        batch = inputs[at : at + bisection.count_max]
        if poison.intersection(batch) - bisection.poisoned:
            bisection.failed(batch)
            failures += 1
        else:
            bisection.succeeded(batch)
            at += len(batch)
    assert parked == poison
    assert bisection.count_max == count_max
    assert failures <= len(poison) * (math.ceil(math.log2(count_max + 1)) + FAILURES_MAX + 1)


def test_an_innocent_that_fails_now_and_then_is_never_parked():
    bisection = Bisection(8)
    for _ in range(20):
        bisection.failed([origin(1)])
        bisection.failed([origin(1)])
        bisection.succeeded([origin(1)])
    assert bisection.poisoned == set()
    assert bisection.count_max == 8
