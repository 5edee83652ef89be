"""The transactional producer, and when it must be thrown away.

The client library speaks Kafka's first transaction protocol to every broker: a request of one
transaction that was delayed on the way can hit the next one of the same epoch. Hence the rule that
only a clean, prompt commit lets a producer live; in every other case `rotate` makes a new one,
whose new epoch shuts out whatever is still on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from operator import itemgetter
from threading import Thread
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Producer

from orchestrator.codec.envelope import Record
from orchestrator.errors import Doubtful, MustAbort, OrchestratorError, Retriable, Unwritable
from orchestrator.kafka import errors
from orchestrator.kafka.base import GroupMetadata, Position, TopicPartition
from orchestrator.kafka.bounded import Bounded
from orchestrator.kafka.ear import LOGGER, Ear
from orchestrator.kafka.patience import Patience
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.threads import yielding

_DOUBTFUL_LINES = frozenset({"FAIL", "ERROR", "REQTMOUT", "TXNERR", "PROTOERR"})
"""Facilities of log lines that tell of a lost connection or a request without an answer."""
_WAS_UP = "in state UP"
_KNOCK_S = 0.02
"""How long one `init_transactions` may take. The library goes on behind it, but naps for 500 ms when it
is told to wait, as by a predecessor's open transaction, or finds no connection just then. To be
asked again ends its nap, and never repeats a request that is on its way."""
_TRIAL_S = 1.0
"""How long the first producer may try to take its id, each further one twice as long."""
_ARGUMENTS = itemgetter(0, 3, 2, 1)
"""Topic, value, key and partition of a `Record`: the order that `produce` takes them in. A tuple at
once, and no names, are what it takes least time to read."""
_NO_CALLBACKS_NOW = (None, None, 0)
"""What `produce` takes between these and the headers: two spellings of a callback, and a timestamp."""
_GRACE_S = 1.0
"""How much longer than its own time limit a call may take before it counts as hung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionSettings:
    """How transactions are kept short and their failures early."""

    transaction_timeout_ms: int = field(default=10_000, metadata={"min": 2_000, "max": 60_000})
    """When brokers abort a transaction whose owner is silent, in ms. Default 10,000: until then every
    reader of committed records waits behind it."""
    commit_doubt_ms: int = field(default=1_000, metadata={"min": 10, "max": 30_000})
    """A step of a transaction that takes so much longer than steps lately took costs the producer its
    life, in ms. Default 1,000: fifty times a usual commit; a repeated request may still be on its way."""
    linger_ms: int = field(default=2, metadata={"min": 0, "max": 100})
    """How long a record may wait for others of its partition, in ms. Default 2: 1.3 times the rate
    of 0, at no cost in latency."""
    retry_backoff_ms: int = field(default=1, metadata={"min": 1, "max": 100})
    """Pause before a refused request is repeated, in ms. Default 1: a transaction's first request
    often finds the last one's end unfinished; at 10 a transaction of 5 ms takes 16, at 100 over 100."""
    queue_count_max: int = field(default=200_000, metadata={"min": 1_000, "max": 2_000_000})
    """Records that may wait in the client library. Default 200,000: far above what one batch sends,
    so that a full queue is the exception."""
    compression: str = field(
        default="lz4", metadata={"choices": ("none", "lz4", "zstd", "snappy", "gzip")}
    )
    """How record batches are compressed. Default lz4: a third of the size for little work."""


