"""The loop of a worker: poll, decide, commit. One thread; everything else hangs from here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager

from orchestrator import patience
from orchestrator.codec.envelope import Envelope
from orchestrator.core.events import CompensationRequested, SagaEnded, StepRequested
from orchestrator.errors import (
    CorruptStore,
    DiskFailed,
    Fenced,
    MustAbort,
    TransactionError,
    Unwritable,
)
from orchestrator.kafka.base import (
    Assigned,
    FaultKind,
    Lost,
    Position,
    ReadFault,
    Rebalance,
    Sink,
    Source,
)
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import Bounded, Log
from orchestrator.runtime.allowance import Allowance
from orchestrator.runtime.batch import Interpreter, Outbox
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.crash_points import CrashPoint, reach
from orchestrator.runtime.disk import DiskWatch
from orchestrator.runtime.heir import Heir
from orchestrator.runtime.holding import REASON as UNWRITABLE
from orchestrator.runtime.holding import Holding
from orchestrator.runtime.notices import HALTED, HELD, SHOW_S, Notice, Notices
from orchestrator.runtime.pipeline import Pipeline
from orchestrator.runtime.quarantine import Bisection, Refusal
from orchestrator.runtime.rebalance import shards_of
from orchestrator.runtime.recovery import Recovery
from orchestrator.runtime.settings import WorkerSettings
from orchestrator.runtime.shard import Halt, Shard, ShardStatus
from orchestrator.runtime.stages import Stages
from orchestrator.runtime.transaction import Transactor
from orchestrator.runtime.watchdog import Watchdog

_WAITING_S = 0.01
"""Longest poll while a take-over waits for something, or no shard is ours. What is not a record does
not end a poll, as an assignment: it is only seen when the time is up."""
_COMMITTING_S = 0.001
"""Longest poll while a commit is under way: what comes meanwhile must not wait for it."""
_TURN_COUNT = 500
"""Inputs polled and decided on at once. More gain nothing, and what else is due would wait."""
_FAILURES_DOUBLED_MAX = 10
_DISK_PATIENCE_MS = 5_000
"""Longest wait before a disk that failed is tried again."""


class Worker:
    """Owns some shards and drives their sagas. `run` returns when it is told to stop.

    It raises what only a new process can cure: Fenced (another has our identity),
    ConfigurationError, StateError (the disk is full, say).
    """

    def __init__(
        self,
        *,
        settings: WorkerSettings,
        topics: Sequence[str],
        partitions: int,
        source: Source,
        sink: Sink,
        interpreter: Interpreter,
        transactor: Transactor,
        recovery: Recovery,
        heir: Heir,
        holding: Holding,
        notices: Notices,
        disk: DiskWatch,
        clock: Clock,
        counters: Counters,
        log: Log,
    ) -> None:
        self._settings = settings
        self._topics = tuple(topics)
        self._partitions = partitions
        self._source = source
        self._sink = sink
        self._interpreter = interpreter
        self._stages = Stages(clock.monotonic_ns)
        self._pipeline = Pipeline(transactor, clock, self._stages)
        self._recovery = recovery
        self._heir = heir
        self._holding = holding
        self._notices = notices
        self._disk = disk
        self._is_paused = False
        """Whether the disk has too little room to take work."""
        self._clock = clock
        self._watchdog = Watchdog(settings.stall_exit_ms, clock.monotonic_s)
        self._counters = counters
        self._log = log
        self._notes = Bounded(log, monotonic_s=clock.monotonic_s)
        self._shards: dict[int, Shard] = {}
        self._running: tuple[Shard, ...] = ()
        self._taking_over: Generator[bool, None, None] | None = None
        self._drained = True
        """Whether the last poll found nothing more."""
        self._busy = False
        """Whether the take-over has work to do at once."""
        self._bisection = Bisection(settings.batch_count_max)
        self._allowance = Allowance(settings.batch_bytes_max)
        self._distrust: TransactionError | None = None
        """Why the producer must be replaced before it is used again."""
        self._failures_count = 0
        """Transactions that failed in a row."""
        self._owned: tuple[int, ...] = ()
        """Partitions that are ours, each with a shard as soon as its store can be opened."""
        self._disk_failed = ""
        """How the disk has failed, if the stores must be opened again before they are used."""
        self._fed_s = 0.0
        """When the last input came, or reading began."""
        self._synced_s = self._reported_s = self._shown_s = clock.monotonic_s()

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until `stop()` is true; it is asked between transactions."""
        patience.until_answered(self._sink.init, stop, self._log)
        self._log.info("worker_ready", inputs=list(self._topics), partitions=self._partitions)
        try:
            while not stop():
                self._watchdog.pat()
                with self._meeting_store_failures():
                    self._turn()
            with self._meeting_store_failures():
                self._finish()
        finally:
            self._close()
            self._watchdog.stop()

    def _turn(self) -> None:
        self._stages.lap("rest")
        polled = self._source.poll_batch(self._room_count(), self._patience_s())
        self._stages.lap("drain")
        self._drained = not polled.records
        for rebalance in polled.rebalances:
            self._rebalance(rebalance)
        for fault in polled.faults:
            self._fault(fault)
        if self._disk.is_low() != self._is_paused:
            self._pause_or_resume()
        if self._taking_over is not None and not self._is_paused:
            self._take_over()
        if self._running:
            self._work(polled.records)
        self._advance()
        self._keep_house()

    def _room_count(self) -> int:
        """How many inputs the open transaction has room for, a turn's at most."""
        open_count, open_bytes = self._pipeline.open_count(), self._pipeline.outbox.bytes_count
        return min(
            _TURN_COUNT,
            self._bisection.count_max - open_count,
            self._allowance.room_count(open_count, open_bytes),
        )

    def _patience_s(self) -> float:
        """How long the next poll may wait for a record."""
        if self._taking_over is not None:
            return 0.0 if self._busy and not self._is_paused else _WAITING_S
        if not self._shards:
            return _WAITING_S
        if self._pipeline.is_waiting:
            return _COMMITTING_S
        if self._pipeline.open_count():
            return 0.0  # only what is there already
        wait_ms = self._settings.poll_timeout_ms
        now_ms = self._clock.now_ms()
        for shard in self._running:
            due_ms = shard.next_due_ms(now_ms)
            if due_ms is not None:
                wait_ms = min(wait_ms, max(due_ms - now_ms, 1))
        return wait_ms / 1_000

    # --- one batch ------------------------------------------------------------------------------

    def _work(self, records: Sequence[Envelope]) -> None:
        reach(CrashPoint.C01)
        outbox = self._pipeline.outbox
        if records:
            self._fed_s = self._clock.monotonic_s()
        try:
            for partition, envelopes in _by_shard(records).items():
                shard = self._shards.get(partition)
                # Not ours any more, or not yet: it is read again from the shard's cursor.
                if shard is not None and shard.status is ShardStatus.RUNNING:
                    self._take(outbox, shard, shard.unread(envelopes))
            for shard in self._running:
                self._fire(outbox, shard)
        except TransactionError as error:
            self._doubt(error)  # the registry is away, say: a pause is due

    def _take(self, outbox: Outbox, shard: Shard, envelopes: Sequence[Envelope]) -> None:
        poisoned = self._bisection.poisoned
        if not poisoned:
            self._interpreter.take(outbox, shard, envelopes)
            return
        for envelope in envelopes:
            if envelope.origin in poisoned:
                self._interpreter.park(outbox, shard, envelope)
            else:
                self._interpreter.take(outbox, shard, (envelope,))

    def _fire(self, outbox: Outbox, shard: Shard) -> None:
        if shard.backlog and shard.is_behind():
            if (
                self._clock.monotonic_s() - self._fed_s
                < self._settings.backlog_patience_ms / 1_000
            ):
                return
            shard.backlog = {}
        limit = self._settings.timers_count_max
        if self._bisection.count_max < self._settings.batch_count_max:
            limit = min(limit, self._bisection.count_max - len(outbox.work))
        if limit <= 0:
            return
        due, poisoned = shard.due(shard.tick(outbox.now_ms), limit), self._bisection.poisoned
        for timer in [timer for timer in due if timer in poisoned]:
            text = "a transaction with this timer alone was refused every time"
            self._interpreter.rest(outbox, shard, timer, Refusal("poison", text))
        self._interpreter.fire(outbox, shard, [timer for timer in due if timer not in poisoned])

    def _advance(self) -> None:
        """Take over what is committed, and send on its way what is open."""
        pipeline = self._pipeline
        open_count, count_max = pipeline.open_count(), self._bisection.count_max
        is_heavy = pipeline.outbox.bytes_count >= self._allowance.bytes_count
        is_full = open_count >= count_max or is_heavy
        # A take-over has transactions of its own: none may be under way beside them.
        if pipeline.is_committed or is_full or self._taking_over is not None:
            self._settle()
        if pipeline.is_waiting:
            return
        outbox = pipeline.outbox
        # A transaction costs brokers the same however little it carries. So what lies ready goes
        # into this one, up to half a turn: beyond, others should have their work soon.
        is_enough = is_full or open_count >= min(_TURN_COUNT, count_max) // 2
        if outbox.shards and (self._drained or is_enough):
            self._attempt(outbox, lambda: pipeline.launch(self._source.group_metadata()))
            if self._taking_over is not None:
                self._settle()
        elif not outbox.shards:
            self._tell(outbox)

    def _settle(self) -> None:
        """Wait for the commit under way, if there is one, and put it into the stores."""
        outbox = self._pipeline.under_way
        if outbox is None or not self._attempt(outbox, self._pipeline.wait):
            return
        self._bisection.succeeded(outbox.work)
        self._allowance.committed(outbox.bytes_count, self._sink.leeway())
        self._holding.succeeded(outbox.shards)
        self._count(outbox)
        self._tell(outbox)
        # Met here and not by `run`: what the caller is about has to be done all the same.
        with self._meeting_store_failures():
            self._pipeline.settle()
            self._failures_count = 0

    def _attempt(self, outbox: Outbox, step: Callable[[], object]) -> bool:
        try:
            step()
        except TransactionError as error:
            if isinstance(error, MustAbort):
                self._bisection.failed(outbox.work)
            self._holding.failed(outbox.records, error)
            self._doubt(error)
            return False
        return True

    def _finish(self) -> None:
        """Let no transaction be under way or open: what is open is committed if nothing failed."""
        self._settle()
        self._drained = True
        self._advance()
        self._settle()

    def _count(self, outbox: Outbox) -> None:
        counters = self._counters
        counters.transactions_count += 1
        counters.timers_count += outbox.timers_count
        counters.inputs_count += len(outbox.work) - outbox.timers_count
        events = Counter(outbox.event_types)
        counters.transitions_count += outbox.transitions_count
        counters.events_count += len(outbox.event_types)
        counters.step_commands_count += events[StepRequested] + events[CompensationRequested]
        counters.outcomes_count += events[SagaEnded]
        counters.rerouted_count += outbox.rerouted_count
        counters.dead_letters.update(outbox.dead_letters)

    def _tell(self, outbox: Outbox) -> None:
        for note in outbox.notes:
            if note.event == "timer_postponed":
                self._counters.postponed_count += 1
            cause = "{}/{}/{}".format(*note.cause)
            self._notes.warning(
                note.event, note.reason, saga=note.saga, shard=note.shard, cause=cause
            )
        outbox.notes.clear()

    # --- what goes wrong ------------------------------------------------------------------------

    def _doubt(self, error: TransactionError) -> None:
        """Replace the producer, and let the changelog say what was committed."""
        self._pipeline.forget()
        self._allowance.failed()
        self._failures_count += 1
        self._counters.transaction_failures[type(error).__name__] += 1
        self._log.warning("transaction_failed", reason=type(error).__name__, text=str(error))
        if isinstance(error, MustAbort | Unwritable):
            try:
                self._sink.abort()
            except TransactionError as worse:
                self._log.warning("abort_failed", reason=type(worse).__name__, text=str(worse))
        self._distrust = error
        self._take_over_again()

    def _take_over_again(self) -> None:
        """Decide nothing until every shard has caught up with the changelog."""
        affected = [s for s in self._shards.values() if s.status is not ShardStatus.HALTED]
        for shard in affected:
            shard.forget_overlay()
            shard.status = ShardStatus.RESTORING
        self._source.assign(())
        self._running = ()
        self._begin(affected)

    def _replace_producer(self, error: TransactionError) -> Iterator[bool]:
        if isinstance(error, Fenced):
            # If another process has our identity, polling tells us so and ends this one.
            yield from self._wait(self._settings.fenced_patience_ms)
        while True:
            if self._failures_count > 1:
                doubled = min(self._failures_count, _FAILURES_DOUBLED_MAX)
                yield from self._wait(min(self._settings.rotate_backoff_ms, 10 << doubled))
            reach(CrashPoint.C16)
            try:
                self._sink.rotate()
                break
            except TransactionError as again:
                self._failures_count += 1
                self._log.warning("rotation_failed", reason=type(again).__name__, text=str(again))
                yield False
        self._distrust = None
        self._counters.rotations_count += 1
        self._log.info("producer_rotated", reason=type(error).__name__)

    def _wait(self, for_ms: int) -> Iterator[bool]:
        until_s = self._clock.monotonic_s() + for_ms / 1_000
        while self._clock.monotonic_s() < until_s:
            yield False

    @contextmanager
    def _meeting_store_failures(self) -> Iterator[None]:
        """Let no store end the worker: what is committed is in the changelog, the rest in the inputs.

        A broken one is set aside by the take-over, which fills another. A disk that fails lets the
        worker stand still: its shards share that disk.
        """
        try:
            yield
        except CorruptStore:
            if not any(shard.broken for shard in self._shards.values()):
                raise
            self._pipeline.forget()
            self._take_over_again()
        except DiskFailed as error:
            self._pipeline.forget()
            self._failures_count += 1
            self._counters.disk_failures_count += 1
            action = error.operator_action
            self._notes.error("disk_failed", "io", text=str(error), operator_action=action)
            self._disk_failed = str(error)
            self._take_over_again()

    def _reopen(self, shards: list[Shard]) -> Iterator[bool]:
        """Open the stores again, also those that could not be opened at first."""
        doubled = min(self._failures_count, _FAILURES_DOUBLED_MAX)
        yield from self._wait(min(_DISK_PATIENCE_MS, 10 << doubled))
        for shard in shards:
            self._recovery.reopen(shard)
        for partition in self._owned:
            if partition not in self._shards:
                self._shards[partition] = self._recovery.open(partition)
                shards.append(self._shards[partition])
        self._disk_failed = ""
        self._log.info("disk_back", shards=[shard.partition for shard in shards])

    def _fault(self, fault: ReadFault) -> None:
        where = {"topic": fault.topic, "shard": fault.partition, "offset": fault.offset}
        self._notes.warning("read_fault", fault.kind, text=fault.text, **where)
        shard = self._shards.get(fault.partition)
        lasting = fault.kind in {FaultKind.OUT_OF_RANGE, FaultKind.BAD_RECORD, FaultKind.GONE}
        if lasting and shard is not None and shard.status is ShardStatus.RUNNING:
            text = f"{fault.topic}: {fault.text}. Mend the topic, then restart the worker"
            self._settle()
            self._pipeline.forget_open()  # it is read again
            self._recovery.halt(shard, Halt(fault.kind, text))
            self._read_running()

    # --- shards come and go ---------------------------------------------------------------------

    def _rebalance(self, rebalance: Rebalance) -> None:
        reach(CrashPoint.C12)
        self._settle()
        self._pipeline.forget_open()  # whoever gets the shard reads it again
        self._stop_taking_over()
        self._running = ()
        partitions = [p.partition for p in rebalance.partitions]
        self._log.info(
            "rebalance", kind=type(rebalance).__name__.lower(), shards=sorted(set(partitions))
        )
        if isinstance(rebalance, Assigned):
            self._assigned(shards_of(rebalance.partitions, self._topics, self._partitions))
            return
        for shard in self._shards.values():
            shard.forget_overlay()
            shard.status = ShardStatus.SUSPENDED
        if isinstance(rebalance, Lost):
            self._owned = ()
            self._drop(list(self._shards))
            self._heir.take(())

    def _assigned(self, owned: tuple[int, ...]) -> None:
        self._counters.rebalances_count += 1
        self._owned = owned
        # Inputs of a shard that is not ours any more are never seen committed: they would be suspected
        # for ever, and every transaction kept small for them.
        self._bisection = Bisection(self._settings.batch_count_max)
        self._drop([partition for partition in self._shards if partition not in owned])
        self._heir.take(owned)
        for partition in owned:
            if partition not in self._shards:
                self._shards[partition] = self._recovery.open(partition)
        if owned:
            self._begin([self._shards[partition] for partition in owned])

    def _drop(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._shards.pop(partition).store.close()

    def _begin(self, shards: Sequence[Shard]) -> None:
        """Take these shards over, in slices; first of all with a producer that can be trusted."""
        self._stop_taking_over()
        self._taking_over = self._steps(shards)
        self._busy = True

    def _steps(self, shards: Sequence[Shard]) -> Generator[bool, None, None]:
        if self._distrust is not None:
            yield from self._replace_producer(self._distrust)
        if self._disk_failed:
            shards = list(shards)
            yield from self._reopen(shards)
        if self._holding.hold(self._shards):
            self._bisection.forget()
            shards = [shard for shard in shards if shard.status is not ShardStatus.HALTED]
        yield from self._recovery.take_over(shards, self._read_running)

    def _stop_taking_over(self) -> None:
        taking_over, self._taking_over = self._taking_over, None
        if taking_over is not None:
            taking_over.close()  # ends its reading

    def _take_over(self) -> None:
        """Go on with the take-over for one slice."""
        until_s = self._clock.monotonic_s() + self._settings.restore_slice_ms / 1_000
        taking_over = self._taking_over
        try:
            while taking_over is not None and self._clock.monotonic_s() < until_s:
                step = next(taking_over, None)
                self._busy = bool(step)
                if step is None:
                    self._taking_over = None
                if not step:
                    break
        except TransactionError as error:
            self._doubt(error)

    def _read_running(self) -> None:
        """Read the inputs of every shard that runs, from where each stands."""
        running = (s for s in self._shards.values() if s.status is ShardStatus.RUNNING)
        self._running = () if self._is_paused else tuple(running)
        self._shown_s = 0.0  # whoever asks shall not be told what is over
        self._fed_s = self._clock.monotonic_s()
        self._source.assign(
            [
                Position(topic, shard.partition, shard.positions[topic])
                for shard in self._running
                for topic in self._topics
            ]
        )

    def _pause_or_resume(self) -> None:
        """Take no work while the disk is nearly full; the shards stay ours, and their input waits."""
        self._is_paused = not self._is_paused
        if self._is_paused:
            self._counters.disk_pauses_count += 1
            self._log.error("intake_paused", reason="disk_low", free_bytes=self._disk.free_bytes)
        else:
            self._log.info("intake_resumed", free_bytes=self._disk.free_bytes)
        self._read_running()

    # --- housekeeping ---------------------------------------------------------------------------

    def _keep_house(self) -> None:
        if self._taking_over is None:
            self._heir.turn()
            held = self._holding.due(self._shards)
            if held:
                self._settle()
            if held and self._taking_over is None:  # else it was begun with all, these included
                self._begin(held)
        now_s = self._clock.monotonic_s()
        if now_s - self._synced_s >= self._settings.sync_interval_ms / 1_000:
            self._synced_s = now_s
            for shard in self._running:
                shard.note_synced(self._clock.now_ms())
        if now_s - self._shown_s >= SHOW_S:
            self._shown_s = now_s
            self._notices.show(self._waiting(), lambda: self._source.group_metadata().member_id)
            for shard in self._running:  # the last of what they did; nothing may follow for hours
                shard.write_due(self._clock.now_ms())
        interval_s = self._settings.report_interval_ms / 1_000
        if interval_s and now_s - self._reported_s >= interval_s:
            self._reported_s = now_s
            self._log.info("counters", shards=len(self._running), **self._values())

    def _waiting(self) -> dict[int, Notice]:
        """What each of our shards waits for, if it does not run."""
        if self._disk_failed:
            return dict.fromkeys(self._owned, Notice(HELD, "disk_failed", self._disk_failed))
        found = {}
        for partition, shard in self._shards.items():
            if shard.status is ShardStatus.HALTED and shard.halt is not None:
                state = HELD if shard.halt.reason == UNWRITABLE else HALTED
                found[partition] = Notice(state, shard.halt.reason, shard.halt.text)
            elif self._is_paused:
                found[partition] = Notice(
                    HELD, "disk_low", "its worker's disk has too little room"
                )
        return found

    def _close(self) -> None:
        self._pipeline.close()
        self._stop_taking_over()
        self._drop(list(self._shards))
        self._sink.close()
        self._source.close()
        self._heir.close()
        self._log.info("worker_stopped", **self._values())

    def _values(self) -> dict[str, object]:
        return self._counters.values() | {"stages_ms": self._stages.values_ms()}


def _by_shard(records: Sequence[Envelope]) -> dict[int, list[Envelope]]:
    found: defaultdict[int, list[Envelope]] = defaultdict(list)
    for envelope in records:
        found[envelope.origin.partition].append(envelope)
    return found
