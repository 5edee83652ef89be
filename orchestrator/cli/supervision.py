"""Running several processes of `saga` until they are told to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

from orchestrator.cli.children import SUPERVISOR, Child, Children
from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit

_TURN_S = 0.2
"""How late a stop is noticed."""


def supervise(context: Context, commands: Mapping[str, Sequence[str]]) -> Exit:
    """Run `saga` once for each name, passing on what they write, until a signal comes.

    A child that dies is started anew at once; one that keeps dying at its start is given up, and
    when none is left the worst exit code of all is given.
    """
    from orchestrator.runtime.signals import StopRequest

    stop = StopRequest(parent=int(os.environ.get(SUPERVISOR, "0")))
    codes: list[int] = []

    def on_exit(child: Child, code: int, again: bool) -> None:  # noqa: FBT001 - Children's protocol
        codes.append(code)
        then = f"; started anew (pid {child.process.pid})" if again else ""
        context.out.note(f"{child.name} ended with code {code}{then}")

    with Children(_pass_on, on_exit) as children:
        for name, arguments in commands.items():
            children.start(name, arguments)
        while children.running and not stop():
            children.turn(_TURN_S)
        given_up = not children.running
    return (
        Exit.BUG if given_up and codes[-1] not in set(Exit) else Exit(codes[-1] if given_up else 0)
    )


def _pass_on(_name: str, line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
