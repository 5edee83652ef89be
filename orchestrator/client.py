"""The client: start sagas from your own program, give orders to them, wait for how they end.

>>> with Client(bootstrap_servers="localhost:9092") as client:               # doctest: +SKIP
...     receipt = client.start(book_trip.given(trip), saga_id="trip-1")
...     outcome = client.wait(receipt, timeout_s=30)
...     outcome.business, client.value(book_trip, outcome)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import chain
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, cast

from orchestrator.audit.life import DUPLICATE, Life, Results, ends, rejection, starts
from orchestrator.audit.timeline import Moment, timeline
from orchestrator.codec.envelope import Envelope, Origin, Record, new_record
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import Outcome, Transition
from orchestrator.codec.starts import StartWriter
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import (
    CancelSaga,
    OperatorCommand,
    ResolveStep,
    RetrySaga,
    SkipStep,
    StartSaga,
)
from orchestrator.core.ids import is_id
from orchestrator.errors import CommandRejected, ConfigurationError, TimedOut
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Position, TopicPartition
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.partitioner import partition
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.topics import Topics

if TYPE_CHECKING:
    from orchestrator.definition.payload import Payload
    from orchestrator.definition.saga import Saga, Start

I = TypeVar("I", bound="Payload")  # noqa: E741  # input, as in `Saga[I, O]`
O = TypeVar("O")  # noqa: E741  # outcome

_FOREVER = 1 << 62
"""An offset that no partition reaches: the reader goes on until it is closed."""
_CLIENT_ID = "saga-client"


class Receipt(NamedTuple):
    """Kafka's acknowledgement of one command: from here on it is never lost."""

    saga: str
    origin: Origin
    """The record of `saga.commands`."""
    since: tuple[tuple[str, int], ...] = ()
    """Where the topics that may answer ended before it was sent: what is older cannot be of it."""


