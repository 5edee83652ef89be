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
    from orchestrator.audit.timeline import stuck_at, timeline, turned_back
    from orchestrator.cli.reads import entries_of, names_of, state_of
    from orchestrator.cli.views import moment_json, saga_json, turned_back_json

    entries = entries_of(context, options.saga)
    state = state_of(context, options.saga, entries)
    names = names_of(context, state, entries)
    moments = list(timeline(entries))
    refused = [moment for moment in moments if moment.event in _REFUSALS]
    if state is None:
        context.out.document({"saga": options.saga, "forgotten": True})
        context.out.line(f"{options.saga} has ended and is forgotten; see `saga audit`.")
        return Exit.OK
    context.out.document(
        {
            **saga_json(state, names, context.read),
            "turned_back": turned_back_json(turned_back(moments), context.read),
            "stuck_at": [moment_json(moment, context.read) for moment in stuck_at(moments)],
            "refused": [moment_json(moment, context.read) for moment in refused],
            "last": [moment_json(moment, context.read) for moment in moments[-_LAST_SHOWN:]],
        }
    )
    if not context.out.json:
        _show(context, state, names, moments, refused)
    return Exit.OK


def _show(
    context: Context,
    state: SagaState,
    names: Mapping[int, str],
    moments: list[Moment],
    refused: list[Moment],
) -> None:
    from orchestrator.audit.timeline import stuck_at, turned_back
    from orchestrator.cli.tables import When
    from orchestrator.cli.views import stuck_text, turned_back_text

    out = context.out
    out.line(f"{state.saga_id}  {state.definition} version {state.version}")
    out.table(
        ("outcome", "consistency", "events", "started", "deadline"),
        [
            (
                state.phase.name.lower(),
                state.consistency.name.lower(),
                state.sequence,
                When(state.started_ms),
                When(0 if state.ended else state.due_ms),
            )
        ],
    )
    if why := turned_back(moments):
        out.line(f"turned back: {turned_back_text(why, context.read)}")
    elif state.cause:  # the log's beginning has expired
        out.line(f"turned back: {state.cause}")
    out.line()
    out.table(
        ("step", "status", "attempt", "due"),
        (
            (
                names.get(index, f"#{index}"),
                step.status.name.lower(),
                step.attempt or "",
                When(step.due_ms),
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
        for moment in stuck_at(moments):
            out.line(f"stuck: {stuck_text(moment)}")
        out.line(
            f"`saga retry {state.saga_id}` tries it again; `saga resolve {state.saga_id} STEP` says"
            f" that it was done by hand, `saga skip {state.saga_id} STEP` that it is given up."
        )


def _events(context: Context, moments: list[Moment]) -> None:
    from orchestrator.cli.tables import When
    from orchestrator.cli.views import moment_text

    context.out.table(
        ("seq", "time", "event", "step", "details"),
        (
            (
                moment.sequence,
                When(moment.at_ms),
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
