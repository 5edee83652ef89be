"""Plausible bugs, planted one at a time: each must break a promise within a fixed set of sagas."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable
from random import Random
from typing import NamedTuple

import pytest
from core_checkers import Violation
from core_simulator import simulate

from orchestrator.core import (
    attempts,
    backward,
    decide,
    evolve,
    forward,
    operators,
    react,
    replies,
    values,
)
from orchestrator.core.draft import Draft

SEEDS = range(1_500)


class Bug(NamedTuple):
    name: str
    function: Callable[..., object]
    old: str
    new: str
    promise: str
    """What the violation says, in part."""


BUGS = (
    # the order of compensations
    Bug("undo first to last", backward._unwind, "children[-1])", "children[0])", "I4"),
    Bug("undo all at once", backward._unwind, "isinstance(node, Sequence)", "not children", "I4"),
    Bug("forget the branch taken", backward._taken, "if choice else ()", "if 0 else ()", "I4"),
    Bug("forget a branch's undo", backward._unwind, "reversed(children)", "children[1:]", "I4"),
    Bug(
        "join undos too early",
        backward._is_joined,
        "_is_unwound(draft, branch)",
        "True",
        "before the undo",
    ),
    Bug("end too early", backward._end, "in _UNSETTLED", "is StepStatus.UNDO_STUCK", "is left"),
    Bug(
        "stuck stops the others",
        replies._on_undo_refused,
        "unwound(",
        "str.format('', ",
        "forgotten",
    ),
    Bug(
        "exhausted stops the others",
        attempts.undo_attempt_failed,
        "unwound(",
        "str.format('', ",
        "forgotten",
    ),
    Bug("end while stuck", backward._end, "in _UNSETTLED", "is StepStatus.REQUESTED", "is left"),
    # the set of compensations
    Bug(
        "skip an unknown step",
        backward._waits_for,
        "status in _MAY_HAVE_HAPPENED",
        "status is StepStatus.SUCCEEDED",
        "I4: CompensationRequested",
    ),
    Bug(
        "undo what never ran",
        backward._waits_for,
        "status in _MAY_HAVE_HAPPENED",
        "status < StepStatus.UNDO_REQUESTED",
        "decide raised",
    ),
    Bug("do not wait for siblings", backward._waits_for, "in _WAITED_FOR", "is None", "I4"),
    Bug("leave a sibling waiting", backward._waits_for, "StepStatus.WAITING", "None", "I4"),
    Bug(
        "trust a doubtful failure", replies._decline, "doubtful =", "doubtful = False and", "truth"
    ),
    Bug("forget what is lost", evolve._maybe_lost, "if event.lost", "if False", "lost is True"),
    Bug("lose nothing, ever", attempts._give_up, "step.undo is None", "False", "irreversible"),
    # no way back
    Bug(
        "turn back past the pivot",
        backward.can_turn_back,
        "in (StepStatus.IDLE, StepStatus.FAILED)",
        "is not None",
        "past the pivot",
    ),
    Bug(
        "give up after the pivot", attempts.attempt_failed, "step.after_pivot or", "False or", "I4"
    ),
    Bug("a stuck pivot with an undo", attempts.attempt_failed, " and step.undo is None", "", "I4"),
    # forward
    Bug(
        "go forward after a failure",
        replies._succeed,
        "is _RUNNING",
        "is not None",
        "I4: the undo",
    ),
    Bug(
        "forget a parallel branch",
        forward._begin,
        "reversed(children)",
        "children[1:]",
        "forgotten",
    ),
    Bug("join too early", forward._is_joined, "_is_complete(draft, branch)", "True", "I4"),
    Bug(
        "join for each branch",
        forward._complete,
        "parent in draft.opening",
        "False",
        "decide raised",
    ),
    Bug("join at once", forward._join, "== len(", ">= 0 * len(", "I4"),
    Bug("join undos at once", backward._join, "== len(", ">= 0 * len(", "I4"),
    Bug("take the wrong branch", forward._begin_choose, "[choice - 1 : choice]", "[:1]", "I4"),
    Bug("leave out a step", forward._complete, "child + 1", "child + 2", "I4"),
    Bug("swallow a fault", forward._begin_step, "draft.emit(NodeFaulted(", "str((", "I4"),
    Bug("forget other faults", operators._go_on, "if number != node", "if False", "I4"),
    # replies and attempts
    Bug("act on late success", replies._on_answer, "not in _AWAITED", "is None", "decide raised"),
    Bug(
        "believe strangers",
        replies._on_answer,
        "reply.participant != step",
        "None is step",
        "ignored",
    ),
    Bug(
        "believe the future",
        replies._on_answer,
        "<= before.attempt:",
        "<= 9_999:",
        "I4: StepStuck",
    ),
    Bug(
        "send without limit",
        attempts._exhausted,
        "return step",
        "return False and step",
        "too many",
    ),
    Bug("repeat an effect id", attempts.send_again, ".attempt + 1", ".attempt", "I4"),
    Bug("repeat an undo's id", attempts.undo_again, ".attempt + 1", ".attempt", "I4"),
    Bug(
        "send another command",
        evolve._undo_requested,
        "event.command)",
        "step.command)",
        "another",
    ),
    Bug(
        "forget to ask", react.effects, "if make is not None:", "if make and not found:", "effects"
    ),
    Bug("arm no timer", evolve._attempt_failed, "due_ms=event.due_ms", "due_ms=0", "hangs"),
    # the log
    Bug("no sequence for a step", evolve._with_step, "sequence + 1", "sequence", "I7"),
    Bug("no sequence for a saga", evolve._changed, "state.sequence + 1", "state.sequence", "I7"),
    Bug(
        "leave out an event",
        Draft.emit,
        "append(event)",
        "extend(() if event[0] == 1 else (event,))",
        "I5",
    ),
    Bug("start twice", decide._start, "if state is not None:", "if state == 0:", "decide raised"),
    Bug("drop a reply", replies._ignore, "draft.emit(", "str(", "I8"),
    Bug(
        "read what is not there",
        values.evaluate,
        "step.result if",
        "step.result[:0] or id(step) if",
        "determin",
    ),
)


def simulate_all():
    for seed in SEEDS:
        simulate(Random(seed))


def plant(monkeypatch, function, old, new):
    """Put a copy of `function` with `old` replaced by `new` wherever the core refers to it."""
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(old) == 1, f"{old!r} is {source.count(old)} times in {function.__name__}"
    code = compile(source.replace(old, new), "planted", "exec")
    scope = {}
    exec(code, sys.modules[function.__module__].__dict__, scope)
    planted = scope[function.__name__]
    if function is Draft.emit:
        monkeypatch.setattr(Draft, "emit", planted)
        return
    for name, module in tuple(sys.modules.items()):
        if name.startswith("orchestrator.core."):
            replace(monkeypatch, vars(module), function, planted)


def replace(monkeypatch, names, function, planted):
    for name, value in tuple(names.items()):
        if value is function:
            monkeypatch.setitem(names, name, planted)
        elif isinstance(value, dict) and name != "__builtins__":
            replace(monkeypatch, value, function, planted)
        elif isinstance(value, tuple) and any(part is function for part in value):
            parts = (planted if part is function else part for part in value)
            monkeypatch.setitem(names, name, type(value)._make(parts))


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "_"))
def test_each_planted_bug_is_caught(monkeypatch, bug):
    plant(monkeypatch, bug.function, bug.old, bug.new)

    with pytest.raises(Violation, match=bug.promise):
        simulate_all()


def test_nothing_is_caught_where_no_bug_is_planted():
    simulate_all()
