# ruff: noqa: T201 - a program for people
"""A random mix of faults for a chosen time: `python tests/chaos/run.py --minutes 5 --seed 7`.

Two phases. Safety: faults come one after the other from a shuffled deck, so that none is left out,
and nothing is demanded but that no answer is wrong. Those that have left no mark at the end are done
again, each alone and a few times at most. Then everything is healed, and all sagas must end. Then
every promise is judged by what topics, ledgers and stores hold. What fails a run is in verdict.py:
any violation, a worker that hung, a shard that was halted or is idle, a process that ended by itself,
and a fault that was never drawn or did not leave its mark: it has tested nothing then.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from deck import Deck
from faults import AWAY_S_MAX, FAULTS, OPEN_MAX, Faults
from supervisor import Supervisor
from town import Town
from verdict import Evidence, failures, unshown

from orchestrator.errors import OrchestratorError
from orchestrator.local_kafka import LocalKafka
from orchestrator.testing.frame_proxy import FrameProxy

HEALED_S_MAX = 120.0
PACE_S = 3.0
MARK_S_MAX = AWAY_S_MAX
"""How long an encore waits for its mark."""
NEEDS_STANDBYS = {"kill_standby", "freeze_standby", "lose_worker"}


class Run:
    """One run: the two phases, and what was seen in them."""

    def __init__(self, options, town, faults, chance):
        self.options, self.town, self.faults = options, town, faults
        self.supervisor, self.chance = faults.supervisor, chance
        self.deck = Deck(options.faults, chance)
        self.idle = []
        """Shards that nobody runs although all is healed."""
        self.unused = []
        """Workers that have no shard although all is healed."""
        self.problems = []

    def safety(self):
        end_s = time.monotonic() + 60 * self.options.minutes
        next_s = time.monotonic() + 2
        while time.monotonic() < end_s:
            self.tick()
            if time.monotonic() >= next_s:
                for _ in range(self.chance.choice([0, 1, 1, 1, 2])):
                    self.draw()
                next_s = time.monotonic() + self.options.pace * self.chance.uniform(0.3, 1.7)

    def draw(self):
        name = self.deck.draw(self.unshown())
        if self.faults.do(name):
            self.tell(name)
        else:
            self.deck.put_back(name)

    def encores(self):
        """Do again, alone, what has left no mark: it may have been another fault's chance."""
        every = set(range(self.town.partitions))
        while (name := self.deck.encore(self.unshown())) is not None:
            self.wait(lambda: self.faults.is_quiet and self.supervisor.shards() == every)
            if self.wait(lambda name=name: self.faults.do(name)):
                self.tell(f"{name}, once more")
                self.wait(lambda name=name: name not in self.unshown())

    def wait(self, condition):
        """Go on until something is so, but not for ever; whether it is."""
        until_s = time.monotonic() + MARK_S_MAX
        while not condition():
            if time.monotonic() > until_s:
                return False
            self.tick()
        return True

    def liveness(self):
        self.faults.heal()
        end_s = time.monotonic() + HEALED_S_MAX
        self.feed(2 * OPEN_MAX)
        every = set(range(self.town.partitions))
        while time.monotonic() < end_s:
            self.tick(feeding=False)
            self.idle = sorted(every - self.supervisor.shards())
            self.unused = self.supervisor.unused()
            if not (self.town.open_count or self.idle or self.unused):
                break

    def tick(self, *, feeding=True):
        self.faults.turn()
        self.supervisor.keep()
        if feeding and self.town.open_count < OPEN_MAX:
            self.feed(12)
        self.town.look()

    def feed(self, count):
        try:
            self.town.begin(count)
        except OrchestratorError as error:
            self.tell(f"the client is told: {error}")  # unknown: they may have been started

    def tell(self, text):
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    # --- the verdict ----------------------------------------------------------------------------

    def unshown(self):
        return unshown(self.evidence())

    def evidence(self):
        faults, supervisor = self.faults, self.supervisor
        return Evidence(
            wanted=frozenset(self.options.faults),
            drawn=faults.drawn,
            caught=faults.caught_count(),
            marked={name: faults.marked(name) for name in self.options.faults},
            acknowledged=len(self.town.acknowledged),
            ended=len(self.town.acknowledged) - self.town.open_count,
            violations=[str(problem) for problem in self.problems],
            hung=supervisor.hung,
            halted=[line["text"] for line in supervisor.lines("shard_halted")],
            idle=self.idle,
            unused=self.unused,
            deaths=supervisor.deaths,
        )

    def verdict(self, seed):
        self.problems = self.town.judge(bad=self.faults.bad)
        self.supervisor.close()
        found = failures(self.evidence())
        result = {"ok": not found, "seed": seed, "failures": found[:30], **self.told()}
        print(json.dumps(result, indent=1))
        return result

    def told(self):
        """What was done and seen, for the record."""
        faults, lines = self.faults, self.supervisor.lines
        failed = lines("transaction_failed")
        codes = Counter(code for codes in self.supervisor.deaths.values() for code in codes)
        return {
            "date": time.strftime("%Y-%m-%d"),
            "minutes": self.options.minutes,
            "nodes": len(faults.kafka.nodes),
            "standbys": self.options.standbys,
            "sagas": len(self.town.acknowledged),
            "ends": dict(Counter(outcome.business for outcome in self.town.ended.values())),
            "operations": len(self.town.history.ledgers),
            "faults": dict(sorted(faults.drawn.items())),
            "faults_count": sum(faults.drawn.values()),
            "kinds_count": len(+faults.drawn),
            "violations_count": len(self.problems),
            "hung_count": len(self.supervisor.hung),
            "rotations": len(lines("producer_rotated")),
            "fenced": len(lines("fenced_dead_predecessor")),
            "set_aside": len(lines("store_set_aside")),
            "taken_warm": faults.seen["lose_worker"],
            "standbys_lost": dict(Counter(line["what"] for line in lines("standby_lost"))),
            "halted": dict(Counter(line["reason"] for line in lines("shard_halted"))),
            "paused": len(lines("intake_paused", "waiting_for_disk")),
            "forgotten": len(lines("ending_forgotten_positions")),
            "left_behind": sum("hangs since" in line["text"] for line in failed),
            "dead_letters": len(faults.bad),
            "commands_sent_twice": faults.again,
            "deaths": {str(code): count for code, count in codes.items()},
        }


