"""Wiring: from settings and a program to a running worker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator import collector, patience
from orchestrator.codec.limits import DEFAULT_LIMITS
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import ConfigurationError
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Admin, TopicPartition, TopicState
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.notes import NoteBoard
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.sink import TransactionalSink, TransactionSettings, fence
from orchestrator.kafka.source import KafkaSource
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import Log, get
from orchestrator.runtime import crash_points
from orchestrator.runtime.batch import Interpreter
from orchestrator.runtime.beside import Home, heir_of, warm_up_if_new
from orchestrator.runtime.catalog import Catalog
from orchestrator.runtime.clock import Clock, SystemClock
from orchestrator.runtime.disk import DiskWatch
from orchestrator.runtime.heir import Heir
from orchestrator.runtime.holding import Holding
from orchestrator.runtime.notices import Notices, notice_group
from orchestrator.runtime.program import catalog_of
from orchestrator.runtime.recovery import Recovery, RestoreProgress
from orchestrator.runtime.settings import StandbySettings, WorkerSettings
from orchestrator.runtime.stores import RocksStores
from orchestrator.runtime.transaction import Transactor
from orchestrator.runtime.worker import Worker
from orchestrator.store.rocks import StoreSettings
from orchestrator.topics import Topics

if TYPE_CHECKING:
    from orchestrator.definition.saga import Saga


class Program(Protocol):
    """What the user's modules hold, as far as a worker needs it (`orchestrator.modules`)."""

    @property
    def sagas(self) -> tuple[Saga[Any, Any], ...]:
        """Every saga definition."""
        ...


def run_worker(
    program: Program,
    settings: WorkerSettings,
    kafka: KafkaSettings,
    stop: Callable[[], bool],
    *,
    transactions: TransactionSettings | None = None,
    stores: StoreSettings | None = None,
    topics: Topics | None = None,
    codec: RecordCodec | None = None,
    payloads: AvroPayloads | None = None,
    on_progress: Callable[[RestoreProgress], None] | None = None,
    counters: Counters | None = None,
    standby: StandbySettings | None = None,
    standby_command: Sequence[str] = (),
) -> None:
    """Run one worker until `stop()` is true; wait for brokers that are not there yet.

    `standby_command` is what starts a process that calls `run_standby` with the same settings;
    without it there is none.

    Raises ConfigurationError, DefinitionError, Fenced and StateError: what a person or a new
    process must cure.
    """
    crash_points.arm_from(os.environ)
    names = Topics() if topics is None else topics
    log = get(worker=settings.instance_id)
    stores = StoreSettings() if stores is None else stores
    local = RocksStores(settings.data_dir / settings.instance_id, stores)
    disk = DiskWatch(settings.data_dir, settings.disk_free_bytes_min)
    if disk.is_low():  # not even a member: others may have room
        log.error("waiting_for_disk", free_bytes=disk.free_bytes)
        disk.wait(stop)
    # The identity is ours, as the folder's lock says: a predecessor's transaction ends here.
    sink = TransactionalSink(kafka, settings.instance_id, transactions, stop)
    sink.init_soon()
    catalog = catalog_of(program.sagas, AvroPayloads() if payloads is None else payloads)
    codec = RecordCodec() if codec is None else codec
    standby = StandbySettings() if standby is None else standby
    local.await_standby()
    admin = KafkaAdmin(kafka, patience.ANSWER_S)
    found = patience.until_answered(
        lambda: _partitions(admin, names, catalog.participants), stop, log
    )
    if found is None:
        return
    partitions, participant_partitions = found
    home = Home(settings, kafka, admin, names.changelog, local, codec, log)
    patience.until_answered(lambda: warm_up_if_new(home, standby, partitions, stop), stop, log)
    worker = _assemble(
        home=home,
        catalog=catalog,
        sink=sink,
        disk=disk,
        partitions=partitions,
        participant_partitions=participant_partitions,
        heir=heir_of(standby, standby_command, partitions, log),
        topics=names,
        on_progress=_logged(log) if on_progress is None else on_progress,
        counters=Counters() if counters is None else counters,
    )
    collector.spare()
    worker.run(stop)


