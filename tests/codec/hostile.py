"""Run by test_hostile.py in a child process: hostile bytes, under a limit of memory.

A decoder that runs away, dies of a signal or raises anything but DecodeError ends this process, not
the test's. Prints one line of JSON: the reasons met, the slowest case, the memory taken.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from dataclasses import dataclass
from enum import StrEnum

from codec_values import METHODS, SAMPLES, decode, encode

from orchestrator.codec.binary import compile_schema
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import DecodeError

MEMORY_BYTES = 512 * 1024 * 1024
VALUE_BYTES = 262_144


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Flag:
    up: bool


@dataclass(frozen=True)
class Hostile:
    flags: tuple[Flag, ...]
    numbers: tuple[int, ...]
    lists: tuple[tuple[int, ...], ...]
    names: dict[str, str]
    text: str | None
    blob: bytes
    size: float
    colour: Colour
    on: bool


CODEC = RecordCodec()
PAYLOADS = AvroPayloads([Hostile])
VALID = Hostile((Flag(True),), (1, -5), ((1,), ()), {"a": "b"}, "x", b"y", 1.5, Colour.BLUE, True)
PREFIX = PAYLOADS.encode(VALID, Hostile)[:10]
HUGE = b"\x80\x80\x80\x80\x80\x80\x80\x80\x01"
"""2^55 or so as a varint: a count or length of which nothing follows."""

INT, LONG, ENUM = (
    compile_schema(schema)
    for schema in ("int", "long", {"type": "enum", "name": "E", "symbols": ["a", "b"]})
)
RECORD, BYTES, STRING, BOOLEAN, DOUBLE, UNION, ARRAY, MAP = (
    compile_schema(schema)
    for schema in (
        {
            "type": "record",
            "name": "R",
            "fields": [
                {"name": "text", "type": "string"},
                {"name": "small", "type": "int"},
                {"name": "large", "type": "long"},
                {"name": "last", "type": "bytes"},
            ],
        },
        "bytes",
        "string",
        "boolean",
        "double",
        ["null", "long"],
        {"type": "array", "items": "long"},
        {"type": "map", "values": "long"},
    )
)

TABLE = [
    # What fastavro lets through, or dies of, and the reason it has here.
    ("array count 2^40, no items", ARRAY, b"\x80\x80\x80\x80\x80\x80\x01", "too_many_items"),
    (
        "array block of 2^40 bytes",
        ARRAY,
        b"\x01\x80\x80\x80\x80\x80\x80\x01\x02\x00",
        "malformed_record",
    ),
    ("array block of -1 bytes", ARRAY, b"\x01\x01\x02\x00", "malformed_record"),
    ("array never ends", ARRAY, b"\x02\x02", "malformed_record"),
    ("map count 2^40", MAP, b"\x80\x80\x80\x80\x80\x80\x01", "too_many_items"),
    ("map key twice", MAP, b"\x04\x02a\x02\x02a\x02\x00", "malformed_record"),
    ("string length 2^40", STRING, b"\x80\x80\x80\x80\x80\x80\x01x", "malformed_record"),
    ("string length -1", STRING, b"\x01x", "malformed_record"),
    ("bytes length -1", BYTES, b"\x01x", "malformed_record"),
    ("a field's length 2^40", RECORD, b"\x80\x80\x80\x80\x80\x80\x01x", "malformed_record"),
    ("a field's length -1", RECORD, b"\x01\x00\x00\x00", "malformed_record"),
    ("a last field cut short", RECORD, b"\x02a\x00\x02\x04x", "malformed_record"),
    ("a first field cut short", RECORD, b"\x04a", "malformed_record"),
    (
        "a field of 2^40 where 32 bits fit",
        RECORD,
        b"\x00\x80\x80\x80\x80\x80\x80\x01",
        "out_of_range",
    ),
    ("bad UTF-8 in a field", RECORD, b"\x02\xff", "malformed_record"),
    ("bad UTF-8", STRING, b"\x02\xff", "malformed_record"),
    ("half a character in UTF-8", STRING, b"\x06\xed\xa0\x80", "malformed_record"),
    ("trailing bytes", LONG, b"\x02\x02", "trailing_bytes"),
    ("union index 2", UNION, b"\x04", "out_of_range"),
    ("union index -1", UNION, b"\x01", "out_of_range"),
    ("enum index 2", ENUM, b"\x04", "out_of_range"),
    ("enum index -1", ENUM, b"\x01", "out_of_range"),
    ("int of 2^40", INT, b"\x80\x80\x80\x80\x80\x80\x01", "out_of_range"),
    ("varint too long by a byte", LONG, b"\x82\x00", "malformed_record"),
    ("varint of 21 bytes", LONG, b"\x80" * 20 + b"\x01", "malformed_record"),
    ("varint of 1 MB", LONG, b"\x80" * 1_000_000 + b"\x01", "malformed_record"),
    ("varint of 65 bits", LONG, b"\xff" * 9 + b"\x02", "malformed_record"),
    ("varint that does not end", LONG, b"\x80", "malformed_record"),
    ("nothing", LONG, b"", "malformed_record"),
    ("boolean of 2", BOOLEAN, b"\x02", "malformed_record"),
    ("half a double", DOUBLE, b"\x00" * 7, "malformed_record"),
    ("a double that is not a number", DOUBLE, b"\x00" * 6 + b"\xf8\x7f", "out_of_range"),
    ("an infinite double", DOUBLE, b"\x00" * 6 + b"\xf0\x7f", "out_of_range"),
]


def reason_of(read, data, write=None):
    """Decode; the reason of the refusal, or 'value'. Anything else that is raised ends the process.

    What was read must be a value like any other: written and read again, it is the same.
    """
    try:
        value = read(data)
    except DecodeError as error:
        return error.reason
    if write is not None:
        assert read(write(value)) == value, data.hex()
    return "value"


def table():
    for name, codec, data, reason in TABLE:
        found = reason_of(codec.decode, data)
        assert found == reason, f"{name}: {found}, not {reason}"


def amplification():
    """As many items as fit into the largest value: one too many is refused, the most is held."""
    tail = varint(0) * 3 + b"\x00" * 8 + b"\x00\x00"
    blocks = 65_536
    for part in (b"\x01", b"\x00"):
        flags = varint(blocks) + part * blocks + b"\x00"
        numbers = varint(blocks) + b"\x01" * blocks + b"\x00"
        lists = varint(blocks) + b"\x00" * blocks + b"\x00"
        data = PREFIX + flags + numbers + lists + tail
        assert len(data) < VALUE_BYTES
        found = reason_of(lambda d: PAYLOADS.decode(d, Hostile), data)
        assert found == "value", found
    data = PREFIX + varint(blocks + 1) + b"\x01" * (blocks + 1) + b"\x00" * 5 + tail
    assert reason_of(lambda d: PAYLOADS.decode(d, Hostile), data) == "too_many_items"


def varint(value):
    out, rest = bytearray(), value << 1
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def mutated(random_, data):
    """A valid record, damaged the way that finds most: flips, cuts, copies, extreme numbers."""
    data = bytearray(data)
    for _ in range(random_.randint(1, 4)):
        at = random_.randrange(len(data)) if data else 0
        match random_.randrange(6):
            case 0 if data:
                data[at] ^= 1 << random_.randrange(8)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = data[at : at + random_.randint(1, 20)]
            case 3:
                data[at : at + 1] = HUGE
            case 4 if data:
                data[at] = random_.choice((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF))
            case _:
                data[at:at] = random_.randbytes(random_.randint(1, 12))
    return bytes(data)


def fuzz(rounds, seed):
    random_ = random.Random(seed)
    readers = [
        (
            encode(CODEC, name, value),
            lambda data, name=name: decode(CODEC, name, data),
            # What any command may turn into is written by its own type.
            CODEC.encode_command
            if METHODS[name] == "command"
            else lambda value, name=name: encode(CODEC, name, value),
        )
        for name, value in SAMPLES.items()
    ]
    payload = (
        lambda data: PAYLOADS.read(data, Hostile),
        lambda value: PAYLOADS.encode(value, Hostile),
    )
    readers += [
        (PAYLOADS.encode(VALID, Hostile), *payload),
        (
            json.dumps(PAYLOADS.to_json(PAYLOADS.encode(VALID, Hostile), Hostile)).encode(),
            *payload,
        ),
        (
            b'{"cancel": "s", "actor": "a", "reason": "\\u00e9"}',
            CODEC.decode_command,
            CODEC.encode_command,
        ),
    ]
    reasons, slowest_s = {}, 0.0
    for number in range(rounds):
        valid, read, write = readers[number % len(readers)]
        keep = 10 if valid[:1] == b"\xc3" and random_.random() < 0.9 else 0
        data = valid[:keep] + mutated(random_, valid[keep:])
        if number % 7 == 0:
            data = valid[:keep] + random_.randbytes(random_.randint(0, 200))
        began = time.process_time()
        reason = reason_of(read, data, write)
        slowest_s = max(slowest_s, time.process_time() - began)
        reasons[reason] = reasons.get(reason, 0) + 1
    return reasons, slowest_s


def main():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table()
    amplification()
    reasons, slowest_s = fuzz(int(sys.argv[1]), int(sys.argv[2]))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    found = {"reasons": reasons, "slowest_s": slowest_s, "grown_kb": grown}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
