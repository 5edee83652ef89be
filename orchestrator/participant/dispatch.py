"""From a batch of records to their answers: each operation done once, each command answered.

1. Read and check every record.
2. Write down which handlers with effects elsewhere are about to run.
3. Run, in the order of each saga; an operation that the ledger knows is answered from it.
4. Write everything down, at once.
5. Only then give the replies out.
"""

from __future__ import annotations

import threading
from collections import Counter
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

    replies: Sequence[Record]
    """In the order of the commands."""
    refusals: Sequence[Refusal]
    left: Sequence[Envelope]
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
        outside = self._runner.outside
        is_outside = bool(outside) and not outside.isdisjoint([task.asked.type for task in tasks])
        if is_outside:
            self._mark(tasks)
        entries = self._ledger.find_all([task.key for task in tasks])
        answers: list[Answer | None] = [None] * len(tasks)
        if not is_outside:
            self._run_inside(tasks, entries, answers, may_begin)
        elif self._executor is not None:
            self._run_beside(self._executor, tasks, answers, may_begin)
        else:
            self._run_chain(tasks, range(len(tasks)), answers, may_begin)
        for operation in self._fresh:
            self._ledger.forget(operation)
        self._ledger.commit()
        return self._answered(tasks, answers, refusals)

    def _answered(
        self, tasks: Sequence[Task], answers: Sequence[Answer | None], refusals: Sequence[Refusal]
    ) -> Answered:
        replies: list[Record] = []
        left: list[Envelope] = []
        repeated_count = retried_count = 0
        for task, answer in zip(tasks, answers, strict=True):
            if answer is None:
                left.append(task.envelope)
                continue
            repeated_count += answer.repeated
            retried_count += answer.outcome == RETRY
            replies.append(self._reply(task, answer))
        ran_count = len(replies) - repeated_count
        counts = Counts(ran_count, repeated_count, retried_count, len(refusals))
        return Answered(replies, refusals, left, counts)

    def _mark(self, tasks: Iterable[Task]) -> None:
        # Without this mark a crash would leave no trace of a handler with effects elsewhere, and
        # its undo would be answered "nothing to undo".
        closed: set[str] = set()
        for task in tasks:
            asked, key = task.asked, task.key
            if asked.direction == _UNDO:
                closed.add(_forward(key))
            elif key not in closed and asked.type in self._runner.outside:
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
        chains: dict[bytes | None, list[int]] = {}
        for at, task in enumerate(tasks):
            chains.setdefault(task.envelope.key, []).append(at)
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
        """Run these tasks in order, each when those before it are settled."""
        for at in chain:
            task = tasks[at]
            with self._lock:
                entry = self._ledger.find(task.key)
                answer = self._known(task, entry)
                if answer is None:
                    if not may_begin():
                        return
                    if task.asked.type in self._runner.inside:
                        (command,) = self._runner.read([task])
                        answer = self._execute(task, command)
                        self._settle(task, entry, answer)
            if answer is None:
                answer = self._runner.run(task)
                with self._lock:
                    self._settle(task, entry, answer)
            answers[at] = answer

    def _run_inside(
        self,
        tasks: Sequence[Task],
        entries: Sequence[Entry | None],
        answers: list[Answer | None],
        may_begin: Callable[[], bool],
    ) -> None:
        """Run tasks that work inside the ledger: nobody else has it meanwhile.

        Each stage takes all tasks before the next one begins: the processor then runs the same
        code again and again, and forgets less of how it branches. Only the tasks of one saga may
        change what another one of them finds in the ledger: they are run in order, one by one.
        """
        sagas = [task.envelope.key for task in tasks]
        alone: Sequence[int] = range(len(tasks))
        chain: Sequence[int] = ()
        if len(set(sagas)) < len(sagas):
            counts = Counter(sagas)
            chain = [at for at in alone if counts[sagas[at]] > 1]
            alone = [at for at in alone if counts[sagas[at]] == 1]
        todo = [at for at in alone if entries[at] is None and tasks[at].asked.direction == _DO]
        if len(todo) < len(alone):
            for at in alone:
                answers[at] = self._known(tasks[at], entries[at])
            todo = [at for at in alone if answers[at] is None]
        commands = self._runner.read([tasks[at] for at in todo])
        for at, command in zip(todo, commands, strict=True):
            if not may_begin():
                break
            answers[at] = self._execute(tasks[at], command)
        for at in todo:
            given = answers[at]
            if given is None:
                break
            self._settle(tasks[at], entries[at], given)
        self._run_chain(tasks, chain, answers, may_begin)

    def _execute(self, task: Task, command: object) -> Answer:
        """Run a handler that works inside the ledger."""
        self._ledger.open_step()
        answer = self._runner.execute(task, command, self._ledger.handle)
        self._ledger.close_step(keep=answer.outcome == SUCCEEDED)
        return answer

    def _known(self, task: Task, entry: Entry | None) -> Answer | None:
        """Give the answer that needs no handler, if there is one."""
        if entry is None and task.asked.direction == _DO:
            return None
        return self._from_ledger(task, entry)

    def _from_ledger(self, task: Task, entry: Entry | None) -> Answer | None:
        if entry is not None and entry.decisive:
            return Answer(entry.outcome, entry.payload, entry.text, repeated=True)
        if task.asked.direction == _DO:
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

    def _settle(self, task: Task, entry: Entry | None, answer: Answer) -> None:
        """Write an answer down; `entry` was the operation's before its handler ran."""
        key, outcome = task.key, answer.outcome
        doubtful, applied_count = False, 0
        if entry is not None:
            doubtful, applied_count = key not in self._fresh, entry.applied_count
            self._fresh.discard(key)
        if outcome == RETRY:
            self._settle_retry(task, answer, doubtful=doubtful)
        elif outcome == SUCCEEDED or task.asked.direction == _DO:
            applied_count += outcome == SUCCEEDED
            at_ms, text = self._now_ms(), answer.text
            self._ledger.record(
                _entry(key, outcome, doubtful, applied_count, at_ms, text, answer.payload)
            )
        # A failed undo is no answer for good: a person mends the cause and orders a retry.

    def _settle_retry(self, task: Task, answer: Answer, *, doubtful: bool) -> None:
        # A handler that works inside has left nothing; an undo is run again whatever came of it.
        asked, key = task.asked, task.key
        if asked.direction == _UNDO or asked.type not in self._runner.outside:
            return
        if not answer.clean:
            self._ledger.record(self._begun(key, doubtful=True))
        elif not doubtful:
            self._ledger.forget(key)

    def _begun(self, key: str, *, doubtful: bool) -> Entry:
        return Entry(key, BEGUN, doubtful, 0, self._now_ms(), "", b"")

    def _reply(self, task: Task, answer: Answer) -> Record:
        envelope, asked, effect, _, _, partition, _, headers = task
        outcome, payload, text, _, _ = answer
        key = envelope.key or b""  # has been checked
        if outcome == SUCCEEDED and not text:
            value = self._writer.write(effect, key, payload)
        else:
            reply = Reply(effect.decode(), task.saga, outcome, text, payload)
            value = self._codec.encode_reply(reply)
        return new_record(asked.reply_topic, partition, key, value, headers)


def _forward(undo_key: str) -> str:
    return undo_key.removesuffix(_UNDO) + _DO
