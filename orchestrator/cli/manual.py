"""The page `docs/command-line.md`, made from the verbs.

`python -m orchestrator.cli.manual` prints it; a test keeps the file the same.
"""

from __future__ import annotations

import argparse
import sys

from orchestrator.cli import VERBS, parser_of, verb_named
from orchestrator.cli.context import add_common
from orchestrator.cli.exits import MEANINGS
from orchestrator.cli.flags import SETTINGS_TITLE

_HEAD = """\
# The command line

`saga VERB [options]`, or `python -m orchestrator VERB`. `saga VERB --help` says what is said here.

On a terminal there are tables, colours (not with `NO_COLOR`) and progress bars; elsewhere plain
text. With `--json` stdout holds one JSON document and nothing else, errors included; notes and
progress go to stderr. The keys of these documents stay; new ones may be added.

`show`, `list`, `audit`, `replay` and `dead-letters` read the topics themselves. They need no worker,
only the right to read, are in no consumer group, commit nothing and disturb no one.

This page is made from the program: `python -m orchestrator.cli.manual > docs/command-line.md`.
"""


def render() -> str:
    """Give the whole page."""
    parts = [_HEAD, "## Exit codes\n", "| code | meaning |", "| --- | --- |"]
    parts += [f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items()]
    common = argparse.ArgumentParser(add_help=False)
    add_common(common)
    parts += ["\n## Options of every verb\n", *_table(common)]
    shared = {option for action in common._actions for option in action.option_strings}  # noqa: SLF001
    for name in VERBS:
        parts += ["", *_verb(name, shared)]
    return "\n".join(parts) + "\n"


def _verb(name: str, shared: set[str]) -> list[str]:
    verb = verb_named(name)
    parser = parser_of(verb)
    lines = [f"## saga {name}\n", verb.help, ""]
    if verb.detail:
        lines += [verb.detail.replace("\n", " "), ""]
    lines += ["```sh", verb.example, "```"]
    settings = {
        option
        for group in parser._action_groups  # noqa: SLF001 - argparse has no other way to list them
        if (group.title or "").startswith(SETTINGS_TITLE)
        for action in group._group_actions  # noqa: SLF001 - as above
        for option in action.option_strings
    }
    rows = _table(parser, leave_out=shared | settings | {"-h"})
    lines += ["", *rows] if rows else []
    if settings:
        lines += ["", "Besides, a flag for each of its [settings](settings.md)."]
    return lines


def _table(
    parser: argparse.ArgumentParser, leave_out: set[str] | frozenset[str] = frozenset()
) -> list[str]:
    rows = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        if leave_out & set(action.option_strings):
            continue
        name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        if action.option_strings and action.nargs != 0:
            name += f" {action.metavar or '|'.join(map(str, action.choices or ()))}"
        elif action.choices:
            name = "|".join(map(str, action.choices))
        text = (action.help or "").replace("%%", "%").replace("|", "\\|")
        rows.append(f"| `{name.replace('|', chr(92) + '|')}` | {text} |")
    return ["| option | |", "| --- | --- |", *rows] if rows else []


if __name__ == "__main__":
    sys.stdout.write(render())
