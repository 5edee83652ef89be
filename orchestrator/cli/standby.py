"""`saga standby`: what a worker starts to keep the shards warm that it would inherit."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb


def _arguments(parser: ArgumentParser) -> None:
    from orchestrator.cli.worker import add_arguments

    add_arguments(parser)


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.cli.worker import worker_settings
    from orchestrator.errors import ConfigurationError
    from orchestrator.observability.log import configure
    from orchestrator.runtime.beside import run_standby
    from orchestrator.runtime.settings import StandbySettings
    from orchestrator.runtime.signals import StopRequest
    from orchestrator.store.rocks import StoreSettings

    if sys.stdin.isatty():
        raise ConfigurationError(
            "a standby obeys the worker that started it: run `saga worker --standbys 1`"
        )
    configure(options.log_level)
    run_standby(
        worker_settings(context),
        context.settings(StandbySettings),
        context.kafka,
        StopRequest(),
        stores=context.settings(StoreSettings),
        topics=context.topics,
        codec=context.codec,
    )
    return Exit.OK


VERB = Verb(
    name="standby",
    help="Started by `saga worker`: keep the shards warm that this worker would inherit.",
    detail=(
        "Not for people: it takes its worker's options, obeys it on stdin and ends with it. To have\n"
        "standbys, run workers with --standbys."
    ),
    example="saga standby --bootstrap-servers localhost:9092 --instance 0 --standbys 1",
    arguments=_arguments,
    run=_run,
)
