"""A TCP proxy between Kafka clients and brokers that knows frames: for faults on purpose.

It holds, drops, delays or duplicates frames of one chosen API in one direction, and tells when it
has done so; nothing is left to chance or to a sleep. It also makes all of the network slow, or cuts
it off from one broker or from all::

    with FrameProxy() as proxy, LocalKafka(advertised=proxy.route) as kafka:
        late = proxy.hold(Api.END_TXN)                    # the next one, of whoever
        ...                                               # a client of kafka.advertised_servers
        late.wait()                                       # it is here now
        late.release()                                    # and goes to the broker
        late.wait_answered()                              # which has dealt with it

What is behind a held frame on the same connection waits too, as on a real wire. A client that gives
up and hangs up does not take back what it has sent: the frame still arrives when it is released.
Unencrypted connections only. The proxy runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import math
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum, IntEnum
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

T = TypeVar("T")

_LOOPBACK = "127.0.0.1"
_HEAD = struct.Struct(">hhih")
"""API, version, correlation id, length of the client id (-1: none)."""
_BUFFER_BYTES = 1 << 20
_PATIENCE_S = 30.0


class Api(IntEnum):
    """The requests of Kafka's protocol that faults are made of."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Direction(Enum):
    """Which way a frame goes."""

    REQUEST = "request"
    RESPONSE = "response"


class Frame(NamedTuple):
    """One request, or the response to it."""

    api: int
    version: int
    correlation_id: int
    client_id: str
    direction: Direction
    body: bytes
    """Everything after the length: of a response the correlation id first, of a request its head."""


class _Fate(Enum):
    HOLD = "hold"
    DROP = "drop"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    HANG_UP = "hang up"
    WATCH = "watch"


