"""The stages of a worker and of a participant, told apart by the functions on the stack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.flame import Stacks

OTHER = "loop and the rest"


class Stage(NamedTuple):
    """A stage, and what its functions are called: parts of `function (file)`."""

    name: str
    marks: tuple[str, ...]


WORKER_STAGES = (
    Stage("drain", ("KafkaSource.",)),
    Stage("commit", ("TransactionalSink.begin", "Future.result")),
    Stage("produce", ("TransactionalSink.send",)),
    Stage(
        "encode", ("Writer.", "snapshots (orchestrator/runtime/transaction.py", "Transactor._seal")
    ),
    Stage("decode", ("Reader.", "codec/limits.py", "core/ids.py", "partitioner.py")),
    Stage("typed payloads", ("codec/payloads.py", "definition/binding.py", "runtime/program.py")),
    Stage("store", ("Shard.", "core/state.py", "orchestrator/store/")),
    Stage("decide, evolve, react", ("orchestrator/core/", "Decider.")),
)
PARTICIPANT_STAGES = (
    Stage("drain", ("KafkaSource.poll_batch",)),
    Stage("commit positions", ("KafkaSource.store",)),
    Stage("send replies", ("PlainProducer.",)),
    Stage("encode", ("Dispatcher._reply", "ReplyWriter.")),
    Stage("decode", ("Inbox.", "StepReader.", "codec/limits.py")),
    Stage("typed payloads", ("codec/payloads.py",)),
    Stage("handler", ("benchmarks/trip.py", "participant/transaction.py")),
    Stage("ledger", ("RocksLedger.", "participant/ledger")),
)


def stage_of(stack: Sequence[str], stages: Sequence[Stage]) -> str:
    """Say in which stage a stack is: the innermost function that belongs to one decides."""
    for frame in reversed(stack):
        for stage in stages:
            if any(mark in frame for mark in stage.marks):
                return stage.name
    return OTHER


def stage_shares(stacks: Stacks, stages: Sequence[Stage]) -> dict[str, float]:
    """Give the share of each stage, in the order of the stages."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found[stage_of(stack, stages)] += count
    total = found.total() or 1
    names = (*(stage.name for stage in stages), OTHER)
    return {name: round(found[name] / total, 4) for name in names}
