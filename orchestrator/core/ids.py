"""Ids: how they are spelled, and how an effect's id is derived.

A saga id is chosen by whoever starts the saga. Everything else is derived from it, so that the
same decision always gives the same id, whoever takes it and however often.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from orchestrator.core.tuples import constructor

ID_LENGTH_MAX = 128
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_EFFECT = re.compile(
    r"([A-Za-z0-9._-]{1,128})/([A-Za-z0-9._\[\]-]{1,256})/(do|undo)/([1-9][0-9]{0,8})"
)


class Direction(StrEnum):
    """Which way a step command goes."""

    DO = "do"
    UNDO = "undo"


class EffectId(NamedTuple):
    """One sending of one step command: saga, step, direction, attempt (from 1).

    Its text is `saga/step/direction/attempt`; none of the parts can contain the separator.
    """

    saga_id: str
    step_id: str
    direction: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.saga_id}/{self.step_id}/{self.direction}/{self.attempt}"

    @property
    def operation(self) -> str:
        """What a participant must do at most once: the id without the attempt."""
        return f"{self.saga_id}/{self.step_id}/{self.direction}"


_effect_id = constructor(EffectId)


def is_id(text: str) -> bool:
    """Say whether `text` may name a saga, a participant or an actor: `[A-Za-z0-9._-]{1,128}`."""
    return _ID.fullmatch(text) is not None


@lru_cache(1_024)
def parse_effect_id(text: str) -> EffectId | None:
    """Read an effect id; None if `text` is none. Remembered: a reply's is checked, then used."""
    match = _EFFECT.fullmatch(text)
    if match is None:
        return None
    saga_id, step_id, direction, attempt = match.groups()
    return _effect_id(saga_id, step_id, direction, int(attempt))
