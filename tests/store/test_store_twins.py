"""Whatever is done to both, the store on disk and its twin in memory answer alike."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestrator.core.state import Timer
from orchestrator.store import timers as window
from orchestrator.store.base import Batch, Piece
from orchestrator.store.memory import MemoryStores
from orchestrator.store.rocks import RocksStores, StoreSettings

WINDOW_COUNT = 4
HELD_MS = 1 << 61
"""Some batches are written at once, as the clock is set back before them; most wait for others."""
NAMES = ["a", "a.b", "a-b", "A", "saga_1", "z" * 128]
SAGAS = st.sampled_from(NAMES)
TIMERS = st.builds(Timer, st.integers(0, 40), SAGAS, st.integers(-1, 2))


class Twins(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.usual_count, window.WINDOW_COUNT_MAX = window.WINDOW_COUNT_MAX, WINDOW_COUNT
        self.folder = TemporaryDirectory()
        small = StoreSettings(
            cache_bytes=1 << 20, write_buffer_bytes=1 << 20, write_behind_ms=HELD_MS
        )
        self.makers = (RocksStores(Path(self.folder.name), small), MemoryStores())
        self.open()

    def open(self):
        self.disk, self.memory = (maker.open(0) for maker in self.makers)

    @rule(
        puts=st.dictionaries(SAGAS, st.binary(max_size=20), max_size=3),
        deletes=st.lists(SAGAS, max_size=2),
        added=st.lists(TIMERS, max_size=6),
        removed=st.lists(TIMERS, max_size=3),
        fired_count=st.integers(0, 5),
        cursor=st.none() | st.binary(max_size=4),
        position=st.integers(0, 2**62),
    )
    def apply(self, puts, deletes, added, removed, fired_count, cursor, position):  # noqa: PLR0917
        fired = self.memory.due(30, fired_count)
        batch = Batch(
            position=position,
            synced_at_ms=position // 2,
            cursor=cursor,
            puts=puts,
            deletes=tuple(deletes),
            timers_added=tuple(added),
            timers_removed=(*fired, *removed),
        )
        for store in (self.disk, self.memory):
            store.apply(batch)

    @rule(
        snapshots=st.dictionaries(SAGAS, st.none() | st.binary(max_size=20), max_size=3),
        added=st.lists(TIMERS, max_size=6),
        removed=st.lists(TIMERS, max_size=3),
        cursor=st.none() | st.binary(max_size=4),
        position=st.integers(0, 2**62),
    )
    def replay(self, snapshots, added, removed, cursor, position):
        piece = Piece(
            position,
            position // 2,
            cursor,
            {saga_id.encode(): snapshot for saga_id, snapshot in snapshots.items()},
            [(due_ms, saga_id.encode(), step) for due_ms, saga_id, step in added],
            [(due_ms, saga_id.encode(), step) for due_ms, saga_id, step in removed],
        )
        for store in (self.disk, self.memory):
            store.replay(piece)

    @rule()
    def reopen(self):
        self.close()
        self.open()

    @rule(now_ms=st.integers(0, 50), limit=st.integers(0, 12))
    def due(self, now_ms, limit):
        assert self.disk.due(now_ms, limit) == self.memory.due(now_ms, limit)

    @rule()
    def items(self):
        assert list(self.disk.items()) == list(self.memory.items())

    @invariant()
    def alike(self):
        for look in (
            lambda store: store.cursor(),
            lambda store: (store.position(), store.synced_at_ms()),
            lambda store: store.next_due_ms(),
            lambda store: [store.get(name) for name in NAMES],
        ):
            assert look(self.disk) == look(self.memory)

    def close(self):
        self.disk.close()
        self.memory.close()

    def teardown(self):
        self.items()
        assert self.disk.due(1 << 60, 10_000) == self.memory.due(1 << 60, 10_000)
        self.close()
        self.folder.cleanup()
        window.WINDOW_COUNT_MAX = self.usual_count


TestTwins = Twins.TestCase
TestTwins.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