class Catch:
    """A rule of the proxy, and what it has caught. Made by `FrameProxy`, used by one test thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fate: _Fate,
        api: Api | None,
        direction: Direction,
        *,
        client: str = "",
        skip: int = 0,
        count: int | None = 1,
        after_s: float = 0.0,
    ) -> None:
        self._loop = loop
        self._fate = fate
        self._api = api
        self._direction = direction
        self._client = client
        self._skip = skip
        self._left = count
        self._after_s = after_s
        self._gate = asyncio.Event()
        self._discarding = False
        self._changed = threading.Condition()
        self._frames: list[Frame] = []
        self._answers: list[Frame] = []
        self._links: list[_Link] = []

    # --- the test's side ------------------------------------------------------------------------

    @property
    def frames(self) -> tuple[Frame, ...]:
        """What was caught so far."""
        with self._changed:
            return tuple(self._frames)

    @property
    def answers(self) -> tuple[Frame, ...]:
        """The brokers' responses to the requests that were caught, as far as they have come."""
        with self._changed:
            return tuple(self._answers)

    def wait(self, count: int = 1, timeout_s: float = _PATIENCE_S) -> tuple[Frame, ...]:
        """Wait until so many frames were caught. Raises TimeoutError."""
        self._await(lambda: len(self._frames) >= count, timeout_s, f"{count} caught")
        return self.frames

    def wait_answered(self, count: int = 1, timeout_s: float = _PATIENCE_S) -> tuple[Frame, ...]:
        """Wait until brokers have answered so many of the requests caught. Raises TimeoutError."""
        self._await(lambda: len(self._answers) >= count, timeout_s, f"{count} answered")
        return self.answers

    def release(self) -> None:
        """Let what is held go on, and catch nothing more."""
        self._loop.call_soon_threadsafe(self._open, False)

    def discard(self) -> None:
        """Throw away what is held, and catch nothing more."""
        self._loop.call_soon_threadsafe(self._open, True)

    def hang_up(self) -> None:
        """Close the clients' side of the connections whose requests are held; they stay held."""
        self._loop.call_soon_threadsafe(self._hang_up)

    def _await(self, met: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(met, timeout_s):
                api = "any frame" if self._api is None else self._api.name
                raise TimeoutError(
                    f"{self._fate.value} {api} {self._direction.value}: not {what} in"
                    f" {timeout_s:.0f} s; {len(self._frames)} caught, {len(self._answers)} answered"
                )

    # --- the loop's side ------------------------------------------------------------------------

    def wants(self, frame: Frame) -> bool:
        """Whether a frame is this rule's; counts it off if so."""
        fits = (
            (self._api is None or frame.api == self._api)
            and frame.direction is self._direction
            and frame.client_id.startswith(self._client)
        )
        if not fits or self._left == 0 or self._gate.is_set():
            return False
        if self._skip:
            self._skip -= 1
            return False
        if self._left is not None:
            self._left -= 1
        return True

    @property
    def watches(self) -> bool:
        """Whether it only counts, and leaves the frame to other rules."""
        return self._fate is _Fate.WATCH

    async def treat(self, frame: Frame, link: _Link) -> int:
        """Do to a frame what is to be done; give how often it goes on."""
        if frame.direction is Direction.REQUEST:
            link.catches.setdefault(frame.correlation_id, []).append(self)
        self._links.append(link)
        with self._changed:
            self._frames.append(frame)
            self._changed.notify_all()
        if self._fate is _Fate.HOLD:
            await self._gate.wait()
            return 0 if self._discarding else 1
        if self._fate is _Fate.DELAY:
            await asyncio.sleep(self._after_s)
        elif self._fate is _Fate.HANG_UP:
            link.hang_up()
        return {_Fate.DROP: 0, _Fate.HANG_UP: 0, _Fate.DUPLICATE: 2}.get(self._fate, 1)

    def answered(self, response: Frame) -> None:
        """Take note of the response to a request that was caught."""
        with self._changed:
            self._answers.append(response)
            self._changed.notify_all()

    def _open(self, discarding: bool) -> None:  # noqa: FBT001 - call_soon takes no keywords
        self._discarding = discarding
        self._gate.set()

    def _hang_up(self) -> None:
        for link in self._links:
            link.hang_up()


class _Pace:
    """How slow the network is in one direction, for all connections together."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.bytes_per_s = 0
        """0: no limit."""
        self._free_s = 0.0
        """When what was sent before has left."""

    def due_s(self, now_s: float, size_bytes: int) -> float:
        """When so many bytes, sent now, arrive."""
        takes_s = size_bytes / self.bytes_per_s if self.bytes_per_s else 0.0
        self._free_s = max(now_s, self._free_s) + takes_s
        return self._free_s + self.delay_s


class _Line:
    """One direction of a connection: what goes in comes out in order, and late on a slow network."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, writer: asyncio.StreamWriter, pace: _Pace
    ) -> None:
        self._loop = loop
        self._writer = writer
        self._pace = pace
        self._last_s = 0.0
        """When the last of what is on its way arrives."""

    async def send(self, body: bytes) -> None:
        """Send a frame on its way; what is behind it need not wait for its arrival."""
        data = len(body).to_bytes(4, "big") + body
        now_s = self._loop.time()
        due_s = self._pace.due_s(now_s, len(data))
        if max(due_s, self._last_s) <= now_s:
            self._writer.write(data)
            await self._writer.drain()
            return
        # Timers of one instant run in any order, so no two frames are of one.
        self._last_s = max(due_s, math.nextafter(self._last_s, math.inf))
        self._loop.call_at(self._last_s, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)


class _Link:
    """One client's connection and its counterpart to the broker."""

    def __init__(
        self,
        server: str,
        client: asyncio.StreamWriter,
        broker: asyncio.StreamWriter,
        lines: tuple[_Line, _Line],
    ) -> None:
        self.server = server
        """The address that `route` gave."""
        self.client = client
        self.broker = broker
        self.forth, self.back = lines
        self.catches: dict[int, list[Catch]] = {}
        """Correlation id of a caught request to its rules."""
        self.pending: dict[int, list[Frame]] = {}
        """Correlation id to the requests on their way; more than one if it was duplicated."""
        self.quiet = asyncio.Event()
        self.quiet.set()

    def sent(self, request: Frame) -> None:
        """A request goes to the broker."""
        self.pending.setdefault(request.correlation_id, []).append(request)
        self.quiet.clear()

    def came(self, correlation_id: int) -> tuple[Frame | None, bool]:
        """A response came: to which request, and whether the client is to have it."""
        requests = self.pending.get(correlation_id, [])
        request = requests.pop() if requests else None
        if not requests:
            self.pending.pop(correlation_id, None)
        if not self.pending:
            self.quiet.set()
        return request, not requests

    def hang_up(self) -> None:
        """The client sees its connection break; what it has sent is still on its way."""
        self.client.transport.abort()


