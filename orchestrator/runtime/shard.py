"""One shard: its store, the decoded states in memory, and what the open transaction would change.

The store and the cache hold committed states only. What a transaction decides lies in the overlay;
once it is on its way to Kafka it is sealed, and a new overlay takes what is decided meanwhile. Both
are simply forgotten if Kafka does not acknowledge the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from itertools import islice
from typing import NamedTuple, TypeAlias

from orchestrator.codec.envelope import Envelope
from orchestrator.codec.records import Cursor
from orchestrator.core.state import (
    TERMINAL,
    SagaState,
    Timer,
    moved_reminder,
    reminder,
    timers,
)
from orchestrator.errors import CorruptStore, DecodeError, StateError
from orchestrator.store.base import Batch, ShardStore

POSTPONED_COUNT_MAX = 1_000
"""Resting timers remembered a shard."""


class ShardStatus(StrEnum):
    """What may be done with a shard."""

    RESTORING = "restoring"
    RUNNING = "running"
    SUSPENDED = "suspended"
    """Revoked, and perhaps soon ours again: the store stays open, nothing is decided."""
    HALTED = "halted"
    """Its data contradict each other: a person must look. The other shards go on."""


class Halt(NamedTuple):
    """The shard must not run. `text` says what was found, and `operator_action` what helps."""

    reason: str
    text: str
    operator_action: str = StateError.operator_action


class Change(NamedTuple):
    """What the open transaction does to one saga."""

    state: SagaState | None
    """None: it is forgotten."""
    before: SagaState | None
    """As it was before this transaction."""
    snapshot: bytes | None
    """The encoded state; None while others may still change it: it is encoded when all is sent."""
    bytes_max: int
    """How many bytes the snapshot has, or will have at most."""


Lookup: TypeAlias = tuple[SagaState | None, SagaState | None]
"""A saga as the next decision must see it, and as it was before the open transaction."""


class Shard:
    """One partition of every input topic, with the state of its sagas."""

    def __init__(
        self,
        partition: int,
        store: ShardStore,
        decode: Callable[[bytes], SagaState],
        cache_count_max: int,
    ) -> None:
        self.partition = partition
        self.store = store
        self.status = ShardStatus.RESTORING
        self.halt: Halt | None = None
        """Why it is, or was last, HALTED."""
        self.cursor: Cursor | None = None
        """As committed."""
        self.positions: dict[str, int] = {}
        """Topic to next offset, as committed."""
        self.moved: dict[str, int] = {}
        """Topic to next offset, as far as the open transaction differs."""
        self.overlay: dict[str, Change] = {}
        self._sealed: dict[str, Change] = {}
        """What the transaction under way does, if there is one."""
        self._sealed_moved: dict[str, int] = {}
        self.announced = False
        """Whether every input's position was committed since the shard is ours."""
        self.backlog: dict[str, int] = {}
        """Topic to where it ended when the shard became ours: what lies ready comes before timers."""
        self.clock_ms = 0
        self.broken = ""
        """What is wrong with the files of the store, found in use: they must be set aside."""
        self.postponed: dict[Timer, int] = {}
        """Timers that could not be fired, and when to try again."""
        self._decode = decode
        self._cache_count_max = cache_count_max
        self._known: dict[str, SagaState] = {}
        """Committed states of sagas that have not ended, the longest unchanged first."""
        self._reminders: dict[str, Timer | None] = {}
        """Of sagas in `_known`: the due index has this reminder, or an earlier one. See `due`."""

    def tick(self, now_ms: int) -> int:
        """Move the shard's clock to `now_ms`, never back; give what it shows."""
        self.clock_ms = max(self.clock_ms, now_ms)
        return self.clock_ms

    def look_up(self, saga_id: str) -> Lookup:
        """The saga as the open transaction would leave it. Raises CorruptStore."""
        change = self.overlay.get(saga_id)
        if change is not None:
            return change.state, change.before
        change = self._sealed.get(saga_id)
        if change is not None:
            return change.state, change.state
        state = self._known.get(saga_id)
        if state is None:
            try:  # not `_noting_what_breaks`: most starts come here
                snapshot = self.store.get(saga_id)
                state = None if snapshot is None else self._read(saga_id, snapshot)
            except CorruptStore as error:
                self.broken = str(error)
                raise
        return state, state

    @contextmanager
    def _noting_what_breaks(self) -> Iterator[None]:
        try:
            yield
        except CorruptStore as error:
            self.broken = str(error)
            raise

    def _read(self, saga_id: str, snapshot: bytes) -> SagaState:
        try:
            return self._decode(snapshot)
        except DecodeError as error:
            raise CorruptStore(
                f"shard {self.partition}: snapshot of {saga_id}: {error}"
            ) from error

    def next_offset(self, topic: str) -> int:
        """The next offset of an input, the open transaction included."""
        for moved in (self.moved, self._sealed_moved):
            if topic in moved:
                return moved[topic]
        return self.positions.get(topic, 0)

    def unread(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Those of these records, in order, that come next: not what was fetched before a seek."""
        next_offsets: dict[str, int] = {}
        found = []
        for envelope in envelopes:
            topic, _, offset = envelope.origin
            least = next_offsets.get(topic)
            if offset >= (self.next_offset(topic) if least is None else least):
                next_offsets[topic] = offset + 1
                found.append(envelope)
        return found

    def offsets(self) -> dict[str, int]:
        """The next offset of every input, the open transaction included."""
        return {**self.positions, **self._sealed_moved, **self.moved}

    def is_behind(self) -> bool:
        """Whether input is unread that lay ready when the shard became ours, as far as is known.

        A topic may end in transaction markers, which no position ever reaches.
        """
        if self.backlog:
            left = ((t, end) for t, end in self.backlog.items() if self.next_offset(t) < end)
            self.backlog = dict(left)
        return bool(self.backlog)

    def due(self, now_ms: int, limit: int) -> tuple[Timer, ...]:
        """At most `limit` timers to fire now, the earliest first. None that fired just before.

        The store has reminders: a saga has timers that are due only if it has a reminder that is.
        One that came too early is moved on. Raises CorruptStore.
        """
        with self._noting_what_breaks():
            found = self.store.due(now_ms, limit + len(self.postponed))
            ready = self._ready(found, now_ms) if found else ()
        return ready[:limit]

    def _ready(self, reminders: Sequence[Timer], now_ms: int) -> tuple[Timer, ...]:
        ready: set[Timer] = set()
        early: dict[Timer, Timer | None] = {}
        for one in reminders:
            state, _ = self.look_up(one.saga_id)
            due = [] if state is None else [t for t in timers(state) if t.due_ms <= now_ms]
            ready.update(due)
            # What is not committed yet moves its reminder when it is.
            if self.is_changing(one.saga_id):
                continue
            if one not in due:
                early[one] = reminder(state)
            elif state is not None:
                self._known.setdefault(one.saga_id, state)  # to fire it needs the state again
        if early:
            self._move(early)
        return tuple(sorted(t for t in ready if self.postponed.get(t, 0) <= now_ms))

    def _move(self, reminders: Mapping[Timer, Timer | None]) -> None:
        """Let other reminders, or none, stand where these did."""
        store, added = self.store, tuple(filter(None, reminders.values()))
        position, synced_at_ms = store.position(), store.synced_at_ms()
        store.apply(
            Batch(position, synced_at_ms, timers_added=added, timers_removed=tuple(reminders))
        )
        for one, moved in reminders.items():
            if one.saga_id in self._reminders:
                self._reminders[one.saga_id] = moved

    def next_due_ms(self, now_ms: int) -> int | None:
        """When to ask for timers again; None if nobody knows: there are none, or one rests.

        Raises CorruptStore.
        """
        with self._noting_what_breaks():
            due_ms = self.store.next_due_ms()
        is_resting = due_ms is not None and due_ms <= now_ms and bool(self.postponed)
        return None if is_resting else due_ms

    def postpone(self, timer: Timer, until_ms: int) -> None:
        """Let a timer that cannot be fired rest. Bounded: beyond, the longest resting are tried."""
        if len(self.postponed) >= POSTPONED_COUNT_MAX:
            del self.postponed[next(iter(self.postponed))]
        self.postponed[timer] = until_ms

    @property
    def is_settled(self) -> bool:
        """Whether the store holds all that was decided."""
        return not (self.overlay or self._sealed)

    def is_changing(self, saga_id: str) -> bool:
        """Whether a transaction that is not committed yet changes this saga."""
        return saga_id in self.overlay or saga_id in self._sealed

    def seal(self) -> None:
        """Close the overlay, as its transaction is on its way, and begin the next."""
        self._sealed, self.overlay = self.overlay, {}
        self._sealed_moved, self.moved = self.moved, {}

    def forget_open(self) -> None:
        """Undo everything the open transaction meant to do."""
        self.overlay, self.moved = {}, {}

    def forget_overlay(self) -> None:
        """Undo everything that is not committed."""
        self.forget_open()
        self._sealed, self._sealed_moved = {}, {}

    def settle(self, cursor: Cursor, encoded: bytes, position: int, now_ms: int) -> None:
        """Take over the sealed transaction, now committed: store first, then memory.

        Raises CorruptStore: then it is in the changelog alone.
        """
        overlay = self._sealed
        moved, added, removed = self._moved_reminders(now_ms)
        puts = {saga_id: c.snapshot for saga_id, c in overlay.items() if c.snapshot is not None}
        deletes = tuple(saga_id for saga_id, c in overlay.items() if c.snapshot is None)
        with self._noting_what_breaks():
            self.store.apply(Batch(position, now_ms, encoded, puts, deletes, added, removed))
        self._reminders.update(moved)
        self._remember()
        self.cursor = cursor
        self.positions.update(self._sealed_moved)
        self.announced = True
        self._sealed, self._sealed_moved = {}, {}

    def _moved_reminders(
        self, now_ms: int
    ) -> tuple[dict[str, Timer | None], tuple[Timer, ...], tuple[Timer, ...]]:
        """What the sealed transaction does to reminders: by saga, and to the due index."""
        held_by = self._reminders.get
        moved: dict[str, Timer | None] = {}
        added: list[Timer] = []
        removed: list[Timer] = []
        for saga_id, (after, before, _, _) in self._sealed.items():
            # Of a saga that was out of memory nothing better is known: there it was put last.
            held = held_by(saga_id) or reminder(before)
            found = moved[saga_id] = moved_reminder(held, before, after, now_ms)
            if found != held:
                if held is not None:
                    removed.append(held)
                if found is not None:
                    added.append(found)
        return moved, tuple(added), tuple(removed)

    def _remember(self) -> None:
        known, forget = self._known, self._reminders.pop
        for saga_id, (state, _, _, _) in self._sealed.items():
            known.pop(saga_id, None)
            # Hardly anybody asks for one that has ended: it would only fill the processor's caches.
            if state is not None and state.phase not in TERMINAL:
                known[saga_id] = state
            else:
                forget(saga_id, None)
        for saga_id in list(islice(known, max(0, len(known) - self._cache_count_max))):
            del known[saga_id]
            forget(saga_id, None)

    def note_synced(self, now_ms: int) -> None:
        """Let the store say that it holds all that is committed. Raises CorruptStore."""
        if self.is_settled:  # otherwise its commit will say so
            with self._noting_what_breaks():
                self.store.apply(Batch(self.store.position(), now_ms))

    def write_due(self, now_ms: int) -> None:
        """Let the store write what has waited for long enough. Raises CorruptStore."""
        with self._noting_what_breaks():
            self.store.write_due(now_ms)

    def reset(self) -> None:
        """Forget what memory holds; the store speaks from now on."""
        self.forget_overlay()
        self._known.clear()
        self._reminders.clear()
        self.postponed.clear()
        self.backlog = {}
        self.announced = False
