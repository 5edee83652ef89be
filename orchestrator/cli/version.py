"""`saga version`: what is installed, for a bug report."""

from __future__ import annotations

import platform
from argparse import ArgumentParser, Namespace
from importlib.metadata import PackageNotFoundError, version

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb

_PACKAGES = ("saga-orchestrator", "confluent-kafka", "fastavro", "rocksdict")


def _arguments(_parser: ArgumentParser) -> None:
    pass


def _run(context: Context, _options: Namespace) -> Exit:
    found = {name: _version(name) for name in _PACKAGES}
    found["python"] = platform.python_version()
    context.out.document({"versions": found})
    for name, text in found.items():
        context.out.line(f"{name} {text}")
    return Exit.OK


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


VERB = Verb(
    name="version",
    help="Print the versions of the orchestrator and of what it stands on.",
    example="saga version --json",
    arguments=_arguments,
    run=_run,
)
