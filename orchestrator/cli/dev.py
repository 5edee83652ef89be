"""`saga dev`: everything that a saga needs, on this machine, in one foreground command."""

from __future__ import annotations

import json
import shutil
import socket
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb

if TYPE_CHECKING:
    from orchestrator.cli.children import Child

_KAFKA_PORT = 9092
_TURN_S = 0.2
"""How late Ctrl-C is noticed."""
_LOUD = frozenset({"warning", "error", "critical"})
_MADE_HERE = ("kafka", "state", "ledgers", "logs")


def _arguments(parser: ArgumentParser) -> None:
    from orchestrator.cli.devfile import DEV_DIRECTORY

    parser.add_argument(
        "--kafka",
        choices=("process", "docker"),
        default="process",
        help="how to run Kafka: as a process of this machine (default) or in a container",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", default=1, help="worker processes (default 1)"
    )
    parser.add_argument(
        "--dir",
        metavar="DIR",
        default=str(DEV_DIRECTORY),
        help=f"where everything is kept (default {DEV_DIRECTORY})",
    )
    parser.add_argument(
        "--fresh", action="store_true", default=False, help="forget what an earlier run has kept"
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        default=0,
        help=f"Kafka's port (default {_KAFKA_PORT} if it is free, else any)",
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.modules import participants_of
    from orchestrator.runtime.signals import StopRequest

    program = context.program
    participants_of(program)  # builds every saga: a mistake shows before anything is started
    folder = Path(options.dir)
    if options.fresh:
        _forget(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stop = StopRequest()
    with _kafka(context, options, folder) as servers:
        if not stop():
            _make_topics(context, servers)
            _supervise(context, options, folder, servers, stop)
    return Exit.OK


def _forget(folder: Path) -> None:
    for name in _MADE_HERE:
        shutil.rmtree(folder / name, ignore_errors=True)


@contextmanager
def _kafka(context: Context, options: Namespace, folder: Path) -> Iterator[str]:
    """Give the address of the user's own Kafka, or of one that runs as long as this block."""
    from orchestrator.cli.devfile import remove_servers, write_servers
    from orchestrator.local_kafka import LocalKafka, shown_progress

    own = getattr(options, "bootstrap_servers", None)
    if own:
        yield own
        return
    port = options.port or (_KAFKA_PORT if _is_free(_KAFKA_PORT) else 0)
    with shown_progress() as on_progress:
        kafka = LocalKafka(
            data_dir=folder / "kafka", backend=options.kafka, on_progress=on_progress, port=port
        )
        kafka.start()
    try:
        write_servers(folder, kafka.bootstrap_servers)
        yield kafka.bootstrap_servers
    finally:
        remove_servers(folder)
        context.out.note("Stopping Kafka.")
        kafka.stop()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As a server would: a port whose last connections are still closing is free all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _make_topics(context: Context, servers: str) -> None:
    from orchestrator import topics
    from orchestrator.modules import participants_of

    context.options.bootstrap_servers = servers
    settings = topics.TopicSettings(profile=topics.Profile.DEVELOPMENT)
    wanted = topics.specs(context.topics, participants_of(context.program), settings)
    existing = context.admin.topics([spec.name for spec in wanted])
    topics.apply(context.admin, topics.plan(wanted, existing))


def _supervise(
    context: Context, options: Namespace, folder: Path, servers: str, stop: Any
) -> None:
    from orchestrator.cli.children import Children

    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    shown = _Shown(context, logs)
    with Children(shown.line, shown.exit) as children:
        for name, arguments in _commands(context, options, folder, servers).items():
            children.start(name, arguments)
        _say_hello(context, children.running, servers, logs)
        while children.running and not stop():
            children.turn(_TURN_S)
        context.out.note("Stopping workers and participants.")


def _commands(
    context: Context, options: Namespace, folder: Path, servers: str
) -> dict[str, list[str]]:
    """Give the command line of each child: the workers, and everyone who has a handler."""
    settings = context.program_settings
    common = ["--bootstrap-servers", servers, "--prefix", settings.prefix]
    common += ["--modules", ",".join(settings.modules)]
    if config := getattr(options, "config", None):
        common += ["--config", config]
    state, ledgers = str(folder / "state"), str(folder / "ledgers")
    workers = {
        f"worker-{n}": ["worker", *common, "--instance", str(n), "--data-dir", state]
        for n in range(options.workers)
    }
    participants = {
        name: ["participant", name, *common, "--ledger-directory", ledgers]
        for name in context.program.participants
    }
    return {**workers, **participants}


class _Shown:
    """Keeps each child's log in a file; the terminal gets what a developer must see."""

    def __init__(self, context: Context, folder: Path) -> None:
        self._out = context.out
        self._folder = folder

    def line(self, name: str, line: str) -> None:
        """Take one line of a child's output."""
        with (self._folder / f"{name}.log").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            self._out.note(f"[{name}] {line}")  # printed by a handler, or a traceback
        elif entry.get("level") in _LOUD:
            fields = {
                key: value
                for key, value in entry.items()
                if key not in {"event", "level", "time", "timestamp"}
            }
            told = " ".join(f"{key}={value}" for key, value in fields.items())
            self._out.note(f"[{name}] {entry['level']}: {entry.get('event')} {told}")

    def exit(self, child: Child, code: int, again: bool) -> None:  # noqa: FBT001 - protocol
        """Say that a child has died."""
        then = "started anew" if again else "not started again"
        self._out.note(f"[{child.name}] ended with code {code}; {then}")


def _say_hello(context: Context, running: tuple[Child, ...], servers: str, logs: Path) -> None:
    program = context.program
    handled = set(program.participants)
    needed = {name for saga in program.sagas for name in saga.build().participants}
    context.out.document(
        {
            "bootstrap_servers": servers,
            "prefix": context.program_settings.prefix,
            "sagas": [{"saga": saga.id, "version": saga.version} for saga in program.sagas],
            "processes": [{"name": child.name, "pid": child.process.pid} for child in running],
            "participants": sorted(handled),
            "not_handled": sorted(needed - handled),
            "logs": str(logs),
        }
    )
    out = context.out
    out.table(
        ("", ""),
        [
            ("Kafka", servers),
            ("sagas", ", ".join(f"{saga.id} v{saga.version}" for saga in program.sagas)),
            ("processes", ", ".join(f"{child.name} ({child.process.pid})" for child in running)),
            *(
                [("no handler for", ", ".join(sorted(needed - handled)))]
                if needed - handled
                else []
            ),
            ("logs", logs),
        ],
    )
    first = program.sagas[0].id if program.sagas else "NAME"
    out.line()
    out.line("Ready. In another terminal, in this directory:")
    out.line(f"  saga start {first} --id first-1 --wait --payload '{_example(program)}'")
    out.line("  saga show first-1")
    out.line("  saga list")
    out.line("Ctrl-C stops everything.")


def _example(program: Any) -> str:
    """Give a start payload of the first saga's type, every field filled with something."""
    from typing import get_type_hints

    if not program.sagas:
        return "{}"
    samples: dict[Any, Any] = {str: "text", int: 1, bool: True, float: 1.0}
    hints = get_type_hints(program.sagas[0].input_type)
    names = program.sagas[0].input_type.__dataclass_fields__
    return json.dumps({name: samples.get(hints[name]) for name in names})


VERB = Verb(
    name="dev",
    help="Run Kafka, the topics, a worker and your participants in one foreground command.",
    detail=(
        "Needs nothing but Python: Kafka is fetched once. With --bootstrap-servers your own Kafka is\n"
        "used. Data is kept in --dir from one run to the next. While it runs, other verbs called in\n"
        "the same directory find its Kafka by themselves."
    ),
    example="saga dev --modules sagas",
    arguments=_arguments,
    run=_run,
)
