"""Flags for every setting of a class, with the words that stand under its fields."""

from __future__ import annotations

import argparse
from argparse import ArgumentParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.settings import Settings

SETTINGS_TITLE = "settings"
"""How the titles of these groups begin in a verb's help."""
_HELP_LENGTH_MAX = 300


def add_settings(
    parser: ArgumentParser, of: str, cls: type[Settings], *, skip: frozenset[str] = frozenset()
) -> None:
    """Add one flag for each setting but secrets and those in `skip`; not given: no attribute."""
    from orchestrator.settings_docs import documented

    group = parser.add_argument_group(f"{SETTINGS_TITLE} of {of}")
    for row in documented(cls):
        if row.flag and row.name not in skip:
            text = row.text if len(row.text) <= _HELP_LENGTH_MAX else row.text.partition(". ")[0]
            group.add_argument(
                row.flag,
                metavar=row.kind.upper(),
                default=argparse.SUPPRESS,
                help=text.replace("%", "%%"),
            )
