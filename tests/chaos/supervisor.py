"""Keeps every process of a town running, unless a fault wants it otherwise."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from town import wait_until

from orchestrator.runtime.settings import instance_id

SILENT_S_MAX = 20.0
"""A worker reports each second. One that is silent for so long is killed, as a liveness probe would."""
ROOM_BYTES = 1 << 40
STANDBY = {"standbys": 1, "membership_interval_ms": 500, "standby_report_ms": 500}


class Supervisor:
    """Starts, watches and restarts workers and participants."""

    def __init__(self, town, workers_count, standbys):
        self.town = town
        self.standby = {**STANDBY, "standbys": standbys} if standbys else None
        self.workers = [f"worker-{n}" for n in range(workers_count)]
        self.participants = ["bank", "post"]
        self.running, self.crash, self.away = {}, {}, set()
        self.deaths = {name: [] for name in (*self.participants, *self.workers)}
        self.hung, self.heard = [], {}
        self.free = {name: town.folder / f"{name}.free" for name in self.workers}
        for name, file in self.free.items():
            file.write_text(str(ROOM_BYTES))
            self.start(name)
        for name in self.participants:
            self.start(name)

    def start(self, name):
        if name in self.participants:
            self.running[name] = self.town.participant(name)
        else:
            self.running[name] = self.town.worker(
                ordinal(name),
                crash=self.crash.pop(name, ""),
                proxied=True,
                free=self.free[name],
                standby=self.standby,
            )
        self.heard[name] = (0, time.monotonic())

    def keep(self):
        """Start again what has died, and end what hangs."""
        for name, process in list(self.running.items()):
            if name in self.away:
                continue
            if process.code is not None:
                self._bury(name)
                self.start(name)
            elif name in self.workers:
                self._listen(name, process)

    def close(self):
        """Note the ends of what was stopped for good."""
        for name in self.running:
            self._bury(name)

    def _bury(self, name):
        process = self.running[name]
        if process.code is not None and not process.buried:
            process.buried = True
            self.deaths[name].append(process.code)

    def _listen(self, name, process):
        # What its standby says into the same log is no sign of life.
        said, now_s = sum("standby" not in line for line in process.lines()), time.monotonic()
        if said != self.heard[name][0]:
            self.heard[name] = (said, now_s)
        elif now_s - self.heard[name][1] > SILENT_S_MAX:
            process.signal(signal.SIGUSR2)  # writes where it stands
            time.sleep(0.2)
            self.hung.append(process.log.read_text(errors="replace")[-700:])
            process.kill()

    # --- who is there -----------------------------------------------------------------------------

    def present(self):
        """Workers that run and that no fault has taken away."""
        return [
            name
            for name in self.workers
            if name not in self.away and self.running[name].code is None
        ]

    def others(self, name):
        """The other workers that are there."""
        return [self.running[other] for other in self.present() if other != name]

    def shards(self):
        """Shards that run, at whichever worker."""
        return set().union(*(self.running[name].shards() for name in self.present()))

    def unused(self):
        """Workers without a shard: they are not back yet."""
        return [name for name in self.workers if not self.running[name].shards()]

    def instance(self, name):
        """Who a worker is in the group."""
        return instance_id(self.town.prefix, ordinal(name))

    def folder(self, name):
        """Where a worker keeps its stores."""
        return self.town.state / self.instance(name)

    def lines(self, *events):
        """What workers and their standbys have logged in the whole run."""
        found = []
        for process in self.town.processes:
            if process.name.startswith("worker"):
                found += process.lines(*events)
        return found

    # --- what faults do -----------------------------------------------------------------------------

    def standby_of(self, name):
        """The process id of a worker's standby; None if it has none just now."""
        started = self.running[name].lines("standby_started")
        return started[-1]["pid"] if started and _is_standby(started[-1]["pid"]) else None

    def kill(self, name):
        """Kill a process; a worker takes its standby along, and nobody has its stores open then."""
        process = self.running[name]
        standby = self.standby_of(name) if name in self.workers else None
        process.kill()
        if standby is not None:
            wait_until(lambda: not _is_standby(standby), "the standby to end with its worker")

    def leave(self, name):
        """Kill a worker, and start it only after `back`."""
        self.away.add(name)
        self.kill(name)

    def lose(self, name):
        """As `leave`; and all that it has on its disk is gone."""
        self.leave(name)
        shutil.rmtree(self.folder(name), ignore_errors=True)

    def back(self, name):
        """A worker is as the others again: it goes on if it was frozen, else it is started."""
        process = self.running[name]
        if process.code is None:
            process.signal(signal.SIGCONT)
        self.away.discard(name)
        self.heard[name] = (0, time.monotonic())


def ordinal(name):
    """The number of a worker."""
    return int(name.removeprefix("worker-"))


def signal_standby(pid, number):
    """Signal a standby, if that is what has this process id."""
    if _is_standby(pid):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_standby(pid):
    try:
        return b"\0standby\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
