"""The engine's own records, as values. Their Avro shapes are the `.avsc` files of `schemas/`.

Flat envelopes: a user's typed payload travels as opaque `bytes` (itself encoded with its own
prefix), so that no schema of a user can slow or kill a worker.
"""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.codec.envelope import Origin
from orchestrator.core.events import Event


class StepCommand(NamedTuple):
    """What a participant reads from `<participant>.commands`.

    It echoes `effect`, and answers on `reply_topic`, `reply_partition`.
    """

    effect: str
    """`saga/step/direction/attempt`; without the attempt it names the operation to do once."""
    saga: str
    step: str
    direction: str
    attempt: int
    due_ms: int
    """When the orchestrator stops waiting for this attempt, in ms since the epoch."""
    type: str
    """Name of the command, such as `ReserveSeat`."""
    reply_topic: str
    reply_partition: int
    payload: bytes


class Reply(NamedTuple):
    """What a participant answers."""

    effect: str
    saga: str
    outcome: int
    """`core.commands.ReplyOutcome`."""
    text: str
    payload: bytes


class Cause(NamedTuple):
    """What a transition came from."""

    kind: str
    """`start`, `reply`, `timer`, `operator`."""
    origin: Origin
    """The record that caused it; for a timer the shard's events partition and offset -1."""
    actor: str
    """Participant or operator; empty otherwise."""


class Transition(NamedTuple):
    """One input's events of one saga: one record of `saga.events`."""

    saga: str
    sequence: int
    """Of the first event; the others follow without a gap."""
    at_ms: int
    cause: Cause
    effects_count: int
    """Step commands and outcomes that the same transaction carries for this transition."""
    events: tuple[Event, ...]


class Cursor(NamedTuple):
    """Where a shard stands: the last record of each transaction in its changelog partition.

    The same bytes are in the store, under a constant key, in the same write batch as the states.
    """

    transaction: int
    """Counts this shard's transactions from 1, without gaps."""
    inputs: tuple[tuple[str, int], ...]
    """(topic, next offset) of every input of this shard, sorted by topic."""
    clock_ms: int
    """The shard's clock; it never runs back."""
    owner: str
    """Instance id of the worker that wrote it."""
    generation: int
    partitions: int
    """P, pinned at creation."""
    records_count: int
    """Changelog records of this transaction, the cursor not counted."""


class Outcome(NamedTuple):
    """How a saga ended: one record of `saga.outcomes`."""

    saga: str
    definition: str
    version: int
    business: str
    """`completed`, `rolled_back` or `cancelled`."""
    consistency: str
    """`consistent` or `unknown`."""
    sequence: int
    started_ms: int
    ended_ms: int
    result: bytes


class DeadLetter(NamedTuple):
    """A record that could not be obeyed: the original, where it came from, why."""

    reason: str
    text: str
    origin: Origin
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    at_ms: int
    worker: str
