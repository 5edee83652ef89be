"""M11, M12, M14, M16, M17 at the producer itself: what reaches the broker late, and what it does then.

The client library repeats requests by itself and speaks the first transaction protocol, in which
nothing says to which transaction of an epoch a request belongs.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from threading import Thread

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Place
from town import wait_until
from worker_child import TrustingSink

from orchestrator.codec.envelope import Record
from orchestrator.errors import Doubtful, Fenced, OrchestratorError
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Assigned, Position, TopicPartition, TopicSpec
from orchestrator.kafka.bounded import ABANDONED_COUNT_MAX
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.sink import TransactionalSink, TransactionSettings
from orchestrator.kafka.source import KafkaSource
from orchestrator.testing.frame_proxy import Api, Direction

OK = 0
INVALID_PRODUCER_EPOCH = 47
PRODUCER_FENCED = 90
STALE = {INVALID_PRODUCER_EPOCH, PRODUCER_FENCED}


class Desk:
    """One producer behind the proxy, two topics, an input topic, and a look at what is committed."""

    def __init__(self, broker, proxy, prefix):
        self.prefix, self.proxy = prefix, proxy
        direct = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        self.behind = KafkaSettings(
            bootstrap_servers=broker.advertised_servers, socket_timeout_ms=1_000
        )
        self.admin, self.reader = KafkaAdmin(direct), ChangelogReader(direct, f"{prefix}.reader")
        names = [f"{prefix}.{name}" for name in ("a", "b", "in")]
        self.admin.create([TopicSpec(name, 1, 1, {}) for name in names])
        wait_until(lambda: len(self.admin.topics(names)) == len(names), "the topics")
        self.source = KafkaSource(
            direct,
            group=f"{prefix}.g",
            instance_id=f"{prefix}-source",
            topics=[f"{prefix}.in"],
            session_timeout_ms=30_000,
        )
        wait_until(self._assigned, "the assignment")
        self.judge = Consumer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "group.id": f"{prefix}.judge",
                "isolation.level": "read_committed",
            }
        )
        self.sinks = []

    def _assigned(self):
        return any(isinstance(r, Assigned) for r in self.source.poll_batch(1, 0.05).rebalances)

    def sink(self, kind=TransactionalSink, **tuning):
        sink = kind(self.behind, f"{self.prefix}-000", TransactionSettings(**tuning))
        sink.init()
        self.sinks.append(sink)
        return sink

    def send(self, sink, value, *topics):
        for topic in topics:
            sink.send(Record(f"{self.prefix}.{topic}", 0, b"k", value), track=True)

    def offsets(self, sink, offset):
        sink.send_offsets([Position(f"{self.prefix}.in", 0, offset)], self.source.group_metadata())

    def transaction(self, sink, value, offset=None, *, severed=False):
        """A whole transaction on both topics; perhaps every connection breaks once it is open."""
        sink.begin()
        if severed:
            self.proxy.sever()
        self.send(sink, value, "a", "b")
        if offset is not None:
            sink._producer.flush(10)  # nothing else is on the way when a rule meets the offsets
            self.offsets(sink, offset)
        sink.commit()

    def hold(self, api, direction=Direction.REQUEST):
        return self.proxy.hold(api, direction, client=self.prefix)

    def watch(self, api):
        return self.proxy.watch(api, client=self.prefix)

    def committed(self, topic):
        """Values that a reader of committed records sees now."""
        pair = TopicPartition(f"{self.prefix}.{topic}", 0)
        found = []
        for batch in self.reader.read(Position(*pair, 0), self.admin.end_offsets([pair])[pair]):
            if not batch and not self.stable(topic):
                break  # what is behind is undecided
            found += [envelope.value for envelope in batch]
        return found

    def position(self):
        """The group's committed position."""
        pair = TopicPartition(f"{self.prefix}.in", 0)
        return self.source.committed([pair], 5.0)[pair]

    def stable(self, topic):
        """Whether nothing undecided is in a topic."""
        place = Place(f"{self.prefix}.{topic}", 0)
        _, stable = self.judge.get_watermark_offsets(place, timeout=10)
        pair = TopicPartition(place.topic, 0)
        return stable == self.admin.end_offsets([pair])[pair]

    def close(self):
        self.judge.close()
        self.proxy.clear()
        for sink in self.sinks:
            sink.close()
        self.source.close()
        self.reader.close()


