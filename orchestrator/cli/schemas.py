"""`saga schemas`: the Avro schemas of your payloads, as files."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=("write", "check"),
        default="write",
        help="write them (default), or check that they are up to date",
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.codec import files
    from orchestrator.modules import payload_kinds

    kinds, directory = payload_kinds(context.program), context.program_settings.schemas
    out = context.out
    if options.action == "check":
        problems = files.check(kinds, directory)
        out.document({"ok": not problems, "problems": [str(problem) for problem in problems]})
        for problem in problems:
            out.line(str(problem))
        if not problems:
            out.line(f"{directory}: up to date.")
        return Exit.FOUND if problems else Exit.OK
    report = files.write(kinds, directory)
    out.document({"directory": str(directory), **report._asdict()})
    out.table(
        ("schema", "state"),
        [
            *((name, "written") for name in report.written),
            *((name, "kept as an earlier version") for name in report.retired),
        ],
    )
    out.line(f"{directory}: {len(report.written)} written, {len(report.unchanged)} unchanged.")
    return Exit.OK


VERB = Verb(
    name="schemas",
    help="Write the Avro schemas of your payloads, or check those that are there.",
    detail="Earlier versions are kept: whatever they wrote can still be read. Commit the directory.",
    example="saga schemas check",
    arguments=_arguments,
    run=_run,
)
