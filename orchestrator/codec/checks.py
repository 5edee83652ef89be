"""What a record must be beyond its schema: ids, ranges, codes. One function each.

Each gives the record back, or raises DecodeError with `bad_id` or `out_of_range`.
"""

from __future__ import annotations

from functools import lru_cache

from orchestrator.codec.records import Cursor, DeadLetter, Outcome, Reply, StepCommand, Transition
from orchestrator.codec.refusals import refuse
from orchestrator.core.commands import (
    CancelSaga,
    ReplyOutcome,
    ResolveStep,
    RetrySaga,
    SkipStep,
    StartSaga,
)
from orchestrator.core.ids import EffectId, is_id, parse_effect_id
from orchestrator.core.state import SagaState

OUTCOMES = frozenset(int(outcome) for outcome in ReplyOutcome)
CAUSES = frozenset({"start", "reply", "timer", "operator"})
BUSINESS = frozenset({"completed", "rolled_back", "cancelled"})
CONSISTENCY = frozenset({"consistent", "unknown"})
_ATTEMPT_MAX = 999_999_999
"""As many digits as an effect id may have for it."""


def _id(what: str, text: str) -> None:
    if not is_id(text):
        raise refuse("bad_id", f"{what} {text[:160]!r} is not [A-Za-z0-9._-]{{1,128}}")


def _at_least(what: str, value: int, least: int) -> None:
    if value < least:
        raise refuse("out_of_range", f"{what} is {value}, at least {least}")


def _one_of(what: str, value: object, allowed: frozenset[object]) -> None:
    if value not in allowed:
        raise refuse(
            "out_of_range", f"{what} is {value!r:.160}, not one of {sorted(map(str, allowed))}"
        )


@lru_cache(1_024)
def _is_step(step: str, direction: str) -> bool:
    return parse_effect_id(f"saga/{step}/{direction}/1") is not None


def _step_id(step: str) -> None:
    if not _is_step(step, "do"):
        raise refuse("bad_id", f"the step {step[:300]!r} is not spelled like one")


def effect(text: str) -> EffectId:
    """Parse an effect id. Raises DecodeError with `bad_id`."""
    found = parse_effect_id(text)
    if found is None:
        raise refuse("bad_id", f"the effect {text[:600]!r} is not saga/step/direction/attempt")
    return found


def start_saga(command: StartSaga) -> StartSaga:
    """Check a start command; its payload is checked when the definition is known."""
    _id("the saga", command.saga_id)
    _id("the definition", command.definition)
    _at_least("version", command.version, 0)
    return command


def cancel_saga(command: CancelSaga) -> CancelSaga:
    """Check a cancel command."""
    _id("the saga", command.saga_id)
    _id("the actor", command.actor)
    return command


def retry_saga(command: RetrySaga) -> RetrySaga:
    """Check a retry command."""
    _id("the saga", command.saga_id)
    _id("the actor", command.actor)
    return command


def skip_step(command: SkipStep) -> SkipStep:
    """Check a skip command."""
    _id("the saga", command.saga_id)
    _step_id(command.step_id)
    _id("the actor", command.actor)
    return command


def resolve_step(command: ResolveStep) -> ResolveStep:
    """Check a resolve command."""
    _id("the saga", command.saga_id)
    _step_id(command.step_id)
    _id("the actor", command.actor)
    return command


def step_command(command: StepCommand) -> StepCommand:
    """Check a step command: its parts must agree with its effect id."""
    text, saga, step, direction, attempt, *_ = command
    # Put together and compared, which is cheaper than to take it apart: a slash in a part would be
    # one too many for the pattern of its own.
    spelled = is_id(saga) and _is_step(step, direction) and 0 < attempt <= _ATTEMPT_MAX
    if not spelled or text != f"{saga}/{step}/{direction}/{attempt}":
        effect(text)
        raise refuse("bad_id", f"the effect {text!r} contradicts the command's fields")
    _id("the reply topic", command.reply_topic)
    _at_least("due_ms", command.due_ms, 0)
    _at_least("reply_partition", command.reply_partition, 0)
    return command


def reply(answer: Reply) -> Reply:
    """Check a reply: its saga must agree with its effect id."""
    if effect(answer.effect).saga_id != answer.saga:
        raise refuse(
            "bad_id", f"the effect {answer.effect!r} is not of the saga {answer.saga!r:.160}"
        )
    _one_of("outcome", answer.outcome, OUTCOMES)
    return answer


def transition(record: Transition) -> Transition:
    """Check a transition."""
    _id("the saga", record.saga)
    _at_least("sequence", record.sequence, 1)
    _at_least("at_ms", record.at_ms, 0)
    _at_least("effects_count", record.effects_count, 0)
    _at_least("the number of events", len(record.events), 1)
    _one_of("the cause", record.cause.kind, CAUSES)
    _at_least("the cause's offset", record.cause.origin.offset, -1)
    return record


def snapshot(state: SagaState) -> SagaState:
    """Check a snapshot."""
    _id("the saga", state.saga_id)
    _at_least("sequence", state.sequence, 1)
    return state


def cursor(record: Cursor) -> Cursor:
    """Check a cursor: inputs sorted by topic, no topic twice."""
    topics = [topic for topic, _ in record.inputs]
    if topics != sorted(set(topics)):
        raise refuse("out_of_range", "the inputs are not sorted by topic")
    for topic, offset in record.inputs:
        _at_least(f"the offset of {topic}", offset, 0)
    _at_least("transaction", record.transaction, 0)
    _at_least("clock_ms", record.clock_ms, 0)
    _at_least("partitions", record.partitions, 1)
    _at_least("records_count", record.records_count, 0)
    return record


def outcome(record: Outcome) -> Outcome:
    """Check an outcome."""
    _id("the saga", record.saga)
    _one_of("business", record.business, BUSINESS)
    _one_of("consistency", record.consistency, CONSISTENCY)
    return record


def dead_letter(record: DeadLetter) -> DeadLetter:
    """Check a dead letter: only that it says why."""
    if not record.reason:
        raise refuse("out_of_range", "a dead letter has no reason")
    return record
