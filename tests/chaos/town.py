"""One installation under attack: topics, a bank and a post office of real participants, workers, a
client that notes what was acknowledged, and the judgement of what all that left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as Place

from orchestrator import modules
from orchestrator.audit.reading import Log
from orchestrator.audit.stores import LocalStores
from orchestrator.client import Client
from orchestrator.codec.envelope import Origin
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import CorruptStore, NotFound, OrchestratorError
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import TopicPartition
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.participant.ledgers import read_ledger
from orchestrator.runtime.settings import instance_id
from orchestrator.testing import checkers
from orchestrator.testing.checkers import Violation
from orchestrator.testing.history import ledger_entries, read_history
from orchestrator.topics import Topics, TopicSettings, apply, plan, specs

HERE = Path(__file__).parent
PATIENCE_S = 45.0
ACCOUNTS_COUNT = 20
OPENING_CENTS = 10_000
LOG_SHOWN_CHARS = 4_000
PLAINTEXT = {"security_protocol": "plaintext", "allow_plaintext": True}
"""For brokers that are not on this machine, as far as a process can see."""
KINDS = ("m-ok", "s-ok", "m-poor", "s-closed", "h-any", "m-ok")
"""Which saga, and how it must end: a saga's id says it all."""
ENDS = {
    "ok": {"completed"},
    "poor": {"rolled_back"},
    "closed": {"rolled_back"},
    "back": {"rolled_back"},
    "never": {"cancelled"},
}
SAGAS = {
    "m": "move",
    "s": "spread",
    "h": "hurry",
    "b": "brittle",
    "k": "broken",
    "w": "swelling",
    "e": "endless",
    "f": "wide",
    "i": "invite",
}
EITHER = {"completed", "rolled_back"}


