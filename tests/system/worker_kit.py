"""What the worker's system tests are made of: an installation on a real broker, raw participants
that answer as they are told, worker processes, and the history that a run left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, Producer
from contract.due_index import late_timers

from orchestrator import modules
from orchestrator.codec.envelope import Origin
from orchestrator.codec.keys import CURSOR_KEY, REROUTED, SNAPSHOT_KEY
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import Reply, StepCommand
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import ReplyOutcome, StartSaga
from orchestrator.errors import Unreachable
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Position, TopicPartition, TopicSpec
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.runtime.main import RocksStores
from orchestrator.runtime.program import catalog_of
from orchestrator.runtime.settings import instance_id
from orchestrator.store.rocks import StoreSettings
from orchestrator.testing import checkers
from orchestrator.topics import Topics

HERE = Path(__file__).parent
TRIP = str(HERE / "trip_program.py")
PATIENCE_S = 60.0


def wait_until(condition, what, patience_s=PATIENCE_S):
    """Poll a condition of the outside world until it holds."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {patience_s:.0f} s: {what}")


class Installation:
    """Topics, program and clients of one installation; everything that a test does to it."""

    def __init__(self, bootstrap_servers, prefix, folder, partitions=2, program=TRIP):
        self.bootstrap_servers, self.prefix, self.folder = bootstrap_servers, prefix, Path(folder)
        self.partitions, self.program = partitions, program
        self.settings = KafkaSettings(bootstrap_servers=bootstrap_servers)
        self.topics, self.codec, self.payloads = Topics(prefix), RecordCodec(), AvroPayloads()
        self.sagas = modules.load(program).sagas
        self.catalog = catalog_of(self.sagas, self.payloads)
        self.participants = self.catalog.participants
        self.admin = KafkaAdmin(self.settings)
        self.reader = ChangelogReader(self.settings, f"{prefix}.test")
        self.workers = []
        self.acknowledged = set()
        t = self.topics
        self.inputs = [t.commands, *(t.replies(name) for name in self.participants)]
        delete, compact = {}, {"cleanup.policy": "compact"}
        plain = [*self.inputs, t.events, t.outcomes, t.dead_letters]
        plain += [t.participant_commands(name) for name in self.participants]
        self.admin.create(
            [TopicSpec(name, partitions, 1, delete) for name in plain]
            + [TopicSpec(t.changelog, partitions, 1, compact)]
        )
        everywhere = [
            TopicPartition(name, number)
            for name in [*self.inputs, t.events, t.outcomes, t.dead_letters, t.changelog]
            for number in range(partitions)
        ]
        wait_until(lambda: self.led(everywhere), "a leader for each partition")
        self.producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 2})

    def led(self, partitions):
        """Whether each of these new partitions answers."""
        try:
            return self.admin.end_offsets(partitions)
        except Unreachable:
            return None

    # --- clients --------------------------------------------------------------------------------

    def send(self, topic, key, value, partition=None, headers=None):
        """Produce a raw record; give its origin once it is acknowledged."""
        done = []
        where = partition_of(key or b"", self.partitions) if partition is None else partition
        self.producer.produce(
            topic,
            key=key,
            value=value,
            partition=where,
            headers=headers,
            on_delivery=lambda error, message: done.append((error, message)),
        )
        self.producer.flush(10)
        error, message = done[0]
        assert error is None, error
        return Origin(topic, message.partition(), message.offset())

    def start(self, saga_id, payload, definition=None, version=0):
        """Start a saga."""
        name = self.sagas[0].id if definition is None else definition
        value = self.codec.encode_command(StartSaga(saga_id, name, version, payload))
        origin = self.send(self.topics.commands, saga_id.encode(), value)
        self.acknowledged.add(saga_id)
        return origin

    def start_many(self, ids, payload):
        """Start many sagas, acknowledged together."""
        name = self.sagas[0].id
        failures = []
        for saga_id in ids:
            key = saga_id.encode()
            value = self.codec.encode_command(StartSaga(saga_id, name, 0, payload(saga_id)))
            self.producer.produce(
                self.topics.commands,
                key=key,
                value=value,
                partition=partition_of(key, self.partitions),
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
        self.producer.flush(20)
        assert failures == []
        self.acknowledged.update(ids)

    def command(self, command):
        """Send an operator's command."""
        key = command.saga_id.encode()
        return self.send(self.topics.commands, key, self.codec.encode_command(command))

    # --- workers --------------------------------------------------------------------------------

    def worker(
        self, ordinal=0, crash="", settings=None, faults=None, program=None, *, standby=None
    ):
        """Start a worker process; `faults` makes its producer lie, see worker_child."""
        asked = {
            "modules": program or self.program,
            "prefix": self.prefix,
            "ordinal": ordinal,
            "data_dir": str(self.folder / "state"),
            "servers": self.bootstrap_servers,
            "settings": settings or {},
            "faults": faults or {},
            "standby": {"standbys": 0, **(standby or {})},
        }
        command = [sys.executable, str(HERE.parent / "worker_child.py"), json.dumps(asked)]
        return self.run_worker(ordinal, command, {"ORCHESTRATOR_CRASH": crash})

    def run_worker(self, ordinal, command, environment):
        """Start a worker process by any command."""
        log = (self.folder / f"worker-{ordinal}-{len(self.workers)}.log").open("wb")
        worker = subprocess.Popen(
            command, stderr=log, stdout=log, env={**os.environ, **environment}
        )
        log.close()
        worker.log = Path(log.name)
        worker.ordinal = ordinal
        self.workers.append(worker)
        return worker

    def saga(self, *words):
        """Run `saga` beside the workers; give its exit code and what it wrote."""
        where = ["--prefix", self.prefix, "--bootstrap-servers", self.bootstrap_servers]
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *words, *where],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
        )

    def stop(self, worker):
        """Stop a worker cleanly; give what it logged."""
        self.wait_logged(worker, "worker_ready")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0, worker.log.read_text()[-3_000:]
        return self.log_of(worker)

    def log_of(self, worker):
        """The lines that a worker has logged so far."""
        return [
            json.loads(line)
            for line in worker.log.read_text().splitlines()
            if line.startswith("{") and line.endswith("}")
        ]

    def wait_logged(self, worker, event, patience_s=PATIENCE_S):
        """Wait until a worker has logged an event; give that line."""

        def found():
            if worker.poll() is not None and worker.returncode > 0:
                raise AssertionError(worker.log.read_text()[-3_000:])
            return next((line for line in self.log_of(worker) if line["event"] == event), None)

        return wait_until(found, f"{event} of worker {worker.ordinal}", patience_s)

    def close(self):
        """Kill what still runs."""
        self.reader.close()
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()

    # --- what is in the topics ------------------------------------------------------------------

    def read(self, topic):
        """Every committed record of a topic, partition by partition."""
        partitions = [TopicPartition(topic, p) for p in range(self.partitions)]
        ends = self.admin.end_offsets(partitions)
        found = []
        for pair in partitions:
            for batch in self.reader.read(Position(*pair, 0), ends[pair]):
                found += batch
        return found

    def outcomes(self):
        """Saga id to its outcome."""
        found = {}
        for envelope in self.read(self.topics.outcomes):
            outcome = self.codec.decode_outcome(envelope.value)
            assert outcome.saga not in found, f"two outcomes of {outcome.saga}"
            found[outcome.saga] = outcome
        return found

    def wait_ended(self, count, patience_s=PATIENCE_S):
        """Wait until so many sagas have ended."""
        ends = [TopicPartition(self.topics.outcomes, p) for p in range(self.partitions)]

        def enough():
            # End offsets count markers too: cheap to ask, and never too low.
            if sum(self.admin.end_offsets(ends).values()) < count:
                return None
            found = self.outcomes()
            return found if len(found) >= count else None

        try:
            return wait_until(enough, f"{count} sagas ended", patience_s)
        except AssertionError as error:
            logs = "\n".join(w.log.read_text()[-2_000:] for w in self.workers)
            raise AssertionError(f"{error}; {len(self.outcomes())} have\n{logs}") from None

    def dead_letters(self):
        """Every dead letter."""
        found = self.read(self.topics.dead_letters)
        return [(e.origin, self.codec.decode_dead_letter(e.value)) for e in found]

    def transitions(self, saga_id=None):
        """Every transition, or those of one saga."""
        found = [(e.origin, self.codec.decode_transition(e.value)) for e in self.events()]
        return [t for t in found if saga_id is None or t[1].saga == saga_id]

    def events(self):
        """Every record of the events topic."""
        return self.read(self.topics.events)

    def history(self, ledgers=(), stores=None):
        """Everything that the run left behind, for the checkers."""
        snapshots, cursors = {}, {}
        for envelope in self.read(self.topics.changelog):
            if envelope.key == CURSOR_KEY:
                cursors[envelope.origin.partition] = self.codec.decode_cursor(envelope.value)
            elif envelope.key.startswith(SNAPSHOT_KEY):
                snapshots[envelope.key[len(SNAPSHOT_KEY) :].decode()] = envelope.value
        steps = []
        for name in self.participants:
            for envelope in self.read(self.topics.participant_commands(name)):
                command = self.codec.decode_step_command(envelope.value)
                if command.reply_topic.startswith(f"{self.prefix}."):
                    steps.append((envelope.origin, command))
        inputs = [envelope for topic in self.inputs for envelope in self.read(topic)]
        rerouted = Counter()
        for envelope in inputs:
            for name, value in envelope.headers:
                if name == REROUTED and value.count(b"/") == 2:
                    topic, partition, offset = value.decode().rsplit("/", 2)
                    rerouted[Origin(topic, int(partition), int(offset))] += 1
        return checkers.History(
            definitions={(s.id, s.version): s.bind(self.payloads) for s in self.sagas},
            transitions=tuple(self.transitions()),
            snapshots={saga: value for saga, value in snapshots.items() if value is not None},
            encode=self.codec.encode_snapshot,
            step_commands=tuple(steps),
            outcomes=tuple(
                (e.origin, self.codec.decode_outcome(e.value))
                for e in self.read(self.topics.outcomes)
            ),
            dead_letters=tuple(self.dead_letters()),
            cursors=cursors,
            inputs=frozenset(envelope.origin for envelope in inputs),
            rerouted=rerouted,
            acknowledged=frozenset(self.acknowledged),
            ledgers=tuple(ledgers),
            stores=stores,
        )

    def stored(self, ordinals, shards=None):
        """Snapshots in the local stores of stopped workers."""
        found = {}
        for ordinal in ordinals:
            instance = instance_id(self.prefix, ordinal)
            stores = RocksStores(self.folder / "state" / instance, StoreSettings())
            for partition in range(self.partitions) if shards is None else shards:
                store = stores.open(partition)
                found.update(store.items())
                assert late_timers(store) == []
                store.close()
            stores.close()
        return found

    def positions(self, ordinal):
        """How far the local stores of a worker that does not run have read the changelog."""
        stores = RocksStores(
            self.folder / "state" / instance_id(self.prefix, ordinal), StoreSettings()
        )
        found = {}
        for partition in range(self.partitions):
            store = stores.open(partition)
            found[partition] = store.position()
            store.close()
        stores.close()
        return found

    def count_changelog(self, partition, position):
        """How many records of a shard's changelog are not in a store that stands there."""
        there = (self.topics.changelog, partition)
        (end,) = self.admin.end_offsets([there]).values()
        return sum(map(len, self.reader.read(Position(*there, position), end)))

    def check(self, participants, stores=None):
        """Run every checker over the topics; the run must have left nothing to complain of."""
        history = self.history(participants.ledger(), stores)
        problems = checkers.check_all(history)
        assert problems == [], "\n".join(map(str, problems[:20]))
        return history