def later(work, *arguments):
    """Do something in a thread that nobody has to wait for: it may never come back."""
    future = Future()

    def run():
        try:
            future.set_result(work(*arguments))
        except OrchestratorError as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


@pytest.fixture
def desk(broker, proxy, topic_prefix):
    made = Desk(broker, proxy, topic_prefix)
    yield made
    made.close()


def error_code(response, at):
    """The error code in a response: after correlation id and throttle time, or further back."""
    return int.from_bytes(response.body[at : at + 2], "big")


def late_end(desk, sink, *, hang_up):
    """End a transaction whose first `EndTxn` stays on the way; give it, and what commit raised."""
    held = desk.hold(Api.END_TXN)
    sink.begin()
    desk.send(sink, b"1", "a", "b")
    commit = later(sink.commit)
    held.wait()
    if hang_up:
        held.hang_up()
    return held, commit.exception(20)


def meet_the_next(desk, sink, held):
    """Let the late `EndTxn` meet a transaction that is half written; give its error code."""
    written = desk.watch(Api.PRODUCE)
    sink.begin()
    desk.send(sink, b"2", "a")
    written.wait_answered()
    held.release()
    (answer,) = held.wait_answered()
    return error_code(answer, 8)


def test_without_rotation_a_late_end_tears_the_next_transaction(desk):
    sink = desk.sink(TrustingSink)
    desk.transaction(sink, b"0")
    held, trouble = late_end(desk, sink, hang_up=False)
    assert trouble is None

    assert meet_the_next(desk, sink, held) == OK

    # Nobody has asked for it, and half of it is committed.
    wait_until(lambda: desk.committed("a") == [b"0", b"1", b"2"], "what is torn")
    assert desk.committed("b") == [b"0", b"1"]


def test_after_rotation_a_late_end_is_refused(desk):
    sink = desk.sink()
    desk.transaction(sink, b"0")
    held, trouble = late_end(desk, sink, hang_up=False)
    assert isinstance(trouble, Doubtful)
    sink.rotate()

    assert meet_the_next(desk, sink, held) in STALE

    assert desk.committed("a") == [b"0", b"1"]
    desk.send(sink, b"2", "b")
    sink.commit()
    assert desk.committed("a") == desk.committed("b") == [b"0", b"1", b"2"]


@pytest.mark.parametrize("api", [Api.END_TXN, Api.ADD_OFFSETS_TO_TXN, Api.ADD_PARTITIONS_TO_TXN])
def test_a_request_repeated_on_a_new_connection_is_doubtful(desk, api):
    sink = desk.sink()
    desk.transaction(sink, b"0", 1)
    held = desk.hold(api)
    whole = later(desk.transaction, sink, b"1", 2)
    held.wait()
    held.hang_up()

    assert isinstance(whole.exception(20), Doubtful)


def test_repeated_offsets_are_doubtful(desk):
    sink = desk.sink()
    desk.transaction(sink, b"0", 1)
    held = desk.hold(Api.TXN_OFFSET_COMMIT)
    whole = later(desk.transaction, sink, b"1", 2)
    held.wait()  # the library gives up after a second, and repeats it on another connection

    assert isinstance(whole.exception(20), Doubtful)


def test_a_transaction_with_a_broken_connection_ends_in_time(desk):
    sink = desk.sink(transaction_timeout_ms=4_000)
    desk.transaction(sink, b"0", 1)

    trouble = later(partial(desk.transaction, severed=True), sink, b"1", 2).exception(20)

    assert isinstance(trouble, Doubtful)
    assert "hangs" not in str(trouble)
    sink.rotate()
    desk.transaction(sink, b"2", 3)
    assert desk.position() == 3


