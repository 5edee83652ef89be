"""The frame proxy against a broker of a few lines: it answers every request with its own bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time

import pytest

from orchestrator.testing.frame_proxy import Api, Direction, FrameProxy

CLIENT = b"tester"


class EchoBroker(threading.Thread):
    """Answers each request with correlation id and body; remembers the order they came in."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            while body := receive(connection):
                api, _, correlation = struct.unpack_from(">hhi", body)
                self.seen.append((api, correlation))
                answer = correlation.to_bytes(4, "big") + body
                try:
                    connection.sendall(len(answer).to_bytes(4, "big") + answer)
                except OSError:
                    return

    def close(self):
        if self._listener.fileno() >= 0:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()


class Client:
    """A Kafka client that knows only the frame."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)

    def send(self, api, correlation, client=CLIENT):
        body = struct.pack(">hhih", api, 1, correlation, len(client)) + client + b"payload"
        self.socket.sendall(len(body).to_bytes(4, "big") + body)

    def receive(self):
        """The correlation id of the next response, None at the connection's end."""
        body = receive(self.socket)
        return int.from_bytes(body[:4], "big") if body else None

    def close(self):
        self.socket.close()


def receive(connection):
    try:
        head = connection.recv(4, socket.MSG_WAITALL)
        return connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL) if head else b""
    except ConnectionError:
        return b""


@pytest.fixture
def broker():
    started = EchoBroker()
    started.start()
    yield started
    started.close()


@pytest.fixture
def proxy():
    with FrameProxy() as started:
        yield started


@pytest.fixture
def connect(broker, proxy):
    address, made = proxy.route(broker.address), []

    def connected():
        made.append(Client(address))
        return made[-1]

    yield connected
    for client in made:
        client.close()


def test_what_no_rule_wants_passes(broker, connect):
    client = connect()
    for number in range(3):
        client.send(Api.FETCH, number)
    assert [client.receive() for _ in range(3)] == [0, 1, 2]
    assert broker.seen == [(Api.FETCH, n) for n in range(3)]


def test_a_held_request_holds_what_is_behind_it_and_nobody_else(broker, proxy, connect):
    held = proxy.hold(Api.END_TXN)
    first, second = connect(), connect()
    first.send(Api.END_TXN, 1)
    first.send(Api.FETCH, 2)
    (frame,) = held.wait()
    assert (frame.api, frame.correlation_id, frame.client_id) == (26, 1, "tester")

    second.send(Api.END_TXN, 3)
    assert second.receive() == 3
    assert broker.seen == [(Api.END_TXN, 3)]

    held.release()
    assert [first.receive(), first.receive()] == [1, 2]
    assert broker.seen == [(Api.END_TXN, 3), (Api.END_TXN, 1), (Api.FETCH, 2)]


def test_a_client_that_hangs_up_does_not_take_back_what_it_sent(broker, proxy, connect):
    held = proxy.hold(Api.END_TXN)
    client = connect()
    client.send(Api.END_TXN, 1)
    held.wait()
    client.close()

    held.release()

    (answer,) = held.wait_answered()
    assert answer.direction is Direction.RESPONSE
    assert broker.seen == [(Api.END_TXN, 1)]


def test_a_client_is_hung_up_on_while_its_request_is_held(broker, proxy, connect):
    held = proxy.hold(Api.END_TXN)
    client = connect()
    client.send(Api.END_TXN, 1)
    held.wait()

    held.hang_up()
    assert client.receive() is None
    assert broker.seen == []

    held.release()
    held.wait_answered()
    assert broker.seen == [(Api.END_TXN, 1)]


def test_what_is_discarded_never_comes_and_what_is_behind_it_does(broker, proxy, connect):
    held = proxy.hold(Api.END_TXN)
    client = connect()
    client.send(Api.END_TXN, 1)
    client.send(Api.FETCH, 2)
    held.wait()
    held.discard()
    assert client.receive() == 2
    assert broker.seen == [(Api.FETCH, 2)]


def test_dropped_requests_and_responses(broker, proxy, connect):
    client = connect()
    proxy.drop(Api.PRODUCE)
    lost = proxy.drop(Api.END_TXN, Direction.RESPONSE)
    for number, api in enumerate((Api.PRODUCE, Api.END_TXN, Api.PRODUCE, Api.END_TXN)):
        client.send(api, number)
    assert [client.receive(), client.receive()] == [2, 3]
    assert [number for _, number in broker.seen] == [1, 2, 3]
    assert [frame.correlation_id for frame in lost.frames] == [1]


