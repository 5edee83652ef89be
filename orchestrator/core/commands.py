"""Inputs of the core: wishes, answers, and the passing of time. All of them may arrive twice."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, TypeAlias


class StartSaga(NamedTuple):
    """Start a saga. `version` 0: the newest that this program knows."""

    saga_id: str
    definition: str
    version: int
    payload: bytes


class ReplyOutcome(IntEnum):
    """What a participant answered. The numbers travel: never change one."""

    SUCCEEDED = 1
    FAILED = 2
    """A declared business failure: final, and nothing happened."""
    RETRY = 3
    """Not now, or not clear: send it again."""


class ReplyReceived(NamedTuple):
    """A participant's answer to one step command."""

    saga_id: str
    step_id: str
    direction: str
    attempt: int
    outcome: ReplyOutcome
    payload: bytes
    """The result, or the declared failure; empty for RETRY."""
    text: str
    """For people: why it failed."""
    participant: str
    """Who answered, as proved by the reply topic."""


class TimerFired(NamedTuple):
    """A timer came due. `step` -1: the saga's own (deadline, or forgetting)."""

    saga_id: str
    step: int
    due_ms: int


class CancelSaga(NamedTuple):
    """Turn the saga back. Refused once the pivot has been requested."""

    saga_id: str
    actor: str
    reason: str


class RetrySaga(NamedTuple):
    """Try everything that is stuck once more, with a fresh budget of attempts."""

    saga_id: str
    actor: str
    reason: str


class SkipStep(NamedTuple):
    """Give up on a stuck step or compensation; the outcome's consistency becomes unknown."""

    saga_id: str
    step_id: str
    actor: str
    reason: str


class ResolveStep(NamedTuple):
    """Say that a person has done by hand what a stuck step or compensation could not.

    `result` (encoded) is needed if the step is a forward one and something later reads its result.
    """

    saga_id: str
    step_id: str
    actor: str
    reason: str
    result: bytes


OperatorCommand: TypeAlias = CancelSaga | RetrySaga | SkipStep | ResolveStep
Command: TypeAlias = StartSaga | ReplyReceived | TimerFired | OperatorCommand