def check_topics(
    found: dict[str, TopicState], topics: Topics, participants: Sequence[str]
) -> tuple[int, dict[str, int]]:
    """Give P, and the partitions of each participant's command topic.

    Raises ConfigurationError if a topic is missing, or one of the shards' has another P.
    """
    replies = [topics.replies(name) for name in participants]
    own = [topics.commands, *replies, topics.events, topics.changelog, topics.outcomes]
    commands = {name: topics.participant_commands(name) for name in participants}
    wanted = [*own, topics.dead_letters, *commands.values()]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ConfigurationError(f"no such topics: {', '.join(missing)}; run `saga topics create`")
    partitions = found[topics.commands].partitions
    for name in [*own, topics.dead_letters]:
        if found[name].partitions != partitions:
            raise ConfigurationError(
                f"{name} has {found[name].partitions} partitions, {topics.commands} has"
                f" {partitions}: all topics of the shards must have the same number"
            )
    _refuse_dangerous(found[topics.changelog], [found[name] for name in (own[0], *replies)])
    return partitions, {name: found[topic].partitions for name, topic in commands.items()}


def _refuse_dangerous(changelog: TopicState, inputs: Sequence[TopicState]) -> None:
    """Raise ConfigurationError if topics are cleaned in a way that loses sagas.

    How long they are kept, and how large records may be, is the operator's choice: `saga topics
    check` says what it thinks of it.
    """
    wrong = [state for state in inputs if "compact" in state.config.get("cleanup.policy", "")]
    wrong += [changelog] if "delete" in changelog.config.get("cleanup.policy", "") else []
    if wrong:
        told = ", ".join(f"{s.name}: cleanup.policy={s.config['cleanup.policy']}" for s in wrong)
        raise ConfigurationError(
            f"{told}. A changelog that is deleted loses sagas, and commands that are compacted"
            " swallow each other; `saga topics check` names the cure"
        )


def _partitions(
    admin: Admin, topics: Topics, participants: Sequence[str]
) -> tuple[int, dict[str, int]]:
    own = [topics.commands, topics.events, topics.changelog, topics.outcomes, topics.dead_letters]
    theirs = [(topics.replies(name), topics.participant_commands(name)) for name in participants]
    names = [*own, *(name for pair in theirs for name in pair)]
    return check_topics(dict(admin.topics(names)), topics, participants)


def _assemble(
    *,
    home: Home,
    catalog: Catalog,
    sink: TransactionalSink,
    disk: DiskWatch,
    partitions: int,
    participant_partitions: dict[str, int],
    heir: Heir,
    topics: Topics,
    on_progress: Callable[[RestoreProgress], None],
    counters: Counters,
) -> Worker:
    settings, kafka, admin, changelog, local, codec, log = home
    instance, participants = settings.instance_id, catalog.participants
    inputs = [topics.commands, *(topics.replies(name) for name in participants)]
    transactor = Transactor(
        sink=sink, codec=codec, topics=topics, owner=instance, partitions=partitions
    )
    source = KafkaSource(kafka, group=settings.group, instance_id=instance, topics=inputs)
    clock = SystemClock()
    interpreter = Interpreter(
        catalog=catalog,
        codec=codec,
        limits=DEFAULT_LIMITS,
        topics=topics,
        partitions=partitions,
        participant_partitions=participant_partitions,
        # A record has a head, and a batch of one record has another.
        record_bytes_max=min(settings.record_bytes_max, kafka.message_bytes_max * 9 // 10),
        postpone_ms=settings.postpone_ms,
        worker=instance,
    )
    recovery = Recovery(
        settings=settings,
        topics=inputs,
        changelog=changelog,
        partitions=partitions,
        stores=local,
        source=source,
        reader=ChangelogReader(kafka, instance),
        cluster=admin,
        transactor=transactor,
        fence=lambda owner: fence(kafka, owner),
        codec=codec,
        clock=clock,
        counters=counters,
        log=log,
        on_progress=on_progress,
    )
    shared = [topics.participant_commands(name) for name in participants]
    return Worker(
        settings=settings,
        topics=inputs,
        partitions=partitions,
        source=source,
        sink=sink,
        interpreter=interpreter,
        transactor=transactor,
        recovery=recovery,
        heir=heir,
        holding=Holding(admin, recovery.halt, clock, log, partitions=partitions, shared=shared),
        notices=_notices(home, clock),
        disk=disk,
        clock=clock,
        counters=counters,
        log=log,
    )


def _notices(home: Home, clock: Clock) -> Notices:
    instance = home.settings.instance_id
    board = NoteBoard(home.kafka, f"{instance}-notices", notice_group(instance))

    def leave(notes: Mapping[int, str]) -> None:
        board.leave({TopicPartition(home.changelog, shard): note for shard, note in notes.items()})

    return Notices(leave, clock.monotonic_s)


def _logged(log: Log) -> Callable[[RestoreProgress], None]:
    """Progress as log lines, one every few seconds."""
    last_s = time.monotonic()

    def on_progress(progress: RestoreProgress) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= 2.0:
            last_s = time.monotonic()
            log.info("restoring", **progress._asdict())

    return on_progress
