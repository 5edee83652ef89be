"""Replay of one shard: fold its log and hold the result against every copy of its states. Pure.

The log is the events partition. A *copy* is what somebody else keeps of the same states: the
changelog, or a worker's local store. Copies and log are read at slightly different moments while
workers go on, so each copy has a *cut*: the place in the log up to which it must have everything.

How the cut is found. A copy is read before the log, so the log is never behind it. Each copy ends
with a cursor, and a cursor says which inputs its transaction had consumed. A transition whose cause
is such an input is before the cut, and so is everything in the log before it, because a shard's
transactions are serial. A transition after the last of these is after the cut, or one of a timer
that cannot be told apart from it. If nothing was committed while both were read (the caller knows
it: `settled`), the cut is simply the end of the log.

Each saga's snapshot is then compared byte for byte with the fold at the snapshot's own sequence:
transitions and snapshots of one transaction are atomic, so there is always such a moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Cursor, Transition
from orchestrator.core.log import replay
from orchestrator.core.state import SagaState
from orchestrator.errors import DecodeError, StateError

Encode = Callable[[SagaState], bytes]
Decode = Callable[[bytes], SagaState]

DIFFERENCES_KEPT_MAX = 100
"""Of one shard, with both sides; the rest is only counted, so that a lost topic fits in memory."""


class Kind(StrEnum):
    """What is wrong."""

    BROKEN_LOG = "broken_log"
    """An event is missing, repeated, or cannot follow the one before it."""
    UNREADABLE = "unreadable"
    """A record's bytes cannot be decoded."""
    BYTES = "bytes"
    """Log and copy say different things of the same saga at the same sequence."""
    AHEAD = "ahead"
    """The copy knows a sequence at which the log never stood."""
    STALE = "stale"
    """The copy lacks the saga's later transitions, though they are before its cut."""
    MISSING = "missing"
    """The log has the saga, the copy does not, though it is before its cut."""


class Difference(NamedTuple):
    """One contradiction, with both sides as far as there are any."""

    kind: Kind
    copy: str
    """`changelog`, `store`, or `log` when the log contradicts itself."""
    partition: int
    saga: str
    sequence: int
    """Where it shows: the saga's sequence; 0 if it has none."""
    offset: int
    """Of the record that shows it, in events or changelog; -1: no record."""
    text: str
    expected: SagaState | None = None
    """What the log says."""
    found: SagaState | None = None
    """What the copy says."""


class Snapshot(NamedTuple):
    """One saga in a copy. `offset` -1: the copy has no offsets."""

    value: bytes
    offset: int = -1


@dataclass(frozen=True, slots=True)
class Copy:
    """What somebody else keeps of one shard's states, at one moment."""

    name: str
    snapshots: Mapping[str, Snapshot]
    cursor: Cursor | None
    """The last one in it; None: an empty copy."""


class ShardReport(NamedTuple):
    """What the replay of one shard found."""

    partition: int
    transitions_count: int
    events_count: int
    sagas_count: int
    """Distinct saga ids in the log."""
    open_count: int
    """Sagas that had not ended at the end of the log."""
    forgotten_count: int
    """Sagas whose time had come: only the log knows of them."""
    headless_count: int
    """Sagas whose first events are beyond the log's retention: they cannot be folded."""
    compared: Mapping[str, int]
    """For each copy, how many snapshots were found equal byte for byte."""
    differences_count: int
    differences: tuple[Difference, ...]
    """The first of them, in the order of the log."""


class _Life:
    """What is known of one saga while its log is folded."""

    __slots__ = ("broken", "headless", "started_offset", "state")

    def __init__(self) -> None:
        self.state: SagaState | None = None
        self.started_offset = -1
        self.broken = False
        self.headless = False


@dataclass(slots=True)
class _Match:
    """How one copy's snapshot of one saga stands to the log."""

    snapshot: Snapshot
    state: SagaState
    equal: bool = False
    next_offset: int = -1
    """The saga's first transition after the equal moment; -1: none."""
    other: SagaState | None = None
    """The fold at the same sequence, if it was not equal."""
    other_offset: int = -1


@dataclass(slots=True)
class _Side:
    """One copy under comparison."""

    copy: Copy
    inputs: Mapping[str, int]
    """Topic to next offset, as the copy's cursor says."""
    matches: dict[str, _Match] = field(default_factory=dict)
    cut_offset: int = 0
    """Every transition below is certainly in the copy."""


