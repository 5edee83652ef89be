"""`saga graph`: a definition as a picture."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb
from orchestrator.errors import ConfigurationError

FORMATS = ("mermaid", "svg")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("definition", metavar="DEFINITION", help="name of the saga definition")
    parser.add_argument(
        "--version", type=int, metavar="N", default=0, help="of the definition (default: newest)"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=None,
        help="default: by the name of --output, else mermaid",
    )
    parser.add_argument(
        "--output", metavar="FILE", default="-", help="where to write it (default: stdout)"
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.cli.start import definition_named
    from orchestrator.definition.graph import mermaid
    from orchestrator.definition.picture import svg

    saga = definition_named(context, options.definition, options.version)
    wanted = options.format or ("svg" if options.output.endswith(".svg") else "mermaid")
    text = {"mermaid": mermaid, "svg": svg}[wanted](saga.build())
    if options.output != "-":
        try:
            Path(options.output).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"--output {options.output}: {error}") from error
    document = {"saga": saga.id, "version": saga.version, "format": wanted}
    if context.out.json:
        context.out.document({**document, "graph": text})
    elif options.output == "-":
        context.out.raw(text.rstrip("\n"))
    else:
        context.out.line(f"{options.output}: {saga.id} version {saga.version}.")
    return Exit.OK


VERB = Verb(
    name="graph",
    help="Draw a definition: steps, conditions, compensations and the pivot.",
    detail="Mermaid is what many code hosts draw within a page; SVG is a picture on its own.",
    example="saga graph book_trip --output book_trip.svg",
    arguments=_arguments,
    run=_run,
)
