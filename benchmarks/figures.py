"""Figures: percentiles, rates, medians, and what a reader must know of the machine."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("confluent-kafka", "fastavro", "rocksdict", "msgspec", "psutil")
_CALIBRATION_COUNT = 2_000_000
_FSYNCS_COUNT = 100


def percentile(ordered: Sequence[float], share: float) -> float:
    """Give the value that `share` of them do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def percentiles_ms(latencies_s: Iterable[float]) -> dict[str, float]:
    """Summarise latencies, in ms."""
    ordered = sorted(each * 1e3 for each in latencies_s)
    if not ordered:
        return {}
    return {
        "p50": round(percentile(ordered, 0.5), 2),
        "p95": round(percentile(ordered, 0.95), 2),
        "p99": round(percentile(ordered, 0.99), 2),
        "max": round(ordered[-1], 2),
        "mean": round(statistics.fmean(ordered), 2),
    }


def steady_rate(ends_s: Sequence[float]) -> float | None:
    """Give ends a second without the first and the last tenth; None of too few."""
    ordered = sorted(ends_s)
    low, high = len(ordered) // 10, len(ordered) * 9 // 10 - 1
    if high <= low or ordered[high] <= ordered[low]:
        return None
    return round((high - low) / (ordered[high] - ordered[low]), 1)


def spread(values: Iterable[float | None]) -> dict[str, float] | None:
    """Give median, least and most; None of nothing."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    return {
        "median": round(statistics.median(known), 4),
        "min": round(low, 4),
        "max": round(high, 4),
    }


def calibrate_ms() -> float:
    """Time a fixed loop on one core: how fast a shared machine is just now, in ms."""
    began_s, total = time.perf_counter(), 0
    for number in range(_CALIBRATION_COUNT):
        total += number & 7
    return round((time.perf_counter() - began_s) * 1e3, 1)


def versions() -> dict[str, str]:
    """Give what was measured: packages, librdkafka, the commit."""
    import confluent_kafka  # noqa: PLC0415 - slow to import

    found = {name: _version(name) for name in PACKAGES}
    found["librdkafka"] = confluent_kafka.libversion()[0]
    found["kafka"] = "4.4.0"
    found["saga-orchestrator"] = _commit()
    return found


def machine() -> dict[str, Any]:
    """Give where it was measured."""
    fsyncs_ms = sorted(_fsyncs_ms())
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "mem_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fdatasync_4k_p50_ms": round(percentile(fsyncs_ms, 0.5), 3),
        "fdatasync_4k_p99_ms": round(percentile(fsyncs_ms, 0.99), 3),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    root = Path(__file__).parent.parent
    words = ("git", "describe", "--always", "--dirty", "--abbrev=12")
    try:
        done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def _fsyncs_ms() -> Iterable[float]:
    with tempfile.TemporaryFile() as file:
        for _ in range(_FSYNCS_COUNT):
            os.write(file.fileno(), b"x" * 4096)
            began_s = time.perf_counter()
            os.fsync(file.fileno())
            yield (time.perf_counter() - began_s) * 1e3