class ShardReplay:
    """Folds one shard's log, one transition at a time, and compares it with the copies given."""

    def __init__(
        self,
        partition: int,
        copies: tuple[Copy, ...],
        *,
        encode: Encode,
        decode: Decode,
        truncated: bool = False,
    ) -> None:
        """Begin; `truncated`: the log's beginning is beyond its retention."""
        self._partition = partition
        self._encode = encode
        self._truncated = truncated
        self._lives: dict[str, _Life] = {}
        self._differences: list[Difference] = []
        self._differences_count = 0
        self._counts: Counter[str] = Counter()
        self._end_offset = 0
        self._sides = tuple(self._side(copy, decode) for copy in copies)

    @property
    def states(self) -> Mapping[str, SagaState]:
        """Every saga that is neither forgotten nor unfoldable, as the log has it now."""
        return dict(self._alive())

    def add(self, origin: Origin, transition: Transition) -> None:
        """Fold the next record of the log; never raises for what the log says."""
        self._counts["transitions"] += 1
        self._end_offset = origin.offset + 1
        self._counts["events"] += len(transition.events)
        for side in self._sides:
            if _covers(side.inputs, self._partition, transition.cause.origin):
                side.cut_offset = origin.offset + 1
        life = self._lives.get(transition.saga)
        if life is None:
            life = self._lives[transition.saga] = _Life()
            life.headless = self._truncated and transition.sequence != 1
        if life.broken or life.headless:
            return
        try:
            state = replay(life.state, transition.sequence, transition.events)
        except StateError as error:
            life.broken = True
            self._report(
                Kind.BROKEN_LOG,
                "log",
                transition.saga,
                text=str(error),
                sequence=transition.sequence,
                offset=origin.offset,
                expected=life.state,
            )
            return
        _live_on(life, state, origin.offset)
        for side in self._sides:
            match = side.matches.get(transition.saga)
            if match is not None:
                self._compare(match, state, origin.offset)

    def unreadable(self, copy: str, origin: Origin, saga: str, error: DecodeError) -> None:
        """Note a record of the log, or of a copy, whose bytes cannot be decoded."""
        self._report(Kind.UNREADABLE, copy, saga, text=str(error), offset=origin.offset)
        if copy == "log" and saga in self._lives:
            self._lives[saga].broken = True

    def finish(self, settled: Collection[str] = ()) -> ShardReport:
        """Judge what is left over, and sum up.

        Args:
            settled: Names of the copies since whose reading nothing was committed.
        """
        for side in self._sides:
            if side.copy.name in settled:
                side.cut_offset = self._end_offset
        compared = {side.copy.name: self._judge(side) for side in self._sides}
        lives = self._lives.values()
        return ShardReport(
            partition=self._partition,
            transitions_count=self._counts["transitions"],
            events_count=self._counts["events"],
            sagas_count=len(self._lives),
            open_count=sum(1 for _, state in self._alive() if not state.ended),
            forgotten_count=sum(life.started_offset >= 0 and life.state is None for life in lives),
            headless_count=sum(life.headless for life in lives),
            compared=compared,
            differences_count=self._differences_count,
            differences=tuple(self._differences),
        )

    def _alive(self) -> Iterator[tuple[str, SagaState]]:
        for saga, life in self._lives.items():
            if life.state is not None and not life.broken:
                yield saga, life.state

    def _side(self, copy: Copy, decode: Decode) -> _Side:
        side = _Side(copy, dict(copy.cursor.inputs) if copy.cursor else {})
        for saga, snapshot in copy.snapshots.items():
            try:
                side.matches[saga] = _Match(snapshot, decode(snapshot.value))
            except DecodeError as error:
                self._report(
                    Kind.UNREADABLE, copy.name, saga, text=str(error), offset=snapshot.offset
                )
        return side

    def _compare(self, match: _Match, state: SagaState | None, offset: int) -> None:
        # The same id may live twice (forgotten, then started anew) and pass the same sequence
        # twice: any equal moment will do, a snapshot of the wrong life is then found stale.
        if state is not None and state.sequence == match.state.sequence:
            if self._encode(state) == match.snapshot.value:
                match.equal = True
                match.next_offset = -1
                return
            match.other, match.other_offset = state, offset
        if match.equal and match.next_offset < 0:
            match.next_offset = offset

    def _judge(self, side: _Side) -> int:
        equal_count = 0
        for saga, match in side.matches.items():
            life = self._lives.get(saga)
            if life is not None and (life.broken or life.headless):
                continue  # reported, or beyond what the log can say
            if match.equal and not 0 <= match.next_offset < side.cut_offset:
                equal_count += 1
            else:
                self._report_match(side.copy.name, saga, match, life)
        for saga, life in self._lives.items():
            if saga not in side.copy.snapshots and _must_be_there(life, side.cut_offset):
                self._report(
                    Kind.MISSING,
                    side.copy.name,
                    saga,
                    text="the log has this saga, the copy does not",
                    sequence=_sequence(life.state),
                    expected=life.state,
                )
        return equal_count

    def _report_match(self, copy: str, saga: str, match: _Match, life: _Life | None) -> None:
        if match.equal:
            kind, text = Kind.STALE, "later transitions of this saga are not in the copy"
            expected = life.state if life else None
        elif match.other is not None:
            kind, text, expected = Kind.BYTES, "not the same bytes", match.other
        elif life is None and self._truncated:
            return  # all its events are beyond the log's retention
        else:
            kind, text = Kind.AHEAD, "the log never stood at this sequence"
            expected = life.state if life else None
        self._report(
            kind,
            copy,
            saga,
            text=text,
            sequence=match.state.sequence,
            offset=match.snapshot.offset,
            expected=expected,
            found=match.state,
        )

    def _report(
        self,
        kind: Kind,
        copy: str,
        saga: str,
        *,
        text: str,
        sequence: int = 0,
        offset: int = -1,
        expected: SagaState | None = None,
        found: SagaState | None = None,
    ) -> None:
        self._differences_count += 1
        if len(self._differences) < DIFFERENCES_KEPT_MAX:
            where = (copy, self._partition, saga, sequence, offset)
            self._differences.append(Difference(kind, *where, text, expected, found))


def _sequence(state: SagaState | None) -> int:
    return 0 if state is None else state.sequence


def _live_on(life: _Life, state: SagaState | None, offset: int) -> None:
    if life.state is None:
        life.started_offset = offset
    life.state = state


def _must_be_there(life: _Life, cut_offset: int) -> bool:
    # One that was forgotten need not be: whether that was before the cut cannot be told apart.
    known = not (life.broken or life.headless)
    return known and life.state is not None and life.started_offset < cut_offset


def _covers(inputs: Mapping[str, int], partition: int, cause: Origin) -> bool:
    """Whether the copy's last transaction, or one before it, had consumed this record."""
    if cause.partition != partition or cause.offset < 0:
        return False  # a timer: no input, so the cursor says nothing of it
    return cause.offset < inputs.get(cause.topic, 0)
