"""Programs for cost against size: a saga that waits, and one of 3 and one of 100 steps."""

from __future__ import annotations

import os

from benchmarks.trip import RUN_VARIABLE, participant_name
from orchestrator import (
    Command,
    Flow,
    Later,
    Participant,
    Payload,
    days,
    saga,
    seconds,
    step,
)
from orchestrator.participant import Transaction

SLEEPERS, TOUCHERS = "sleepers", "touchers"
WOKEN, TOUCHED = "woken", "touched"
"""Tables: how often each saga was answered."""

_run = os.environ.get(RUN_VARIABLE, "long")
_sleepers = Participant(participant_name(_run, SLEEPERS))
_touchers = Participant(participant_name(_run, TOUCHERS))


class Asked(Payload):
    """What such a saga starts with: some 330 bytes."""

    saga: str
    note: str


class Answer(Payload):
    """What a step gives: some 100 bytes."""

    text: str


class Wake(Command[Answer], to=_sleepers):
    """To be answered when somebody is there to answer."""

    saga: str


class Touch(Command[Answer], to=_touchers):
    """A step among many."""

    saga: str


@step(within=days(1), irreversible=True)
def sleep(asked: Asked) -> Wake:
    """Wait for an answer, with a timer armed."""
    return Wake(asked.saga)


@step(within=seconds(60), irreversible=True)
def touch(asked: Asked) -> Touch:
    """Do one of many steps."""
    return Touch(asked.saga)


@saga(version=1, deadline=days(2))
def sleeper(flow: Flow, asked: Later[Asked]) -> None:
    """Wait."""
    flow.pivot(sleep(asked))


@saga(version=1, deadline=days(1))
def steps_3(flow: Flow, asked: Later[Asked]) -> None:
    """Do three steps."""
    _touch_all(flow, asked, 3)


@saga(version=1, deadline=days(1))
def steps_100(flow: Flow, asked: Later[Asked]) -> None:
    """Do a hundred steps."""
    _touch_all(flow, asked, 100)


def _touch_all(flow: Flow, asked: Later[Asked], count: int) -> None:
    flow.pivot(touch(asked))
    for number in range(1, count):
        flow.do(touch.named(f"touch_{number}")(asked))


@Wake.handler
def on_wake(command: Wake, tables: Transaction) -> Answer:
    """Answer at last."""
    tables.add(WOKEN, command.saga, 1)
    return Answer("x" * 90)


@Touch.handler
def on_touch(command: Touch, tables: Transaction) -> Answer:
    """Count."""
    tables.add(TOUCHED, command.saga, 1)
    return Answer("x" * 90)
