"""`saga start`: start one saga, or a file of many."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit, Misused
from orchestrator.cli.output import counted
from orchestrator.cli.verb import Verb
from orchestrator.errors import CommandRejected, NotFound, TimedOut

if TYPE_CHECKING:
    from orchestrator.audit.life import Life
    from orchestrator.cli.starting import Convert
    from orchestrator.client import Receipt
    from orchestrator.codec.records import Outcome
    from orchestrator.core.commands import StartSaga

WAIT_S = 60.0
COMPLETED = "completed"
_BAD_LINES_MAX = 20
"""Of a file, shown at once: a wrong column makes a bad line of every one."""


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
    from orchestrator.audit.timeline import turned_back
    from orchestrator.cli.views import origin_json, outcome_json, place, turned_back_json

    convert = _convert(context, options)
    command = _command(options, options.id, _payload(context, options), convert)
    receipt = context.client.send(command)
    context.out.line(f"{receipt.saga}: acknowledged, {place(receipt.origin)}")
    life = _watch(context, options, receipt) if options.wait else None
    outcome = None if life is None else life.outcome
    why = None if life is None else turned_back(life.moments)
    context.out.document(
        {
            "saga": receipt.saga,
            "command": origin_json(receipt.origin),
            "repeated": life is not None and not _is_new(life, receipt),
            "stuck": life is not None and outcome is None,
            "turned_back": turned_back_json(why, context.read),
            "outcome": None if outcome is None else outcome_json(outcome, context.read),
        }
    )
    if life is None:
        return Exit.OK
    _tell(context, receipt, life)
    return Exit.OK if outcome is not None and outcome.business == COMPLETED else Exit.FOUND


def _watch(context: Context, options: Namespace, receipt: Receipt) -> Life:
    """Follow a saga until it has ended or needs a person.

    Raises:
        CommandRejected: The start was refused.
        TimedOut: Neither in time.
    """
    from orchestrator.audit.life import Life

    life, taken = Life(), False
    with closing(context.client.follow(receipt, timeout_s=options.timeout)) as entries:
        for origin, transition in entries:
            life.add(origin, transition)
            taken = taken or transition.cause.origin == receipt.origin
            if life.outcome is not None or (taken and life.state is not None and life.state.stuck):
                return life
    raise TimedOut("timed_out", f"{receipt.saga} has not ended within {options.timeout:g} s")


def _is_new(life: Life, receipt: Receipt) -> bool:
    return life.entries[0][1].cause.origin == receipt.origin


def _tell(context: Context, receipt: Receipt, life: Life) -> None:
    from orchestrator.audit.timeline import stuck_at, turned_back
    from orchestrator.cli.views import stuck_text, turned_back_text

    out, outcome = context.out, life.outcome
    if not _is_new(life, receipt):
        out.line(f"{receipt.saga}: it was started before with the same content; nothing new began")
    if outcome is not None:
        out.line(
            f"{outcome.saga}: {outcome.business}, {outcome.consistency},"
            f" {outcome.ended_ms - outcome.started_ms} ms"
        )
    if why := turned_back(life.moments):
        out.line(f"  turned back: {turned_back_text(why, context.read)}")
    if outcome is None:
        for moment in stuck_at(life.moments):
            out.line(f"  stuck: {stuck_text(moment)}")
        out.line(f"  It needs a person: `saga show {receipt.saga}`.")


def _start_many(context: Context, options: Namespace) -> Exit:
    commands = _commands(context, options)
    receipts: list[Receipt] = []
    with context.out.progress("starting", len(commands), "sagas") as on_count:

        def acknowledged(receipt: Receipt) -> None:
            on_count(1)
            if options.wait:
                receipts.append(receipt)

        count = context.client.send_many(commands, acknowledged)
    context.out.line(f"{counted(count, 'start')} acknowledged.")
    if not options.wait:
        context.out.document({"acknowledged": count, "outcomes": None, "open": None})
        return Exit.OK
    results = context.client.results(receipts, timeout_s=options.timeout)
    return _tell_many(context, count, list(results.values()))


def _commands(context: Context, options: Namespace) -> list[StartSaga]:
    """Read a file of starts.

    Raises:
        CommandRejected: Some lines are none; the text has the first of them.
    """
    from orchestrator.cli.starting import BadLine, rows

    csv_file = options.file.endswith(".csv")
    convert = _convert(context, options, csv_file=csv_file)
    commands: list[StartSaga] = []
    bad: list[BadLine] = []
    for row in rows(_read(options.file), csv_file=csv_file, id_field=options.id_field):
        if isinstance(row, BadLine):
            bad.append(row)
            continue
        try:
            commands.append(_command(options, row.saga, row.payload, convert))
        except CommandRejected as error:
            bad.append(BadLine(row.line, error.reason, error.text))
    if bad:
        shown = [f"line {one.line}: {one.text}" for one in bad[:_BAD_LINES_MAX]]
        more = [f"... and {len(bad) - _BAD_LINES_MAX} more"] if len(bad) > len(shown) else []
        told = (
            f"{counted(len(bad), 'line')} of {options.file} cannot be started; nothing was sent:"
        )
        raise CommandRejected(bad[0].reason, "\n  ".join([told, *shown, *more]))
    return commands


def _tell_many(context: Context, count: int, results: list[Outcome | CommandRejected]) -> Exit:
    ended = [one for one in results if not isinstance(one, CommandRejected)]
    refused = Counter(one.reason for one in results if isinstance(one, CommandRejected))
    counts = Counter(outcome.business for outcome in ended)
    open_count = count - len(results)
    context.out.document(
        {
            "acknowledged": count,
            "outcomes": dict(sorted(counts.items())),
            "refused": dict(sorted(refused.items())),
            "open": open_count,
        }
    )
    rows = [*sorted(counts.items()), *((f"refused: {k}", n) for k, n in sorted(refused.items()))]
    context.out.table(("outcome", "sagas"), rows)
    if open_count:
        raise TimedOut("timed_out", f"{counted(open_count, 'saga')} not ended in time")
    return Exit.OK if counts[COMPLETED] == count else Exit.FOUND


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise CommandRejected("bad_file", f"--file {name} cannot be read: {error}") from error


def _payload(context: Context, options: Namespace) -> dict[str, Any]:
    if options.payload is None:
        _refuse_missing(context, options)
    try:
        value = json.loads(options.payload or "{}")
    except ValueError as error:
        raise CommandRejected("malformed_json", f"--payload is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise CommandRejected("malformed_json", "--payload must be a JSON object")
    return value


def _refuse_missing(context: Context, options: Namespace) -> None:
    """Say which fields a payload that was not given must have; none is fine if none must."""
    if options.unchecked:
        raise Misused("missing_payload", "--payload is missing")
    from orchestrator.cli.dev import sample

    saga = definition_named(context, options.definition, options.version)
    needed = sample(saga.input_type)
    if needed:
        like = shlex.quote(json.dumps(needed, ensure_ascii=False))
        raise Misused("missing_payload", f"--payload is missing; such as --payload {like}")


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
        "with the same payload twice is one saga; with another payload it is refused as `conflict`,\n"
        "which only --wait can tell. A file is checked whole before anything is sent.\n"
        "Exit codes with --wait: 0 completed; 1 rolled back, cancelled, refused, or stuck (said at\n"
        "once); 6 none of these in time."
    ),
    example=(
        "saga start transfer_money --id t-1 --wait --payload"
        ' \'{"source": "ann", "target": "bob", "amount_cents": 500}\''
    ),
    arguments=_arguments,
    run=_run,
)
