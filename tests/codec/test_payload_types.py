"""Any type that may travel, any value of it: bytes, JSON and fastavro agree."""

from __future__ import annotations

import io
import json
from dataclasses import fields, is_dataclass, make_dataclass
from enum import StrEnum
from itertools import count

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.codec import lint
from orchestrator.codec.derive import schema_of
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.errors import DecodeError

NUMBERS = count()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = [
    (str, TEXTS),
    (int, st.integers(-(2**63), 2**63 - 1)),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bytes, st.binary(max_size=20)),
]


def many(pair):
    return tuple[pair[0], ...], st.lists(pair[1], max_size=3).map(tuple)


def mapped(pair):
    return dict[str, pair[0]], st.dictionaries(TEXTS, pair[1], max_size=3)


def optional(pair):
    return pair[0] | None, st.none() | pair[1]


def record(pairs):
    # Each class its own name: two classes of one name cannot be in one schema.
    cls = make_dataclass(
        f"R{next(NUMBERS)}", [(f"f{n}", kind) for n, (kind, _) in enumerate(pairs)], frozen=True
    )
    return cls, st.builds(cls, **{f"f{n}": values for n, (_, values) in enumerate(pairs)})


def choice(symbols):
    cls = StrEnum(f"E{next(NUMBERS)}", {symbol.upper(): symbol for symbol in symbols})
    return cls, st.sampled_from(cls)


ENUMS = st.lists(st.sampled_from(["a", "b_2", "cc"]), min_size=1, unique=True).map(choice)
TYPES = st.recursive(
    st.sampled_from(SCALARS) | ENUMS,
    lambda inner: st.one_of(
        inner.map(many),
        inner.map(mapped),
        inner.filter(lambda pair: type(None) not in getattr(pair[0], "__args__", ())).map(
            optional
        ),
        st.lists(inner, min_size=1, max_size=4).map(record),
    ),
    max_leaves=6,
)
PAYLOAD_TYPES = st.lists(TYPES, max_size=5).map(record)
SLOW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plain(value):
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        # fastavro writes a map in the order it finds; ours is sorted.
        return {key: plain(part) for key, part in sorted(value.items())}
    return str(value) if isinstance(value, StrEnum) else value


@given(data=st.data(), pair=PAYLOAD_TYPES)
@SLOW
def test_bytes_json_and_fastavro_agree(data, pair):
    kind, values = pair
    value, payloads = data.draw(values), AvroPayloads()
    schema = schema_of(kind)
    assert lint.problems(schema) == ()
    encoded = payloads.encode(value, kind)
    assert payloads.decode(encoded, kind) == value
    as_json = json.dumps(payloads.to_json(encoded, kind)).encode()
    assert payloads.accept(as_json, kind) == encoded
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, plain(value))
    assert out.getvalue() == encoded[10:]


@given(data=st.data(), pair=PAYLOAD_TYPES)
@SLOW
def test_what_is_accepted_is_what_would_be_written(data, pair):
    # However it is checked: by making the value and writing it again, or only by reading it.
    kind, values = pair
    payloads = AvroPayloads()
    encoded = payloads.encode(data.draw(values), kind)
    at = data.draw(st.integers(10, len(encoded)))
    bad = (
        encoded[:at]
        + data.draw(st.binary(max_size=3))
        + encoded[at + data.draw(st.integers(0, 2)) :]
    )
    try:
        written = payloads.encode(payloads.decode(bad, kind), kind)
    except DecodeError:
        for check in (payloads.acceptor(kind), payloads.vetter(kind)):
            with pytest.raises(DecodeError):
                check(bad)
    else:
        assert payloads.accept(bad, kind) == written
        assert payloads.vetter(kind)(bad) == bad


@given(data=st.data(), pair=PAYLOAD_TYPES)
@SLOW
def test_any_json_is_a_value_or_a_refusal(data, pair):
    kind, values = pair
    payloads = AvroPayloads()
    good = payloads.to_json(payloads.encode(data.draw(values), kind), kind)
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    )
    for name in good:
        if data.draw(st.booleans()):
            good[name] = data.draw(anything)
    try:
        value = payloads.read(json.dumps(good).encode(), kind)
    except DecodeError:
        return
    assert payloads.decode(payloads.encode(value, kind), kind) == value
