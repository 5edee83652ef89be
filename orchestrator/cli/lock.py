"""`saga lock`: pin what released definitions look like."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.output import counted
from orchestrator.cli.verb import Verb
from orchestrator.errors import DefinitionError


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--lock-file", metavar="FILE", default="saga.lock", help="lock file (default saga.lock)"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        default=False,
        help="also when a released version has changed: right only if no saga of it is open",
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.definition.lock import compare, read_lock, write_lock
    from orchestrator.definition.problem import Place, Severity
    from orchestrator.definition.saga import check

    path = Path(options.lock_file)
    sagas = context.program.sagas
    check(*sagas)
    if path.exists() and not options.force:
        found = compare(read_lock(path), sagas, lock_place=Place(str(path), 1))
        errors = tuple(problem for problem in found if problem.severity is Severity.ERROR)
        if errors:
            raise DefinitionError(errors)
    write_lock(path, sagas)
    context.out.document(
        {
            "file": str(path),
            "sagas": [{"saga": saga.id, "version": saga.version} for saga in sagas],
        }
    )
    context.out.line(f"{path}: {counted(len(sagas), 'saga')}. Commit it.")
    return Exit.OK


VERB = Verb(
    name="lock",
    help="Write saga.lock: what each released version looks like, so that a change is noticed.",
    detail="Refuses if a released version has changed in a way that open sagas would feel.",
    example="saga lock",
    arguments=_arguments,
    run=_run,
)
