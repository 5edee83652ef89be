"""Envelope: one Kafka record as the rest of the house sees it."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """Where a record lies: the proof of its cause. A partition's cursor counts in these."""

    topic: str
    partition: int
    offset: int


class Envelope(NamedTuple):
    """A record read from Kafka, nothing decoded yet."""

    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


class Record(NamedTuple):
    """A record to be written. `partition` is always chosen by us, never by the client library."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
