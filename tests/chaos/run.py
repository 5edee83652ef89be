# ruff: noqa: T201 - a program for people
"""A random mix of faults for a chosen time: `python tests/chaos/run.py --minutes 5 --seed 7`.

Two phases. Safety: faults come one after the other from a shuffled deck, so that none is left out,
and nothing is demanded but that no answer is wrong. Then everything is healed, and all sagas must
end. Then every promise is judged by what topics, ledgers and stores hold. The run fails on any
violation, if a worker hung or a shard was halted, and if a fault was never drawn or did not leave its
mark: it has tested nothing then.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from town import Town

from orchestrator.errors import OrchestratorError
from orchestrator.local_kafka import LocalKafka
from orchestrator.testing.frame_proxy import Api, Direction, FrameProxy

OPEN_MAX = 60
SILENT_S_MAX = 20.0
"""A worker reports each second. One that is silent for so long is killed, as a liveness probe would."""
SESSION_S = 8.0
HEALED_S_MAX = 120.0
PACE_S = 3.0
ROOM_BYTES = 1 << 40
POINTS = [f"C{number:02d}" for number in range(1, 12)]
BAD = [
    (b"nonsense", "unknown_format"),
    (None, "missing_value"),
    (b"\xc3\x01" + bytes(300_000), "oversize_value"),
    (b"{" * 5_000, "too_deep"),
]


class Supervisor:
    """Keeps every role of the town running, unless a fault wants it otherwise."""

    def __init__(self, town, workers_count):
        self.town = town
        self.workers = [f"worker-{n}" for n in range(workers_count)]
        self.participants = ["bank", "post"]
        self.running, self.crash, self.away = {}, {}, set()
        self.deaths, self.hung = Counter(), []
        self.heard = {}
        self.free = {name: town.folder / f"{name}.free" for name in self.workers}
        for file in self.free.values():
            file.write_text(str(ROOM_BYTES))
        for name in (*self.participants, *self.workers):
            self.start(name)

    def start(self, name):
        if name in self.participants:
            self.running[name] = self.town.participant(name)
        else:
            ordinal = int(name.removeprefix("worker-"))
            crash = self.crash.pop(name, "")
            self.running[name] = self.town.worker(
                ordinal, crash=crash, proxied=True, free=self.free[name]
            )
        self.heard[name] = (0, time.monotonic())

    def keep(self):
        """Start again what has died, and end what hangs."""
        for name, process in self.running.items():
            if name in self.away:
                continue
            if process.code is not None:
                self.deaths[process.code] += 1
                self.start(name)
            elif name in self.workers:
                self._listen(name, process)

    def _listen(self, name, process):
        size, now_s = process.log.stat().st_size, time.monotonic()
        if size != self.heard[name][0]:
            self.heard[name] = (size, now_s)
        elif now_s - self.heard[name][1] > SILENT_S_MAX:
            process.signal(signal.SIGUSR2)  # writes where it stands
            time.sleep(0.2)
            self.hung.append(process.log.read_text(errors="replace")[-700:])
            process.kill()

    def shards(self):
        """Shards that run, at whichever worker."""
        alive = [self.running[name] for name in self.workers if self.running[name].code is None]
        return set().union(*(process.shards() for process in alive))

    def lines(self, *events):
        """What workers have logged in the whole run."""
        found = []
        for process in self.town.processes:
            if process.name.startswith("worker"):
                found += process.lines(*events)
        return found


class Run:
    """One run: the deck of faults, what is to be undone later, and what has happened."""

    def __init__(self, options, town, proxy, kafka, seed):
        self.options, self.town, self.proxy, self.kafka = options, town, proxy, kafka
        self.chance = random.Random(seed)
        self.supervisor = Supervisor(town, options.workers)
        self.later = []
        self.drawn, self.marks = Counter(), Counter()
        self.bad, self.again = {}, 0
        self.deck = []
        self.catches = []
        self.idle = []
        """Shards that nobody runs although all is healed."""

    # --- faults ---------------------------------------------------------------------------------

    def fault_kill_worker(self):
        self.pick_worker().kill()
        return True

    def fault_kill_participant(self):
        self.supervisor.running[self.chance.choice(self.supervisor.participants)].kill()
        return True

    def fault_stop_worker(self):
        self.pick_worker().signal(signal.SIGTERM)
        return True

    def fault_die_at_a_point(self):
        name = self.chance.choice(self.supervisor.workers)
        self.supervisor.crash[name] = f"{self.chance.choice(POINTS)}:{self.chance.randint(1, 9)}"
        self.supervisor.running[name].kill()
        return True

    def fault_freeze_worker(self):
        name = self.chance.choice(self.supervisor.workers)
        process = self.supervisor.running[name]
        if process.code is not None or name in self.supervisor.away:
            return False
        self.supervisor.away.add(name)
        process.freeze()
        self.after(SESSION_S, lambda: self.thaw(name, process))
        return True

    def fault_freeze_participant(self):
        process = self.supervisor.running[self.chance.choice(self.supervisor.participants)]
        if process.code is not None:
            return False
        process.freeze()
        self.after(self.chance.uniform(1.0, 3.0), lambda: process.signal(signal.SIGCONT))
        return True

    def fault_lose_store(self):
        ordinal = self.chance.randrange(len(self.supervisor.workers))
        folder = self.town.store_path(ordinal, 0).parent
        process = self.supervisor.running[f"worker-{ordinal}"]
        if f"worker-{ordinal}" in self.supervisor.away or not folder.exists():
            return False
        process.kill()
        shutil.rmtree(folder)
        return True

    def fault_break_store(self):
        ordinal = self.chance.randrange(len(self.supervisor.workers))
        process = self.supervisor.running[f"worker-{ordinal}"]
        stores = [self.town.store_path(ordinal, shard) for shard in process.shards()]
        manifests = sorted(file for store in stores for file in store.glob("MANIFEST-*"))
        if f"worker-{ordinal}" in self.supervisor.away or not manifests:
            return False
        process.kill()
        manifest = self.chance.choice(manifests)
        manifest.write_bytes(manifest.read_bytes()[:-9] + b"\0" * 9)
        return True

    def fault_fill_disk(self):
        file = self.supervisor.free[self.chance.choice(self.supervisor.workers)]
        file.write_text("1")
        self.after(self.chance.uniform(2.0, 4.0), lambda: file.write_text(str(ROOM_BYTES)))
        return True

    def fault_late_end(self):
        late = self.proxy.hold(Api.END_TXN, client=self.town.prefix)
        return self.catch(late, self.chance.uniform(0.5, 3.0))

    def fault_lost_end(self):
        lost = self.proxy.drop(Api.END_TXN, Direction.RESPONSE, client=self.town.prefix)
        return self.catch(lost, 8.0)

    def fault_late_offsets(self):
        late = self.proxy.hold(Api.TXN_OFFSET_COMMIT, client=self.town.prefix)
        return self.catch(late, self.chance.uniform(0.5, 2.0))

    def fault_duplicate_requests(self):
        api = self.chance.choice([Api.PRODUCE, Api.END_TXN, Api.ADD_PARTITIONS_TO_TXN])
        return self.catch(self.proxy.duplicate(api, client=self.town.prefix, count=5), 8.0)

    def fault_slow_network(self):
        slow = self.proxy.delay(None, by_ms=50, client=self.town.prefix, count=200)
        return self.catch(slow, 8.0)

    def fault_broken_connections(self):
        self.proxy.sever()
        return True

    def fault_cut_off(self):
        self.proxy.cut()
        self.after(self.chance.uniform(1.0, 9.0), self.proxy.mend)
        return True

    def fault_hostile_records(self):
        value, reason = self.chance.choice(BAD)
        origin = self.town.send(self.town.topics.commands, b"x-%d" % len(self.bad), value)
        self.bad[origin] = reason
        return True

    def fault_duplicate_commands(self):
        known = sorted(self.town.acknowledged)
        for saga_id in self.chance.sample(known, min(5, len(known))):
            self.town.begin_again(saga_id)
            self.again += 1
        return True

    def fault_kill_broker(self):
        node = self.chance.choice(self.kafka.nodes).id
        self.kafka.kill_node(node)
        time.sleep(self.chance.uniform(0.0, 3.0))  # how long it is away is the fault
        self.kafka.start_node(node)
        return True

    # --- their marks: what a fault must have done at least once -----------------------------------

    def mark_freeze_worker(self):
        return self.supervisor.lines("fenced_dead_predecessor")

    def mark_late_end(self):
        return self.supervisor.lines("producer_rotated")

    def mark_broken_connections(self):
        return self.supervisor.lines("producer_rotated")

    def mark_kill_broker(self):
        return self.supervisor.lines("transaction_failed", "cluster_unreachable")

    def mark_stop_worker(self):
        return self.supervisor.deaths[0]

    def mark_break_store(self):
        return self.supervisor.lines("store_set_aside")

    def mark_fill_disk(self):
        return self.supervisor.lines("intake_paused", "waiting_for_disk")

    def mark_lose_store(self):
        running = self.supervisor.lines("shard_running")
        return [line for line in running if line["restored_count"] > OPEN_MAX // 2]

    def mark_freeze_participant(self):
        counts = self.supervisor.lines("counters", "worker_stopped")
        return [line for line in counts if line.get("timers_count", 0)]

    def mark_die_at_a_point(self):
        deaths = self.supervisor.deaths
        return deaths[-signal.SIGKILL] + deaths[-signal.SIGALRM]

    # --- the two phases ---------------------------------------------------------------------------

    def safety(self):
        end_s = time.monotonic() + 60 * self.options.minutes
        next_s = time.monotonic() + 2
        while time.monotonic() < end_s:
            self.tick()
            if time.monotonic() >= next_s:
                for _ in range(self.chance.choice([0, 1, 1, 1, 2])):
                    self.draw()
                next_s = time.monotonic() + self.options.pace * self.chance.uniform(0.3, 1.7)

    def liveness(self):
        self.proxy.clear()
        self.proxy.mend()
        for _, undo in self.later:
            undo()
        self.later = []
        end_s = time.monotonic() + HEALED_S_MAX
        self.feed(2 * OPEN_MAX)
        every = set(range(self.town.partitions))
        while time.monotonic() < end_s:
            self.tick(feeding=False)
            if not self.town.open_count and self.supervisor.shards() == every:
                break
        self.idle = sorted(every - self.supervisor.shards())

    def tick(self, *, feeding=True):
        now_s = time.monotonic()
        for item in [item for item in self.later if item[0] <= now_s]:
            self.later.remove(item)
            item[1]()
        self.supervisor.keep()
        if feeding and self.town.open_count < OPEN_MAX:
            self.feed(12)
        self.town.look()

    def feed(self, count):
        try:
            self.town.begin(count)
        except OrchestratorError as error:
            self.tell(f"the client is told: {error}")  # unknown: they may have been started

    def draw(self):
        if not self.deck:
            self.deck = sorted(
                name.removeprefix("fault_")
                for name in dir(self)
                if name.startswith("fault_") and name.removeprefix("fault_") in self.options.faults
            )
            self.chance.shuffle(self.deck)
        name = self.deck.pop()
        if getattr(self, f"fault_{name}")():
            self.drawn[name] += 1
            self.tell(name)

    def catch(self, catch, for_s):
        self.catches.append((sys._getframe(1).f_code.co_name.removeprefix("fault_"), catch))
        self.after(for_s, catch.release)
        return True

    def after(self, seconds, undo):
        self.later.append((time.monotonic() + seconds, undo))

    def thaw(self, name, process):
        if process.code is None:
            process.signal(signal.SIGCONT)
        self.supervisor.away.discard(name)
        self.supervisor.heard[name] = (0, time.monotonic())

    def pick_worker(self):
        return self.supervisor.running[self.chance.choice(self.supervisor.workers)]

    def tell(self, text):
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    # --- the verdict ----------------------------------------------------------------------------

    def unmarked(self):
        """Faults that were never drawn, or left no mark."""
        caught = Counter()
        for name, catch in self.catches:
            caught[name] += len(catch.frames)
        found = []
        for name in sorted(self.options.faults):
            mark = getattr(self, f"mark_{name}", None)
            if not self.drawn[name]:
                found.append(f"{name}: never drawn")
            elif name in dict(self.catches) and not caught[name]:
                found.append(f"{name}: caught nothing")
            elif mark is not None and not mark():
                found.append(f"{name}: left no mark")
        return found

    def verdict(self, seed):
        not_ended = self.town.open_count
        problems = self.town.judge(bad=self.bad)
        unmarked, supervisor = self.unmarked(), self.supervisor
        halted = [line["text"] for line in supervisor.lines("shard_halted")]
        failed = supervisor.lines("transaction_failed")
        stood_still = not_ended or self.idle or halted or supervisor.hung
        result = {
            "ok": not (problems or unmarked or stood_still),
            "seed": seed,
            "date": time.strftime("%Y-%m-%d"),
            "minutes": self.options.minutes,
            "nodes": len(self.kafka.nodes),
            "sagas": len(self.town.acknowledged),
            "ends": dict(Counter(outcome.business for outcome in self.town.ended.values())),
            "operations": len(self.town.history.ledgers),
            "faults": dict(sorted(self.drawn.items())),
            "rotations": len(supervisor.lines("producer_rotated")),
            "fenced": len(supervisor.lines("fenced_dead_predecessor")),
            "set_aside": len(supervisor.lines("store_set_aside")),
            "halted": halted,
            "idle_shards": self.idle,
            "paused": len(supervisor.lines("intake_paused", "waiting_for_disk")),
            "forgotten": len(supervisor.lines("ending_forgotten_positions")),
            "left_behind": sum("hangs since" in line["text"] for line in failed),
            "dead_letters": len(self.bad),
            "commands_sent_twice": self.again,
            "deaths": {str(code): count for code, count in supervisor.deaths.items()},
            "hung": supervisor.hung,
            "not_ended": not_ended,
            "unmarked": unmarked,
            "violations": [str(problem) for problem in problems[:30]],
            "violations_count": len(problems),
        }
        print(json.dumps(result, indent=1))
        return result


FAULTS = sorted(name.removeprefix("fault_") for name in dir(Run) if name.startswith("fault_"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="of faults (default 5)")
    parser.add_argument("--seed", type=int, default=None, help="printed if not given")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="brokers (default 1)")
    parser.add_argument("--workers", type=int, default=2, help="(default 2)")
    parser.add_argument("--pace", type=float, default=PACE_S, help="s between faults (default 3)")
    parser.add_argument("--faults", default=",".join(FAULTS), help="some of: " + ", ".join(FAULTS))
    parser.add_argument("--json", type=Path, default=None, help="write the verdict to a file")
    parser.add_argument("--keep", action="store_true", help="keep logs, stores and ledgers")
    options = parser.parse_args()
    options.faults = set(options.faults.split(","))
    seed = time.time_ns() & 0xFFFF_FFFF if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="saga-chaos-"))
    with FrameProxy() as proxy, LocalKafka(options.nodes, advertised=proxy.route) as kafka:
        profile = "development" if options.nodes == 1 else "production"
        town = Town(kafka, f"chaos-{seed:08x}", folder, partitions=4, profile=profile)
        try:
            run = Run(options, town, proxy, kafka, seed)
            run.safety()
            run.tell("healing")
            run.liveness()
            run.tell("judging")
            result = run.verdict(seed)
        finally:
            town.close()
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.keep:
        print(f"logs, stores and ledgers are kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