class FrameProxy:
    """The proxy. A context manager; `route` gives the address of a broker as clients shall see it."""

    def __init__(self, host: str = _LOOPBACK) -> None:
        """Stand before brokers on this machine, at an address of it that clients reach."""
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._rules: list[Catch] = []
        self._servers: list[asyncio.Server] = []
        self._routes: set[str] = set()
        self._refused: frozenset[str] = frozenset()
        """Addresses through which no new connection comes."""
        self._paces = {direction: _Pace() for direction in Direction}
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def route(self, broker: str) -> str:
        """Listen for clients of the broker at `host:port`; give the address, `host:port`."""
        host, _, port = broker.rpartition(":")

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._serve((host, int(port)), reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        async def listen() -> int:
            server = await asyncio.start_server(accept, self._host, 0, limit=_BUFFER_BYTES)
            self._servers.append(server)
            return int(server.sockets[0].getsockname()[1])

        address = f"{self._host}:{self._run(listen())}"
        self._routes.add(address)
        return address

    def close(self) -> None:
        """Break every connection and end. Idempotent."""
        if not self._thread.is_alive():
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- rules: the first that fits a frame has it ----------------------------------------------

    def hold(
        self,
        api: Api | None,
        direction: Direction = Direction.REQUEST,
        *,
        client: str = "",
        skip: int = 0,
        count: int | None = 1,
    ) -> Catch:
        """Hold frames until they are released or discarded.

        Args:
            api: Which; None: any.
            direction: Requests, or the responses to them.
            client: How the client id begins.
            skip: So many pass first.
            count: So many are caught, on different connections; None: all.
        """
        return self._rule(_Fate.HOLD, api, direction, client=client, skip=skip, count=count)

    def drop(
        self,
        api: Api | None,
        direction: Direction = Direction.REQUEST,
        *,
        client: str = "",
        skip: int = 0,
        count: int | None = 1,
    ) -> Catch:
        """Throw frames away; the connection stays. Arguments as of `hold`."""
        return self._rule(_Fate.DROP, api, direction, client=client, skip=skip, count=count)

    def delay(
        self,
        api: Api | None,
        direction: Direction = Direction.REQUEST,
        *,
        by_ms: int,
        client: str = "",
        skip: int = 0,
        count: int | None = 1,
    ) -> Catch:
        """Let frames come so much later. Other arguments as of `hold`."""
        return self._rule(
            _Fate.DELAY,
            api,
            direction,
            client=client,
            skip=skip,
            count=count,
            after_s=by_ms / 1_000,
        )

    def duplicate(
        self, api: Api | None, *, client: str = "", skip: int = 0, count: int | None = 1
    ) -> Catch:
        """Send requests twice; the client gets one response. Arguments as of `hold`."""
        request = Direction.REQUEST
        return self._rule(_Fate.DUPLICATE, api, request, client=client, skip=skip, count=count)

    def hang_up(
        self,
        api: Api | None,
        direction: Direction = Direction.REQUEST,
        *,
        client: str = "",
        skip: int = 0,
        count: int | None = 1,
    ) -> Catch:
        """Throw frames away and break the client's connection. Arguments as of `hold`."""
        return self._rule(_Fate.HANG_UP, api, direction, client=client, skip=skip, count=count)

    def watch(
        self,
        api: Api | None,
        direction: Direction = Direction.REQUEST,
        *,
        client: str = "",
        skip: int = 0,
        count: int | None = 1,
    ) -> Catch:
        """Only say when frames come. Arguments as of `hold`."""
        return self._rule(_Fate.WATCH, api, direction, client=client, skip=skip, count=count)

    def clear(self) -> None:
        """Let everything pass from now on, what is held first."""
        for rule in self._rules:
            rule.release()
        self._rules = []

    # --- the whole network ----------------------------------------------------------------------

    def sever(self, server: str = "") -> None:
        """Break every connection once; with an address that `route` gave, those through it."""
        self._loop.call_soon_threadsafe(self._sever, server)

    def refuse(self, server: str = "") -> None:
        """Let no new connection through until `mend`. `server` as of `sever`."""
        self._refused |= {server} if server else self._routes

    def cut(self, server: str = "") -> None:
        """Break every connection and let none through until `mend`. `server` as of `sever`."""
        self.refuse(server)
        self.sever(server)

    def slow_down(self, *, delay_ms: int, bytes_per_s: int = 0) -> None:
        """Let every frame, each way, arrive so much later until `mend`; those behind do not wait.

        `bytes_per_s` is what all connections carry together, each way; 0: no limit.
        """
        for pace in self._paces.values():
            pace.delay_s, pace.bytes_per_s = delay_ms / 1_000, bytes_per_s

    def mend(self) -> None:
        """Undo `refuse`, `cut` and `slow_down`; what is on its way still takes its time."""
        self._refused = frozenset()
        self.slow_down(delay_ms=0)

    # --- the loop -------------------------------------------------------------------------------

    def _rule(self, fate: _Fate, api: Api | None, direction: Direction, **how: Any) -> Catch:
        rule = Catch(self._loop, fate, api, direction, **how)
        self._rules = [*self._rules, rule]  # a new list: the loop may be walking the old one
        return rule

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)

    def _sever(self, server: str = "") -> None:
        for link in self._links:
            if server in ("", link.server):
                link.client.transport.abort()
                link.broker.transport.abort()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._sever()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(
        self,
        address: tuple[str, int],
        client_reader: asyncio.StreamReader,
        client_writer: asyncio.StreamWriter,
    ) -> None:
        server = f"{self._host}:{client_writer.get_extra_info('sockname')[1]}"
        try:
            if server in self._refused:
                raise ConnectionRefusedError
            broker_reader, broker_writer = await asyncio.open_connection(
                *address, limit=_BUFFER_BYTES
            )
        except OSError:
            client_writer.transport.abort()
            return
        if server in self._refused:  # since then: nobody could break what was not there yet
            client_writer.transport.abort()
            broker_writer.transport.abort()
            return
        lines = (
            _Line(self._loop, broker_writer, self._paces[Direction.REQUEST]),
            _Line(self._loop, client_writer, self._paces[Direction.RESPONSE]),
        )
        link = _Link(server, client_writer, broker_writer, lines)
        self._links.add(link)
        forth = self._loop.create_task(self._forth(client_reader, link))
        try:
            await self._back(broker_reader, link)
        finally:
            forth.cancel()
            self._links.discard(link)
            client_writer.transport.abort()
            broker_writer.transport.abort()

    async def _forth(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                body = await _read(reader)
                frame = _request(body)
                for _ in range(await self._treat(frame, link)):
                    link.sent(frame)
                    await link.forth.send(body)
        # What the client sent before it hung up is the broker's to deal with.
        await link.quiet.wait()
        link.broker.transport.abort()

    async def _back(self, reader: asyncio.StreamReader, link: _Link) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                body = await _read(reader)
                request, wanted = link.came(int.from_bytes(body[:4], "big"))
                if request is None or not wanted:
                    continue
                frame = request._replace(direction=Direction.RESPONSE, body=body)
                for catch in link.catches.pop(frame.correlation_id, ()):
                    catch.answered(frame)
                for _ in range(await self._treat(frame, link)):
                    with suppress(OSError):  # the client may be gone, its further requests not
                        await link.back.send(body)

    async def _treat(self, frame: Frame, link: _Link) -> int:
        for rule in self._rules:
            if rule.wants(frame):
                times = await rule.treat(frame, link)
                if not rule.watches:
                    return times
        return 1


async def _read(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


def _request(body: bytes) -> Frame:
    api, version, correlation_id, length = _HEAD.unpack_from(body)
    end = _HEAD.size + max(0, length)
    client_id = body[_HEAD.size : end].decode("utf-8", "replace")
    return Frame(api, version, correlation_id, client_id, Direction.REQUEST, body)
