"""The one place where a user's code is called: whatever it raises comes back as a value.

Pure functions of a definition, plans, and handlers of participants are other people's code. None of
it may unwind our stack.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

CAUGHT = (Exception, SystemExit)
"""What a user's code may raise, for hot paths that have no call to spare: `except CAUGHT` there, then
`raised_by`. An interrupt of the process (KeyboardInterrupt) passes through: it is not the code's."""
TEXT_LENGTH_MAX = 500
"""Characters kept of an exception's own message: it travels in events and is shown to people."""


@dataclass(frozen=True, slots=True)
class Raised:
    """A user's function raised `error` at `file`:`line`, the innermost line of the user's own."""

    error: BaseException
    file: str
    line: int

    @property
    def summary(self) -> str:
        """Type and message, such as `KeyError: 'seat'`."""
        return f"{type(self.error).__name__}: {_message(self.error)}"

    @property
    def text(self) -> str:
        """Type, message and place, such as `KeyError: 'seat' (book_trip.py:12)`."""
        return f"{self.summary} ({PurePath(self.file).name}:{self.line})"


def call(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | Raised:
    """Call `function`; give its value, or a `Raised` if it raised or asked to exit.

    An interrupt of the process (KeyboardInterrupt) passes through: it is not the function's.
    """
    try:
        return function(*args, **kwargs)
    except CAUGHT as error:
        return raised_by(function, error)


def raised_by(function: object, error: BaseException) -> Raised:
    """Say where in the user's `function` an error was raised that has been caught already."""
    while isinstance(function, partial):
        function = function.func
    file, line = _place(function, error)
    return Raised(error, file, line)


def _place(function: object, error: BaseException) -> tuple[str, int]:
    # The innermost frame in the function's own file; without one, where the call was entered.
    code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
    frames: list[tuple[str, int]] = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    below = frames[1:] if frames[0][0] == __file__ and frames[1:] else frames
    own = [frame for frame in below if code is not None and frame[0] == code.co_filename]
    return own[-1] if own else below[-1]


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # a user's __str__ may raise as well
        return "(its message cannot be shown)"
    return text if len(text) <= TEXT_LENGTH_MAX else text[:TEXT_LENGTH_MAX] + "..."
