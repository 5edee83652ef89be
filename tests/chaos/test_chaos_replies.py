"""M48, M49, M50: replies out of order, too late, or never."""

from __future__ import annotations

import signal

import pytest
from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka import TopicPartition as Place
from town import wait_until

from orchestrator.audit.reading import Log
from orchestrator.codec.records import Reply
from orchestrator.core.commands import ReplyOutcome
from orchestrator.core.events import ReplyIgnored
from orchestrator.core.ids import parse_effect_id
from orchestrator.testing.history import read_topics

SUCCEEDED, FAILED, RETRY = ReplyOutcome.SUCCEEDED, ReplyOutcome.FAILED, ReplyOutcome.RETRY
ELEVEN_MINUTES_MS = 660_000
"""Later than any saga's deadline."""


class Wiretap:
    """Everything on one topic, decoded, as far as it has come."""

    def __init__(self, town, topic, decode):
        self._consumer, self._decode = town._consumer(f"tap-{topic}"), decode
        self._consumer.assign([Place(topic, p, OFFSET_BEGINNING) for p in range(town.partitions)])
        self.heard = []

    def hear(self):
        for message in self._consumer.consume(500, 0.05):
            if message.error() is None:
                self.heard.append(self._decode(message.value()))
        return self.heard

    def wait(self, condition, what):
        wait_until(lambda: condition(self.hear()), what)

    def close(self):
        self._consumer.close()


@pytest.fixture
def taps(town):
    """Makes wiretaps, and takes them off."""
    made = []

    def tap(topic, decode):
        made.append(Wiretap(town, topic, decode))
        return made[-1]

    yield tap
    for one in made:
        one.close()


@pytest.fixture
def ask_the_silent(town, taps):
    """Lets sagas ask a participant that falls silent, so often; gives them and what they ask."""

    def ask(name, silence, kind, direction, attempt):
        town.begin(6)
        town.wait_ended()
        orders, _ = topics_of(town, name)
        silence()
        begun = town.begin(12, [kind])
        commands = taps(orders, town.codec.decode_step_command)
        what = f"attempt {attempt} to {direction} of each"
        commands.wait(lambda heard: asked(heard, begun, direction, attempt), what)
        return begun, commands

    return ask


def topics_of(town, name):
    """Command and reply topic of a participant."""
    full = next(each for each in town.participants if each.startswith(name))
    return town.topics.participant_commands(full), town.topics.replies(full)


def ignored(history):
    """Why replies were ignored, in all."""
    return {
        event.reason
        for _, transition in history.transitions
        for event in transition.events
        if isinstance(event, ReplyIgnored)
    }


def asked(commands, sagas, direction, attempt):
    """Whether each of these sagas has asked for a step so often in a direction."""
    effects = [parse_effect_id(command.effect) for command in commands]
    found = {e.saga_id for e in effects if e.direction == direction and e.attempt >= attempt}
    return set(sagas) <= found


def test_replies_in_any_order_count_once_and_only_for_what_was_asked(town, taps, ask_the_silent):
    worker = town.worker()
    _, replies = topics_of(town, "bank")

    def silence():
        town.post.freeze()  # the last to be asked: no saga ends before all is said
        town.bank.freeze()

    begun, _ = ask_the_silent("bank", silence, "s-ok", "do", 2)
    balance = town.payloads.encode(town.space.Balance(1), town.space.Balance)

    def say(saga, step, outcome):
        payload = balance if outcome is SUCCEEDED else b""
        reply = Reply(f"{saga}/{step}", saga, int(outcome), "", payload)
        town.send(replies, saga.encode(), town.codec.encode_reply(reply))

    for saga in begun:
        say(saga, "left/do/1", SUCCEEDED)  # before it was asked for, let alone committed
        say(saga, "debit/do/900", SUCCEEDED)
        say(saga, "debit/undo/1", SUCCEEDED)
        say(saga, "debit/do/1", RETRY)  # of an earlier attempt than the one awaited
    town.bank.signal(signal.SIGCONT)  # success after timeout: it answers every attempt there was
    answers = taps(replies, town.codec.decode_reply)
    done = {f"{saga}/debit/do/1" for saga in begun}

    def answered(heard):
        return done <= {reply.effect for reply in heard if reply.outcome == int(SUCCEEDED)}

    answers.wait(answered, "the bank's answers")
    for saga in begun:
        for outcome in (FAILED, RETRY, SUCCEEDED):  # after success
            say(saga, "debit/do/1", outcome)
    said = {(effect, int(FAILED)) for effect in done}
    answers.wait(lambda heard: said <= {(r.effect, r.outcome) for r in heard}, "what was said")
    town.post.signal(signal.SIGCONT)
    town.wait_ended()

    history = town.check()
    assert {town.ended[saga].business for saga in begun} == {"completed"}
    reasons = {"future_attempt", "wrong_direction", "stale", "late", "duplicate"}
    assert reasons <= ignored(history)
    assert worker.lines("dead_letter") == []


def test_success_that_comes_during_or_after_compensation_is_recorded_and_undone(
    town, taps, ask_the_silent
):
    town.worker()
    _, replies = topics_of(town, "bank")
    begun, _ = ask_the_silent("bank", town.bank.freeze, "h-any", "undo", 1)

    town.bank.signal(signal.SIGCONT)  # it takes the money first, says so, and gives it back
    town.wait_ended()
    answers = taps(replies, town.codec.decode_reply)

    def first_steps():
        late = {r.effect: r for r in answers.hear() if "/hasty_debit/do/" in r.effect}
        return late if {r.saga for r in late.values()} >= set(begun) else None

    late = wait_until(first_steps, "the late answers")
    for reply in late.values():  # and once more, when all is over
        town.send(replies, reply.saga.encode(), town.codec.encode_reply(reply))
    town.begin(6)
    town.wait_ended()

    history = town.check()
    assert {reply.outcome for reply in late.values() if reply.saga in begun} == {int(SUCCEEDED)}
    assert {town.ended[saga].business for saga in begun} == {"rolled_back"}
    log = Log(town.admin, town.reader, town.codec, town.topics)
    said = {e.origin: town.codec.decode_reply(e.value) for e in read_topics(log, [replies])}
    heard = [
        transition.events
        for _, transition in history.transitions
        if transition.saga in begun
        and transition.cause.origin in said
        and "/hasty_debit/do/" in said[transition.cause.origin].effect
    ]
    # Recorded, and nothing else; during the compensation and after it.
    assert {tuple(map(type, events)) for events in heard} == {(ReplyIgnored,)}
    assert {"late"} < {events[0].reason for events in heard}
    assert town._table("bank", "changes")  # which add up to nothing, as `check` has seen


def test_what_is_never_answered_is_asked_again_until_the_deadline_and_undone(town, ask_the_silent):
    worker = town.worker(jumps=[ELEVEN_MINUTES_MS])
    begun, commands = ask_the_silent("post", town.post.kill, "s-any", "do", 3)
    assert town.open_count == len(begun)

    worker.signal(signal.SIGUSR1)  # the deadline passes
    commands.wait(lambda heard: asked(heard, begun, "undo", 2), "a second attempt to undo")
    town.post = town.participant("post")
    town.wait_ended()

    town.check()
    assert {town.ended[saga].business for saga in begun} == {"rolled_back"}
