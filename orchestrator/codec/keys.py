"""Keys and headers by which the engine knows its own records.

No changelog key is as short as a transaction marker's, or a log cleaner might take it for one
(KAFKA-14055).
"""

from __future__ import annotations

SNAPSHOT_KEY = b"s|"
"""Changelog: how the key of a saga's snapshot begins; the saga id follows."""
CURSOR_KEY = b"cursor|"
"""Changelog: the key of a shard's cursor."""
BARRIER_KEY = b"barrier|"
"""Changelog: the key of what a new owner writes to know how far it must read."""
REROUTED = "rerouted"
"""Header of a command that was passed on: where it came from, `topic/partition/offset`."""