class Participants(threading.Thread):
    """Answers the step commands of every participant, each operation applied once.

    `answer(command)` gives a `Reply`, a list of them, or None for silence; None as the whole: all
    succeed. Replies go where the command says.
    """

    def __init__(self, installation, answer=None):
        super().__init__(daemon=True)
        self.installation = installation
        self.answer = answer
        self.applied = Counter()
        self.seen = []
        self.result = installation.payloads
        self._answers = {}
        self._stopping = threading.Event()
        self._ready = threading.Event()
        names = installation.participants
        topics = [installation.topics.participant_commands(name) for name in names]
        self._consumer = Consumer(
            {
                "bootstrap.servers": installation.bootstrap_servers,
                "group.id": f"{installation.prefix}.participants",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 20,
            }
        )
        self._consumer.subscribe(topics)
        self._producer = Producer(
            {
                "bootstrap.servers": installation.bootstrap_servers,
                "linger.ms": 2,
                "enable.idempotence": True,
            }
        )

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self.join(20)
        self._producer.flush(10)
        self._consumer.close()

    def run(self):
        while not self._stopping.is_set():
            for message in self._consumer.consume(500, 0.02):
                if message.error() is None:
                    self._take(self.installation.codec.decode_step_command(message.value()))
            self._producer.poll(0)

    def _take(self, command):
        if not command.reply_topic.startswith(f"{self.installation.prefix}."):
            return
        self.seen.append(command)
        answers = self.answer(command) if self.answer is not None else [self.success(command)]
        if isinstance(answers, Reply):
            answers = [answers]
        for reply in answers or ():
            self.reply(command, reply)

    def reply(self, command: StepCommand, reply: Reply) -> None:
        """Send a reply to a command."""
        self._producer.produce(
            command.reply_topic,
            key=command.saga.encode(),
            value=self.installation.codec.encode_reply(reply),
            partition=command.reply_partition,
            headers=[("id", command.effect.encode())],
        )

    def success(self, command):
        """Apply the effect once, and say so; a second time only say so."""
        operation = f"{command.saga}/{command.step}/{command.direction}"
        # What was never done is not undone either: the undo only leaves a tombstone.
        idle = command.direction == "undo" and not self.applied[f"{operation[:-4]}do"]
        if operation not in self.applied and not idle:
            self.applied[operation] += 1
        payload = b""
        if command.direction == "do":
            program = sys.modules[self.installation.sagas[0].spec.function.__module__]
            result = program.Reserved(f"{command.step}-{command.saga}")
            payload = self.result.encode(result, program.Reserved)
        return Reply(command.effect, command.saga, int(ReplyOutcome.SUCCEEDED), "", payload)

    def failure(self, command, text="sold out"):
        """Decline, with the declared failure."""
        program = sys.modules[self.installation.sagas[0].spec.function.__module__]
        payload = self.result.encode(program.Taken(text), program.Taken)
        return Reply(command.effect, command.saga, int(ReplyOutcome.FAILED), text, payload)

    def retry(self, command, text="not now"):
        """Ask for another sending."""
        return Reply(command.effect, command.saga, int(ReplyOutcome.RETRY), text, b"")

    def ledger(self):
        """What was done, for the checkers."""
        return [
            checkers.LedgerEntry(operation, True, count)
            for operation, count in self.applied.items()
        ]


def trip_payload(installation, traveller="ann", cents=500):
    """A start payload of the trip program."""
    program = sys.modules[installation.sagas[0].spec.function.__module__]
    return installation.payloads.encode(program.Trip(traveller, cents), program.Trip)
