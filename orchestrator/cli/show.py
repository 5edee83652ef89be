"""`saga show`: where one saga stands."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb

if TYPE_CHECKING:
    from orchestrator.audit.timeline import Moment
    from orchestrator.core.state import SagaState

_LAST_SHOWN = 5
_REFUSALS = frozenset({"CommandRefused"})


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("saga", metavar="ID", help="saga id")


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.audit.timeline import step_names, timeline
    from orchestrator.cli.reads import entries_of, state_of
    from orchestrator.cli.views import moment_json, saga_json

    entries = entries_of(context, options.saga)
    state = state_of(context, options.saga, entries)
    names = _names(context, state, step_names(transition for _, transition in entries))
    moments = list(timeline(entries))
    refused = [moment for moment in moments if moment.event in _REFUSALS]
    if state is None:
        context.out.document({"saga": options.saga, "forgotten": True})
        context.out.line(f"{options.saga} has ended and is forgotten; see `saga audit`.")
        return Exit.OK
    context.out.document(
        {
            **saga_json(state, names, context.read),
            "refused": [moment_json(moment, context.read) for moment in refused],
            "last": [moment_json(moment, context.read) for moment in moments[-_LAST_SHOWN:]],
        }
    )
    if not context.out.json:
        _show(context, state, names, moments, refused)
    return Exit.OK


def _names(
    context: Context, state: SagaState | None, known: Mapping[int, str]
) -> Mapping[int, str]:
    """Name the steps: as the log does, and those not yet requested as the program at hand does."""
    if state is None or len(known) == len(state.steps) or context.known_program is None:
        return known
    for saga in context.known_program.sagas:
        if (saga.id, saga.version) == (state.definition, state.version) and not saga.problems():
            return {step.index: step.id for step in saga.build().steps} | dict(known)
    return known


def _show(
    context: Context,
    state: SagaState,
    names: Mapping[int, str],
    moments: list[Moment],
    refused: list[Moment],
) -> None:
    from orchestrator.cli.views import instant

    out = context.out
    out.line(f"{state.saga_id}  {state.definition} version {state.version}")
    out.table(
        ("outcome", "consistency", "events", "started", "deadline"),
        [
            (
                state.phase.name.lower(),
                state.consistency.name.lower(),
                state.sequence,
                instant(state.started_ms),
                "" if state.ended else instant(state.due_ms) or "",
            )
        ],
    )
    if state.cause:
        out.line(f"turned back: {state.cause}")
    out.line()
    out.table(
        ("step", "status", "attempt", "due"),
        (
            (
                names.get(index, f"#{index}"),
                step.status.name.lower(),
                step.attempt or "",
                instant(step.due_ms) or "",
            )
            for index, step in enumerate(state.steps)
        ),
    )
    for title, found in (("refused:", refused), ("last events:", moments[-_LAST_SHOWN:])):
        if found:
            out.line()
            out.line(title)
            _events(context, found)
    if state.stuck:
        out.line()
        out.line(
            f"It is stuck. `saga retry {state.saga_id}`, `saga skip` or `saga resolve` get it out."
        )


def _events(context: Context, moments: list[Moment]) -> None:
    from orchestrator.cli.views import instant, moment_text

    context.out.table(
        ("seq", "time", "event", "step", "details"),
        (
            (
                moment.sequence,
                instant(moment.at_ms),
                moment.event,
                moment.step,
                moment_text(moment, context.read),
            )
            for moment in moments
        ),
    )


VERB = Verb(
    name="show",
    help="Show where one saga stands: its steps, its last events, and what was refused.",
    detail="Reads the saga's own partition of the events topic; needs no worker.",
    example="saga show trip-1",
    arguments=_arguments,
    run=_run,
)
