"""Installing and running the peer. Everything of it lies in one cache folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks import workload
from benchmarks.figures import percentiles_ms, steady_rate
from benchmarks.subjects import Load
from benchmarks.verdict import WrongEffects, compare
from orchestrator.errors import ConfigurationError, TimedOut
from orchestrator.kafka.settings import KafkaSettings

HOME_VARIABLE = "SAGA_BENCH_CACHE"
PACKAGES = ("restate-sdk", "granian", "aiohttp", "psutil")
SERVER = "@restatedev/restate-server"
SAGAS_MAX = 2_500
"""Of a run: at a few hundred a second, ten seconds and more."""
IN_FLIGHT_MAX = 200
"""More only wait longer: its rate was found highest here."""
_RUN_S_MAX = 300.0
_INSTALL_S_MAX = 600.0


@dataclass(frozen=True)
class Restate:
    """The peer, installed."""

    python: Path
    binary: Path

    @classmethod
    def installed(cls) -> Self:
        """Install what is missing, with pip and npm by the packages' names.

        Raises:
            ConfigurationError: It cannot be; the text says what was tried.
        """
        default = Path.home() / ".cache" / "saga-orchestrator" / "bench-restate"
        home = Path(os.environ.get(HOME_VARIABLE, default))
        for tool in ("npm", "unshare"):
            if shutil.which(tool) is None:
                raise ConfigurationError(f"--peer restate: there is no `{tool}` on this machine")
        python, packages = home / "venv" / "bin" / "python", home / "npm"
        if not (home / "venv" / "bin" / "granian").exists():
            _run(sys.executable, "-m", "venv", str(home / "venv"))
            _run(str(python), "-m", "pip", "install", "-q", *PACKAGES)
        found = list(packages.glob("node_modules/@restatedev/restate-server-linux-*/bin/*"))
        if not found:
            packages.mkdir(parents=True, exist_ok=True)
            _run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(packages), SERVER)
            found = list(packages.glob("node_modules/@restatedev/restate-server-*/bin/*"))
        if not found:
            raise ConfigurationError(f"--peer restate: {SERVER} has no server for this machine")
        return cls(python, found[0])

    def measure(self, _: KafkaSettings, load: Load) -> dict[str, Any]:
        """Measure it once; it needs no Kafka. Of smaller size: it ends when some seconds are seen.

        Raises:
            WrongEffects: An effect or an end is wrong.
            TimedOut: It does not end, or fails.
        """
        count, in_flight = min(load.sagas, SAGAS_MAX), min(load.in_flight, IN_FLIGHT_MAX)
        with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
            options = {
                "binary": self.binary,
                "folder": folder,
                "sagas": count,
                "in-flight": in_flight,
                "warm-up": min(load.warm_up, 20 if in_flight == 1 else 300),
            }
            words = [f"--{name}={value}" for name, value in options.items()]
            runner = Path(__file__).parent / "runner.py"
            try:
                done = subprocess.run(
                    [self.python, runner, *words],
                    capture_output=True,
                    text=True,
                    timeout=_RUN_S_MAX,
                    check=True,
                )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                raise TimedOut("peer_failed", f"Restate: {error}: {error.stderr!r}") from error
        return _figures(json.loads(done.stdout), load.in_flight, in_flight, count)


def _figures(found: dict[str, Any], level: int, in_flight: int, count: int) -> dict[str, Any]:
    wanted = ((workload.saga_id("trip", n), workload.effects(n)) for n in range(count))
    effects = compare(Counter(line.replace(" ", "/") for line in found["effects"]), wanted)
    if found["wrong"] or not effects.clean:
        raise WrongEffects(f"Restate: {found['wrong']} wrong ends; {effects.figures()}")
    ended_count = len(found["latencies_s"])
    return {
        "sagas": count,
        "ended": ended_count,
        "in_flight": level,
        "in_flight_used": in_flight,
        "wall_s": round(found["wall_s"], 3),
        "throughput_per_s": round(ended_count / found["wall_s"], 1),
        "steady_throughput_per_s": steady_rate(found["ends_s"]),
        "latency_ms": percentiles_ms(found["latencies_s"]),
        "outcomes": found["outcomes"],
        "wrong_outcome": found["wrong"],
        "effects": effects.figures(),
        "cpu_ms_per_saga": found["cpu_ms_per_saga"],
    }


def _run(*words: str) -> None:
    try:
        subprocess.run(words, capture_output=True, text=True, timeout=_INSTALL_S_MAX, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        text = f"--peer restate cannot be installed: {' '.join(words)}: {error.stderr!r}"
        raise ConfigurationError(text) from error
