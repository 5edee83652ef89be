"""Envelope: one Kafka record as the rest of the house sees it."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.core.tuples import constructor


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


new_origin = constructor(Origin)
new_envelope = constructor(Envelope)
new_record = constructor(Record)
"""The three, made quicker: for those who make one of each record that comes or goes."""