class TransactionalSink:
    """A `Sink` (see `kafka.base`) with one transactional id for its life."""

    def __init__(
        self,
        settings: KafkaSettings,
        transactional_id: str,
        tuning: TransactionSettings | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make ready; the id is taken by `init`. `transactional_id` belongs to one live process.

        Once `stop()` is true nobody waits for the id any more.
        """
        self._stop = stop
        self._tuning = TransactionSettings() if tuning is None else tuning
        self._config = _producer_config(settings, transactional_id, self._tuning)
        self._budget_s = self._tuning.transaction_timeout_ms / 2_000
        self._producer: Producer | None = None
        self._begun: Future[Producer] | None = None
        self._bounded = Bounded("sending input positions")
        self._open = False
        self._patience = Patience(self._tuning.commit_doubt_ms)
        self._slowest_ms = 0.0
        """What the slowest step of the last transaction took."""
        self._troubles: list[str] = []
        self._ear = Ear(_is_doubtful)
        self._offsets: dict[TopicPartition, int] = {}
        self._refused: dict[TopicPartition, str] = {}
        """Who refused a tracked record of this transaction, and why."""

    def init(self) -> None:
        """Take the transactional id, or wait for what `init_soon` has begun."""
        self._drop()
        begun, self._begun = self._begun, None
        self._producer = self._claim() if begun is None else begun.result()

    def init_soon(self) -> None:
        """Begin to take the id while the caller does something else, and calls `init` after that.

        So a predecessor's open transaction, behind which all its readers wait, ends early.
        """
        begun: Future[Producer] = Future()
        # A daemon, so that a process that gives up meanwhile need not wait for brokers.
        Thread(target=_fulfil, args=(begun, self._claim), name="init_soon", daemon=True).start()
        self._begun = begun

    def begin(self) -> None:
        """Open a transaction."""
        producer = self._live()
        self._call("beginning a transaction", lambda _: producer.poll(0))
        # Troubles of the quiet time before say nothing about this transaction. A fatal one is
        # raised by the poll itself.
        self._troubles.clear()
        self._ear.heard.clear()
        self._slowest_ms = 0.0
        self._offsets, self._refused = {}, {}
        self._call("beginning a transaction", lambda _: producer.begin_transaction())
        self._open = True

    def send(self, record: Record, *, track: bool = False) -> None:
        """Hand over a record."""
        producer = self._live()
        deadline_s = 0.0
        while True:
            try:
                producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    partition=record.partition,
                    headers=list(record.headers) or None,
                    on_delivery=self._on_delivery if track else None,
                )
            except BufferError:
                now_s = time.monotonic()
                deadline_s = deadline_s or now_s + self._budget_s
                if now_s > deadline_s:
                    raise MustAbort(f"the queue to {record.topic} stayed full") from None
                producer.poll(0.01)
            except KafkaException as error:
                raise _raised(error, f"sending to {record.topic}") from error
            else:
                return

    def send_all(self, records: Iterable[Record]) -> None:
        """Hand over records, in order."""
        produce: Callable[..., None] = self._live().produce
        arguments = _ARGUMENTS
        for record in records:
            try:
                if record[4]:
                    produce(*arguments(record), *_NO_CALLBACKS_NOW, list(record[4]))
                else:
                    produce(*arguments(record))
            except BufferError:
                self.send(record)  # which waits until there is room
            except KafkaException as error:
                raise _raised(error, f"sending to {record.topic}") from error

    def send_offsets(self, positions: Sequence[Position], group: GroupMetadata) -> None:
        """Commit input positions with the transaction, if `group` is still current."""
        if not positions:
            raise MustAbort("no input position to send: the transaction would not be fenced")
        if not group.live:
            raise MustAbort(
                f"not a member of the group (generation {group.generation}, member"
                f" {group.member_id!r}): the transaction would not be fenced"
            )
        producer = self._live()
        offsets = [confluent_kafka.TopicPartition(*position) for position in positions]

        def send(left_s: float) -> None:
            self._bounded.run(
                lambda: producer.send_offsets_to_transaction(offsets, group.raw, left_s),
                left_s + _GRACE_S,
            )

        self._call("sending input positions", send)

    def commit(self) -> Mapping[TopicPartition, int]:
        """Commit; give the offset of the last tracked record of each partition."""
        producer = self._live()
        try:
            self._call("committing", producer.commit_transaction)
        except MustAbort as error:
            if self._refused:
                told = "; ".join(f"{topic}: {why}" for (topic, _), why in self._refused.items())
                raise Unwritable(told, frozenset(self._refused)) from error
            raise
        self._open = False
        self._patience.took(self._slowest_ms)
        producer.poll(0)  # what the library has to say about it
        troubles = [*self._troubles, *self._ear.heard]
        if troubles:
            raise Doubtful(f"errors during the transaction: {'; '.join(troubles)}")
        return self._offsets

    def leeway(self) -> float:
        """Give how many times as long the last transaction's slowest step might have taken."""
        return self._patience.limit_ms / max(self._slowest_ms, 1.0)

    def abort(self) -> None:
        """Give the open transaction up."""
        if not self._open:
            return
        producer = self._live()
        self._open = False
        self._call("aborting", producer.abort_transaction)

    def rotate(self) -> None:
        """Replace the producer; the fate of its transaction is decided when this returns."""
        self.init()

    def close(self) -> None:
        """Drop the producer without ending its transaction."""
        self._drop()
        self._bounded.close()

    def _call(self, doing: str, step: Callable[[float], object]) -> None:
        """Run one call of the client library, again while it is retriable, within the budget.

        A slow one is noted: the library may have repeated a request, whose first copy is still on
        its way.
        """
        started_s = time.monotonic()
        deadline_s = started_s + self._budget_s
        while True:
            left_s = max(deadline_s - time.monotonic(), 0.001)
            try:
                step(left_s)
            except KafkaException as error:
                raised = _raised(error, doing)
                if not isinstance(raised, Retriable):
                    raise raised from error
                if time.monotonic() >= deadline_s:
                    raise Doubtful(f"gave up after {self._budget_s:.0f} s: {raised}") from error
            else:
                took_ms = (time.monotonic() - started_s) * 1_000
                self._slowest_ms = max(self._slowest_ms, took_ms)
                if took_ms >= self._patience.limit_ms:
                    self._troubles.append(f"{doing} took {took_ms:.0f} ms")
                return

    def _claim(self) -> Producer:
        self._ear = Ear(_is_doubtful)
        hear = {"error_cb": self._on_error, "logger": self._ear}
        return claim(self._config | hear, 4 * self._budget_s, self._stop)

    def _live(self) -> Producer:
        if self._producer is None:
            raise Doubtful("there is no producer: rotate first")
        return self._producer

    def _drop(self) -> None:
        if self._producer is not None:
            self._producer.purge()
        self._producer, self._open = None, False

    def _on_error(self, error: KafkaError) -> None:
        self._troubles.append(errors.describe(error))

    def _on_delivery(self, error: KafkaError | None, message: Any) -> None:
        # A failed delivery fails the commit by itself.
        pair = TopicPartition(message.topic(), message.partition())
        if error is None:
            self._offsets[pair] = message.offset()
        elif errors.is_refusal(error):
            self._refused[pair] = errors.describe(error)


def _is_doubtful(line: str) -> bool:
    """Whether a line of the library's log tells of a request that may have been repeated.

    One that was on its way when the connection broke is repeated on a new one, in silence: the lost
    connection is reported nowhere else.
    """
    facility = line.split(" ", 1)[0]
    # A connection that could not be made was carrying nothing; a broker may be down for hours.
    return facility in _DOUBTFUL_LINES and (facility != "FAIL" or _WAS_UP in line)


def fence(settings: KafkaSettings, transactional_id: str, timeout_s: float = 10.0) -> None:
    """Abort the open transaction of a dead process and shut that process out.

    Only for an id whose instance is not a member of the group: a living one would be killed.
    Raises Doubtful if no coordinator answers in time, ConfigurationError if it is forbidden.
    """
    claim(_producer_config(settings, transactional_id, TransactionSettings()), timeout_s)


def claim(
    config: Mapping[str, object], timeout_s: float, stop: Callable[[], bool] = lambda: False
) -> Producer:
    """Make a producer that has taken its transactional id.

    Raises Doubtful if no coordinator answers in time, or before `stop()` is true; ConfigurationError
    if it is forbidden.
    """
    deadline_s = time.monotonic() + timeout_s
    trial_s = _TRIAL_S
    while True:
        # A producer that is not needed any more is purged and let go. Its `close` would first try
        # to abort: one more request of an epoch that we want to hear no more of.
        with yielding():
            producer = Producer({"logger": LOGGER, **config})
        try:
            _init(producer, min(time.monotonic() + trial_s, deadline_s), stop)
        except OrchestratorError as error:
            producer.purge()
            if not isinstance(error, Retriable):
                raise
            if stop():
                raise Doubtful(f"told to stop before there was an answer: {error}") from error
            if time.monotonic() >= deadline_s:
                raise Doubtful(f"no answer in {timeout_s:.0f} s: {error}") from error
            trial_s *= 2
        else:
            return producer


def _init(producer: Producer, until_s: float, stop: Callable[[], bool]) -> None:
    """Knock until the id is taken. Raises what was said last: Retriable if the time is up."""
    while True:
        try:
            producer.init_transactions(_KNOCK_S)
        except KafkaException as error:
            raised = _raised(error, "taking the transactional id")
            is_over = time.monotonic() >= until_s or stop()
            if is_over or not isinstance(raised, Retriable):
                raise raised from error
        else:
            return


def _fulfil(promise: Future[Producer], make: Callable[[], Producer]) -> None:
    try:
        promise.set_result(make())
    except (OrchestratorError, KafkaException) as error:  # else whoever waits would wait for ever
        promise.set_exception(error)


def _raised(error: KafkaException, doing: str) -> OrchestratorError:
    return errors.transaction_error(errors.cause(error), doing)


def _producer_config(
    settings: KafkaSettings, transactional_id: str, tuning: TransactionSettings
) -> dict[str, object]:
    return {
        **settings.to_librdkafka(),
        "client.id": transactional_id,
        "transactional.id": transactional_id,
        "transaction.timeout.ms": tuning.transaction_timeout_ms,
        # Records that cannot be delivered must fail before the transaction itself does.
        "message.timeout.ms": tuning.transaction_timeout_ms * 4 // 5,
        "socket.timeout.ms": min(settings.socket_timeout_ms, tuning.transaction_timeout_ms),
        "topic.metadata.propagation.max.ms": 2_000,
        # When all connections break, the library's default forgets every broker, the group's
        # coordinator too, and then waits for it for ever (see `kafka.bounded`). A producer that
        # finds nobody is replaced anyway, and the new one begins with the bootstrap servers.
        "metadata.recovery.strategy": "none",
        "linger.ms": tuning.linger_ms,
        "retry.backoff.ms": tuning.retry_backoff_ms,
        "retry.backoff.max.ms": max(tuning.retry_backoff_ms, 100),
        "compression.type": tuning.compression,
        "queue.buffering.max.messages": tuning.queue_count_max,
        "queue.buffering.max.kbytes": 512 * 1024,
    }
