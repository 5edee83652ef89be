"""A shard whose positions look torn is asked about once more before it is halted."""

from __future__ import annotations

import pytest

from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import Retriable
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import get
from orchestrator.runtime.recovery import Recovery
from orchestrator.runtime.settings import WorkerSettings
from orchestrator.runtime.shard import ShardStatus
from orchestrator.store.base import Batch
from orchestrator.store.memory import MemoryStores

INPUT = "saga.commands"
CODEC = RecordCodec()
AWAY = Retriable("the coordinator loads")


class Clock:
    """Each look at it costs half a second."""

    def __init__(self):
        self.now_s = 0.0

    def monotonic_s(self):
        self.now_s += 0.5
        return self.now_s

    def now_ms(self):
        return 1_000


class Group:
    """What the group answers when it is asked for a position, one after the other."""

    def __init__(self, answers):
        self.answers = list(answers)

    def committed(self, pairs, _timeout_s):
        answer = self.answers.pop(0)
        if isinstance(answer, Retriable):
            raise answer
        return dict.fromkeys(pairs, answer)


class Log99:
    """A cluster whose topics hold the offsets 0 to 99."""

    def start_offsets(self, pairs):
        return dict.fromkeys(pairs, 0)

    def end_offsets(self, pairs):
        return dict.fromkeys(pairs, 99)


def judged(*answers, at):
    """A shard whose changelog stands at `at`; the group answered so, first of all before T4."""
    group, clock = Group(answers), Clock()
    recovery = Recovery(
        settings=WorkerSettings(),
        topics=[INPUT],
        changelog="saga.changelog",
        partitions=1,
        stores=MemoryStores(),
        source=group,
        reader=None,
        cluster=Log99(),
        transactor=None,
        fence=None,
        codec=CODEC,
        clock=clock,
        counters=Counters(),
        log=get(),
        on_progress=None,
    )
    shard = recovery.open(0)
    cursor = Cursor(5, ((INPUT, at),), 1, "saga-000", 3, 1, 1)
    shard.store.apply(Batch(1, 1_000, cursor=CODEC.encode_cursor(cursor)))
    shard.status = ShardStatus.RESTORING
    for _ in recovery._judge([shard], recovery._committed([shard])):
        assert clock.now_s < 60
    return shard.status, group.answers


@pytest.mark.parametrize(
    "answers",
    [
        (7,),
        (4, 7),  # a coordinator that was loading has answered with an old one
        (4, AWAY, AWAY, AWAY, 7),
    ],
)
def test_a_shard_runs_once_changelog_and_group_agree(answers):
    assert judged(*answers, at=7) == (ShardStatus.RUNNING, [])


@pytest.mark.parametrize("answers", [(4, 4), (4, AWAY, 4)])
def test_a_shard_is_halted_when_the_group_has_said_so_twice(answers):
    assert judged(*answers, at=7) == (ShardStatus.HALTED, [])
