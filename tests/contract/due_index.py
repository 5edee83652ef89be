"""What a shard owes its store's due index: a reminder of each saga that is never late."""

from __future__ import annotations

from orchestrator.codec.wire import RecordCodec
from orchestrator.core.state import timers

_CODEC = RecordCodec()
_FOR_EVER_MS = 1 << 62


def late_timers(store):
    """Armed timers of the sagas in a store that its due index would wake nobody for in time."""
    first_ms = {}
    for one in store.due(_FOR_EVER_MS, 1_000_000):
        first_ms.setdefault(one.saga_id, one.due_ms)
    states = (_CODEC.decode_snapshot(snapshot) for _, snapshot in store.items())
    armed = (timer for state in states for timer in timers(state))
    return [one for one in armed if first_ms.get(one.saga_id, _FOR_EVER_MS) > one.due_ms]
