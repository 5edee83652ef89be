"""Read everything that a run left in the topics, the ledgers and the stores: a `History`.

Read rights only, no group, nothing committed; the engine may go on meanwhile, but a verdict about
what is still running would be one about the moment of reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from orchestrator.audit.reading import Log
from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.keys import REROUTED
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.definition import Definition
from orchestrator.participant.ledger import SUCCEEDED
from orchestrator.participant.ledgers import read_ledger
from orchestrator.testing.checkers import History, LedgerEntry

T = TypeVar("T")


def read_history(
    log: Log,
    codec: RecordCodec,
    definitions: Iterable[Definition],
    *,
    acknowledged: Iterable[str] = (),
    ledgers: Iterable[LedgerEntry] = (),
    stores: Mapping[str, bytes] | None = None,
) -> History:
    """Read all topics of an installation.

    Raises:
        DecodeError: A record of ours cannot be decoded.
        NotFound: The topics do not exist.
    """
    known = {(definition.name, definition.version): definition for definition in definitions}
    participants = {name for definition in known.values() for name in definition.participants}
    topics = log.topics
    inputs = list(read_topics(log, [topics.commands, *map(topics.replies, sorted(participants))]))
    snapshots: dict[str, bytes] = {}
    cursors: dict[int, Cursor] = {}
    for shard in range(log.partitions_count):
        found, cursor = log.changelog(shard, log.span(topics.changelog, shard))
        snapshots.update((saga, snapshot.value) for saga, snapshot in found.items())
        if cursor is not None:
            cursors[shard] = cursor
    commands = map(topics.participant_commands, sorted(participants))
    return History(
        definitions=known,
        transitions=tuple(_decoded(log, [topics.events], codec.decode_transition)),
        snapshots=snapshots,
        encode=codec.encode_snapshot,
        step_commands=tuple(_decoded(log, commands, codec.decode_step_command)),
        outcomes=tuple(_decoded(log, [topics.outcomes], codec.decode_outcome)),
        dead_letters=tuple(_decoded(log, [topics.dead_letters], codec.decode_dead_letter)),
        cursors=cursors,
        inputs=frozenset(envelope.origin for envelope in inputs),
        rerouted=_rerouted(inputs),
        acknowledged=frozenset(acknowledged),
        ledgers=tuple(ledgers),
        stores=stores,
    )


def read_topics(log: Log, topics: Iterable[str]) -> Iterator[Envelope]:
    """Read every committed record of some topics, partition by partition."""
    for topic in topics:
        for partition in range(log.partitions_of(topic)):
            yield from log.records(topic, partition, log.span(topic, partition))


def ledger_entries(directory: Path, participants: Iterable[str]) -> Iterator[LedgerEntry]:
    """Read what participants have written down, beside them or after they have stopped.

    Raises:
        ConfigurationError: One has no ledger there.
    """
    for name in participants:
        ledger = read_ledger(directory, name)
        try:
            for entry in ledger.entries():
                succeeded = entry.outcome == SUCCEEDED
                yield LedgerEntry(entry.operation, succeeded, entry.applied_count)
        finally:
            ledger.close()


def _decoded(
    log: Log, topics: Iterable[str], decode: Callable[[bytes], T]
) -> Iterator[tuple[Origin, T]]:
    for envelope in read_topics(log, topics):
        if envelope.value is not None:
            yield envelope.origin, decode(envelope.value)


def _rerouted(inputs: Iterable[Envelope]) -> Counter[Origin]:
    found: Counter[Origin] = Counter()
    for envelope in inputs:
        for name, value in envelope.headers:
            if name == REROUTED and value is not None:
                topic, partition, offset = value.decode().rsplit("/", 2)
                found[Origin(topic, int(partition), int(offset))] += 1
    return found
