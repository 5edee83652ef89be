"""What every `ShardStore` must do. A subclass says how its stores are made."""

from __future__ import annotations

import pytest

from orchestrator.core.state import Timer
from orchestrator.errors import StateError
from orchestrator.store import timers as window
from orchestrator.store.base import Batch, ShardStore, Stores


class ShardStoreContract:
    @pytest.fixture
    def stores(self) -> Stores:
        raise NotImplementedError

    @pytest.fixture
    def store(self, stores):
        store = stores.open(3)
        yield store
        store.close()

    def test_a_new_store_is_empty(self, store: ShardStore):
        assert store.get("a") is None
        assert store.cursor() is None
        assert (store.position(), store.synced_at_ms()) == (0, 0)
        assert store.due(1 << 60, 10) == ()
        assert store.next_due_ms() is None
        assert list(store.items()) == []

    def test_a_batch_is_there_at_once_and_after_reopening(self, stores: Stores):
        store = stores.open(3)
        store.apply(
            Batch(
                position=7,
                synced_at_ms=99,
                cursor=b"here",
                puts={"b": b"two", "a": b"one"},
                timers_added=(Timer(50, "a", -1), Timer(40, "b", 2)),
            )
        )
        for _ in range(2):
            assert store.get("a") == b"one"
            assert store.cursor() == b"here"
            assert (store.position(), store.synced_at_ms()) == (7, 99)
            assert list(store.items()) == [("a", b"one"), ("b", b"two")]
            assert store.next_due_ms() == 40
            assert store.due(100, 10) == (Timer(40, "b", 2), Timer(50, "a", -1))
            store.close()
            store = stores.open(3)
        store.close()

    def test_a_batch_without_cursor_leaves_the_cursor(self, store: ShardStore):
        store.apply(Batch(position=1, synced_at_ms=1, cursor=b"c1"))
        store.apply(Batch(position=2, synced_at_ms=5))

        assert store.cursor() == b"c1"
        assert (store.position(), store.synced_at_ms()) == (2, 5)

    def test_deletes_forget_and_may_miss(self, store: ShardStore):
        store.apply(Batch(position=1, synced_at_ms=0, puts={"a": b"1", "b": b"2"}))
        store.apply(Batch(position=2, synced_at_ms=0, deletes=("a", "never")))

        assert store.get("a") is None
        assert list(store.items()) == [("b", b"2")]

    def test_empty_snapshots_are_kept_apart_from_none(self, store: ShardStore):
        store.apply(Batch(position=1, synced_at_ms=0, puts={"a": b""}))

        assert store.get("a") == b""

    def test_due_is_inclusive_ordered_and_limited(self, store: ShardStore):
        timers = tuple(Timer(due, saga, step) for due in (30, 10, 20) for saga, step in _OWNERS)
        store.apply(Batch(position=1, synced_at_ms=0, timers_added=timers))

        assert store.due(9, 10) == ()
        assert store.due(20, 100) == tuple(sorted(t for t in timers if t.due_ms <= 20))
        assert store.due(20, 2) == tuple(sorted(timers)[:2])
        assert store.due(20, 0) == ()

    def test_a_removed_timer_is_not_due_and_one_in_both_is(self, store: ShardStore):
        first, second = Timer(1, "a", 0), Timer(2, "a", 0)
        store.apply(Batch(position=1, synced_at_ms=0, timers_added=(first, second)))
        store.apply(
            Batch(
                position=2,
                synced_at_ms=0,
                timers_added=(second,),
                timers_removed=(first, second, Timer(3, "never", 0)),
            )
        )

        assert store.due(10, 10) == (second,)
        assert store.next_due_ms() == 2

    def test_adding_a_timer_twice_arms_it_once(self, store: ShardStore):
        for position in (1, 2):
            batch = Batch(position=position, synced_at_ms=0, timers_added=(Timer(1, "a", 0),))
            store.apply(batch)

        assert store.due(10, 10) == (Timer(1, "a", 0),)

    def test_more_timers_than_the_window_fire_once_each_in_order(self, store, monkeypatch):
        monkeypatch.setattr(window, "WINDOW_COUNT_MAX", 20)
        timers = tuple(Timer((index * 37) % 101, f"s{index}", 0) for index in range(300))
        store.apply(Batch(position=1, synced_at_ms=0, timers_added=timers))
        fired: list[Timer] = []
        while due := store.due(1_000, 7):
            fired += due
            late = (Timer(500, f"late{len(fired)}", 0),) if len(fired) < 50 else ()
            store.apply(Batch(position=1, synced_at_ms=0, timers_removed=due, timers_added=late))

        late_count = len(fired) - len(timers)
        assert late_count == 7
        assert fired == sorted(fired)
        assert set(timers) <= set(fired)

    def test_every_saga_is_listed_however_many(self, store: ShardStore):
        sagas = {f"saga-{index:05d}": b"%d" % index for index in range(2_500)}
        store.apply(Batch(position=1, synced_at_ms=0, puts=sagas))

        assert list(store.items()) == sorted(sagas.items())

    def test_a_closed_store_refuses(self, store: ShardStore):
        store.close()
        store.close()

        for use in (
            lambda: store.get("a"),
            store.cursor,
            store.position,
            store.synced_at_ms,
            store.next_due_ms,
            lambda: store.due(1, 1),
            lambda: list(store.items()),
            lambda: store.apply(Batch(position=1, synced_at_ms=1)),
        ):
            with pytest.raises(StateError):
                use()

    def test_destroyed_and_set_aside_stores_start_anew(self, stores: Stores):
        for end in ("destroy", "set_aside"):
            store = stores.open(3)
            assert store.position() == 0
            store.apply(
                Batch(
                    position=9, synced_at_ms=1, puts={"a": b"1"}, timers_added=(Timer(1, "a", 0),)
                )
            )
            store.destroy() if end == "destroy" else store.close()
            if end == "set_aside":
                stores.set_aside(3)

        assert stores.open(3).get("a") is None

    def test_shards_do_not_share(self, stores: Stores):
        one, two = stores.open(1), stores.open(2)
        one.apply(Batch(position=1, synced_at_ms=0, puts={"a": b"1"}))

        assert two.get("a") is None
        one.close()
        two.close()


_OWNERS = (("a", 0), ("a", -1), ("a.b", 3), ("a-", 1), ("A", 700))
