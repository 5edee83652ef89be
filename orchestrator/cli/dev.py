"""`saga dev`: everything that a saga needs, on this machine, in one foreground command."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import socket
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from orchestrator.cli.context import Context
from orchestrator.cli.devfile import LEDGERS, STATE
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb
from orchestrator.errors import NotFound
from orchestrator.modules import split

if TYPE_CHECKING:
    from orchestrator.cli.children import Child
    from orchestrator.cli.devfile import Dev
    from orchestrator.cli.output import Output
    from orchestrator.modules import Program

_KAFKA_PORT = 9092
_TURN_S = 0.2
"""How late Ctrl-C is noticed."""
_LOUD = frozenset({"warning", "error", "critical"})
_MADE_HERE = ("kafka", STATE, LEDGERS, "logs")


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
        "--without",
        metavar="NAMES",
        default="",
        help="participants not to start: run them yourself with `saga participant NAME`",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        default=0,
        help=f"Kafka's port (default {_KAFKA_PORT} if it is free, else any)",
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.cli import devfile
    from orchestrator.modules import participants_of
    from orchestrator.runtime.signals import StopRequest

    folder = Path(options.dir)
    devfile.refuse_second(folder)
    program = context.program
    participants_of(program)  # builds every saga: a mistake shows before anything is started
    names = _run_here(context, options)
    if options.fresh:
        _forget(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stop = StopRequest()
    with _kafka(context, options, folder) as servers:
        if not stop():
            _make_topics(context, servers)
            dev = devfile.Dev(
                pid=os.getpid(),
                servers=servers,
                prefix=context.program_settings.prefix,
                modules=context.program_settings.modules,
                directory=str(folder),
                workers_count=options.workers,
                participants=names,
            )
            with devfile.written(dev):
                _supervise(context, options, dev, stop)
    return Exit.OK


def _run_here(context: Context, options: Namespace) -> tuple[str, ...]:
    """Name the participants whose processes are to run under this roof."""
    known = context.program.participants
    without = split(options.without)
    unknown = [name for name in without if name not in known]
    if unknown:
        raise NotFound(
            "unknown_participant",
            f"--without {', '.join(unknown)}: known: {', '.join(known) or 'none'}",
        )
    return tuple(name for name in known if name not in without)


def _forget(folder: Path) -> None:
    for name in _MADE_HERE:
        shutil.rmtree(folder / name, ignore_errors=True)


@contextmanager
def _kafka(context: Context, options: Namespace, folder: Path) -> Iterator[str]:
    """Give the address of the user's own Kafka, or of one that runs as long as this block."""
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
        yield kafka.bootstrap_servers
    finally:
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


def _supervise(context: Context, options: Namespace, dev: Dev, stop: Any) -> None:
    from orchestrator.cli.children import Children

    logs = Path(dev.directory) / "logs"
    logs.mkdir(exist_ok=True)
    shown = Shown(context.out, logs)
    with Children(shown.line, shown.exit) as children:
        for name, arguments in _commands(options, dev).items():
            children.start(name, arguments)
        _say_hello(context, children.running, dev, logs)
        while children.running and not stop():
            children.turn(_TURN_S)
        context.out.note("Stopping workers and participants.")


def _commands(options: Namespace, dev: Dev) -> dict[str, list[str]]:
    """Give the command line of each child: the workers, and everyone who has a handler."""
    common = ["--bootstrap-servers", dev.servers, "--prefix", dev.prefix]
    common += ["--modules", ",".join(dev.modules)]
    if config := getattr(options, "config", None):
        common += ["--config", config]
    folder = Path(dev.directory)
    state, ledgers = str(folder / STATE), str(folder / LEDGERS)
    # Workers of one machine, started again when they die, have nobody to inherit from.
    own = ["--data-dir", state, "--standbys", "0"]
    workers = {
        f"worker-{n}": ["worker", *common, "--instance", str(n), *own]
        for n in range(dev.workers_count)
    }
    participants = {
        name: ["participant", name, *common, "--ledger-directory", ledgers]
        for name in dev.participants
    }
    return {**workers, **participants}


