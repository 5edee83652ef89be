"""Binding a built tree to a codec: from functions of payloads to functions of bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Protocol, assert_never

from orchestrator import guard
from orchestrator.core import definition as core
from orchestrator.definition import kinds
from orchestrator.definition.values import Pure, parts_of
from orchestrator.errors import TransactionError

_REMEMBERED_COUNT = 4_096
"""Decoded values kept of each type: some thousand sagas are under way in a shard at a time."""


class PayloadCodec(Protocol):
    """Turns a payload, or a derived value, into bytes and back.

    `kind` is a payload's class, one of the scalars, `tuple[X, ...]` or `dict[str, X]`; never a
    union. Both may raise; it is reported as a fault of the saga.
    """

    def encode(self, value: Any, kind: Any, /) -> bytes:
        """Give the bytes of `value`, which is of type `kind`."""
        ...

    def decode(self, data: bytes, kind: Any, /) -> Any:
        """Give the value of type `kind` that `data` holds."""
        ...


class Bound:
    """A user's function over encoded values: decodes, calls, checks, encodes.

    Whatever the function does becomes a Fault. Only a codec that cannot work at all just now (its
    registry is away) raises, a TransactionError.
    """

    __slots__ = ("_readers", "_writer", "codec", "pure")

    def __init__(self, pure: Pure, codec: PayloadCodec, memory: Memory | None = None) -> None:
        self.pure = pure
        self.codec = codec
        known = Memory(codec) if memory is None else memory
        self._readers = tuple(known.reader(kind) for kind in pure.takes)
        self._writer = _writer(codec, pure.gives)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and (self.pure, self.codec) == (other.pure, other.codec)

    def __hash__(self) -> int:
        return hash(self.pure)

    def __call__(self, arguments: tuple[bytes | None, ...]) -> bytes | core.Fault | None:
        """Give the encoded value; a Fault that names the function if anything goes wrong."""
        sent = guard.call(self._run, arguments)
        # It is pure, so it may be run again to see where it went wrong.
        return self._explain(arguments) if isinstance(sent, guard.Raised) else sent

    def _run(self, arguments: tuple[bytes | None, ...]) -> bytes | None:
        values = [
            None if data is None else read(data)
            for read, data in zip(self._readers, arguments, strict=False)
        ]
        out = self.pure.function(*values)
        if not kinds.is_instance(out, self.pure.gives):
            raise TypeError
        return self._writer(out)

    def _explain(self, arguments: tuple[bytes | None, ...]) -> bytes | core.Fault | None:
        pure = self.pure
        values = []
        for kind, data in zip(pure.takes, arguments, strict=False):
            value = guard.call(_decode, self.codec, data, kind)
            if isinstance(value, guard.Raised):
                _pass_on(value)
                text = f"`{pure.name}` cannot read its {kinds.say(kind)}: {value.summary}"
                return core.Fault(text)
            values.append(value)
        out = guard.call(pure.function, *values)
        if isinstance(out, guard.Raised):
            return core.Fault(f"`{pure.name}` raised {out.text}")
        if not kinds.is_instance(out, pure.gives):
            want = kinds.say(pure.gives)
            return core.Fault(f"`{pure.name}` gave a {type(out).__name__}, not a {want}")
        sent = guard.call(_encode, self.codec, out, pure.gives)
        if isinstance(sent, guard.Raised):
            _pass_on(sent)
            return core.Fault(f"`{pure.name}` gave what cannot be sent: {sent.summary}")
        return sent


class Memory:
    """Remembers what was decoded last: the steps of a saga read the same payloads again and again.

    Only values that nothing can change are kept, as every reader gets the same object.
    """

    def __init__(self, codec: PayloadCodec) -> None:
        self._codec = codec
        self._readers: dict[Any, Callable[[bytes], Any]] = {}

    def reader(self, kind: Any) -> Callable[[bytes], Any]:
        """Give the function that decodes values of type `kind`."""
        if kind not in self._readers:
            plain: Callable[[bytes], Any] = partial(_decode, self._codec, kind=kind)
            if kinds.is_unchanging(kind):
                plain = lru_cache(_REMEMBERED_COUNT)(plain)
            self._readers[kind] = plain
        return self._readers[kind]


def pure_of(function: object) -> Pure | None:
    """Give the user's function behind one of the tree's; None if there is none."""
    found = function.pure if isinstance(function, Bound) else function
    return found if isinstance(found, Pure) else None


def bind(tree: core.Definition, codec: PayloadCodec) -> core.Definition:
    """Give the same definition with functions that run over bytes of `codec`."""
    binder = _Binder(codec)
    root = core.Sequence(tuple(map(binder.node, tree.root.children)))
    result = None if tree.result is None else binder.value(tree.result)
    return replace(tree, root=root, result=result)


class _Binder:
    # A value that is read in many places stays one object: the core computes it once.

    def __init__(self, codec: PayloadCodec) -> None:
        self.codec = codec
        self.memory = Memory(codec)
        self.known: dict[int, core.Value] = {}

    def node(self, old: core.Node) -> core.Node:
        match old:
            case core.Step():
                return self.step(old)
            case core.Choose():
                then = self.node(old.then)
                otherwise = None if old.otherwise is None else self.node(old.otherwise)
                condition = self.value(old.condition)
                return replace(old, condition=condition, then=then, otherwise=otherwise)
            case core.Sequence() | core.Parallel():
                return replace(old, children=tuple(map(self.node, old.children)))
            case _:
                assert_never(old)

    def step(self, old: core.Step) -> core.Step:
        undo = old.undo
        if undo is not None:
            undo = undo._replace(function=self.function(undo.function))
        arguments = tuple(map(self.value, old.arguments))
        function = self.function(old.function)
        return replace(old, function=function, arguments=arguments, undo=undo)

    def value(self, old: core.Value) -> core.Value:
        for part in parts_of(old):
            if id(part) not in self.known:
                self.known[id(part)] = self.one_value(part)
        return self.known[id(old)]

    def one_value(self, old: core.Value) -> core.Value:
        match old:
            case core.Derived():
                arguments = tuple(self.known[id(argument)] for argument in old.arguments)
                return core.Derived(old.name, self.function(old.function), arguments)
            case core.Chosen():
                then = None if old.then is None else self.known[id(old.then)]
                otherwise = None if old.otherwise is None else self.known[id(old.otherwise)]
                return core.Chosen(old.decision, then, otherwise)
            case _:
                return old

    def function(self, old: Any) -> Any:
        return Bound(old, self.codec, self.memory) if isinstance(old, Pure) else old


def _pass_on(raised: guard.Raised) -> None:
    # A schema registry that is away says nothing about the saga: the batch is run again.
    if isinstance(raised.error, TransactionError):
        raise raised.error


def _decode(codec: PayloadCodec, data: bytes | None, kind: Any) -> Any:
    if data is None:
        return None
    parts = kinds.present(kind)
    if len(parts) == 1:
        return codec.decode(data, parts[0])
    return codec.decode(data[1:], parts[data[0]])


def _writer(codec: PayloadCodec, kind: Any) -> Callable[[object], bytes | None]:
    if kinds.present(kind) == (kind,):
        return lambda value: codec.encode(value, kind)
    return partial(_encode, codec, kind=kind)


def _encode(codec: PayloadCodec, value: object, kind: Any) -> bytes | None:
    if value is None:
        return None
    parts = kinds.present(kind)
    if len(parts) == 1:
        return codec.encode(value, parts[0])
    number = next(n for n, part in enumerate(parts) if kinds.is_instance(value, part))
    return bytes((number,)) + codec.encode(value, parts[number])
