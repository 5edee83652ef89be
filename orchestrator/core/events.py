"""Events: what happened to one saga. Frozen once shipped: a changed meaning is a new class.

Events carry no time and no position; both belong to the transition that they are part of. `step` is
always a place. Each payload is carried once in the life of a saga: a command by the first request,
a result by the success.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class SagaStarted(NamedTuple):
    """The saga exists. `due_ms` is its deadline."""

    saga_id: str
    definition: str
    version: int
    fingerprint: int
    steps_count: int
    decisions_count: int
    started_ms: int
    due_ms: int
    start_digest: bytes
    payload: bytes


class BranchChosen(NamedTuple):
    """A condition was evaluated. `choice` 1: then, 2: otherwise."""

    decision: int
    choice: int
    name: str


class StepRequested(NamedTuple):
    """A step command is sent. `command` is empty from the second attempt on: it is the same."""

    step: int
    attempt: int
    due_ms: int
    command: bytes
    step_id: str


class StepSucceeded(NamedTuple):
    """The participant did it. `keep_command`: the step can be undone, which needs its command."""

    step: int
    attempt: int
    keep_command: bool
    result: bytes


class StepFailed(NamedTuple):
    """The participant declined for a declared reason; nothing happened."""

    step: int
    attempt: int
    failure: bytes
    text: str


class AttemptFailed(NamedTuple):
    """One sending, of a step or of its compensation, brought no answer or a `retry`.

    The next is sent at `due_ms`. `reason`: `timeout` or `retry`.
    """

    step: int
    attempt: int
    due_ms: int
    reason: str
    text: str


class StepUnknown(NamedTuple):
    """The step is given up without a trustworthy answer; it will be compensated if it can be.

    `lost`: it cannot, so nobody will ever know.
    """

    step: int
    attempt: int
    lost: bool
    reason: str
    text: str


class StepStuck(NamedTuple):
    """A step without a way back failed for good. A person is needed."""

    step: int
    attempt: int
    reason: str
    text: str


class CompensationStarted(NamedTuple):
    """The saga turns back. No step is requested forward from here on.

    `cause`: `step_failed`, `step_unknown`, `deadline` or `cancelled` (then with actor and reason).
    """

    cause: str
    step: int
    """Which step failed; -1: none did."""
    actor: str
    text: str


class CompensationRequested(NamedTuple):
    """A compensation is sent. `command` is empty from the second attempt on."""

    step: int
    attempt: int
    due_ms: int
    command: bytes
    step_id: str


class CompensationSucceeded(NamedTuple):
    """The step is undone."""

    step: int
    attempt: int


class CompensationStuck(NamedTuple):
    """The compensation failed for good. A person is needed; the others go on."""

    step: int
    attempt: int
    reason: str
    text: str


class NodeFaulted(NamedTuple):
    """A function of the definition raised, so the node `node` could not begin."""

    node: int
    text: str


class RetryOrdered(NamedTuple):
    """An operator wants everything that is stuck to be tried again."""

    actor: str
    reason: str


class StepSkipped(NamedTuple):
    """An operator gave up on a stuck step or compensation."""

    step: int
    actor: str
    reason: str


class StepResolved(NamedTuple):
    """An operator did by hand what a stuck step or compensation could not."""

    step: int
    keep_command: bool
    actor: str
    reason: str
    result: bytes


class CommandRefused(NamedTuple):
    """A command for this saga was refused; nothing else changed. `reason` is a stable code."""

    command: str
    reason: str
    actor: str
    text: str


class ReplyIgnored(NamedTuple):
    """A reply changed nothing: late, stale, duplicate or not ours. `reason` is a stable code."""

    step: int
    direction: str
    attempt: int
    reason: str


class TimerIgnored(NamedTuple):
    """A timer came due where nothing waits for it any more; it is disarmed."""

    step: int


class DeadlinePassed(NamedTuple):
    """The deadline passed where there is no way back: recorded, alerted, the saga goes on."""


class SagaEnded(NamedTuple):
    """The saga's last step. `phase` and `consistency` are the numbers of `core.state`.

    `forget_ms`: until when the id is remembered.
    """

    phase: int
    consistency: int
    forget_ms: int
    result: bytes


class SagaForgotten(NamedTuple):
    """The saga's id is free again; its state is deleted. `evolve` gives None for it."""


Event: TypeAlias = (
    SagaStarted
    | BranchChosen
    | StepRequested
    | StepSucceeded
    | StepFailed
    | AttemptFailed
    | StepUnknown
    | StepStuck
    | CompensationStarted
    | CompensationRequested
    | CompensationSucceeded
    | CompensationStuck
    | NodeFaulted
    | RetryOrdered
    | StepSkipped
    | StepResolved
    | CommandRefused
    | ReplyIgnored
    | TimerIgnored
    | DeadlinePassed
    | SagaEnded
    | SagaForgotten
)

EVENT_NUMBERS: dict[type[Event], int] = {
    SagaStarted: 1,
    BranchChosen: 2,
    StepRequested: 3,
    StepSucceeded: 4,
    StepFailed: 5,
    AttemptFailed: 6,
    StepUnknown: 7,
    StepStuck: 8,
    CompensationStarted: 9,
    CompensationRequested: 10,
    CompensationSucceeded: 11,
    CompensationStuck: 12,
    NodeFaulted: 13,
    RetryOrdered: 14,
    StepSkipped: 15,
    StepResolved: 16,
    CommandRefused: 17,
    ReplyIgnored: 18,
    TimerIgnored: 19,
    DeadlinePassed: 20,
    SagaEnded: 21,
    SagaForgotten: 22,
}
"""How an event is known on the wire. Never change or reuse a number."""
