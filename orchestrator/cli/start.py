"""`saga start`: start one saga, or a file of many."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit, Misused
from orchestrator.cli.verb import Verb
from orchestrator.errors import CommandRejected, NotFound, TimedOut

if TYPE_CHECKING:
    from orchestrator.cli.starting import Convert
    from orchestrator.codec.records import Outcome
    from orchestrator.core.commands import StartSaga

WAIT_S = 60.0


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("definition", metavar="DEFINITION", help="name of the saga definition")
    parser.add_argument("--id", metavar="ID", default=None, help="saga id; chosen by you, unique")
    parser.add_argument("--payload", metavar="JSON", default=None, help="the start payload")
    parser.add_argument(
        "--file",
        metavar="FILE",
        default=None,
        help="start a saga for each line: JSON Lines, or CSV if it ends in .csv; - is stdin",
    )
    parser.add_argument(
        "--id-field", metavar="NAME", default="saga", help="field with the saga id (default saga)"
    )
    parser.add_argument(
        "--version", type=int, metavar="N", default=0, help="of the definition (default: newest)"
    )
    parser.add_argument(
        "--unchecked",
        action="store_true",
        default=False,
        help="do not load --modules to check payloads first; the worker checks them anyway",
    )
    parser.add_argument(
        "--wait", action="store_true", default=False, help="wait until it has ended; say how"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        default=WAIT_S,
        help=f"seconds to --wait (default {WAIT_S:.0f})",
    )


def _run(context: Context, options: Namespace) -> Exit:
    if (options.file is None) == (options.id is None):
        raise Misused("usage", "give --id and --payload, or --file")
    if options.file is not None:
        return _start_many(context, options)
    return _start_one(context, options)


def _start_one(context: Context, options: Namespace) -> Exit:
    from orchestrator.cli.views import origin_json, outcome_json, place

    command = _command(options, options.id, _payload(options), _convert(context, options))
    receipt = context.client.send(command)
    context.out.line(f"{receipt.saga}: started, {place(receipt.origin)}")
    outcome = None
    if options.wait:
        outcome = context.client.wait(receipt, timeout_s=options.timeout)
        context.out.line(
            f"{outcome.saga}: {outcome.business}, {outcome.consistency},"
            f" {outcome.ended_ms - outcome.started_ms} ms"
        )
    context.out.document(
        {
            "saga": receipt.saga,
            "command": origin_json(receipt.origin),
            "outcome": None if outcome is None else outcome_json(outcome, context.read),
        }
    )
    return Exit.OK


def _start_many(context: Context, options: Namespace) -> Exit:
    from orchestrator.cli.starting import rows

    csv_file = options.file.endswith(".csv")
    convert = _convert(context, options, csv_file=csv_file)
    commands = []
    for line, saga, payload in rows(
        _read(options.file), csv_file=csv_file, id_field=options.id_field
    ):
        try:
            commands.append(_command(options, saga, payload, convert))
        except CommandRejected as error:
            raise CommandRejected(error.reason, f"line {line}: {error.text}") from error
    with context.out.progress("starting", len(commands), "sagas") as on_count:
        count = context.client.send_many(commands, lambda _receipt: on_count(1))
    context.out.line(f"{count} sagas started.")
    outcomes = None
    if options.wait:
        outcomes = context.client.wait_many(
            [command.saga_id for command in commands], timeout_s=options.timeout
        )
    _tell_many(context, commands, outcomes)
    return Exit.OK


def _tell_many(
    context: Context, commands: list[StartSaga], outcomes: dict[str, Outcome] | None
) -> None:
    counts = Counter(outcome.business for outcome in (outcomes or {}).values())
    open_count = len({command.saga_id for command in commands}) - len(outcomes or {})
    context.out.document(
        {
            "acknowledged": len(commands),
            "outcomes": None if outcomes is None else dict(sorted(counts.items())),
            "open": None if outcomes is None else open_count,
        }
    )
    if outcomes is None:
        return
    context.out.table(("outcome", "sagas"), sorted(counts.items()))
    if open_count:
        raise TimedOut("timed_out", f"{open_count} sagas have not ended")


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise CommandRejected("bad_file", f"--file {name} cannot be read: {error}") from error


def _payload(options: Namespace) -> dict[str, Any]:
    try:
        value = json.loads(options.payload or "{}")
    except ValueError as error:
        raise CommandRejected("malformed_json", f"--payload is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise CommandRejected("malformed_json", "--payload must be a JSON object")
    return value


def _command(
    options: Namespace, saga: str, payload: dict[str, Any], convert: Convert
) -> StartSaga:
    from orchestrator.core.commands import StartSaga
    from orchestrator.core.ids import is_id

    if not is_id(saga):
        raise CommandRejected("bad_id", f"{saga!r} is no saga id: [A-Za-z0-9._-]{{1,128}}")
    return StartSaga(saga, options.definition, options.version, convert(payload))


def _convert(context: Context, options: Namespace, *, csv_file: bool = False) -> Convert:
    from orchestrator.cli.starting import checked, unchecked

    if options.unchecked:
        return unchecked
    saga = definition_named(context, options.definition, options.version)
    return checked(context.payloads, saga.input_type, csv_file=csv_file)


def definition_named(context: Context, name: str, version: int) -> Any:
    """Give a saga definition of the program; version 0: the newest.

    Raises:
        NotFound: The program has none; the text says what was meant.
    """
    import difflib

    sagas = context.program.sagas
    found = [saga for saga in sagas if saga.id == name and version in {0, saga.version}]
    if found:
        return max(found, key=lambda saga: saga.version)
    names = sorted({saga.id for saga in sagas})
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(names) or 'none'}"
    what = f"{name} version {version}" if version else name
    raise NotFound("unknown_definition", f"no saga is called {what}; {hint}")


VERB = Verb(
    name="start",
    help="Start one saga, or one for each line of a file.",
    detail=(
        "Returns when Kafka has acknowledged the command: from then on it is not lost. The same id\n"
        "with the same payload twice is one saga. A file is checked whole before anything is sent."
    ),
    example=(
        "saga start transfer_money --id t-1 --wait --payload"
        ' \'{"source": "ann", "target": "bob", "amount_cents": 500}\''
    ),
    arguments=_arguments,
    run=_run,
)
