"""The floor: the "trip" workload as the bare loop that any exactly-once orchestrator in Python must run.

No engine, no codec worth the name, no ledger, no timers, no recovery: one worker that reads commands
and replies, keeps a struct per saga in RocksDB, and writes event, changelog, step command and offsets
in one transaction; three participants; one closed-loop client. Its rate and latency are the limit of
this stack on the machine at hand: an engine is measured as a share of it, in the same run.

    python -m benchmarks.bare --bootstrap 127.0.0.1:9092 --sagas 20000 --in-flight 1000
    python -m benchmarks.bare --bootstrap 127.0.0.1:9092 --sagas 300 --in-flight 1

Prints one JSON line. Its topics, `bare.<random>.*`, are deleted at the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
import uuid
import zlib
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import msgspec
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from rocksdict import Rdict, WriteBatch

from benchmarks.figures import percentiles_ms, steady_rate

PARTICIPANTS = ("flight", "hotel", "card")
BATCH = 500
WARM_UP_IN_FLIGHT = 200
STALLED_S = 60.0
"""Without any outcome for so long the client gives up."""
encode, decode = msgspec.json.encode, msgspec.json.decode


class Saga(msgspec.Struct):
    """All that is known of one saga."""

    id: str
    step: int
    status: str
    sequence: int
    done: list[int]
    data: dict[str, Any]


def consumer(
    options: Namespace, group: str, topics: tuple[str, ...], instance: str | None = None
) -> Consumer:
    """Join a group."""
    settings: dict[str, Any] = {
        "bootstrap.servers": options.bootstrap,
        "group.id": f"{options.prefix}.{group}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "range",
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1000,
        "fetch.queue.backoff.ms": 1,
        "queued.min.messages": 20000,
    }
    if instance:
        settings["group.instance.id"] = instance
    found = Consumer(settings)
    found.subscribe([f"{options.prefix}.{topic}" for topic in topics])
    return found


def batches(source: Consumer) -> Iterator[list[Any]]:
    """Give what there is, until nothing comes for long or whoever started this process is gone."""
    moved_s = time.monotonic()
    while True:
        first = source.poll(0.5)
        if first is not None:
            moved_s = time.monotonic()
            yield [m for m in [first, *source.consume(BATCH, 0)] if m.error() is None]
        elif _abandoned(moved_s):
            return


def _abandoned(moved_s: float) -> bool:
    parent = multiprocessing.parent_process()
    return time.monotonic() - moved_s > STALLED_S if parent is None else not parent.is_alive()


def advance(saga: Saga, reply_ok: bool | None) -> list[tuple[str, str]]:  # noqa: FBT001
    """Make one transition. Gives the step commands to send as (participant, direction)."""
    saga.sequence += 1
    if reply_ok is None:
        return [(PARTICIPANTS[0], "do")]
    if saga.status == "running":
        if reply_ok:
            saga.done.append(saga.step)
            saga.step += 1
            if saga.step < len(PARTICIPANTS):
                return [(PARTICIPANTS[saga.step], "do")]
            saga.status = "completed"
            return []
        saga.status = "compensating"
    else:
        saga.done.pop()
    if saga.done:
        return [(PARTICIPANTS[saga.done[-1]], "undo")]
    saga.status = "compensated"
    return []


def worker(options: Namespace, store: str) -> None:
    """Drive the sagas: one transaction a batch."""
    prefix = options.prefix
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "transactional.id": f"{prefix}.w0",
            "linger.ms": options.linger_ms,
            "retry.backoff.ms": 1,
            "transaction.timeout.ms": 10000,
            "queue.buffering.max.messages": 500000,
        }
    )
    producer.init_transactions()
    source = consumer(options, "worker", ("commands", "replies"), "w0")
    db, decode_saga = Rdict(store), msgspec.json.Decoder(Saga).decode
    commands, produce = f"{prefix}.commands", producer.produce
    for batch in batches(source):
        overlay: dict[bytes, Saga] = {}
        offsets: dict[tuple[str, int], int] = {}
        producer.begin_transaction()
        for m in batch:
            key, shard, body = m.key(), m.partition(), decode(m.value())
            offsets[m.topic(), shard] = m.offset() + 1
            if m.topic() == commands:
                saga, ok = Saga(body["id"], 0, "running", 0, [], body["data"]), None
            else:
                saga, ok = overlay.get(key) or decode_saga(db[key]), body["ok"]
            sends = advance(saga, ok)
            event = {"id": saga.id, "sequence": saga.sequence, "cause": body}
            produce(f"{prefix}.events", encode(event), key=key, partition=shard)
            produce(f"{prefix}.changelog", encode(saga), key=key, partition=shard)
            for name, direction in sends:
                step = {
                    "id": saga.id,
                    "step": saga.step,
                    "direction": direction,
                    "data": saga.data,
                    "reply_partition": shard,
                }
                produce(f"{prefix}.{name}.commands", encode(step), key=key, partition=shard)
            if saga.status in {"completed", "compensated"}:
                outcome = encode({"id": saga.id, "status": saga.status})
                produce(f"{prefix}.outcomes", outcome, key=key, partition=shard)
            overlay[key] = saga
        cursor = encode(list(offsets.values()))
        for shard in {shard for _, shard in offsets}:
            produce(f"{prefix}.changelog", cursor, key=b"cursor", partition=shard)
        positions = [TopicPartition(*pair, offset) for pair, offset in offsets.items()]
        producer.send_offsets_to_transaction(positions, source.consumer_group_metadata(), 10)
        producer.commit_transaction(10)
        write = WriteBatch()
        for key, saga in overlay.items():
            write.put(key, encode(saga))
        write.put(b"cursor", cursor)
        db.write(write)


def participant(options: Namespace, name: str, effects: str) -> None:
    """Execute the steps of one participant."""
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "enable.idempotence": True,
            "linger.ms": options.linger_ms,
        }
    )
    log = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    source = consumer(options, name, (f"{name}.commands",))
    for batch in batches(source):
        for m in batch:
            body = decode(m.value())
            fails = name == "card" and body["direction"] == "do" and body["data"]["fails"]
            if not fails:
                os.write(log, f"{body['id']} {name} {body['direction']}\n".encode())
            reply = {"id": body["id"], "ok": not fails, "result": {"reference": "x" * 60}}
            producer.produce(
                f"{options.prefix}.replies",
                encode(reply),
                key=m.key(),
                partition=body["reply_partition"],
            )
        producer.flush()
        source.commit(asynchronous=True)


class Driven:
    """What the client saw."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.latencies_s: list[float] = []
        self.ends_s: list[float] = []
        self.statuses: dict[str, int] = {}


