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

from orchestrator.codec.envelope import Envelope, Record
from orchestrator.codec.records import Reply
from orchestrator.core.commands import ReplyOutcome
from orchestrator.core.ids import Direction
from orchestrator.participant.inbox import Inbox, Refusal, Task
from orchestrator.participant.ledger import BEGUN, FAILED, SUCCEEDED, Entry, Ledger
from orchestrator.participant.run import Answer, Runner

_OUTCOMES = {int(outcome): outcome for outcome in ReplyOutcome}
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
        read = [self._inbox.read(envelope) for envelope in envelopes]
        tasks = [found for found in read if isinstance(found, Task)]
        refusals = tuple(found for found in read if isinstance(found, Refusal))
        self._mark(tasks)
        answers = self._run(tasks, may_begin)
        left = tuple(t.envelope for t, a in zip(tasks, answers, strict=True) if a is None)
        for operation in self._fresh:
            self._ledger.forget(operation)
        self._ledger.commit()
        replies = tuple(
            self._reply(task, answer)
            for task, answer in zip(tasks, answers, strict=True)
            if answer is not None
        )
        return Answered(replies, refusals, left, _count(answers, len(refusals)))

    def _mark(self, tasks: Iterable[Task]) -> None:
        # Without this mark a crash would leave no trace of a handler with effects elsewhere, and
        # its undo would be answered "nothing to undo".
        self._fresh.clear()
        closed: set[str] = set()
        for task in tasks:
            operation = task.operation
            if operation.direction == Direction.UNDO:
                closed.add(_forward(operation.key))
            elif operation.key not in closed and self._runner.leaves_traces(task.command.type):
                self._mark_one(operation.key)
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

    def _run(self, tasks: Sequence[Task], may_begin: Callable[[], bool]) -> list[Answer | None]:
        answers: list[Answer | None] = [None] * len(tasks)
        outside = any(self._runner.leaves_traces(task.command.type) for task in tasks)
        if self._executor is None or not outside:
            self._run_chain(tasks, range(len(tasks)), answers, may_begin)
            return answers
        chains: dict[str, list[int]] = {}
        for at, task in enumerate(tasks):
            chains.setdefault(task.command.saga, []).append(at)
        futures = [
            self._executor.submit(self._run_chain, tasks, chain, answers, may_begin)
            for chain in chains.values()
        ]
        for future in futures:
            future.result()
        return answers

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
            known = self._from_ledger(task)
            if known is not None:
                return known
            if not may_begin():
                return None
            if self._runner.works_inside(task.command.type):
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
        self._ledger.close_step(keep=answer.outcome == ReplyOutcome.SUCCEEDED)
        return answer

    def _from_ledger(self, task: Task) -> Answer | None:
        key = task.operation.key
        entry = self._ledger.find(key)
        if entry is not None and entry.decisive:
            return Answer(_OUTCOMES[entry.outcome], entry.payload, entry.text, repeated=True)
        if task.operation.direction == Direction.DO:
            return None
        forward = self._close_forward(_forward(key))
        if forward.outcome == SUCCEEDED or forward.doubtful:
            return None
        self._ledger.record(Entry(key, SUCCEEDED, False, 0, self._now_ms(), NOTHING_TO_UNDO, b""))
        return Answer(ReplyOutcome.SUCCEEDED, b"", NOTHING_TO_UNDO, repeated=True)

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
        key = task.operation.key
        first = key in self._fresh
        self._fresh.discard(key)
        earlier = self._ledger.find(key)
        doubtful = earlier is not None and not first
        if answer.outcome == ReplyOutcome.RETRY:
            self._settle_retry(task, answer, doubtful=doubtful)
        elif answer.outcome == ReplyOutcome.SUCCEEDED or task.operation.direction == Direction.DO:
            applied = 0 if earlier is None else earlier.applied_count
            applied += answer.outcome == ReplyOutcome.SUCCEEDED
            outcome, at_ms = int(answer.outcome), self._now_ms()
            self._ledger.record(
                Entry(key, outcome, doubtful, applied, at_ms, answer.text, answer.payload)
            )
        # A failed undo is no answer for good: a person mends the cause and orders a retry.

    def _settle_retry(self, task: Task, answer: Answer, *, doubtful: bool) -> None:
        # A handler that works inside has left nothing; an undo is run again whatever came of it.
        command, key = task.command, task.operation.key
        if command.direction == Direction.UNDO or not self._runner.leaves_traces(command.type):
            return
        if not answer.clean:
            self._ledger.record(self._begun(key, doubtful=True))
        elif not doubtful:
            self._ledger.forget(key)

    def _begun(self, key: str, *, doubtful: bool) -> Entry:
        return Entry(key, BEGUN, doubtful, 0, self._now_ms(), "", b"")

    def _reply(self, task: Task, answer: Answer) -> Record:
        command = task.command
        reply = Reply(
            command.effect, command.saga, int(answer.outcome), answer.text, answer.payload
        )
        headers: tuple[tuple[str, bytes], ...] = (("id", command.effect.encode()),)
        if task.traceparent:
            headers = (*headers, ("traceparent", task.traceparent))
        return Record(
            command.reply_topic,
            command.reply_partition,
            command.saga.encode(),
            self._codec.encode_reply(reply),
            headers,
        )


def _forward(undo_key: str) -> str:
    return undo_key.removesuffix(Direction.UNDO) + Direction.DO


def _count(answers: Sequence[Answer | None], refused: int) -> Counts:
    given = [answer for answer in answers if answer is not None]
    repeated = sum(answer.repeated for answer in given)
    retried = sum(answer.outcome == ReplyOutcome.RETRY for answer in given)
    return Counts(len(given) - repeated, repeated, retried, refused)