def test_a_call_that_never_comes_back_costs_its_producer_and_nothing_else(desk):
    sink = desk.sink(transaction_timeout_ms=4_000)
    # The library's default, with which it forgets the group's coordinator: librdkafka #5456, #5511.
    sink._config["metadata.recovery.strategy"] = "rebootstrap"
    sink.rotate()
    for count in range(1, ABANDONED_COUNT_MAX + 1):
        desk.transaction(sink, b"%d" % count, count)
        with pytest.raises(Doubtful, match="hangs"):
            desk.transaction(sink, b"never", count + 1, severed=True)
        sink.rotate()

    assert desk.position() == ABANDONED_COUNT_MAX
    assert desk.committed("a") == [b"%d" % n for n in range(1, ABANDONED_COUNT_MAX + 1)]


def test_without_rotation_late_offsets_set_the_group_back(desk):
    sink = desk.sink(TrustingSink)
    desk.transaction(sink, b"0", 1)
    held = desk.hold(Api.TXN_OFFSET_COMMIT)
    later(desk.transaction, sink, b"1", 2).result(20)
    sink.begin()
    desk.send(sink, b"2", "a")
    sink._producer.flush(10)
    desk.offsets(sink, 3)
    held.release()
    held.wait_answered()

    sink.commit()

    assert desk.position() == 2  # of a transaction that was over; the changelog would say 3


def test_a_lost_answer_to_the_end_is_doubtful_and_the_transaction_stands(desk):
    sink = desk.sink()
    desk.transaction(sink, b"0")
    lost = desk.proxy.drop(Api.END_TXN, Direction.RESPONSE, client=desk.prefix)
    with pytest.raises(Doubtful):
        desk.transaction(sink, b"1")
    assert len(lost.frames) == 1
    sink.rotate()

    desk.transaction(sink, b"2")

    assert desk.committed("a") == desk.committed("b") == [b"0", b"1", b"2"]


def test_a_late_record_of_an_aborted_transaction_is_refused(desk):
    sink = desk.sink(transaction_timeout_ms=4_000)
    desk.transaction(sink, b"0")
    held = desk.hold(Api.PRODUCE)
    sink.begin()
    desk.send(sink, b"never", "a")
    held.wait()
    sink.rotate()  # as the worker does after any failure
    sink.begin()
    desk.send(sink, b"1", "b")

    held.release()

    (answer,) = held.wait_answered()
    assert answer.body.count(INVALID_PRODUCER_EPOCH.to_bytes(2, "big"))
    desk.send(sink, b"1", "a")
    sink.commit()
    assert desk.committed("a") == desk.committed("b") == [b"0", b"1"]


@pytest.mark.parametrize("direction", Direction)
def test_an_abort_that_overtakes_the_first_partition_leaves_nothing_open(desk, direction):
    sink = desk.sink()
    desk.transaction(sink, b"0")
    held = desk.hold(Api.ADD_PARTITIONS_TO_TXN, direction)
    sink.begin()
    desk.send(sink, b"never", "a")
    held.wait()
    abort = later(sink.abort)

    abort.exception(20)  # whatever it says: after it comes a new producer
    sink.rotate()
    held.release()

    desk.transaction(sink, b"1")
    assert desk.committed("a") == desk.committed("b") == [b"0", b"1"]


def test_a_transaction_that_timed_out_cannot_be_committed(desk):
    sink = desk.sink(transaction_timeout_ms=2_000)
    desk.transaction(sink, b"0")
    sink.begin()
    desk.send(sink, b"never", "a", "b")
    written = desk.watch(Api.PRODUCE)
    written.wait_answered()
    desk.source.poll_batch(1, 0)
    # What was written is decided once the broker has aborted it: the reader gets past it.
    wait_until(lambda: desk.stable("a"), "the broker's patience to end")

    with pytest.raises((Fenced, Doubtful)):
        sink.commit()
    sink.rotate()

    desk.transaction(sink, b"1")
    assert desk.committed("a") == desk.committed("b") == [b"0", b"1"]
