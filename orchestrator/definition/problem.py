"""What is wrong with a definition, where, and what to do about it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from types import FrameType
from typing import NamedTuple

_OURS = __name__.rpartition(".")[0]


class Place(NamedTuple):
    """A line of the user's program. `file` is the whole path; the text shows its last part."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{PurePath(self.file).name}:{self.line}"


class Severity(StrEnum):
    """An error stops the build, a warning is reported."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: a stable `code`, its place, a sentence, and the cure."""

    code: str
    place: Place
    text: str
    cure: str = ""
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        kind = " (warning)" if self.severity is Severity.WARNING else ""
        cure = f" Cure: {self.cure}." if self.cure else ""
        return f"{self.place}: {self.code}{kind} {self.text}.{cure}"


def user_frame() -> FrameType | None:
    """Give the innermost frame that is not of this package: the line that the user wrote."""
    frame = inspect.currentframe()
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    return frame


def here() -> Place:
    """Give the user's line that is being run."""
    frame = user_frame()
    return Place("?", 0) if frame is None else Place(frame.f_code.co_filename, frame.f_lineno)


def place_of(function: object) -> Place:
    """Give the line where a function begins (its first decorator, if it has any)."""
    code = getattr(function, "__code__", None)
    return Place("?", 0) if code is None else Place(code.co_filename, code.co_firstlineno)


def _is_ours(frame: FrameType) -> bool:
    name: str = frame.f_globals.get("__name__", "")
    return name == _OURS or name.startswith(_OURS + ".")
