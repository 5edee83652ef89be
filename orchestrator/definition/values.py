"""The functions of the tree before a codec is bound to them, and the kinds of what they carry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.core.definition import Chosen, Derived, Fault, Value
from orchestrator.definition import kinds


@dataclass(frozen=True, slots=True)
class Pure:
    """A user's function with the types of its arguments and of its value.

    Until a codec is bound (`binding.bind`) it can be drawn and compared, but not run.
    """

    name: str
    function: Callable[..., Any]
    takes: tuple[Any, ...]
    """The type of each argument as it is encoded: what its maker gives, not what is asked for."""
    gives: Any

    def __call__(self, arguments: tuple[bytes | None, ...]) -> bytes | Fault:
        """Refuse: without a codec there is nothing that could be read."""
        return Fault(f"`{self.name}` is not bound to a codec ({len(arguments)} arguments)")


@dataclass(frozen=True, slots=True)
class Retag:
    """Turn an encoded value of one type into one of a wider union.

    A value of a union of several payloads is encoded as one byte, the number of its type in the
    union, and the payload. Absence is no part of this: an absent value has no bytes at all.
    """

    have: Any
    want: Any

    def __call__(self, arguments: tuple[bytes | None, ...]) -> bytes | Fault | None:
        """Give the value with the tag of the wider union."""
        data = arguments[0]
        if data is None:
            return None
        have, want = kinds.present(self.have), kinds.present(self.want)
        if len(have) == 1:
            return bytes((want.index(have[0]),)) + data
        return bytes((want.index(have[data[0]]),)) + data[1:]


def widened(value: Value, have: Any, want: Any) -> Value:
    """Give `value`, encoded as `have`, as a value that is encoded as the wider type `want`."""
    if len(kinds.present(want)) == 1 or kinds.present(have) == kinds.present(want):
        return value
    return Derived("", Retag(have, want), (value,))


def needs_of(value: Value) -> tuple[Value, ...]:
    """Give the values that a value is computed from."""
    match value:
        case Derived():
            return value.arguments
        case Chosen():
            return tuple(part for part in (value.then, value.otherwise) if part is not None)
        case _:
            return ()


def parts_of(value: Value) -> Iterator[Value]:
    """Give everything that a value is computed from, each once, needs first, itself last."""
    # An explicit stack: values may be derived from each other deeper than Python's own.
    seen: set[int] = set()
    stack: list[tuple[Value, bool]] = [(value, False)]
    while stack:
        part, ready = stack.pop()
        if ready:
            yield part
        elif id(part) not in seen:
            seen.add(id(part))
            stack.append((part, True))
            stack.extend((need, False) for need in reversed(needs_of(part)))
