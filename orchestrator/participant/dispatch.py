"""From a batch of records to their answers: each operation done once, each command answered.

1. Read and check every record.
2. Write down which handlers with effects elsewhere are about to run.
3. Run, in the order of each saga; an operation that the ledger knows is answered from it.
4. Write everything down, at once.
5. Only then give the replies out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from orchestrator.codec.envelope import Envelope, Record, new_record
from orchestrator.codec.records import Reply
from orchestrator.codec.steps import ReplyWriter
from orchestrator.core.ids import Direction
from orchestrator.core.tuples import constructor
from orchestrator.participant.inbox import Inbox, Refusal, Task
from orchestrator.participant.ledger import BEGUN, FAILED, SUCCEEDED, Entry, Ledger
from orchestrator.participant.run import RETRY, Answer, Runner

_entry = constructor(Entry)
_DO, _UNDO = str(Direction.DO), str(Direction.UNDO)
UNDONE_BEFORE = "undone before it was done"
NOTHING_TO_UNDO = "nothing to undo"


class Counts(NamedTuple):
    """What became of a batch."""

    ran: int
    """Handlers run."""
    repeated: int
    """Answered from the ledger."""
    retried: int
    """Answered RETRY."""
    refused: int
    """Not answered: for the dead letters."""


class Answered(NamedTuple):
    """What a batch came to. Everything in it is durable already."""

    replies: tuple[Record, ...]
    """In the order of the commands."""
    refusals: tuple[Refusal, ...]
    left: tuple[Envelope, ...]
    """Not begun, as `may_begin` said no: read them again."""
    counts: Counts


class Dispatcher:
    """Answers batches. One thread calls it; with an executor it runs handlers in others."""

    def __init__(
        self,
        inbox: Inbox,
        runner: Runner,
        ledger: Ledger,
        now_ms: Callable[[], int],
        executor: Executor | None = None,
    ) -> None:
        self._inbox = inbox
        self._codec = inbox.codec
        self._writer = ReplyWriter(inbox.codec)
        self._runner = runner
        self._ledger = ledger
        self._now_ms = now_ms
        self._executor = executor
        self._lock = threading.Lock()
        self._fresh: set[str] = set()

    def process(
        self, envelopes: Sequence[Envelope], may_begin: Callable[[], bool] = lambda: True
    ) -> Answered:
        """Answer a batch. `may_begin` is asked before each handler runs.

        Raises ConfigurationError or CorruptStore when the ledger fails: then nothing may be sent,
        and the records must be read again.
        """
        tasks: list[Task] = []
        refusals: list[Refusal] = []
        for found in map(self._inbox.read, envelopes):
            if isinstance(found, Task):
                tasks.append(found)
            else:
                refusals.append(found)
        self._fresh.clear()
        outside = not self._runner.outside.isdisjoint({task.command.type for task in tasks})
        if outside:
            self._mark(tasks)
        self._ledger.expect([task.key for task in tasks])
        answers: list[Answer | None] = [None] * len(tasks)
        if outside and self._executor is not None:
            self._run_beside(self._executor, tasks, answers, may_begin)
        else:
            self._run_chain(tasks, range(len(tasks)), answers, may_begin)
        left = [t.envelope for t, a in zip(tasks, answers, strict=True) if a is None]
        for operation in self._fresh:
            self._ledger.forget(operation)
        self._ledger.commit()
        replies = [
            self._reply(task, answer)
            for task, answer in zip(tasks, answers, strict=True)
            if answer is not None
        ]
        counts = _count(answers, len(refusals))
        return Answered(tuple(replies), tuple(refusals), tuple(left), counts)

    def _mark(self, tasks: Iterable[Task]) -> None:
        # Without this mark a crash would leave no trace of a handler with effects elsewhere, and
        # its undo would be answered "nothing to undo".
        closed: set[str] = set()
        for task in tasks:
            command, key = task.command, task.key
            if command.direction == _UNDO:
                closed.add(_forward(key))
            elif key not in closed and command.type in self._runner.outside:
                self._mark_one(key)
        self._ledger.commit()

    def _mark_one(self, key: str) -> None:
        if key in self._fresh:
            return
        entry = self._ledger.find(key)
        if entry is None:
            self._ledger.record(self._begun(key, doubtful=False))
            self._fresh.add(key)
        elif not entry.decisive and not entry.doubtful:
            # Marked in an earlier life of this process, which did not live to see the end.
            self._ledger.record(self._begun(key, doubtful=True))

    def _run_beside(
        self,
        executor: Executor,
        tasks: Sequence[Task],
        answers: list[Answer | None],
        may_begin: Callable[[], bool],
    ) -> None:
        chains: dict[str, list[int]] = {}
        for at, task in enumerate(tasks):
            chains.setdefault(task.command.saga, []).append(at)
        futures = [
            executor.submit(self._run_chain, tasks, chain, answers, may_begin)
            for chain in chains.values()
        ]
        for future in futures:
            future.result()

    def _run_chain(
        self,
        tasks: Sequence[Task],
        chain: Iterable[int],
        answers: list[Answer | None],
        may_begin: Callable[[], bool],
    ) -> None:
        for at in chain:
            answer = self._answer(tasks[at], may_begin)
            if answer is None:
                return
            answers[at] = answer

    def _answer(self, task: Task, may_begin: Callable[[], bool]) -> Answer | None:
        with self._lock:
            entry = self._ledger.find(task.key)
            if entry is not None or task.command.direction == _UNDO:
                known = self._from_ledger(task, entry)
                if known is not None:
                    return known
            if not may_begin():
                return None
            if task.command.type in self._runner.inside:
                answer = self._run_inside(task)
                self._settle(task, answer)
                return answer
        answer = self._runner.run(task, None)
        with self._lock:
            self._settle(task, answer)
        return answer

    def _run_inside(self, task: Task) -> Answer:
        self._ledger.open_step()
        answer = self._runner.run(task, self._ledger.handle)
        self._ledger.close_step(keep=answer.outcome == SUCCEEDED)
        return answer

    def _from_ledger(self, task: Task, entry: Entry | None) -> Answer | None:
        if entry is not None and entry.decisive:
            return Answer(entry.outcome, entry.payload, entry.text, repeated=True)
        if task.command.direction == _DO:
            return None
        key = task.key
        forward = self._close_forward(_forward(key))
        if forward.outcome == SUCCEEDED or forward.doubtful:
            return None
        self._ledger.record(Entry(key, SUCCEEDED, False, 0, self._now_ms(), NOTHING_TO_UNDO, b""))
        return Answer(SUCCEEDED, b"", NOTHING_TO_UNDO, repeated=True)

    def _close_forward(self, key: str) -> Entry:
        # An undo is here: from now on a command that comes late must not run. Its tombstone is an
        # answer like any other; the saga has turned back and will not read it.
        entry = self._ledger.find(key)
        if entry is not None and entry.decisive:
            return entry
        doubtful = entry is not None
        tombstone = Entry(key, FAILED, doubtful, 0, self._now_ms(), UNDONE_BEFORE, b"")
        self._ledger.record(tombstone)
        return tombstone

    def _settle(self, task: Task, answer: Answer) -> None:
        key, outcome = task.key, answer.outcome
        first = key in self._fresh
        self._fresh.discard(key)
        earlier = self._ledger.find(key)
        doubtful = earlier is not None and not first
        if outcome == RETRY:
            self._settle_retry(task, answer, doubtful=doubtful)
        elif outcome == SUCCEEDED or task.command.direction == _DO:
            applied_count = 0 if earlier is None else earlier.applied_count
            applied_count += outcome == SUCCEEDED
            at_ms, text = self._now_ms(), answer.text
            self._ledger.record(
                _entry(key, outcome, doubtful, applied_count, at_ms, text, answer.payload)
            )
        # A failed undo is no answer for good: a person mends the cause and orders a retry.

    def _settle_retry(self, task: Task, answer: Answer, *, doubtful: bool) -> None:
        # A handler that works inside has left nothing; an undo is run again whatever came of it.
        command, key = task.command, task.key
        if command.direction == _UNDO or command.type not in self._runner.outside:
            return
        if not answer.clean:
            self._ledger.record(self._begun(key, doubtful=True))
        elif not doubtful:
            self._ledger.forget(key)

    def _begun(self, key: str, *, doubtful: bool) -> Entry:
        return Entry(key, BEGUN, doubtful, 0, self._now_ms(), "", b"")

    def _reply(self, task: Task, answer: Answer) -> Record:
        command, headers = task.command, task.headers
        saga = task.envelope.key or b""  # has been checked
        if answer.outcome == SUCCEEDED and not answer.text:
            value = self._writer.write(headers[0][1], saga, answer.payload)
        else:
            outcome, payload, text, *_ = answer
            reply = Reply(command.effect, command.saga, outcome, text, payload)
            value = self._codec.encode_reply(reply)
        return new_record(command.reply_topic, command.reply_partition, saga, value, headers)


def _forward(undo_key: str) -> str:
    return undo_key.removesuffix(_UNDO) + _DO


def _count(answers: Sequence[Answer | None], refused: int) -> Counts:
    repeated = retried = ran = 0
    for answer in answers:
        if answer is not None:
            repeated += answer.repeated
            retried += answer.outcome == RETRY
            ran += 1
    return Counts(ran - repeated, repeated, retried, refused)
