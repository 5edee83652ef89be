"""`saga worker`: run sagas."""

from __future__ import annotations

import dataclasses
import os
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb

if TYPE_CHECKING:
    from orchestrator.runtime.settings import WorkerSettings


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        default=1,
        help="run and supervise so many workers, numbered from --instance on (default 1)",
    )
    add_arguments(parser)


def add_arguments(parser: ArgumentParser) -> None:
    """Add what a worker and its standby have in common: all but how many there are."""
    from orchestrator.cli.flags import add_settings
    from orchestrator.kafka.sink import TransactionSettings
    from orchestrator.runtime.settings import StandbySettings, WorkerSettings
    from orchestrator.store.rocks import StoreSettings

    parser.add_argument(
        "--instance",
        dest="ordinal",
        metavar="N",
        default=SUPPRESS,
        help="number of this worker: its identity, kept over restarts (default 0)",
    )
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="of the log",
    )
    add_settings(parser, "the worker", WorkerSettings, skip=frozenset({"ordinal"}))
    add_settings(parser, "standbys and warming up", StandbySettings)
    add_settings(parser, "transactions", TransactionSettings)
    add_settings(parser, "the local store", StoreSettings)


def worker_settings(context: Context) -> WorkerSettings:
    """Give the worker's settings; the group is called as the prefix, unless it was named."""
    from orchestrator.runtime.settings import WorkerSettings

    settings = context.settings(WorkerSettings)
    if settings.group == WorkerSettings.__dataclass_fields__["group"].default:
        return dataclasses.replace(settings, group=context.program_settings.prefix)
    return settings


def _run(context: Context, options: Namespace) -> Exit:
    _refuse_twins(context)
    if options.processes > 1:
        return _supervise(context, options)
    from orchestrator import collector

    collector.rest()  # before the large part is imported
    from orchestrator.cli.children import SUPERVISOR, saga_command
    from orchestrator.cli.restoring import shown_restore
    from orchestrator.kafka.sink import TransactionSettings
    from orchestrator.observability.log import configure
    from orchestrator.runtime.main import run_worker
    from orchestrator.runtime.settings import StandbySettings
    from orchestrator.runtime.signals import STOP_S, StopRequest
    from orchestrator.store.rocks import StoreSettings

    configure(options.log_level)
    stop = StopRequest(int(os.environ.get(SUPERVISOR, "0")), STOP_S)
    run_worker(
        context.program,
        worker_settings(context),
        context.kafka,
        stop,
        transactions=context.settings(TransactionSettings),
        stores=context.settings(StoreSettings),
        topics=context.topics,
        codec=context.codec,
        payloads=context.payloads,
        on_progress=shown_restore(),
        standby=context.settings(StandbySettings),
        standby_command=saga_command(*standby_arguments(sys.argv[1:])),
    )
    return Exit.OK


def _refuse_twins(context: Context) -> None:
    """Refuse to be a worker that `saga dev` runs: the two would fence each other."""
    from orchestrator.cli.children import SUPERVISOR
    from orchestrator.cli.devfile import DevRuns

    dev = context.dev
    if dev is None or os.environ.get(SUPERVISOR) == str(dev.pid):
        return
    ordinal = worker_settings(context).ordinal
    if ordinal < dev.workers_count:
        raise DevRuns(
            f"saga dev (pid {dev.pid}) runs worker {ordinal} in this directory; start this one with"
            f" --instance {dev.workers_count}, or `saga dev --workers {dev.workers_count + 1}`"
        )


def _supervise(context: Context, options: Namespace) -> Exit:
    from orchestrator.cli.supervision import supervise

    first = worker_settings(context).ordinal
    arguments = without_option(sys.argv[1:], "--processes", "--instance")
    return supervise(
        context,
        {
            f"worker {ordinal}": [*arguments, "--instance", str(ordinal)]
            for ordinal in range(first, first + options.processes)
        },
    )


def standby_arguments(words: Sequence[str]) -> list[str]:
    """Turn the command line of a worker into that of its standby."""
    from orchestrator.cli import split

    before, (_worker, *own) = split(words)
    return [*before, "standby", *without_option(own, "--processes")]


def without_option(words: list[str], *names: str) -> list[str]:
    """Leave options with one value out of a command line."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in names:
            skip = True
        elif word.partition("=")[0] not in names:
            kept.append(word)
    return kept


VERB = Verb(
    name="worker",
    help="Run sagas: one worker process, or several under supervision.",
    detail=(
        "Logs JSON lines on stderr. SIGTERM stops it, in 2 s even if brokers are silent; it may also be\n"
        "killed at any moment.\n"
        "With --processes a worker that dies is started again under its own number at once."
    ),
    example="saga worker --bootstrap-servers localhost:9092 --modules sagas --processes 2",
    arguments=_arguments,
    run=_run,
)
