"""`saga check`: everything about your sagas that can be checked without running them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.output import counted
from orchestrator.cli.verb import Verb


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--lock-file", metavar="FILE", default="saga.lock", help="lock file (default saga.lock)"
    )
    parser.add_argument(
        "--strict", action="store_true", default=False, help="fail for warnings too"
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.definition.check import problems_in
    from orchestrator.definition.problem import Severity

    program = context.program
    found: list[Any] = list(problems_in(*(saga.sketch() for saga in program.sagas)))
    skipped: list[str] = []
    mistaken = any(problem.severity is Severity.ERROR for problem in found)
    found += _against_lock(program.sagas, Path(options.lock_file), skipped)
    if mistaken:
        skipped.append("schemas and handlers, which are known once every definition can be built")
    else:
        found += _against_schemas(context, skipped)
        found += _unhandled(context)
    errors = [one for one in found if getattr(one, "severity", "error") == Severity.ERROR]
    wrong = bool(errors) or (options.strict and bool(found))
    context.out.document(
        {
            "ok": not wrong,
            "sagas": [{"saga": saga.id, "version": saga.version} for saga in program.sagas],
            "problems": [_problem_json(problem) for problem in found],
            "skipped": skipped,
        }
    )
    for problem in found:
        context.out.line(str(problem))
    for text in skipped:
        context.out.line(f"not checked: {text}")
    context.out.line(
        f"{counted(len(program.sagas), 'saga')}: {counted(len(errors), 'mistake')},"
        f" {counted(len(found) - len(errors), 'warning')}."
    )
    return Exit.FOUND if wrong else Exit.OK


def _against_lock(sagas: Any, path: Path, skipped: list[str]) -> list[Any]:
    from orchestrator.definition.lock import compare, read_lock
    from orchestrator.definition.problem import Place
    from orchestrator.errors import DefinitionError

    if not path.exists():
        skipped.append(f"there is no {path}; `saga lock` writes it once a version is released")
        return []
    try:
        known = read_lock(path)
    except DefinitionError as error:
        return list(error.problems)
    return list(compare(known, sagas, lock_place=Place(str(path), 1)))


def _against_schemas(context: Context, skipped: list[str]) -> list[Any]:
    from orchestrator.codec.files import check
    from orchestrator.modules import payload_kinds

    directory = context.program_settings.schemas
    if not directory.is_dir():
        skipped.append(f"there is no {directory}; `saga schemas write` writes it")
        return []
    return list(check(payload_kinds(context.program), directory))


def _unhandled(context: Context) -> list[Any]:
    """Warn of commands that nobody handles, for participants that are partly here."""
    from orchestrator.definition.payload import participant_of
    from orchestrator.definition.problem import Problem, Severity
    from orchestrator.modules import commands_of

    program = context.program
    handled = {handler.command for handler in program.handlers}
    return [
        Problem(
            "SG501",
            place,
            f"participant `{participant_of(command).name}` has handlers here, but none for"
            f" `{command.__name__}`",
            f"`@{command.__name__}.handler`",
            Severity.WARNING,
        )
        for command, place in commands_of(program)
        if command not in handled and participant_of(command).name in program.participants
    ]


def _problem_json(problem: Any) -> dict[str, Any]:
    place = getattr(problem, "place", None)
    return {
        "code": getattr(problem, "code", "schema"),
        "severity": str(getattr(problem, "severity", "error")),
        "file": getattr(place, "file", None),
        "line": getattr(place, "line", None),
        "text": str(problem),
    }


VERB = Verb(
    name="check",
    help="Check definitions, the lock file and the schemas; needs no Kafka.",
    detail="Exit code 1 for a mistake. Run it in your CI.",
    example="saga check --modules sagas",
    arguments=_arguments,
    run=_run,
)