def wait_until(condition, what, patience_s=PATIENCE_S):
    """Poll a condition of the outside world until it holds; give what it gave."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {patience_s:.0f} s: {what}")


class Process:
    """A worker or a participant."""

    def __init__(self, name, command, log, environment):
        self.name, self.log = name, log
        self.buried = False
        """Whether its end was taken note of."""
        self._lines, self._read_bytes, self._is_read = [], 0, False
        with log.open("ab") as output:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                # Whoever inherits a standby must be of another session, or the kernel ends no
                # standby that was frozen at its start.
                start_new_session=True,
            )

    @property
    def code(self):
        """None while it runs."""
        return self.popen.poll()

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        """End it as a power cut would."""
        if self.code is None:
            self.popen.kill()
        self.popen.wait()

    def freeze(self):
        """Stop it; returns when it stands still."""
        self.popen.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.popen.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "standstill")

    def died(self, patience_s=PATIENCE_S):
        """Wait for its end; give the exit code, a signal as a negative number."""
        try:
            return self.popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            text = f"{self.name} still runs: {self.log.read_text()[-LOG_SHOWN_CHARS:]}"
            raise AssertionError(text) from None

    def lines(self, *events):
        """What it has logged so far, oldest first; of these events, or of all."""
        if not self._is_read:
            self._is_read = self.buried
            self._read_on()
        return [line for line in self._lines if not events or line.get("event") in events]

    def _read_on(self):
        with self.log.open("rb") as log:
            log.seek(self._read_bytes)
            whole = log.read().rpartition(b"\n")[0]
        self._read_bytes += len(whole) + 1 if whole else 0
        for text in whole.decode(errors="replace").splitlines():
            if text.startswith("{") and text.endswith("}"):
                self._lines.append(json.loads(text))

    def wait_logged(self, event, count=1, patience_s=PATIENCE_S):
        """Wait until it has logged an event so often; give those lines."""

        def found():
            lines = self.lines(event)
            if len(lines) >= count:
                return lines
            if self.code is not None:
                raise AssertionError(f"{self.name} ended: {self.log.read_text()[-3_000:]}")
            return None

        return wait_until(found, f"{event} of {self.name}", patience_s)

    def shards(self):
        """Shards that a worker runs, by its log since its last rebalance."""
        found = set()
        for line in self.lines("rebalance", "shard_running", "shard_halted"):
            if line["event"] == "rebalance":
                found = set()
            elif line["event"] == "shard_running":
                found.add(line["shard"])
            else:
                found.discard(line["shard"])
        return found


class Town:
    """An installation of its own on a cluster that others may use as well."""

    opening_cents = OPENING_CENTS
    """What each account of the bank has at first."""

    def __init__(self, kafka, prefix, folder, partitions=2, profile="development"):
        self.kafka, self.prefix, self.folder = kafka, prefix, Path(folder)
        self.partitions, self.profile = partitions, profile
        self.settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
        self.topics, self.codec, self.payloads = Topics(prefix), RecordCodec(), AvroPayloads()
        self.admin = KafkaAdmin(self.settings)
        self.reader = ChangelogReader(self.settings, f"{prefix}.judge")
        # Participants' topics are shared by all installations of a cluster: ours have our name.
        self.program = self._write_program()
        self.code = modules.load(str(self.program))
        self.sagas = {saga.id: saga for saga in self.code.sagas}
        self.participants = self._participant_names()
        self.space = sys.modules[self.sagas["move"].spec.function.__module__]
        self.processes, self.started = [], Counter()
        self.road = ()
        """How the command of whoever is `proxied` begins if it lives behind a road (`road.Road`)."""
        self.acknowledged, self.ended, self.doubled = set(), {}, set()
        self._next, self._starts, self.differing = 0, {}, []
        self._create_topics()
        self.client = Client(settings=self.settings, prefix=prefix)
        self._producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        self._outcomes = self._consumer("outcomes")
        self._outcomes.assign(
            [Place(self.topics.outcomes, p, OFFSET_BEGINNING) for p in range(partitions)]
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Kill what still runs."""
        for process in self.processes:
            process.kill()
        self._outcomes.close()
        self.client.close()
        self.reader.close()

    # --- what runs ------------------------------------------------------------------------------

    def worker(
        self,
        ordinal=0,
        *,
        crash="",
        proxied=False,
        planted="",
        jumps=(),
        settings=None,
        transactions=None,
        kafka=None,
        data_dir=None,
        free="",
        broken="",
        rotten="",
        schemas="",
        standby=None,
        session_ms=6_000,
    ):
        """Start a worker; `proxied` ones reach the brokers through the frame proxy only.

        `free` is a file that says how many bytes its disk has left, `broken` one that makes the disk
        fail while it exists, `rotten` one that names the store whose tables break while a transaction
        is put into it, `schemas` the folder of the payloads' schemas; `standby` are the settings
        of its standby, without which it has none.
        """
        road = self.road if proxied else ()
        asked = {
            "parent": os.getpid(),
            "modules": str(self.program),
            "prefix": self.prefix,
            "ordinal": ordinal,
            "data_dir": str(data_dir or self.state),
            "servers": self._servers(proxied),
            "settings": settings or {},
            "transactions": transactions or {},
            "kafka": {**(PLAINTEXT if road else {}), **(kafka or {})},
            "planted": planted,
            "jumps": list(jumps),
            "free": str(free),
            "broken": str(broken),
            "rotten": str(rotten),
            "schemas": str(schemas),
            "standby": standby,
            "session_ms": session_ms,
        }
        command = [sys.executable, str(HERE.parent / "worker_child.py"), json.dumps(asked)]
        return self._run(f"worker-{ordinal}", [*road, *command], ORCHESTRATOR_CRASH=crash)

    def participant(self, name, *, proxied=False):
        """Start `bank` or `post`."""
        full = next(each for each in self.participants if each.startswith(name))
        ledgers = ["--ledger-directory", str(self.ledgers), "--ledger-fsync", "false"]
        command = [sys.executable, "-m", "orchestrator", "participant", full, *ledgers]
        command += ["--modules", str(self.program), "--prefix", self.prefix]
        command += ["--bootstrap-servers", self._servers(proxied)]
        road = self.road if proxied else ()
        allowed = {f"SAGA_{key.upper()}": str(value).lower() for key, value in PLAINTEXT.items()}
        return self._run(name, [*road, *command], **(allowed if road else {}))

    def open_shop(self):
        """Start both participants."""
        self.bank, self.post = self.participant("bank"), self.participant("post")

    def shown(self):
        """What `saga shards` says: state and reason of each, and its exit code."""
        where = ["--prefix", self.prefix, "--bootstrap-servers", self.kafka.bootstrap_servers]
        command = [sys.executable, "-m", "orchestrator", "shards", "--json", *where]
        asked = subprocess.run(command, check=False, capture_output=True, text=True)
        assert asked.stdout, asked.stderr
        shards = json.loads(asked.stdout)["shards"]
        return [(shard["state"], shard["reason"]) for shard in shards], asked.returncode

    def _servers(self, proxied):
        return self.kafka.advertised_servers if proxied else self.kafka.bootstrap_servers

    def _run(self, name, command, **environment):
        self.started[name] += 1
        log = self.folder / f"{name}.{self.started[name]}.log"
        environment = {**os.environ, "SAGA_SUPERVISOR": str(os.getpid()), **environment}
        process = Process(name, command, log, environment)
        self.processes.append(process)
        return process

    def stop(self, *processes):
        """Stop cleanly: all, or those given."""
        wanted = processes or [p for p in self.processes if p.code is None]
        for process in wanted:
            process.signal(signal.SIGTERM)
        for process in wanted:
            text = f"{process.name}: "
            assert process.died(30) == 0, text + process.log.read_text()[-LOG_SHOWN_CHARS:]

    @property
    def state(self):
        """Where workers keep their stores."""
        return self.folder / "state"

    @property
    def ledgers(self):
        """Where participants keep their ledgers."""
        return self.folder / "ledgers"

    def store_path(self, ordinal, shard):
        """The folder of one shard's store."""
        return self.state / instance_id(self.prefix, ordinal) / f"{shard:03d}"

    # --- the clients ----------------------------------------------------------------------------

    def begin(self, count, kinds=KINDS, shard=None):
        """Start so many sagas, of one shard or of all; returns when all are acknowledged."""
        wanted = [self._made(kinds[n % len(kinds)], shard) for n in range(count)]
        self._starts.update(wanted)
        self.client.start_many(wanted, lambda receipt: self.acknowledged.add(receipt.saga))
        return [saga_id for saga_id, _ in wanted]

    def begin_again(self, saga_id):
        """Send the start of a saga once more; it must change nothing."""
        self.client.start(self._starts[saga_id], saga_id=saga_id)

    def send(self, topic, key, value, headers=None):
        """Write a record as a stranger would; give where it lies."""
        done = []
        self._producer.produce(
            topic,
            key=key,
            value=value,
            partition=partition_of(key or b"", self.partitions),
            headers=headers,
            on_delivery=lambda error, message: done.append((error, message)),
        )
        self._producer.flush(20)
        error, message = done[0]
        assert error is None, error
        return Origin(topic, message.partition(), message.offset())

    def places(self, topic):
        """Every partition of a topic."""
        return [TopicPartition(topic, number) for number in range(self.partitions)]

    def _made(self, kind, shard=None):
        self._next += 1
        number, (letter, end) = self._next, kind.split("-")
        saga_id = f"{letter}-{number:06}-{end}"
        if shard not in (None, partition_of(saga_id.encode(), self.partitions)):
            return self._made(kind, shard)
        source = f"account-{number % ACCOUNTS_COUNT}"
        target = f"saving-{number * 7 % ACCOUNTS_COUNT}" + ("-closed" if end == "closed" else "")
        cents = 10 * self.opening_cents * ACCOUNTS_COUNT if end == "poor" else number % 7 + 1
        transfer = self.space.Transfer(source=source, target=target, amount_cents=cents)
        return saga_id, self.sagas[SAGAS[letter]].given(transfer)

    def look(self, timeout_s=0.05):
        """Read what has ended since."""
        for message in self._outcomes.consume(500, timeout_s):
            if message.error() is None and message.value() is not None:
                outcome = self.codec.decode_outcome(message.value())
                if outcome.saga in self.ended:
                    self.doubled.add(outcome.saga)
                self.ended[outcome.saga] = outcome

    def wait_consumed(self, patience_s=PATIENCE_S):
        """Wait until workers have consumed every command. Only clients may have written there."""

        def consumed():
            positions = self.admin.positions(self.prefix)
            ends = self.admin.end_offsets(self.places(self.topics.commands))
            return all(positions.get(place, 0) == end for place, end in ends.items())

        wait_until(consumed, "all commands to be consumed", patience_s)

    @property
    def open_count(self):
        """Acknowledged sagas that have not ended, as far as was looked."""
        return len(self.acknowledged - self.ended.keys())

    def wait_ended(self, patience_s=PATIENCE_S, share=1.0):
        """Wait until that share of all acknowledged sagas has ended."""
        self._wait_ended(self.acknowledged, patience_s, share)

    def wait_these(self, sagas, patience_s=PATIENCE_S):
        """Wait until these have ended."""
        self._wait_ended(set(sagas), patience_s, 1.0)

    def _wait_ended(self, sagas, patience_s, share):
        deadline_s = time.monotonic() + patience_s
        while len(missing := sagas - self.ended.keys()) > (1 - share) * len(sagas):
            self.look()
            if time.monotonic() > deadline_s:
                raise AssertionError(
                    f"not in {patience_s:.0f} s: {len(missing)} of {len(sagas)} have not ended,"
                    f" such as {sorted(missing)[:5]}\n{self.report()}"
                )

    def report(self):
        """The last words of what runs, and where the workers stand."""
        for process in self.processes:
            if process.code is None and process.name.startswith("worker"):
                process.signal(signal.SIGUSR2)
        time.sleep(0.2)  # for their answers; there is nothing to wait for if one is frozen
        lines = []
        for process in self.processes[-4:]:
            lines += [f"--- {process.name} ({process.code})"]
            lines += [process.log.read_text(errors="replace")[-1_500:]]
        return "\n".join(lines)

    # --- the judgement --------------------------------------------------------------------------

    def judge(self, *, bad=(), stores=True):
        """Stop everything, read everything, and give every violation of every promise."""
        self.stop()
        log = Log(self.admin, self.reader, self.codec, self.topics)
        self.history = read_history(
            log,
            self.codec,
            [saga.bind(self.payloads) for saga in self.sagas.values()],
            acknowledged=self.acknowledged,
            ledgers=ledger_entries(self.ledgers, self.participants),
            stores=self._newest_stores(log) if stores else None,
        )
        self.look(1.0)
        changes = self._table("bank", "changes")
        return [
            *checkers.check_all(self.history),
            *checkers.conserved(0, changes.values(), -self.opening_cents),
            *checkers.bad_input_accounted(self.history, dict(bad)),
            *self._foreign_dead_letters(dict(bad)),
            *self._ends_as_named(),
            *self._letters(),
            *self.differing,
            *self.hanging(),
        ]

    def check(self, **how):
        """Judge, and complain of any violation."""
        problems = self.judge(**how)
        text = "\n".join(map(str, problems[:20]))
        assert problems == [], f"{len(problems)} violations\n{text}\n{self.report()}"
        return self.history

    def hanging(self):
        """I9: nothing committed or not hides behind an open transaction."""
        names = [spec.name for spec in self._specs()]
        counts = self.admin.partitions(names)
        pairs = [TopicPartition(name, p) for name in names for p in range(counts[name])]
        found = []
        consumer = self._consumer("hanging")
        for pair, high in self.admin.end_offsets(pairs).items():
            stable = self._stable(consumer, pair)
            if stable != high:
                found.append(Violation("I9", "", f"{pair}: stable to {stable}, written to {high}"))
        consumer.close()
        return found

    def _stable(self, consumer, pair):
        """Up to where all is decided; asked again while leaders move, as after a broker's return."""

        def ends():
            with suppress(KafkaException):
                return consumer.get_watermark_offsets(Place(*pair), timeout=10)
            return None

        return wait_until(ends, f"the end of {pair}")[1]

    def _foreign_dead_letters(self, bad):
        return [
            Violation("I12", "", f"{letter.origin} is dead-lettered: {letter.reason}")
            for _, letter in self.history.dead_letters
            if letter.origin not in bad
        ]

    def _ends_as_named(self):
        found = [Violation("ends", saga, "two outcomes") for saga in self.doubled]
        for saga, outcome in self.ended.items():
            wanted = ENDS.get(saga.rpartition("-")[2], EITHER)
            if outcome.business not in wanted:
                text = f"ended {outcome.business}, must be {wanted}"
                found.append(Violation("ends", saga, text))
        return found

    def _letters(self):
        """The second participant's tables: one letter for each saga that has told somebody."""
        letters = {"s": 1, "f": self.space.FAN_COUNT, "i": self.space.ROUND_COUNT}
        told = sum(
            letters.get(saga[0], 0)
            for saga, outcome in self.ended.items()
            if outcome.business == "completed"
        )
        sent = sum(self._table("post", "letters").values())
        if sent != told:
            return [Violation("I1", "", f"{sent} letters were sent, {told} sagas completed")]
        return []

    def _table(self, participant, table):
        full = next(each for each in self.participants if each.startswith(participant))
        ledger = read_ledger(self.ledgers, full)
        try:
            return {key: int(value) for key, value in ledger.handle.rows(table)}
        finally:
            ledger.close()

    def _newest_stores(self, log):
        """A worker that lost a shard keeps an older store of it: the newest of each count, and agree."""
        found, self.differing = {}, []
        for shard in range(log.partitions_count):
            _, cursor = log.changelog(shard, log.span(self.topics.changelog, shard))
            newest = 0 if cursor is None else cursor.transaction
            copies = [
                {saga: held.value for saga, held in copy.snapshots.items()}
                for copy in self._copies(shard)
                if copy.cursor is not None and copy.cursor.transaction == newest
            ]
            if any(copy != copies[0] for copy in copies[1:]):
                self.differing.append(Violation("I5", "", f"the stores of shard {shard} differ"))
            for copy in copies[:1]:
                found.update(copy)
        return found

    def _copies(self, shard):
        """Every store of a shard that can be read; a broken one that nobody opened again stays so."""
        for folder in sorted(self.state.iterdir()):
            with suppress(CorruptStore, NotFound):
                yield from LocalStores(folder, self.codec).copies(shard)

    # --- inside ---------------------------------------------------------------------------------

    def _write_program(self):
        suffix = re.sub(r"[^a-z0-9]", "", self.prefix.lower())[-12:]
        text = (HERE / "bank_program.py").read_text()
        for name in ("bank", "post"):
            text = text.replace(f'Participant("{name}")', f'Participant("{name}-{suffix}")')
        text = text.replace(f"= {OPENING_CENTS:_}\n", f"= {self.opening_cents:_}\n")
        path = self.folder / f"bank_{suffix}.py"
        path.write_text(text)
        return path

    def _participant_names(self):
        bound = [saga.bind(self.payloads) for saga in self.sagas.values()]
        return sorted({name for definition in bound for name in definition.participants})

    def _specs(self):
        shape = TopicSettings(partitions=self.partitions, profile=self.profile)
        return specs(self.topics, self.participants, shape)

    def _create_topics(self):
        wanted = self._specs()
        names = [spec.name for spec in wanted]
        apply(self.admin, plan(wanted, self.admin.topics(names)))
        everywhere = [
            TopicPartition(name, number) for name in names for number in range(self.partitions)
        ]
        trouble = []
        try:
            wait_until(lambda: self._led(everywhere, trouble), "a leader for each partition")
        except AssertionError as error:
            raise AssertionError(f"{error}: {trouble[-1]}") from None

    def _led(self, partitions, trouble):
        try:
            return self.admin.end_offsets(partitions)
        except OrchestratorError as error:
            trouble.append(error)
            return None

    def _consumer(self, what):
        return Consumer(
            {
                "bootstrap.servers": self.kafka.bootstrap_servers,
                "group.id": f"{self.prefix}.{what}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,
                "socket.timeout.ms": 5_000,  # a leader may stand still
            }
        )
