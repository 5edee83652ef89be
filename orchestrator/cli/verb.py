"""A verb of `saga`: what its file exports."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One verb: help for people, arguments for argparse, and what it does.

    A verb's file imports what is heavy (Kafka's client, the store, tables) inside `run`, so that
    `saga --help` answers at once.
    """

    name: str
    help: str
    """One sentence."""
    example: str
    """One command line that works as it stands."""
    arguments: Callable[[ArgumentParser], None]
    run: Callable[[Context, Namespace], Exit]
    """Raises only children of OrchestratorError for what a user can mend."""
    detail: str = ""
    """More for `saga VERB --help` and the manual; paragraphs."""
