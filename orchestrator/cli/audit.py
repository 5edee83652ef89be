"""`saga audit`: everything that ever happened to one saga, with its proof."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("saga", metavar="ID", help="saga id")


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.audit.timeline import timeline
    from orchestrator.cli.reads import entries_of
    from orchestrator.cli.tables import When
    from orchestrator.cli.views import moment_json, moment_text, place

    moments = list(timeline(entries_of(context, options.saga)))
    context.out.document(
        {
            "saga": options.saga,
            "partition": context.log.shard_of(options.saga),
            "events": [moment_json(moment, context.read) for moment in moments],
        }
    )
    context.out.table(
        (
            "seq",
            "time",
            "event",
            "step",
            "try",
            "cause",
            "actor",
            "caused by",
            "record",
            "details",
        ),
        (
            (
                moment.sequence,
                When(moment.at_ms),
                moment.event,
                moment.step,
                moment.attempt or "",
                moment.cause.kind,
                moment.actor,
                place(moment.cause.origin) if moment.cause.origin.offset >= 0 else "",
                place(moment.origin),
                moment_text(moment, context.read),
            )
            for moment in moments
        ),
        drop=("caused by", "actor", "record", "try", "cause"),
    )
    return Exit.OK


VERB = Verb(
    name="audit",
    help="Print a saga's timeline from the topics: each event, its cause and where it is recorded.",
    detail=(
        "Reads the saga's own partition of the events topic. Needs read rights only and no worker.\n"
        "`caused by` and `record` are topic/partition/offset of the input and of the transition."
    ),
    example="saga audit trip-1",
    arguments=_arguments,
    run=_run,
)
