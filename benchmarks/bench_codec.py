"""What encoding and decoding cost per record, in µs of CPU, beside fastavro on the same bytes.

`python benchmarks/bench_codec.py`. The least of several rounds: other work on the machine only adds.
fastavro's column is from and to plain dicts: no values of ours, no checks.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import fastavro

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "codec"))

from codec_values import METHODS, SAMPLES, decode, encode

from orchestrator.codec.avro import engine_schemas
from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Cause, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core import events as ev

ROUNDS, CALLS = 15, 2_000
AT = 1_790_000_000_000
CASES = [
    *((name, name, value) for name, value in SAMPLES.items() if name != "Transition"),
    (
        "Transition, 2 events",
        "Transition",
        Transition(
            "trip-1",
            3,
            AT,
            Cause("reply", Origin("saga.replies.flights", 2, 123_456), "flights"),
            1,
            (
                ev.StepSucceeded(0, 1, True, b"r" * 61),
                ev.StepRequested(1, 1, AT, b"c" * 100, "reserve_room"),
            ),
        ),
    ),
]


def microseconds(call: Callable[[], object]) -> float:
    """Cost of one call."""
    least = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            call()
        least = min(least, time.process_time() - began)
    return least / CALLS * 1e6


def main() -> None:
    """Print the table."""
    codec = RecordCodec()
    print(f"{'record':22}{'bytes':>7}{'encode':>9}{'decode':>9}{'fastavro':>11}{'fastavro':>9}")
    for title, name, value in CASES:
        data, schema = encode(codec, name, value), engine_schemas()[name].parsed
        body = data[10:]
        plain = fastavro.schemaless_reader(io.BytesIO(body), schema, None, return_record_name=True)
        costs = (
            microseconds(lambda name=name, value=value: encode(codec, name, value)),
            microseconds(lambda name=name, data=data: decode(codec, name, data)),
            microseconds(lambda s=schema, p=plain: fastavro.schemaless_writer(io.BytesIO(), s, p)),
            microseconds(
                lambda s=schema, b=body: fastavro.schemaless_reader(io.BytesIO(b), s, None)
            ),
        )
        print(
            f"{title:22}{len(data):7}{costs[0]:9.2f}{costs[1]:9.2f}{costs[2]:11.2f}{costs[3]:9.2f}"
        )


if __name__ == "__main__":
    assert set(METHODS) == set(SAMPLES)
    main()