def drive(options: Namespace, total: int, in_flight: int) -> Driven:
    """Keep `in_flight` sagas open until `total` have ended."""
    producer = Producer({"bootstrap.servers": options.bootstrap, "linger.ms": options.linger_ms})
    outcomes = consumer(options, f"client.{uuid.uuid4().hex}", ("outcomes",))
    while not outcomes.assignment():
        outcomes.poll(0.1)
    run, found, sent = uuid.uuid4().hex[:8], Driven(), 0
    started: dict[str, float] = {}

    def start(n: int) -> None:
        saga_id = f"{run}-{n}"
        key = saga_id.encode()
        data = {
            "traveller": "Ann Example",
            "from": "LGA",
            "to": "SFO",
            "note": "x" * 200,
            "fails": n % 1000 < options.fail_rate * 1000,
        }
        started[saga_id] = time.perf_counter()
        producer.produce(
            f"{options.prefix}.commands",
            encode({"id": saga_id, "data": data}),
            key=key,
            partition=zlib.crc32(key) % options.partitions,
        )

    begin = time.perf_counter()
    while sent < min(in_flight, total):
        start(sent)
        sent += 1
    producer.poll(0)
    for batch in batches(outcomes):
        now = time.perf_counter()
        for m in batch:
            t = started.pop(m.key().decode(), None)
            if t is None:
                continue
            found.latencies_s.append(now - t)
            found.ends_s.append(now)
            status = decode(m.value())["status"]
            found.statuses[status] = found.statuses.get(status, 0) + 1
            if sent < total:
                start(sent)
                sent += 1
        producer.poll(0)
        if len(found.latencies_s) == total:
            break
    found.seconds = time.perf_counter() - begin
    outcomes.close()
    return found


