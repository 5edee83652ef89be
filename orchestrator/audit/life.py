"""One saga's present life, fed with its transitions as they come. Pure.

An id may live again once it is forgotten; what an earlier life left in the log is dropped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from orchestrator.audit.timeline import Moment, timeline
from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.records import Outcome, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.events import CommandRefused, SagaEnded, SagaStarted
from orchestrator.core.log import replay
from orchestrator.core.state import SagaState
from orchestrator.errors import CommandRejected

DUPLICATE = "duplicate"
"""Why a start is refused that repeats one: the saga is there, and nothing was lost."""

R = TypeVar("R")
Entry = tuple[Origin, Transition]


def starts(transition: Transition) -> bool:
    """Whether a saga's life begins with this transition."""
    return isinstance(transition.events[0], SagaStarted)


def ends(transition: Transition) -> bool:
    """Whether the saga has ended with this transition."""
    return isinstance(transition.events[-1], SagaEnded)


def rejection(transition: Transition) -> CommandRejected | None:
    """Give the refusal that a command met with, if that is what the transition says."""
    for event in transition.events:
        if isinstance(event, CommandRefused):
            return CommandRejected(event.reason, event.text)
    return None


class Life:
    """What the transitions so far say about a saga."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.state: SagaState | None = None
        """None before the beginning was seen: it may have expired."""
        self.outcome: Outcome | None = None
        """How it ended, as the outcomes topic has it."""

    def add(self, origin: Origin, transition: Transition) -> None:
        """Take the next transition, in log order.

        Raises:
            StateError: It does not follow what was there.
        """
        if starts(transition):
            self.entries, self.state, self.outcome = [], None, None
        self.entries.append((origin, transition))
        if self.state is not None or starts(transition):
            self.state = replay(self.state, transition.sequence, transition.events)
        if self.state is not None and ends(transition):
            self.outcome = _outcome(self.state, transition)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Every event of this life."""
        return tuple(timeline(self.entries))


def _outcome(state: SagaState, transition: Transition) -> Outcome:
    ended = transition.events[-1]
    result = ended.result if isinstance(ended, SagaEnded) else b""
    return Outcome(
        state.saga_id,
        state.definition,
        state.version,
        state.phase.name.lower(),
        state.consistency.name.lower(),
        state.sequence,
        state.started_ms,
        transition.at_ms,
        result,
    )


class Results(Generic[R]):
    """What became of many commands of one shard; fed with its events and dead letters."""

    def __init__(self, commands: Mapping[Origin, R], codec: RecordCodec) -> None:
        """Look for these: a command's place, and whatever stands for it."""
        self._wanted = dict(commands)
        self._codec = codec
        self._lives: dict[bytes | None, tuple[Origin, Life]] = {}
        self.found: dict[Origin, Outcome | CommandRejected] = {}
        self.repeated: list[R] = []
        """Starts that were there before: how their sagas end is to be looked for elsewhere."""

    @property
    def complete(self) -> bool:
        """Whether all is known that can be known from here."""
        return not self._wanted and not self._lives

    def add(self, envelope: Envelope, *, dead: bool) -> None:
        """Take the next record: a dead letter, or a transition."""
        value = envelope.value or b""
        if dead:
            letter = self._codec.decode_dead_letter(value)
            if self._wanted.pop(letter.origin, None) is not None:
                self.found[letter.origin] = CommandRejected(letter.reason, letter.text)
            return
        transition = self._codec.decode_transition(value)
        cause = transition.cause.origin
        command = self._wanted.pop(cause, None)
        if command is not None:
            self._take(envelope.key, cause, command, transition)
        if envelope.key in self._lives:
            self._go_on(envelope, transition)

    def _take(self, key: bytes | None, cause: Origin, command: R, transition: Transition) -> None:
        rejected = rejection(transition)
        if starts(transition):
            self._lives[key] = cause, Life()
        elif rejected is None or rejected.reason == DUPLICATE:
            self.repeated.append(command)
        else:
            self.found[cause] = rejected

    def _go_on(self, envelope: Envelope, transition: Transition) -> None:
        cause, life = self._lives[envelope.key]
        life.add(envelope.origin, transition)
        if life.outcome is not None:
            self.found[cause] = life.outcome
            del self._lives[envelope.key]
