"""Exit codes of `saga`: part of its contract, so that scripts can branch on them."""

from __future__ import annotations

from enum import IntEnum

from orchestrator.errors import (
    CommandRejected,
    ConfigurationError,
    DecodeError,
    DefinitionError,
    LocalKafkaError,
    NotFound,
    OrchestratorError,
    StateError,
    TimedOut,
    TransactionError,
    Unreachable,
)


class Exit(IntEnum):
    """How a verb ended. The numbers are a contract: never change one."""

    OK = 0
    FOUND = 1
    USAGE = 2
    CONFIGURATION = 3
    UNREACHABLE = 4
    NOT_FOUND = 5
    TIMED_OUT = 6
    BUG = 70
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.OK: "Done, and nothing is wrong.",
    Exit.FOUND: (
        "It was refused, a check found something (differences, mistakes, a torn log), or the saga"
        " that `start --wait` waited for did not complete, or is stuck."
    ),
    Exit.USAGE: "The command line is wrong.",
    Exit.CONFIGURATION: "A setting, a module or a definition is wrong.",
    Exit.UNREACHABLE: "Kafka cannot be reached or started, or did not acknowledge.",
    Exit.NOT_FOUND: "There is no such saga, dead letter, participant or definition.",
    Exit.TIMED_OUT: "The time that you allowed (`--timeout`) ran out.",
    Exit.BUG: "A bug of ours. `--debug` shows the traceback.",
    Exit.INTERRUPTED: "Stopped by Ctrl-C.",
}
"""One row of the documented table for each code."""


class Misused(CommandRejected):
    """The command line does not make sense."""


_EXITS: tuple[tuple[type[OrchestratorError], Exit], ...] = (
    (Misused, Exit.USAGE),
    (NotFound, Exit.NOT_FOUND),
    (TimedOut, Exit.TIMED_OUT),
    (CommandRejected, Exit.FOUND),
    (DecodeError, Exit.FOUND),
    (StateError, Exit.FOUND),
    (DefinitionError, Exit.CONFIGURATION),
    (Unreachable, Exit.UNREACHABLE),
    (ConfigurationError, Exit.CONFIGURATION),
    (LocalKafkaError, Exit.UNREACHABLE),
    (TransactionError, Exit.UNREACHABLE),
)


def exit_of(error: OrchestratorError) -> Exit:
    """Give the exit code for an error: the first row whose class it is."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.BUG)