def arguments() -> Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--sagas", type=int, default=20000)
    parser.add_argument("--in-flight", type=int, default=1000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--replication", type=int, default=1)
    parser.add_argument("--fail-rate", type=float, default=0.1)
    parser.add_argument("--linger-ms", type=float, default=2)
    parser.add_argument("--warm-up", type=int, default=2000)
    parser.add_argument("--broker-pid", type=int, nargs="*", default=[], help="to measure too")
    options = parser.parse_args()
    options.prefix = f"bare.{uuid.uuid4().hex[:8]}"
    return options


def main() -> None:
    """Run the floor once."""
    options = arguments()
    admin = AdminClient({"bootstrap.servers": options.bootstrap})
    kinds = ["commands", "replies", "events", "changelog", "outcomes"]
    names = [f"{options.prefix}.{n}" for n in [*kinds, *(f"{p}.commands" for p in PARTICIPANTS)]]
    shape = options.partitions, options.replication
    for future in admin.create_topics([NewTopic(name, *shape) for name in names]).values():
        future.result()
    folder = tempfile.mkdtemp()
    spawn = multiprocessing.get_context("spawn").Process
    processes = {"worker": spawn(target=worker, args=(options, f"{folder}/store"), daemon=True)}
    for name in PARTICIPANTS:
        given = (options, name, f"{folder}/effects")
        processes[name] = spawn(target=participant, args=given, daemon=True)
    for process in processes.values():
        process.start()
    try:
        if options.warm_up:
            drive(options, options.warm_up, min(options.warm_up, WARM_UP_IN_FLIGHT))
        before_s = _cpu_s(options, processes)
        found = drive(options, options.sagas, options.in_flight)
        after_s = _cpu_s(options, processes)
    finally:
        for process in processes.values():
            process.kill()
            process.join()
        shutil.rmtree(folder)
        for future in admin.delete_topics(names).values():
            future.result()
    cpu_ms = {name: (after_s[name] - s) * 1e3 / options.sagas for name, s in before_s.items()}
    print(json.dumps(_report(options, found, cpu_ms)))


def _report(options: Namespace, found: Driven, cpu_ms: dict[str, float]) -> dict[str, Any]:
    fails_count = sum(n % 1000 < options.fail_rate * 1000 for n in range(options.sagas))
    expected = {"compensated": fails_count, "completed": options.sagas - fails_count}
    statuses = found.statuses
    return {
        "sagas": options.sagas,
        "ended": len(found.latencies_s),
        "in_flight": options.in_flight,
        "wall_s": round(found.seconds, 3),
        "throughput_per_s": round(options.sagas / found.seconds, 1),
        "steady_throughput_per_s": steady_rate(found.ends_s),
        "latency_ms": percentiles_ms(found.latencies_s),
        "outcomes": statuses,
        "wrong_outcome": sum(abs(n - statuses.get(status, 0)) for status, n in expected.items()),
        "cpu_ms_per_saga": {
            "broker": round(cpu_ms["broker"], 4),
            "worker": round(cpu_ms["worker"], 4),
            "participants": round(sum(cpu_ms[name] for name in PARTICIPANTS), 4),
            "client": round(cpu_ms["client"], 4),
        },
    }


def _cpu_s(options: Namespace, processes: dict[str, Any]) -> dict[str, float]:
    pids = {name: [process.pid] for name, process in processes.items()}
    pids |= {"client": [os.getpid()], "broker": options.broker_pid}
    return {name: sum(map(_one_cpu_s, each)) for name, each in pids.items()}


def _one_cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