def options_of(words):
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="of faults (default 5)")
    parser.add_argument("--seed", type=int, default=None, help="printed if not given")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="brokers (default 1)")
    parser.add_argument("--workers", type=int, default=2, help="(default 2)")
    parser.add_argument("--standbys", type=int, default=1, help="of each shard (default 1)")
    parser.add_argument("--pace", type=float, default=PACE_S, help="s between faults (default 3)")
    parser.add_argument("--faults", default=",".join(FAULTS), help="some of: " + ", ".join(FAULTS))
    parser.add_argument("--json", type=Path, default=None, help="write the verdict to a file")
    parser.add_argument("--keep", action="store_true", help="keep logs, stores and ledgers")
    options = parser.parse_args(words)
    options.faults = set(options.faults.split(","))
    if unknown := options.faults - set(FAULTS):
        parser.error(f"no such faults: {', '.join(sorted(unknown))}")
    if not options.standbys or options.workers < 2:
        options.faults -= NEEDS_STANDBYS
    return options


def main():
    options = options_of(sys.argv[1:])
    seed = time.time_ns() & 0xFFFF_FFFF if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="saga-chaos-"))
    with FrameProxy() as proxy, LocalKafka(options.nodes, advertised=proxy.route) as kafka:
        profile = "development" if options.nodes == 1 else "production"
        town = Town(kafka, f"chaos-{seed:08x}", folder, partitions=4, profile=profile)
        chance = random.Random(seed)
        try:
            supervisor = Supervisor(town, options.workers, options.standbys)
            run = Run(options, town, Faults(town, proxy, kafka, supervisor, chance), chance)
            run.safety()
            run.encores()
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
