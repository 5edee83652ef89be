"""What becomes of inputs that cannot be obeyed: dead letters, and the search for a poisoned one.

An input that raises is caught alone, since each is decided on its own. Only a transaction that
fails as a whole hides its culprit: then the batch is halved until a single input fails by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from orchestrator import guard
from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.records import DeadLetter
from orchestrator.core.state import Timer
from orchestrator.errors import CorruptStore, DecodeError, DiskFailed, TransactionError

T = TypeVar("T")
R = TypeVar("R")

Work: TypeAlias = Origin | Timer
"""What a batch is made of."""

HEADERS_KEPT_MAX = 32
"""Headers of the original that a dead letter keeps: a record may carry thousands."""
HEADER_KEPT_BYTES = 1_024
"""Bytes kept of each of them."""
TEXT_LENGTH_MAX = 1_000
FAILURES_MAX = 5
"""How often a batch of one must fail before its only input is parked. More than one: brokers that
are restarting fail transactions as well."""


class Refusal(NamedTuple):
    """Why an input is not obeyed. `reason` is a stable code, `text` for people."""

    reason: str
    text: str


_NOT_THEIRS = (CorruptStore, DiskFailed, MemoryError, TransactionError)
"""A broken store or disk, no memory, a registry that is away: not the fault of an input. Its shard, the
process or the batch must stop."""


def each(function: Callable[[T], R], inputs: Iterable[T]) -> list[R | Refusal]:
    """Call `function` with each input; what goes wrong with one is a Refusal in its place.

    Raises CorruptStore, DiskFailed, MemoryError and TransactionError.
    """
    found: list[R | Refusal] = []
    for one in inputs:
        try:
            found.append(function(one))
        except DecodeError as error:
            found.append(Refusal(error.reason, error.text))
        except _NOT_THEIRS:
            raise
        except guard.CAUGHT as error:
            found.append(Refusal("poison", guard.raised_by(function, error).text))
    return found


def dead_letter(
    envelope: Envelope, refusal: Refusal, *, at_ms: int, worker: str, value_bytes_max: int
) -> DeadLetter:
    """Make the record that keeps a refused input; what is too large of it is cut, and says so."""
    text, value, key = refusal.text, envelope.value, envelope.key
    if value is not None and len(value) > value_bytes_max:
        text = f"{text} (value of {len(value)} bytes, the first {value_bytes_max} kept)"
        value = value[:value_bytes_max]
    if key is not None and len(key) > HEADER_KEPT_BYTES:
        text = f"{text} (key of {len(key)} bytes, the first {HEADER_KEPT_BYTES} kept)"
        key = key[:HEADER_KEPT_BYTES]
    headers = envelope.headers[:HEADERS_KEPT_MAX]
    if len(headers) < len(envelope.headers):
        text = f"{text} ({len(envelope.headers)} headers, the first {HEADERS_KEPT_MAX} kept)"
    return DeadLetter(
        reason=refusal.reason,
        text=text[:TEXT_LENGTH_MAX],
        origin=envelope.origin,
        key=key,
        value=value,
        headers=tuple(
            (name[:HEADER_KEPT_BYTES], None if held is None else held[:HEADER_KEPT_BYTES])
            for name, held in headers
        ),
        timestamp_ms=envelope.timestamp_ms,
        at_ms=at_ms,
        worker=worker,
    )


class Bisection:
    """Narrows a failing batch down to the one input that makes it fail.

    Say `failed` with the work of a batch whose transaction was refused, and `succeeded` after each
    clean one; take at most `count_max` inputs into the next.
    """

    def __init__(self, count_max: int) -> None:
        self._full = count_max
        self.count_max = count_max
        self._suspects: set[Work] = set()
        """One of these makes batches fail."""
        self._failures_count = 0
        """How often a single suspect failed by itself."""
        self.poisoned: set[Work] = set()
        """Found guilty: to be parked instead of being decided on."""

    def failed(self, work: Sequence[Work]) -> None:
        """Take note of a batch that failed."""
        suspects = self._suspects.intersection(work) or set(work)
        alone = len(work) == 1
        self._failures_count = (
            self._failures_count + 1 if alone and suspects == self._suspects else 0
        )
        self._suspects = suspects
        if alone and self._failures_count >= FAILURES_MAX:
            self.poisoned |= suspects
        self._adjust()

    def succeeded(self, work: Sequence[Work]) -> None:
        """Take note of a batch that was committed: all in it are innocent, or parked."""
        if self._suspects or self.poisoned:
            self._suspects.difference_update(work)
            self.poisoned.difference_update(work)
            self._adjust()

    def forget(self) -> None:
        """Suspect nobody: it was no input's fault."""
        self._suspects.clear()
        self._failures_count = 0
        self._adjust()

    def _adjust(self) -> None:
        self.count_max = max(1, len(self._suspects) // 2) if self._suspects else self._full
