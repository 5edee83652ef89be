"""M54: years beyond 2038, leap days and time zones. All there is are milliseconds since the epoch."""

from __future__ import annotations

import time

import pytest
from test_runtime_batch import CODEC, NOW_MS, Bench

from orchestrator.core.state import Phase, Timer, timers
from orchestrator.runtime import clock
from orchestrator.store.base import Batch
from orchestrator.store.keys import timer, timer_key
from orchestrator.store.rocks import RocksStores, StoreSettings

SECOND_MS, MINUTE_MS, YEAR_MS = 1_000, 60_000, 31_556_952_000
LAST_OF_32_BITS_MS = (2**31 - 1) * SECOND_MS
MOMENTS = {
    "a leap day": 1_709_164_800_000,
    "the leap second of 2016": 1_483_228_800_000,
    "an hour that came twice in Berlin": 1_729_994_400_000,
    "the last second of 32 bits, signed": LAST_OF_32_BITS_MS,
    "the last second of 32 bits": (2**32 - 1) * SECOND_MS,
    "32 bits of minutes": 2**32 * MINUTE_MS,
    "the year 9999": 8_030 * YEAR_MS,
}


@pytest.fixture(params=MOMENTS.values(), ids=[name.replace(" ", "-") for name in MOMENTS])
def moment_ms(request):
    """Just before it. What is due comes after."""
    return request.param - 1


def records(bench):
    return [(record.topic, record.value) for record in bench.outbox.records]


def test_a_saga_passes_the_moment_with_all_its_timers(moment_ms):
    bench = Bench()
    bench.outbox.now_ms = moment_ms
    bench.start()
    (change,) = bench.shard.overlay.values()
    assert sorted(due.due_ms for due in timers(change.state)) == [
        moment_ms + 5 * SECOND_MS,
        moment_ms + 5 * MINUTE_MS,
    ]
    assert CODEC.decode_snapshot(change.snapshot) == change.state
    saga = change.state.saga_id.encode()
    assert CODEC.snapshot_timers(saga, change.snapshot) == tuple(
        (due.due_ms, saga, due.step) for due in timers(change.state)
    )
    bench.settle()

    assert bench.shard.due(moment_ms + 5 * SECOND_MS - 1, 10) == ()
    for ahead_ms in (5 * SECOND_MS, 5 * MINUTE_MS):
        bench.outbox.now_ms = moment_ms + ahead_ms
        due = bench.shard.due(bench.shard.tick(bench.outbox.now_ms), 10)
        assert due
        bench.interpreter.fire(bench.outbox, bench.shard, due)
        bench.settle()
    state, _ = bench.shard.look_up("s-1")
    assert (state.phase, state.cause) == (Phase.COMPENSATING, "deadline")
    assert state.started_ms == moment_ms


def test_timers_lie_on_disk_in_the_order_of_time(tmp_path):
    due = [Timer(ms + delta, "s", 0) for ms in MOMENTS.values() for delta in (-1, 0, 1)]
    assert [timer(timer_key(each)) for each in due] == due
    assert sorted(due) == [timer(key) for key in sorted(map(timer_key, due))]
    small = StoreSettings(cache_bytes=1 << 20, write_buffer_bytes=1 << 20)
    for _ in range(2):
        store = RocksStores(tmp_path, small).open(0)
        store.apply(Batch(1, LAST_OF_32_BITS_MS + 1, timers_added=tuple(due)))
        assert store.due(2**62, 100) == tuple(sorted(due))
        assert store.synced_at_ms() == LAST_OF_32_BITS_MS + 1
        store.close()


def test_no_time_zone_changes_a_byte(monkeypatch):
    """Nor may a zone's change of its clocks: what a worker asks for is the time since the epoch."""
    written = []
    for zone in ("UTC", "Europe/Berlin", "Pacific/Kiritimati", "right/UTC"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        monkeypatch.setattr(clock.time, "time_ns", lambda: NOW_MS * 1_000_000)
        monkeypatch.setattr(clock.time, "time", lambda: NOW_MS / 1_000)
        bench = Bench()
        bench.outbox.now_ms = clock.SystemClock().now_ms()
        bench.start()
        written.append(records(bench))
    monkeypatch.undo()
    time.tzset()
    assert bench.outbox.now_ms == NOW_MS
    assert all(each == written[0] for each in written)
