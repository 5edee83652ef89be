"""The command line `saga`: one file per verb, one closed tuple of verbs, one exit-code table."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from orchestrator.cli.context import Context, add_common
from orchestrator.cli.cures import cure_of
from orchestrator.cli.exits import MEANINGS, Exit, exit_of
from orchestrator.cli.output import Output
from orchestrator.cli.verb import Verb
from orchestrator.errors import OrchestratorError

VERBS: tuple[str, ...] = (
    "dev",
    "worker",
    "standby",
    "participant",
    "topics",
    "shards",
    "start",
    "show",
    "list",
    "cancel",
    "retry",
    "skip",
    "resolve",
    "dead-letters",
    "audit",
    "replay",
    "check",
    "lock",
    "schemas",
    "graph",
    "version",
)
"""Every verb, in the order of `saga --help`; see `file_of` for where each lives."""


def file_of(name: str) -> str:
    """Name the module of a verb. One called `list` would hide the builtin from this one."""
    return "listing" if name == "list" else name.replace("-", "_")


def verb_named(name: str) -> Verb:
    """Load one verb's file and give its `VERB`."""
    module = import_module(f"orchestrator.cli.{file_of(name)}")
    verb: Verb = module.VERB
    return verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `saga` with these arguments (default: the process's) and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    output = Output(json="--json" in words)
    debug = "--debug" in words
    try:
        return _run(words, output)
    except OrchestratorError as error:
        return _refuse(error, output, debug=debug)
    except KeyboardInterrupt:
        output.note("Stopped.")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`saga list | head`): nothing is wrong. Python would
        # complain once more when it flushes stdout at exit, so stdout is pointed elsewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception:  # noqa: BLE001 - the outermost edge: a person gets a sentence, not a traceback
        return _admit_bug(output, debug=debug)


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line, what was meant, and where the help is."""

    def error(self, message: str) -> NoReturn:
        self.exit(Exit.USAGE, f"{self.prog}: {message}\nSee `{self.prog} --help`.\n")


def _run(words: Sequence[str], output: Output) -> int:
    try:
        return _parse_and_run(words, output)
    except SystemExit as error:  # argparse leaves this way after help and after a usage error
        return error.code if isinstance(error.code, int) else Exit.USAGE


def _parse_and_run(words: Sequence[str], output: Output) -> int:
    before, rest = split(words)
    top = _top_parser()
    common = top.parse_args(before)
    if getattr(common, "version", False):
        rest = ["version"]
        delattr(common, "version")
    if not rest:
        top.print_help()
        return Exit.OK if not words else Exit.USAGE
    name, *own = rest
    if name == "help":
        name, own = (own[0], ["--help"]) if own else ("", [])
        if not name:
            top.print_help()
            return Exit.OK
    if name not in VERBS:
        close = difflib.get_close_matches(name, VERBS, n=1)
        hint = f" Did you mean `saga {close[0]}`?" if close else ""
        top.error(f"there is no verb `{name}`.{hint}")
    verb = verb_named(name)
    options = parser_of(verb).parse_args(own, namespace=common)
    return verb.run(Context(options, output), options)


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the words before the verb (common options, with their values) from the verb on."""
    index = 0
    while index < len(words) and words[index].startswith("-"):
        takes_value = words[index] in VALUE_OPTIONS and index + 1 < len(words)
        index += 2 if takes_value else 1
    return list(words[:index]), list(words[index:])


VALUE_OPTIONS = frozenset({"--bootstrap-servers", "--config", "--prefix", "--modules"})


class _TopParser(_Parser):
    """The parser of what stands before the verb; only its help loads all verbs."""

    def format_help(self) -> str:
        """Give the help, with every verb and every exit code."""
        width = max(map(len, VERBS))
        verbs = "\n".join(f"  {name:<{width}}  {verb_named(name).help}" for name in VERBS)
        codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())
        self.epilog = f"verbs (`saga VERB --help` says more):\n{verbs}\n\nexit codes:\n{codes}"
        return super().format_help()


def _top_parser() -> argparse.ArgumentParser:
    parser = _TopParser(
        prog="saga",
        usage="saga VERB [options]",
        description="Durable sagas on Kafka.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="the same as `saga version`")
    add_common(parser)
    return parser


def parser_of(verb: Verb) -> argparse.ArgumentParser:
    """Build the parser of one verb; its help ends with the example."""
    parser = _Parser(
        prog=f"saga {verb.name}",
        description="\n\n".join(filter(None, (verb.help, verb.detail))),
        epilog=f"example:\n  {verb.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    verb.arguments(parser)
    add_common(parser.add_argument_group("common options"))
    return parser


def _refuse(error: OrchestratorError, output: Output, *, debug: bool) -> int:
    code, cure = exit_of(error), cure_of(error)
    output.document(
        {
            "error": type(error).__name__,
            "reason": getattr(error, "reason", ""),
            "text": str(error),
            "operator_action": cure,
            "exit": code,
        }
    )
    output.note(f"saga: {error}")
    if cure:
        output.note(f"  {cure}")
    if debug:
        traceback.print_exc()
    return code


def _admit_bug(output: Output, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
        return Exit.BUG
    handle, path = tempfile.mkstemp(prefix="saga-error-", suffix=".log")
    os.close(handle)
    Path(path).write_text(traceback.format_exc(), encoding="utf-8")
    kind = type(sys.exception()).__name__
    output.note(f"saga: an unexpected {kind}: this is a bug of ours. The traceback is in {path}")
    output.note("  Please report it with that file; `--debug` shows it here.")
    return Exit.BUG
