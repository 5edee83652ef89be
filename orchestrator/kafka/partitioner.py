"""Which partition a key belongs to: murmur2, as Java's default partitioner has it. Pure.

Computed here and passed explicitly: the client library's own default is another hash.
"""

from __future__ import annotations

import struct
from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


@lru_cache(256)
def _words(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}I")


def murmur2(data: bytes) -> int:
    """32-bit murmur2 of `data`, unsigned."""
    length = len(data)
    rest = length & 3
    h = (_SEED ^ length) & _MASK
    for word in _words(length >> 2).unpack_from(data):
        k = word * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if rest:
        h = (h ^ int.from_bytes(data[-rest:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


def partition(key: bytes, partitions: int) -> int:
    """Partition of `key` among `partitions`, from 0."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
