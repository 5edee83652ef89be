"""The third stage of a batch: the records and the snapshots of what was decided, as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from orchestrator.codec.envelope import Record, new_record
from orchestrator.codec.records import Outcome, StepCommand
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.effects import PublishOutcome, SendCommand
from orchestrator.core.state import Consistency, Phase
from orchestrator.core.tuples import constructor
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.runtime.deciding import Decided
from orchestrator.runtime.quarantine import Refusal, each
from orchestrator.runtime.shard import Change
from orchestrator.topics import Topics


class Written(NamedTuple):
    """What inputs add to a transaction: in each column an entry for each."""

    transitions: list[Record | Refusal]
    caused: list[Sequence[Record] | Refusal]
    changes: list[Change | Refusal]

    def refusals(self) -> dict[int, Refusal]:
        """Why those that must not be added must not, by their place."""
        found: dict[int, Refusal] = {}
        for column in self:
            if Refusal in set(map(type, column)):
                for place, entry in enumerate(column):
                    if isinstance(entry, Refusal):
                        found.setdefault(place, entry)
        return found


_step_command, _change = constructor(StepCommand), constructor(Change)
_outcome = constructor(Outcome)
_PHASE_NAMES = {phase.value: phase.name.lower() for phase in Phase}
_CONSISTENCY_NAMES = {consistency.value: consistency.name.lower() for consistency in Consistency}


class Writer:
    """Encodes what was decided; refuses what nobody would take.

    Args:
        participant_partitions: By name of the participant.
        record_bytes_max: Of any record.
        command_bytes_max: Of a step command: participants may take less than what we write.
    """

    def __init__(
        self,
        *,
        codec: RecordCodec,
        topics: Topics,
        partitions: int,
        participant_partitions: Mapping[str, int],
        record_bytes_max: int,
        command_bytes_max: int,
    ) -> None:
        self._codec = codec
        self._partitions = partitions
        self._record_bytes_max = record_bytes_max
        self._command_bytes_max = min(command_bytes_max, record_bytes_max)
        self._events, self._outcomes = topics.events, topics.outcomes
        self._destinations = {
            name: (topics.participant_commands(name), count, topics.replies(name))
            for name, count in participant_partitions.items()
        }

    def write(
        self, shard: int, decided: Sequence[Decided], overlay: Mapping[str, Change]
    ) -> Written:
        """Encode what inputs of a shard do: first all transitions, then all snapshots, then the rest.

        `overlay` is what the open transaction does already.
        """
        transitions = each(partial(self._transition, shard), decided)
        pairs = zip(decided, transitions, strict=True)
        changes = each(partial(self._change, overlay, {}), pairs)
        caused = each(partial(self._caused, shard), decided)
        return Written(transitions, caused, changes)

    def _transition(self, shard: int, decided: Decided) -> Record | Refusal:
        transition = decided[0]
        value = self._codec.encode_transition(transition)
        if len(value) > self._record_bytes_max:
            return _too_large(value, self._record_bytes_max)
        return new_record(self._events, shard, transition[0].encode(), value)

    def _change(
        self,
        overlay: Mapping[str, Change],
        latest: dict[str, Change],
        pair: tuple[Decided, Record | Refusal],
    ) -> Change | Refusal:
        (transition, _, _, state, before), record = pair
        if isinstance(record, Refusal):
            return record
        saga_id = transition[0]
        last = latest.get(saga_id) or overlay.get(saga_id)
        if state is None:
            change = _change(None, before, None, 0)
        elif last is not None and (bytes_max := self._bytes_max(last, record)):
            change = _change(state, before, None, bytes_max)
        else:
            value = self._codec.encode_snapshot(state)
            if len(value) > self._record_bytes_max:
                return _too_large(value, self._record_bytes_max)
            change = _change(state, before, value, len(value))
        latest[saga_id] = change
        return change

    def _bytes_max(self, last: Change, transition: Record) -> int:
        """How many bytes a state has after a transition, at most; 0: it must be encoded to know.

        So a state is encoded once a transaction, not with each of a thousand answers to a saga of a
        thousand steps. What it gains comes from its events, which weigh as much; only by a person's
        `retry` each stuck step gains a little. Hence twice, and half.
        """
        bytes_max = last.bytes_max + 2 * len(transition.value or b"")
        is_known = last.state is not None and bytes_max <= self._record_bytes_max // 2
        return bytes_max if is_known else 0

    def _caused(self, shard: int, decided: Decided) -> Sequence[Record] | Refusal:
        transition, caused, traceparent, _, _ = decided
        if not caused:
            return ()
        key, records = transition[0].encode(), []
        for effect in caused:
            if isinstance(effect, SendCommand):
                record = self._step_command(shard, key, effect, traceparent)
            else:
                record = self._outcome(shard, key, effect, transition.at_ms)
            if isinstance(record, Refusal):
                return record
            records.append(record)
        return records

    def _outcome(
        self, shard: int, key: bytes, effect: PublishOutcome, now_ms: int
    ) -> Record | Refusal:
        outcome = _outcome(
            effect.saga_id,
            effect.definition,
            effect.version,
            _PHASE_NAMES[effect.phase],
            _CONSISTENCY_NAMES[effect.consistency],
            effect.sequence,
            effect.started_ms,
            now_ms,
            effect.result,
        )
        value = self._codec.encode_outcome(outcome)
        if len(value) > self._record_bytes_max:
            return _too_large(value, self._record_bytes_max)
        return new_record(self._outcomes, shard, key, value)

    def _step_command(
        self, shard: int, key: bytes, effect: SendCommand, traceparent: bytes | None
    ) -> Record | Refusal:
        id_, saga, step, direction, attempt, due_ms, participant, type_, payload = effect
        topic, partitions, reply_topic = self._destinations[participant]
        command = _step_command(
            id_, saga, step, direction, attempt, due_ms, type_, reply_topic, shard, payload
        )
        value = self._codec.encode_step_command(command)
        if len(value) > self._command_bytes_max:
            return _too_large(value, self._command_bytes_max)
        headers: tuple[tuple[str, bytes], ...] = (("id", id_.encode()),)
        if traceparent is not None:
            headers = (*headers, ("traceparent", traceparent))
        # With as many partitions as shards, a saga's partition is its shard: no need to hash.
        same = partitions == self._partitions
        partition = shard if same else partition_of(key, partitions)
        return new_record(topic, partition, key, value, headers)


def _too_large(value: bytes, bytes_max: int) -> Refusal:
    text = f"would write a record of {len(value)} bytes; the limit is {bytes_max}"
    return Refusal("too_large_effect", text)
