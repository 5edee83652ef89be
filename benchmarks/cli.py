"""`python -m benchmarks`: the interleaved rounds, or one of the other measurements."""

from __future__ import annotations

import argparse
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from benchmarks import (
    dry,
    dry_participant,
    dry_restore,
    plot,
    profiling,
    recovery,
    size,
    startup,
    steps,
    table,
)
from benchmarks.restate.peer import Restate
from benchmarks.rounds import BARE, RESULTS, Measure, run_rounds, summarise, tell
from orchestrator.errors import OrchestratorError
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.local_kafka import LocalKafka, shown_progress

LEVELS = (1, 200, 1_000, 4_000)
BAR_LEVEL = 1_000
"""In flight: where the share of the floor is judged."""

Run = Callable[[Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for. Gives the exit code: 1 if a bar was missed or an effect was wrong."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help"}):
        words.insert(0, "trip")
    options = _parser().parse_args(words)
    run: Run = options.run
    # Everything that was started ends with us, however we are asked to end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        return run(options)
    except OrchestratorError as error:
        print(f"{type(error).__name__}: {error}\n{error.operator_action}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


@contextmanager
def broker(options: Namespace) -> Iterator[KafkaSettings]:
    """Give the cluster that was named, or one of our own for as long as the block runs."""
    with ExitStack() as stack:
        servers = options.bootstrap_servers
        if servers is None:
            progress = stack.enter_context(shown_progress())
            local = LocalKafka(options.nodes, on_progress=progress)
            servers = stack.enter_context(local).bootstrap_servers
        yield KafkaSettings(bootstrap_servers=servers)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    verbs: Verbs = parser.add_subparsers(required=True, metavar="WHAT")
    verb = _verb(verbs, "trip", _trip, "engine and floor in interleaved rounds (default)")
    verb.add_argument("--rounds", type=int, default=3, help="(default 3; five for a verdict)")
    verb.add_argument("--sagas", type=int, default=0, help="a run; 0: some seconds' worth")
    verb.add_argument("--in-flight", type=int, nargs="+", default=list(LEVELS))
    verb.add_argument("--partitions", type=int, default=4)
    verb.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    verb.add_argument("--peer", choices=("restate",), help="interleave a peer too")
    verb.add_argument(
        "--patience",
        type=float,
        default=0.0,
        help="wait so many s before a run for a quiet machine",
    )
    verb.add_argument("--bar", type=float, default=0.0, help="least median share at 1,000")
    verb = _measuring(verbs, "size", size.measure, "rate and memory against sagas in flight")
    verb.add_argument("--levels", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    verb.add_argument("--rounds", type=int, default=3, help="samples a level (default 3)")
    verb = _measuring(verbs, "steps", steps.measure, "cost of a step: sagas of 3 and of 100")
    verb.add_argument("--rounds", type=int, default=3)
    verb = _measuring(verbs, "recovery", recovery.measure, "kills, stops, lost stores and brokers")
    verb.add_argument("--rounds", type=int, default=3)
    verb.add_argument(
        "--only", nargs="+", choices=recovery.SCENARIOS, default=[*recovery.SCENARIOS]
    )
    verb.add_argument(
        "--levels", type=int, nargs="+", default=[100_000, 1_000_000], help="of `cold` and `held`"
    )
    verb = _measuring(verbs, "startup", startup.measure, "imports, --help, a worker's first poll")
    verb.add_argument("--rounds", type=int, default=9)
    verb = _measuring(verbs, "profile", profiling.measure, "flame graphs and stages, with py-spy")
    verb.add_argument("--in-flight", type=int, default=1_000)
    verb.add_argument("--seconds", type=int, default=15, help="a recording (default 15)")
    verb = verbs.add_parser("dry", help="CPU of an input in the worker, without Kafka")
    verb.add_argument("--participant", action="store_true", help="of a command in a participant")
    verb.add_argument("--restore", action="store_true", help="of a changelog record in a restore")
    verb.add_argument("--rounds", type=int, default=9)
    verb.add_argument("--sagas", type=int, default=0, help="(default 1,000; to restore: 30,000)")
    verb.add_argument("--name", default="dry", help="of the results file")
    verb.set_defaults(run=_dry)
    verb = verbs.add_parser("plot", help="draw results into docs/performance")
    verb.add_argument("names", nargs="*", default=["trip", "size"], help="of results files")
    verb.set_defaults(run=lambda options: plot.draw(options.names))
    verb = verbs.add_parser("table", help="print results as Markdown")
    verb.add_argument("names", nargs="*", default=["trip", "size", "profile"])
    verb.set_defaults(run=lambda options: table.show(options.names))
    return parser


if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[ArgumentParser]  # noqa: SLF001 - it has no public name


def _verb(verbs: Verbs, name: str, run: Run, text: str) -> ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("--bootstrap-servers", help="use this cluster instead of our own")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="of our own cluster")
    parser.add_argument("--name", default=name, help="of the results file")
    parser.set_defaults(run=run)
    return parser


def _measuring(
    verbs: Verbs, name: str, measure: Callable[[KafkaSettings, Namespace], int], text: str
) -> ArgumentParser:
    def run(options: Namespace) -> int:
        with broker(options) as kafka:
            return measure(kafka, options)

    return _verb(verbs, name, run, text)


def _dry(options: Namespace) -> int:
    if options.restore:
        return dry_restore.measure(options)
    options.sagas = options.sagas or 1_000
    return (dry_participant if options.participant else dry).measure(options)


def _trip(options: Namespace) -> int:
    peers: dict[str, Measure] = {}
    if options.peer == "restate":
        peers["restate-rpc"] = Restate.installed().measure
    with broker(options) as kafka:
        rows = run_rounds(kafka, options, peers)
    summary = summarise(rows)
    tell(summary)
    print(f"written to {RESULTS / options.name}.json")
    shares = {r["in_flight"]: r["rate"]["median"] for r in summary["ratios"] if r["to"] == BARE}
    return int(bool(options.bar) and shares.get(BAR_LEVEL, 0.0) < options.bar)
