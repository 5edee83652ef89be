"""How a ledger entry is spelled as bytes. Pure."""

from __future__ import annotations

import struct

from orchestrator.errors import CorruptStore
from orchestrator.participant.ledger import Entry

_HEAD = struct.Struct(">BBBHQH")
_pack = _HEAD.pack
_VERSION = 1
APPLIED_COUNT_MAX = 0xFFFF
TEXT_BYTES_MAX = 0xFFFF


def encode(entry: Entry) -> bytes:
    """Version, outcome, doubtful, applied count, time, length of the text; text; payload."""
    _, outcome, doubtful, applied_count, at_ms, words, payload = entry
    text = words.encode("utf-8", "replace")[:TEXT_BYTES_MAX] if words else b""
    count = min(applied_count, APPLIED_COUNT_MAX)
    return _pack(_VERSION, outcome, doubtful, count, at_ms, len(text)) + text + payload


def decode(operation: str, value: bytes) -> Entry:
    """Read an entry back. Raises CorruptStore if the bytes are none, or of a later version."""
    if len(value) < _HEAD.size or value[0] != _VERSION:
        raise CorruptStore(f"the ledger's entry of {operation} cannot be read")
    _, outcome, doubtful, applied_count, at_ms, text_length = _HEAD.unpack_from(value)
    body = _HEAD.size + text_length
    text = value[_HEAD.size : body].decode("utf-8", "replace") if text_length else ""
    return Entry(operation, outcome, bool(doubtful), applied_count, at_ms, text, value[body:])
