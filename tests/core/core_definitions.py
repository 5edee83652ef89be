"""Definitions for the core's tests: a few by hand, any number at random."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from orchestrator.core.definition import (
    TRUE,
    Choose,
    Chosen,
    Definition,
    Derived,
    Fault,
    Given,
    Node,
    Parallel,
    Result,
    RetryPolicy,
    Sequence,
    Step,
    Undo,
    Value,
)

WITHIN_MS = 1_000
DEADLINE_MS = 3_600_000
ONCE = RetryPolicy(attempts_max=1)


def step(index: int, **changes) -> Step:
    """Give a step `s<index>` of participant `p<index>`, with an undo unless told otherwise."""
    fields = {
        "index": index,
        "id": f"s{index}",
        "participant": f"p{index}",
        "command_type": f"Do{index}",
        "function": lambda _: f"do{index}".encode(),
        "arguments": (Given(),),
        "within_ms": WITHIN_MS,
        "undo": undo(index),
    }
    return Step(**(fields | changes))


def undo(index: int, **changes) -> Undo:
    """Give the compensation of `s<index>`."""
    fields = {
        "function": lambda _: f"undo{index}".encode(),
        "command_type": f"Undo{index}",
        "participant": f"p{index}",
        "within_ms": WITHIN_MS,
    }
    return Undo(**(fields | changes))


def definition(*children: Node, **changes) -> Definition:
    """Give a definition with these nodes in sequence."""
    fields = {
        "name": "trip",
        "version": 1,
        "fingerprint": 7,
        "deadline_ms": DEADLINE_MS,
        "root": Sequence(children),
    }
    return Definition(**(fields | changes))


def constant(encoded: bytes | Fault) -> Derived:
    """Give a value that does not depend on anything."""
    return Derived("constant", lambda _: encoded, ())


def when(decision: int, holds: bool, then: Node, otherwise: Node | None = None) -> Choose:  # noqa: FBT001
    """Give a choice whose condition is known."""
    condition = constant(TRUE if holds else b"\x00")
    return Choose(decision, f"c{decision}", condition, then, otherwise)


# --- at random ----------------------------------------------------------------------------------


@dataclass
class Program:
    """A random definition, and which of its functions raise until somebody mends them."""

    definition: Definition
    broken: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)
    """Of every function that may raise."""


def random_program(rng: Random, steps_max: int = 12) -> Program:
    """Grow a tree of at most `steps_max` steps, perhaps with a pivot in the outer sequence."""
    return _Grower(rng, steps_max).program()


class _Grower:
    def __init__(self, rng: Random, steps_max: int) -> None:
        self.rng = rng
        self.left = rng.randint(1, steps_max)
        self.steps = 0
        self.decisions = 0
        self.after_pivot = False
        self.broken: set[str] = set()
        self.names: list[str] = []

    def program(self) -> Program:
        pivot_at = self.rng.randint(0, 4) if self.rng.random() < 0.6 else -1
        children: list[Node] = []
        while self.left > 0:
            if len(children) == pivot_at:
                children.append(self.step(pivot=True))
                self.after_pivot = True
            else:
                children.append(self.node(3))
        built = Definition(
            name="random",
            version=1,
            fingerprint=self.rng.getrandbits(63),
            deadline_ms=self.rng.choice((300, 3_000, 10**9)),
            keep_ms=self.rng.choice((1, 10_000)),
            root=Sequence(tuple(children)),
            result=self.value(2) if self.rng.random() < 0.7 else None,
        )
        return Program(built, self.broken, self.names)

    def node(self, depth: int) -> Node:
        roll = self.rng.random()
        if depth == 0 or self.left <= 0 or roll < 0.55:
            return self.step()
        if roll < 0.65:
            return Sequence(self.nodes(depth, 0, 3), name=self.rng.choice(("", "block")))
        if roll < 0.85:
            return Parallel(self.nodes(depth, 0, 4))
        decision, self.decisions = self.decisions, self.decisions + 1
        # Inside its own branches a choice is known already, but it may not read itself.
        condition = self.derived(1, f"condition {decision}", decision)
        then = self.node(depth - 1)
        otherwise = self.node(depth - 1) if self.rng.random() < 0.5 else None
        return Choose(decision, f"condition {decision}", condition, then, otherwise)

    def nodes(self, depth: int, least: int, most: int) -> tuple[Node, ...]:
        if self.rng.random() < 0.08:
            return (Sequence(()), Parallel(()))[: self.rng.randint(0, 2)]
        count = self.rng.randint(least, most)
        return tuple(self.node(depth - 1) for _ in range(count))

    def step(self, *, pivot: bool = False) -> Step:
        index, self.steps, self.left = self.steps, self.steps + 1, self.left - 1
        undo_wanted = not self.after_pivot and self.rng.random() < 0.75
        arguments = tuple(self.value(2, index) for _ in range(self.rng.randint(0, 2)))
        return step(
            index,
            participant=f"p{index % 3}",
            function=self.function(f"do {index}"),
            arguments=arguments,
            within_ms=self.rng.choice((50, 200)),
            retry=self.policy(),
            undo=self.undo(index) if undo_wanted else None,
            pivot=pivot,
            after_pivot=self.after_pivot,
        )

    def undo(self, index: int) -> Undo:
        return undo(
            index,
            function=self.function(f"undo {index}"),
            participant=f"p{index % 3}",
            within_ms=self.rng.choice((50, 200)),
            retry=self.policy(),
        )

    def policy(self) -> RetryPolicy:
        return RetryPolicy(
            attempts_max=self.rng.choice((1, 2, 3, None)),
            first_ms=self.rng.choice((1, 20)),
            factor=self.rng.choice((1.0, 2.0, 10.0)),
            cap_ms=100,
        )

    def value(self, depth: int, steps: int | None = None) -> Value:
        known = self.steps if steps is None else steps
        roll = self.rng.random()
        if depth == 0 or roll < 0.3:
            return Given()
        if roll < 0.7 and known:
            return Result(self.rng.randrange(known))
        if roll < 0.8 and self.decisions:
            then = self.value(depth - 1, known)
            return Chosen(self.rng.randrange(self.decisions), then, None)
        return self.derived(depth - 1, f"derive {len(self.names)}")

    def derived(self, depth: int, name: str, _: int = 0) -> Derived:
        arguments = tuple(self.value(depth) for _ in range(self.rng.randint(0, 2)))
        return Derived(name, self.function(name, boolean=name.startswith("cond")), arguments)

    def function(self, name: str, *, boolean: bool = False):
        self.names.append(name)
        if self.rng.random() < 0.03:
            self.broken.add(name)
        broken = self.broken
        salt = self.rng.getrandbits(16)

        def compute(arguments: tuple[bytes | None, ...]) -> bytes | Fault:
            if name in broken:
                return Fault(f"{name} raised")
            digest = crc32(repr((salt, arguments)).encode())
            if boolean:
                return TRUE if digest % 3 else b"\x00"
            return f"{name}:{digest:08x}".encode()

        return compute