def test_a_duplicate_reaches_the_broker_twice_and_is_answered_once(broker, proxy, connect):
    client = connect()
    twice = proxy.duplicate(Api.PRODUCE, skip=1)
    for number in range(3):
        client.send(Api.PRODUCE, number)
    assert [client.receive() for _ in range(3)] == [0, 1, 2]
    assert [number for _, number in broker.seen] == [0, 1, 1, 2]
    assert len(twice.frames) == 1


def test_the_first_request_may_pass_and_other_clients_always(proxy, connect):
    client = connect()
    caught = proxy.drop(Api.FETCH, client="test", skip=1, count=None)
    for number, name in enumerate((b"tester", b"other", b"tester", b"tester", b"other")):
        client.send(Api.FETCH, number, name)
    assert [client.receive() for _ in range(3)] == [0, 1, 4]
    assert len(caught.wait(2)) == 2


def test_a_watcher_leaves_the_frame_to_others(broker, proxy, connect):
    client = connect()
    seen, late = proxy.watch(None, count=None), proxy.delay(Api.FETCH, by_ms=1)
    client.send(Api.FETCH, 1)
    assert client.receive() == 1
    assert len(seen.wait_answered()) == len(late.wait_answered()) == 1
    assert broker.seen == [(Api.FETCH, 1)]


def test_a_response_can_break_the_connection(broker, proxy, connect):
    proxy.hang_up(Api.END_TXN, Direction.RESPONSE)
    client = connect()
    client.send(Api.END_TXN, 1)
    assert client.receive() is None
    assert broker.seen == [(Api.END_TXN, 1)]


def test_a_cut_breaks_all_connections_and_lets_none_through_until_mended(proxy, connect):
    client = connect()
    client.send(Api.FETCH, 1)
    assert client.receive() == 1

    proxy.cut()
    assert client.receive() is None
    assert connect().receive() is None

    proxy.mend()
    again = connect()
    again.send(Api.FETCH, 2)
    assert again.receive() == 2


def test_one_broker_can_be_cut_off_alone(proxy, broker, connect):
    other = proxy.route(broker.address)
    cut_off, spared = Client(other), connect()

    proxy.cut(other)

    assert cut_off.receive() is None
    again = Client(other)
    assert again.receive() is None
    spared.send(Api.FETCH, 1)
    assert spared.receive() == 1
    cut_off.close()
    again.close()


def test_a_connection_in_the_making_is_cut_off_too(proxy, broker, monkeypatch):
    began, may_go_on = threading.Event(), threading.Event()
    connect_to = asyncio.open_connection

    async def hesitate(*args, **options):
        began.set()
        await asyncio.to_thread(may_go_on.wait)
        return await connect_to(*args, **options)

    monkeypatch.setattr(asyncio, "open_connection", hesitate)
    client = Client(proxy.route(broker.address))
    assert began.wait(10)

    proxy.cut()
    may_go_on.set()

    assert client.receive() is None
    client.close()


def test_on_a_slow_network_frames_travel_together_and_in_order(broker, proxy, connect):
    client, left = connect(), proxy.watch(None, count=None)
    proxy.slow_down(delay_ms=300)
    sent_s = time.monotonic()
    for number in range(20):
        client.send(Api.FETCH, number)

    assert client.receive() == 0

    assert time.monotonic() - sent_s >= 2 * 0.3
    assert len(left.frames) == 20  # none waited for the one before it to arrive
    assert [client.receive() for _ in range(19)] == list(range(1, 20))
    assert [number for _, number in broker.seen] == list(range(20))


def test_a_narrow_network_lets_so_many_bytes_through(proxy, connect):
    client = connect()
    frame_bytes = 4 + 10 + len(CLIENT) + len(b"payload")
    proxy.slow_down(delay_ms=0, bytes_per_s=50 * frame_bytes)
    sent_s = time.monotonic()
    for number in range(10):
        client.send(Api.FETCH, number)
    assert [client.receive() for _ in range(10)] == list(range(10))
    assert time.monotonic() - sent_s >= 10 / 50

    proxy.mend()
    client.send(Api.FETCH, 10)
    assert client.receive() == 10


def test_clear_frees_what_is_held(proxy, connect):
    held = proxy.hold(None, count=None)
    client = connect()
    client.send(Api.FETCH, 1)
    held.wait()
    proxy.clear()
    assert client.receive() == 1


def test_waiting_has_an_end_that_says_what_was_seen(proxy):
    with pytest.raises(TimeoutError, match="hold END_TXN request: not 1 caught"):
        proxy.hold(Api.END_TXN).wait(timeout_s=0.01)


def test_a_broker_that_is_not_there_is_a_broken_connection(proxy, broker):
    address = proxy.route(broker.address)
    broker.close()
    client = Client(address)
    assert client.receive() is None
    client.close()
