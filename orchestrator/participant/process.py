"""A participant as a process: everything put together, and taken apart again in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from orchestrator import collector, patience
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import ConfigurationError
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.source import KafkaSource
from orchestrator.observability.lean import structlog
from orchestrator.participant.appetite import Appetite
from orchestrator.participant.dispatch import Dispatcher
from orchestrator.participant.handler import AnyHandler, bind, ledger_kind
from orchestrator.participant.inbox import Inbox
from orchestrator.participant.ledgers import open_ledger
from orchestrator.participant.loop import Loop, Totals
from orchestrator.participant.run import Payloads, Runner
from orchestrator.participant.settings import ParticipantSettings
from orchestrator.topics import Topics

_log = structlog.get_logger()


def serve(
    name: str,
    handlers: Iterable[AnyHandler],
    *,
    kafka: KafkaSettings,
    topics: Topics,
    settings: ParticipantSettings,
    codec: RecordCodec,
    payloads: Payloads,
    stopping: Callable[[], bool],
) -> Totals:
    """Be the participant `name` until `stopping`; then finish what runs and give what was done.

    Brokers that are not there yet are waited for.
    Of `handlers` those for this participant are taken. Raises ConfigurationError if there are
    none, if one is wrong, if a topic is missing, or if the ledger is in use; CorruptStore if the
    ledger cannot be read; Fenced, Unreachable or Retriable if Kafka does not let it go on.
    """
    own = [handler for handler in handlers if handler.participant.name == name]
    if not own:
        raise ConfigurationError(f"there is no handler for {name} in the modules loaded")
    bindings = bind(own)
    found = patience.until_answered(lambda: _topics(kafka, topics, name), stopping, _log)
    if found is None:
        return Totals()
    commands, replies, letters, partitions = found
    with ExitStack() as opened:
        ledger = opened.enter_context(closing(open_ledger(settings, name, ledger_kind(bindings))))
        outlet = opened.enter_context(closing(PlainProducer(kafka, f"{name}-replies", quiet=True)))
        inlet = opened.enter_context(closing(_inlet(kafka, topics, settings, name, commands)))
        executor = None
        if settings.handler_threads > 1:
            executor = opened.enter_context(ThreadPoolExecutor(settings.handler_threads, name))
        inbox = Inbox(codec, replies, partitions)
        runner = Runner(bindings, payloads, settings.reply_bytes_max)
        loop = Loop(
            name=name,
            inlet=inlet,
            outlet=outlet,
            dispatcher=Dispatcher(inbox, runner, ledger, _now_ms, executor),
            codec=codec,
            letters_topic=letters,
            appetite=Appetite(settings.commands_count_max),
            handling_s_max=settings.handling_ms_max / 1_000,
            now_ms=_now_ms,
        )
        _log.info("participant_started", participant=name, handlers=sorted(bindings))
        collector.spare()
        loop.run(stopping)
        totals = loop.totals
        _log.info(
            "participant_stopped",
            participant=name,
            handlers_run=totals.ran_count,
            batches=totals.batches_count,
        )
    return loop.totals


def stop_on_signals() -> Callable[[], bool]:
    """Give a `stopping` that says yes after SIGTERM or SIGINT. For the main thread.

    The first signal asks; a second one of the same kind does what it does by default.
    """
    asked = threading.Event()

    def ask(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return asked.is_set


def group(topics: Topics, participant: str) -> str:
    """The consumer group of a participant."""
    return f"{topics.prefix}.participant.{participant}"


def _topics(kafka: KafkaSettings, topics: Topics, name: str) -> tuple[str, str, str, int]:
    # Names of commands, replies and (if it is there) dead letters; partitions of the replies.
    commands, replies = topics.participant_commands(name), topics.replies(name)
    letters = topics.participant_dead_letters(name)
    found = KafkaAdmin(kafka, patience.ANSWER_S).partitions([commands, replies, letters])
    missing = [topic for topic in (commands, replies) if topic not in found]
    if missing:
        raise ConfigurationError(
            f"there is no topic {' or '.join(missing)}. Make them with `saga topics`"
        )
    if letters not in found:
        _log.warning("no_dead_letters", topic=letters, text="refused records are only logged")
        letters = ""
    return commands, replies, letters, found[replies]


def _inlet(
    kafka: KafkaSettings, topics: Topics, settings: ParticipantSettings, name: str, commands: str
) -> KafkaSource:
    return KafkaSource(
        kafka,
        group=group(topics, name),
        instance_id=f"{name}-{settings.participant_ordinal:03}",
        topics=[commands],
        poll_interval_ms_max=settings.poll_interval_ms_max,
        keeps_positions=True,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
