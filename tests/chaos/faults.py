"""The faults of a random mix. `fault_x` does x, and gives False if it cannot be done now; `mark_x`
says whether x was ever seen to do what it is for. A fault that nobody saw has tested nothing.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from typing import NamedTuple

from supervisor import ROOM_BYTES, ordinal, signal_standby
from verdict import taken_warm

from orchestrator.testing.frame_proxy import Api, Direction

OPEN_MAX = 60
AWAY_S_MAX = 40.0
"""A session of 6 s, a rebalance that waits for frozen ones, a take-over on a busy machine."""
CAUGHT_S_MAX = 15.0
"""How long a rule waits for its frame."""
POINTS = [f"C{number:02d}" for number in range(1, 12)]
BAD = [
    (b"nonsense", "unknown_format"),
    (None, "missing_value"),
    (b"\xc3\x01" + bytes(300_000), "oversize_value"),
    (b"{" * 5_000, "too_deep"),
]


class Later(NamedTuple):
    """Something to be done when it is time."""

    after_s: float
    until_s: float
    """It is done at this time at the latest."""
    is_due: object
    """Asked from `after_s` on."""
    do: object


class Faults:
    """Does faults, and undoes them later; remembers what was done."""

    def __init__(self, town, proxy, kafka, supervisor, chance):
        self.town, self.proxy, self.kafka = town, proxy, kafka
        self.supervisor, self.chance = supervisor, chance
        self.drawn, self.caught, self.seen = Counter(), {}, Counter()
        self.bad, self.again = {}, 0
        self._later, self._catches = [], []

    def do(self, name):
        """Whether it was done."""
        done = getattr(self, f"fault_{name}")()
        self.drawn[name] += done
        return done

    def turn(self):
        """Undo what it is time for."""
        now_s = time.monotonic()
        for item in list(self._later):
            if item.after_s <= now_s and (item.until_s <= now_s or item.is_due()):
                self._later.remove(item)
                item.do()

    @property
    def is_quiet(self):
        """Whether nothing is left to be undone."""
        return not self._later

    def heal(self):
        """Undo everything now."""
        self.proxy.clear()
        self.proxy.mend()
        for item in self._later:
            item.do()
        self._later = []

    def marked(self, name):
        """Whether it was seen to do what it is for; a fault without a mark always was."""
        mark = getattr(self, f"mark_{name}", None)
        return mark is None or bool(mark())

    def caught_count(self):
        """Frames caught so far, by fault; of those that catch frames."""
        found = Counter()
        for name, catch in self._catches:
            found[name] += len(catch.frames)
        return dict(found)

    # --- processes ------------------------------------------------------------------------------

    def fault_kill_worker(self):
        return self._kill(self._worker())

    def fault_kill_participant(self):
        return self._kill(self.chance.choice(self.supervisor.participants))

    def fault_stop_worker(self):
        name = self._worker()
        if name is None:
            return False
        self.supervisor.running[name].signal(signal.SIGTERM)
        return True

    def fault_die_at_a_point(self):
        name = self._worker()
        if name is None:
            return False
        self.supervisor.crash[name] = f"{self.chance.choice(POINTS)}:{self.chance.randint(1, 9)}"
        return self._kill(name)

    def fault_freeze_worker(self):
        """Until others have its shards: it wakes up as a zombie."""
        name = self._worker(owning=True)
        if name is None:
            return False
        instance = self.supervisor.instance(name)
        before = self._fenced_count(instance)
        self.supervisor.away.add(name)
        self.supervisor.running[name].freeze()

        def is_succeeded():
            return self._fenced_count(instance) > before

        def wake():
            self.seen["freeze_worker"] += is_succeeded()
            self.supervisor.back(name)

        return self._when(is_succeeded, AWAY_S_MAX, wake)

    def fault_freeze_participant(self):
        process = self.supervisor.running[self.chance.choice(self.supervisor.participants)]
        if process.code is not None:
            return False
        process.freeze()
        return self._after(self.chance.uniform(1.0, 3.0), lambda: process.signal(signal.SIGCONT))

    def fault_lose_worker(self):
        """Its machine is gone. Its heir goes on; much later another one takes its place."""
        name = self._worker(owning=True)
        if name is None or None in self._standbys_beside(name):
            return False
        shards, heirs = self.supervisor.running[name].shards(), self._heirs(name)
        self.supervisor.lose(name)

        def back():
            if any(taken_warm(heir.lines()[said:], shards) for heir, said in heirs):
                self.seen["lose_worker"] += 1
            self.supervisor.back(name)

        return self._when(lambda: shards <= self.supervisor.shards(), AWAY_S_MAX, back)

    def fault_kill_standby(self):
        pid = self._standby()
        if pid is None:
            return False
        signal_standby(pid, signal.SIGKILL)
        return True

    def fault_freeze_standby(self):
        """And its worker must have the shards that it has open."""
        name = self._worker(owning=True)
        pids = self._standbys_beside(name)
        if name is None or None in pids:
            return False
        shards, heirs = self.supervisor.running[name].shards(), self._heirs(name)
        for pid in pids:
            signal_standby(pid, signal.SIGSTOP)
        self.supervisor.leave(name)

        def back():
            lost = [line for heir, said in heirs for line in heir.lines()[said:]]
            self.seen["freeze_standby"] += any("let go" in line.get("what", "") for line in lost)
            for pid in pids:
                signal_standby(pid, signal.SIGCONT)
            self.supervisor.back(name)

        return self._when(lambda: shards <= self.supervisor.shards(), AWAY_S_MAX, back)

    def mark_freeze_worker(self):
        return self.seen["freeze_worker"]

    def mark_lose_worker(self):
        return self.seen["lose_worker"]

    def mark_freeze_standby(self):
        return self.seen["freeze_standby"]

    def mark_kill_standby(self):
        lost = self.supervisor.lines("standby_lost")
        return [line for line in lost if line["what"] == "died"]

    def mark_stop_worker(self):
        return [name for name in self.supervisor.workers if 0 in self.supervisor.deaths[name]]

    def mark_freeze_participant(self):
        counts = self.supervisor.lines("counters", "worker_stopped")
        return [line for line in counts if line.get("timers_count", 0)]

    def mark_die_at_a_point(self):
        codes = [code for name in self.supervisor.workers for code in self.supervisor.deaths[name]]
        return codes.count(-signal.SIGKILL) + codes.count(-signal.SIGALRM)

    # --- disks ----------------------------------------------------------------------------------

    def fault_lose_store(self):
        name = self._worker()
        if name is None or not self.supervisor.folder(name).exists():
            return False
        self.supervisor.kill(name)
        shutil.rmtree(self.supervisor.folder(name))
        return True

    def fault_break_store(self):
        name = self._worker()
        if name is None:
            return False
        shards = self.supervisor.running[name].shards()
        stores = [self.town.store_path(ordinal(name), shard) for shard in shards]
        if not any(any(store.glob("MANIFEST-*")) for store in stores):
            return False
        self.supervisor.kill(name)
        manifests = sorted(file for store in stores for file in store.glob("MANIFEST-*"))
        manifest = self.chance.choice(manifests)
        manifest.write_bytes(manifest.read_bytes()[:-9] + b"\0" * 9)
        return True

    def fault_fill_disk(self):
        file = self.supervisor.free[self.chance.choice(self.supervisor.workers)]
        file.write_text("1")
        full_s = self.chance.uniform(2.0, 4.0)
        return self._after(full_s, lambda: file.write_text(str(ROOM_BYTES)))

    def mark_lose_store(self):
        running = self.supervisor.lines("shard_running")
        return [line for line in running if line["restored_count"] > OPEN_MAX // 2]

    def mark_break_store(self):
        return self.supervisor.lines("store_set_aside")

    def mark_fill_disk(self):
        return self.supervisor.lines("intake_paused", "waiting_for_disk")

    # --- the network ------------------------------------------------------------------------------

    def fault_late_end(self):
        late = self.proxy.hold(Api.END_TXN, client=self.town.prefix)
        return self._catch("late_end", late, self.chance.uniform(0.5, 3.0))

    def fault_lost_end(self):
        lost = self.proxy.drop(Api.END_TXN, Direction.RESPONSE, client=self.town.prefix)
        return self._catch("lost_end", lost)

    def fault_late_offsets(self):
        late = self.proxy.hold(Api.TXN_OFFSET_COMMIT, client=self.town.prefix)
        return self._catch("late_offsets", late, self.chance.uniform(0.5, 2.0))

    def fault_duplicate_requests(self):
        api = self.chance.choice([Api.PRODUCE, Api.END_TXN, Api.ADD_PARTITIONS_TO_TXN])
        twice = self.proxy.duplicate(api, client=self.town.prefix, count=5)
        return self._catch("duplicate_requests", twice, 8.0)

    def fault_slow_network(self):
        slow = self.proxy.delay(None, by_ms=50, client=self.town.prefix, count=200)
        return self._catch("slow_network", slow, 8.0)

    def fault_broken_connections(self):
        self.proxy.sever()
        return True

    def fault_cut_off(self):
        self.proxy.cut()
        return self._after(self.chance.uniform(1.0, 9.0), self.proxy.mend)

    def mark_late_end(self):
        return self.supervisor.lines("producer_rotated")

    def mark_broken_connections(self):
        return self.supervisor.lines("producer_rotated")

    # --- records and brokers ------------------------------------------------------------------------

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
        return bool(known)

    def fault_kill_broker(self):
        node = self.chance.choice(self.kafka.nodes).id
        self.kafka.kill_node(node)
        time.sleep(self.chance.uniform(0.0, 3.0))  # how long it is away is the fault
        self.kafka.start_node(node)
        return True

    def mark_kill_broker(self):
        return self.supervisor.lines("transaction_failed", "cluster_unreachable")

    # --- inside ---------------------------------------------------------------------------------

    def _worker(self, *, owning=False):
        """One that is there; `owning`: that has shards, while another one is there to inherit."""
        found = self.supervisor.present()
        if owning:
            found = [name for name in found if self.supervisor.running[name].shards()]
        if not found or (owning and len(self.supervisor.present()) < 2):
            return None
        return self.chance.choice(found)

    def _kill(self, name):
        if name is not None:
            self.supervisor.kill(name)
        return name is not None

    def _standby(self):
        found = [self.supervisor.standby_of(name) for name in self.supervisor.present()]
        found = [pid for pid in found if pid is not None]
        return self.chance.choice(found) if found else None

    def _standbys_beside(self, name):
        """The standbys of all the others; None where one has just died."""
        others = [other for other in self.supervisor.present() if other != name]
        return [self.supervisor.standby_of(other) for other in others]

    def _heirs(self, name):
        """Who could inherit, and how much each has logged so far."""
        return [(process, len(process.lines())) for process in self.supervisor.others(name)]

    def _fenced_count(self, instance):
        lines = self.supervisor.lines("fenced_dead_predecessor")
        return sum(line["owner"] == instance for line in lines)

    def _catch(self, name, catch, for_s=0.0):
        """Keep a rule until it has caught something, and so long after."""
        self._catches.append((name, catch))
        caught_s = []

        def is_over():
            if catch.frames and not caught_s:
                caught_s.append(time.monotonic())
            return bool(caught_s) and time.monotonic() - caught_s[0] >= for_s

        return self._when(is_over, CAUGHT_S_MAX, catch.release)

    def _after(self, seconds, do):
        due_s = time.monotonic() + seconds
        self._later.append(Later(due_s, due_s, lambda: True, do))
        return True

    def _when(self, is_due, at_most_s, do):
        now_s = time.monotonic()
        self._later.append(Later(now_s, now_s + at_most_s, is_due, do))
        return True


FAULTS = sorted(name.removeprefix("fault_") for name in dir(Faults) if name.startswith("fault_"))