class Shown:
    """Keeps each child's log in a file; the terminal gets what a developer must see."""

    def __init__(self, out: Output, folder: Path) -> None:
        self._out = out
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
                if key not in {"event", "level", "time", "timestamp", "exception"}
            }
            told = " ".join(f"{key}={value}" for key, value in fields.items())
            self._out.note(f"[{name}] {entry['level']}: {entry.get('event')} {told}")
            for text in str(entry.get("exception", "")).splitlines():
                self._out.note(f"[{name}]   {text}")

    def exit(self, child: Child, code: int, again: bool) -> None:  # noqa: FBT001 - protocol
        """Say that a child has died; `child` is the new one, if there is one."""
        then = f"started anew (pid {child.process.pid})" if again else "not started again"
        self._out.note(f"[{child.name}] ended with code {code}; {then}")


def _say_hello(context: Context, running: tuple[Child, ...], dev: Dev, logs: Path) -> None:
    program = context.program
    needed = {name for saga in program.sagas for name in saga.build().participants}
    left = sorted(needed - set(program.participants))
    apart = sorted(set(program.participants) - set(dev.participants))
    context.out.document(
        {
            "bootstrap_servers": dev.servers,
            "prefix": dev.prefix,
            "sagas": [{"saga": saga.id, "version": saga.version} for saga in program.sagas],
            "processes": [{"name": child.name, "pid": child.process.pid} for child in running],
            "participants": sorted(dev.participants),
            "not_started": apart,
            "not_handled": left,
            "logs": str(logs),
            "example": _example(program),
        }
    )
    out = context.out
    rows = [
        ("Kafka", dev.servers),
        ("sagas", ", ".join(f"{saga.id} v{saga.version}" for saga in program.sagas)),
        ("processes", ", ".join(f"{child.name} ({child.process.pid})" for child in running)),
        ("not started", ", ".join(apart)),
        ("no handler for", ", ".join(left)),
        ("logs", str(logs)),
    ]
    for name, text in rows:
        if text:
            out.line(f"{name:<14}  {text}")
    out.line()
    out.line("Ready. In another terminal, in this directory:")
    if program.sagas:
        out.line(f"  {_example(program)}")
        out.line("  saga show first-1")
    out.line("  saga list")
    out.line("Ctrl-C stops everything. Changed code needs a restart.")


def _example(program: Program) -> str | None:
    """Give a command that starts a saga, and works as it stands in this directory."""
    if not program.sagas:
        return None
    first = program.sagas[0]
    payload = shlex.quote(json.dumps(sample(first.input_type), ensure_ascii=False))
    return f"saga start {first.id} --id first-1 --wait --payload {payload}"


def sample(kind: type[Any]) -> dict[str, Any]:
    """Make up a payload of a class as JSON: every field without a default filled with something."""
    hints = get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        field.name: _sample_value(hints[field.name])
        for field in dataclasses.fields(kind)
        if field.default is missing and field.default_factory is missing
    }


_SAMPLES: dict[Any, Any] = {str: "text", int: 1, bool: True, float: 1.5, bytes: "AA=="}


def _sample_value(hint: Any) -> Any:
    kinds = [part for part in get_args(hint) if part is not type(None)]
    origin = get_origin(hint)
    if hint in _SAMPLES:
        return _SAMPLES[hint]
    if origin is tuple:
        return [_sample_value(kinds[0])]
    if origin is dict:
        return {"key": _sample_value(kinds[1])}
    if kinds:  # X | None
        return _sample_value(kinds[0])
    if issubclass(hint, StrEnum):
        return next(iter(hint)).value
    return sample(hint)


VERB = Verb(
    name="dev",
    help="Run Kafka, the topics, a worker and your participants in one foreground command.",
    detail=(
        "Needs nothing but Python: Kafka is fetched once. With --bootstrap-servers your own Kafka is\n"
        "used. Data is kept in --dir from one run to the next. While it runs, other verbs called in\n"
        "the same directory use its Kafka, modules, prefix and directories, unless told otherwise;\n"
        "that needs the default --dir. Changed code is taken up by a restart."
    ),
    example="saga dev --modules sagas",
    arguments=_arguments,
    run=_run,
)