class Client:
    """Sends commands and reads what comes of them. Open it once and keep it; not for two threads.

    It is no member of any group and reads with `read_committed`, from offsets of its own choice.
    """

    def __init__(
        self,
        bootstrap_servers: str = "",
        *,
        prefix: str = "saga",
        settings: KafkaSettings | None = None,
        payloads: AvroPayloads | None = None,
        codec: RecordCodec | None = None,
    ) -> None:
        """Make ready; nothing is connected before the first call.

        Args:
            bootstrap_servers: `host:port` with commas between; brokers of this machine only.
            prefix: How the engine's topics begin.
            settings: Instead of `bootstrap_servers`: with TLS, login and everything.
            payloads: How payloads are encoded; give one with a registry if your installation has it.
            codec: The same for the engine's records.

        Raises:
            ConfigurationError: The settings do not go together.
        """
        self._settings = settings or KafkaSettings(bootstrap_servers=bootstrap_servers)
        self._payloads = payloads or AvroPayloads()
        self._codec = codec or RecordCodec()
        self._topics = Topics(prefix)
        self._admin = KafkaAdmin(self._settings)
        self._producers: dict[bool, PlainProducer] = {}
        """By whether they tell of failures only: who wants no receipts does not pay for them."""
        self._partitions_count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release connections. Nothing is lost: every send has waited for its acknowledgement."""
        for producer in self._producers.values():
            producer.close()
        self._producers.clear()

    # --- commands -------------------------------------------------------------------------------

    def start(self, start: Start[Any], *, saga_id: str) -> Receipt:
        """Start one saga; returns when Kafka has acknowledged the command.

        A second start with the same id and content changes nothing; one with other content is
        refused, which `wait` with the receipt tells.

        Raises:
            CommandRejected: `saga_id` is none.
            MalformedPayload: The payload holds a value that is not of its field's type.
            Retriable: Kafka did not acknowledge; starting again is safe.
        """
        return self.send(self._command(start, saga_id))

    def start_many(
        self,
        starts: Iterable[tuple[str, Start[Any]]],
        on_acknowledged: Callable[[Receipt], None] | None = None,
    ) -> int:
        """Start many sagas, `(saga_id, start)` each, and give their number once all are acknowledged.

        The iterable is drawn from as fast as Kafka takes the commands.

        Raises:
            CommandRejected: An id is none; what came before it may have been sent.
            Retriable: Some were not acknowledged; starting all of them again is safe.
        """
        return self._send(self._starts(starts), on_acknowledged)

    def cancel(self, saga_id: str, *, actor: str, reason: str = "") -> Receipt:
        """Turn a saga back. Raises as `send`."""
        return self.send(CancelSaga(saga_id, actor, reason))

    def retry(self, saga_id: str, *, actor: str, reason: str = "") -> Receipt:
        """Try everything that is stuck once more. Raises as `send`."""
        return self.send(RetrySaga(saga_id, actor, reason))

    def skip(self, saga_id: str, step_id: str, *, actor: str, reason: str) -> Receipt:
        """Give up on a stuck step or compensation. Raises as `send`."""
        return self.send(SkipStep(saga_id, step_id, actor, reason))

    def resolve(
        self,
        saga_id: str,
        step_id: str,
        *,
        actor: str,
        reason: str,
        result: Payload | None = None,
    ) -> Receipt:
        """Say that a person did a stuck step; `result` if a later step reads it. Raises as `send`."""
        encoded = b"" if result is None else self._payloads.encode(result, type(result))
        return self.send(ResolveStep(saga_id, step_id, actor, reason, encoded))

    def send(self, command: StartSaga | OperatorCommand) -> Receipt:
        """Send one command; returns when Kafka has acknowledged it.

        Raises:
            CommandRejected: The saga id or the actor is no id.
            Retriable: Kafka did not acknowledge; sending again is safe.
            ConfigurationError: Kafka cannot be reached, or the topics do not exist.
        """
        receipts: list[Receipt] = []
        self.send_many([command], receipts.append)
        return receipts[0]

    def send_many(
        self,
        commands: Iterable[StartSaga | OperatorCommand],
        on_acknowledged: Callable[[Receipt], None] | None = None,
    ) -> int:
        """Send commands; gives their number when Kafka has acknowledged all. Raises as `send`."""
        return self.send_encoded(
            ((command.saga_id, self._encode(command)) for command in commands), on_acknowledged
        )

    def send_encoded(
        self,
        commands: Iterable[tuple[str, bytes]],
        on_acknowledged: Callable[[Receipt], None] | None = None,
    ) -> int:
        """Send commands that are bytes already, `(saga_id, value)` each. Raises as `send`."""
        keyed = ((_key(saga_id), value) for saga_id, value in commands)
        return self._send(keyed, on_acknowledged)

    def _send(
        self,
        commands: Iterable[tuple[bytes, bytes]],
        on_acknowledged: Callable[[Receipt], None] | None,
    ) -> int:
        producer = self._open_producer(quiet=on_acknowledged is None)
        topic, shards = self._topics.commands, self._shards()
        count = 0

        def records() -> Iterator[Record]:
            nonlocal count
            for count, (key, value) in enumerate(commands, start=1):  # noqa: B007
                yield new_record(topic, partition(key, shards), key, value, ())

        if on_acknowledged is None:
            producer.send(records())
            return count
        told, since = on_acknowledged, self._ends()

        def acknowledged(record: Record, origin: Origin) -> None:
            told(Receipt(record.key.decode(), origin, since[record.partition]))

        producer.send(records(), acknowledged)
        return count

    # --- what comes of them ---------------------------------------------------------------------

    def wait(self, saga: str | Receipt, *, timeout_s: float) -> Outcome:
        """Wait until a saga has ended, and give how.

        With the `Receipt` of a command: how the saga that took it ended; a refusal ends the wait.
        The repetition of a start (same content) is no refusal. With an id alone: how the last saga
        of this id ended, which may be one that lived before.

        Raises:
            CommandRejected: The command was refused. A start with reason `conflict`: there is a
                saga of this id, started with other content.
            TimedOut: It had not ended in time (it may be stuck; see `saga show`).
        """
        until_s = monotonic() + timeout_s
        saga_id, life = saga.saga if isinstance(saga, Receipt) else saga, Life()
        if isinstance(saga, Receipt):
            with closing(self.follow(saga, timeout_s=timeout_s)) as entries:
                for entry in entries:
                    life.add(*entry)
                    if life.outcome is not None:
                        return life.outcome
                    if ends(entry[1]):
                        break  # its beginning has expired from the log; the outcomes still have it
        if life.state is None:
            left_s = until_s - monotonic()
            with closing(self._follow(self._topics.outcomes, saga_id, None, left_s)) as records:
                for envelope in records:
                    if envelope.value is not None:
                        return self._codec.decode_outcome(envelope.value)
        but = "; it is stuck" if life.state is not None and life.state.stuck else ""
        raise TimedOut("timed_out", f"saga {saga_id} has not ended within {timeout_s:g} s{but}")

    def follow(
        self, receipt: Receipt, *, timeout_s: float
    ) -> Generator[tuple[Origin, Transition], None, None]:
        """Give the life of the saga that took a command: what is past, then what comes.

        Ends when the time is up; whoever has seen enough stops sooner.

        Raises:
            CommandRejected: The command was refused, and not as the repetition of a start.
            TimedOut: No worker has taken the command in time.
        """
        until_s = monotonic() + timeout_s
        with closing(self._transitions(receipt, timeout_s)) as news:
            entry = _taken(receipt, news, timeout_s)
            _accepted(entry, but=DUPLICATE)
            if starts(entry[1]):
                yield entry
                yield from news
                return
        older = [item for item in receipt.since if item[0] != self._topics.events]
        whole = receipt._replace(since=tuple(older))
        with closing(self._transitions(whole, until_s - monotonic())) as everything:
            yield from _up_to(receipt, everything)
            yield from everything

    def wait_many(self, saga_ids: Iterable[str], *, timeout_s: float) -> dict[str, Outcome]:
        """Wait until all of these sagas have ended, and give how; those that have not are left out.

        By id alone: how the last saga of each id ended. `results` goes by receipts.

        Raises:
            CommandRejected: One is no saga id.
        """
        waiting: dict[int, set[str]] = {}
        for saga_id in saga_ids:
            waiting.setdefault(self._shard_of(saga_id), set()).add(saga_id)
        found: dict[str, Outcome] = {}
        until_s = monotonic() + timeout_s
        for shard, wanted in waiting.items():
            with closing(self._batches(self._topics.outcomes, shard, 0)) as batches:
                while wanted and monotonic() < until_s:
                    for envelope in next(batches):
                        saga_id = (envelope.key or b"").decode("utf-8", "replace")
                        if saga_id in wanted and envelope.value is not None:
                            found[saga_id] = self._codec.decode_outcome(envelope.value)
                            wanted.discard(saga_id)
        return found

    def results(
        self, receipts: Iterable[Receipt], *, timeout_s: float
    ) -> dict[Origin, Outcome | CommandRejected]:
        """Wait until all of these commands' sagas have ended; give by `Receipt.origin` how.

        As `wait` with each receipt, but each shard is read once. What has not ended is left out.
        """
        waiting: dict[int, dict[Origin, Receipt]] = {}
        for receipt in receipts:
            waiting.setdefault(receipt.origin.partition, {})[receipt.origin] = receipt
        found: dict[Origin, Outcome | CommandRejected] = {}
        repeated: list[Receipt] = []
        until_s = monotonic() + timeout_s
        for shard, wanted in waiting.items():
            results = Results(wanted, self._codec)
            topics = [self._topics.events, self._topics.dead_letters]
            since = {
                topic: min(dict(receipt.since).get(topic, 0) for receipt in wanted.values())
                for topic in topics
            }
            with closing(self._records(topics, shard, since, until_s)) as records:
                for envelope in records:
                    results.add(envelope, dead=envelope.origin.topic == self._topics.dead_letters)
                    if results.complete:
                        break
            found |= results.found
            repeated += results.repeated
        for receipt in repeated:
            with suppress(TimedOut):
                found[receipt.origin] = self.wait(receipt, timeout_s=until_s - monotonic())
        return found

    def effect_of(self, receipt: Receipt, *, timeout_s: float) -> tuple[Moment, ...]:
        """Wait until a worker has taken a command, and give the events that it caused.

        Raises:
            CommandRejected: It was refused; the reason is the saga's, or the dead letter's.
                `duplicate`: the start was there before, with the same content.
            TimedOut: No worker has taken it in time.
        """
        with closing(self._transitions(receipt, timeout_s)) as news:
            return _accepted(_taken(receipt, news, timeout_s))

    def value(self, saga: Saga[Any, O], outcome: Outcome) -> O | None:
        """Decode a saga's published result; None if it has none or did not complete.

        Raises:
            DecodeError: The outcome is not of this saga.
        """
        if not outcome.result:
            return None
        from orchestrator.definition.kinds import present  # noqa: PLC0415 - only who asks pays

        kinds = present(saga.spec.gives)
        data, kind = outcome.result, kinds[0]
        if len(kinds) > 1:
            kind, data = kinds[data[0]], data[1:]
        return cast("O", self._payloads.decode(data, kind))

    # --- within ---------------------------------------------------------------------------------

    def _command(self, start: Start[Any], saga_id: str) -> StartSaga:
        saga = start.saga
        payload = self._payloads.encode(start.payload, saga.input_type)
        return StartSaga(saga_id, saga.id, saga.version, payload)

    def _starts(self, starts: Iterable[tuple[str, Start[Any]]]) -> Iterator[tuple[bytes, bytes]]:
        """Give keys and values of the commands; what those of one saga share is made once."""
        ready: dict[Saga[Any, Any], tuple[Callable[[Any], bytes], StartWriter]] = {}
        for saga_id, start in starts:
            saga = start.saga
            known = ready.get(saga)
            if known is None:
                writer = StartWriter(self._codec, saga.id, saga.version)
                known = ready[saga] = self._payloads.encoder(saga.input_type), writer
            encode, writer = known
            key = _key(saga_id)
            yield key, writer.write(key, encode(start.payload))

    def _encode(self, command: StartSaga | OperatorCommand) -> bytes:
        actor = getattr(command, "actor", None)
        if actor is not None and not is_id(actor):
            raise CommandRejected(
                "bad_id", f"{actor!r} is no actor's name: [A-Za-z0-9._-]{{1,128}}"
            )
        return self._codec.encode_command(command)

    def _shard_of(self, saga_id: str) -> int:
        return partition(_key(saga_id), self._shards())

    def _shards(self) -> int:
        if not self._partitions_count:
            name = self._topics.commands
            state = self._admin.topics([name]).get(name)
            if state is None:
                raise ConfigurationError(
                    f"prefix={self._topics.prefix!r}: there is no topic {name}; `saga topics create`"
                )
            self._partitions_count = state.partitions
        return self._partitions_count

    def _ends(self) -> Mapping[int, tuple[tuple[str, int], ...]]:
        """Say, for each shard, where the topics that may answer end now."""
        topics = (self._topics.events, self._topics.dead_letters)
        places = [
            TopicPartition(topic, shard) for topic in topics for shard in range(self._shards())
        ]
        ends: dict[int, tuple[tuple[str, int], ...]] = defaultdict(tuple)
        for place, end in self._admin.end_offsets(places).items():
            ends[place.partition] += ((place.topic, end),)
        return ends

    def _open_producer(self, *, quiet: bool) -> PlainProducer:
        producer = self._producers.get(quiet)
        if producer is None:
            producer = PlainProducer(self._settings, _CLIENT_ID, quiet=quiet)
            self._producers[quiet] = producer
        return producer

    def _follow(
        self, topic: str, saga_id: str, receipt: Receipt | None, timeout_s: float
    ) -> Generator[Envelope, None, None]:
        """Read a topic's records of one saga as they come, until the time is up.

        Raises:
            CommandRejected: The command of `receipt` became a dead letter.
        """
        shard, key = self._shard_of(saga_id), saga_id.encode()
        since = dict(receipt.since) if receipt else {}
        topics = [topic] if receipt is None else [topic, self._topics.dead_letters]
        with closing(self._records(topics, shard, since, monotonic() + timeout_s)) as records:
            for envelope in records:
                if receipt is not None and envelope.origin.topic != topic:
                    self._raise_if_refused(envelope, receipt)
                elif envelope.key == key:
                    yield envelope

    def _records(
        self, topics: Sequence[str], shard: int, since: Mapping[str, int], until_s: float
    ) -> Generator[Envelope, None, None]:
        sources = [self._batches(name, shard, since.get(name, 0)) for name in topics]
        try:
            while monotonic() < until_s:
                yield from chain.from_iterable(map(next, sources))
        finally:
            for source in sources:
                source.close()

    def _transitions(
        self, receipt: Receipt, timeout_s: float
    ) -> Generator[tuple[Origin, Transition], None, None]:
        topic = self._topics.events
        with closing(self._follow(topic, receipt.saga, receipt, timeout_s)) as records:
            for envelope in records:
                yield envelope.origin, self._codec.decode_transition(envelope.value or b"")

    def _batches(
        self, topic: str, shard: int, start: int
    ) -> Generator[Sequence[Envelope], None, None]:
        reader = ChangelogReader(self._settings, _CLIENT_ID)
        try:
            yield from reader.read(Position(topic, shard, start), _FOREVER)
        finally:
            reader.close()

    def _raise_if_refused(self, envelope: Envelope, receipt: Receipt) -> None:
        letter = self._codec.decode_dead_letter(envelope.value or b"")
        if letter.origin == receipt.origin:
            raise CommandRejected(letter.reason, letter.text)


def _key(saga_id: str) -> bytes:
    if not is_id(saga_id):
        raise CommandRejected("bad_id", f"{saga_id!r} is no saga id: [A-Za-z0-9._-]{{1,128}}")
    return saga_id.encode()


def _caused_by(receipt: Receipt, entry: tuple[Origin, Transition]) -> bool:
    return entry[1].cause.origin == receipt.origin


def _taken(
    receipt: Receipt, news: Iterator[tuple[Origin, Transition]], timeout_s: float
) -> tuple[Origin, Transition]:
    entry = next(filter(partial(_caused_by, receipt), news), None)
    if entry is None:
        raise TimedOut("not_taken", f"no worker has taken the command within {timeout_s:g} s")
    return entry


def _up_to(
    receipt: Receipt, source: Iterator[tuple[Origin, Transition]]
) -> list[tuple[Origin, Transition]]:
    """Read the life that took a command, from its beginning to what the command caused."""
    life: list[tuple[Origin, Transition]] = []
    for entry in source:
        if starts(entry[1]):
            life.clear()
        life.append(entry)
        if _caused_by(receipt, entry):
            break
    return life


def _accepted(entry: tuple[Origin, Transition], *, but: str = "") -> tuple[Moment, ...]:
    rejected = rejection(entry[1])
    if rejected is not None and rejected.reason != but:
        raise rejected
    return tuple(timeline([entry]))
