"""What the text of a plan says that its one drawing cannot: decisions and loops."""

from __future__ import annotations

import ast
import dis
import linecache
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

DECISIONS: dict[type[ast.AST], str] = {
    ast.If: "if",
    ast.IfExp: "if",
    ast.While: "while",
    ast.BoolOp: "and / or",
    ast.Compare: "comparison",
    ast.Not: "not",
    ast.Match: "match",
    ast.Try: "try",
    ast.TryStar: "try",
    ast.Assert: "assert",
    ast.Await: "await",
    ast.AsyncFunctionDef: "async",
    ast.AsyncWith: "async",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}
LOOPS: dict[type[ast.AST], str] = {
    ast.For: "for",
    ast.AsyncFor: "for",
    ast.ListComp: "for",
    ast.SetComp: "for",
    ast.DictComp: "for",
    ast.GeneratorExp: "for",
}


class Banned(NamedTuple):
    """A construct that would act once, when the plan is drawn."""

    word: str
    line: int
    loops: bool


Function = ast.FunctionDef | ast.AsyncFunctionDef


def source_of(function: Callable[..., Any]) -> Function | None:
    """Find a function in its module's text; None if the text is not at hand."""
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    found = _functions("".join(lines)).get(code.co_firstlineno)
    return found if found is not None and found.name == function.__name__ else None


@lru_cache(maxsize=32)
def _functions(text: str) -> dict[int, Function]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}
    found = (node for node in ast.walk(tree) if isinstance(node, Function))
    return {min([f.lineno, *(d.lineno for d in f.decorator_list)]): f for f in found}


@lru_cache(maxsize=256)
def banned_in(function: Function) -> tuple[Banned, ...]:
    """Give each banned construct of a plan once: a statement without its own condition."""
    return tuple(_banned_in(function))


def _banned_in(function: Function) -> Iterator[Banned]:
    if isinstance(function, ast.AsyncFunctionDef):
        yield Banned("async", function.lineno, loops=False)
    stack: list[ast.AST] = list(reversed(function.body))
    while stack:
        node = stack.pop()
        word = DECISIONS.get(type(node)) or LOOPS.get(type(node))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            word = DECISIONS[ast.Not]
        if word is not None:
            yield Banned(word, getattr(node, "lineno", function.lineno), type(node) in LOOPS)
        # Of a decision its condition is not looked into: one report each.
        skipped = _conditions(node) if word is not None else ()
        kept = [child for child in ast.iter_child_nodes(node) if child not in skipped]
        stack.extend(reversed(kept))


def _conditions(node: ast.AST) -> tuple[ast.AST, ...]:
    if isinstance(node, ast.BoolOp | ast.Compare | ast.UnaryOp):
        return tuple(ast.iter_child_nodes(node))
    found = getattr(node, "test", None) or getattr(node, "subject", None)
    return (found,) if isinstance(found, ast.AST) else ()


def unpacked_count(frame: FrameType | None) -> int:
    """Give the number of names that a frame is just unpacking a value into; 1 if it is not."""
    if frame is not None:
        for one in dis.get_instructions(frame.f_code):
            if one.offset == frame.f_lasti and one.opname == "UNPACK_SEQUENCE":
                return int(one.arg or 1)
    return 1


IMPURE = frozenset({"os", "random", "secrets", "time", "uuid"})
"""Modules whose functions give another value each time."""
CLOCKS = frozenset({"now", "today", "utcnow"})


def impurities_of(function: Callable[..., Any]) -> Iterator[str]:
    """Name the sources of time or chance that a function uses, as far as its own code shows them."""
    codes = list(_codes(function.__code__))
    names = {name for code in codes for name in code.co_names}
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        module = value.__name__ if isinstance(value, ModuleType) else _module(value)
        # The names are of globals and of attributes alike; only a suspect is worth a closer look.
        suspect = module in IMPURE or (module == "datetime" and names & CLOCKS)
        if suspect and any(_loads(code, name) for code in codes):
            yield name


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)


def _loads(code: CodeType, name: str) -> bool:
    return any(
        one.opname == "LOAD_GLOBAL" and one.argval == name for one in dis.get_instructions(code)
    )


def _module(value: object) -> str | None:
    # `from random import choice` binds a method of an instance, which is of its class's module.
    owner = getattr(value, "__self__", None)
    return getattr(value, "__module__", None) or getattr(type(owner), "__module__", None)


def body_of(function: Callable[..., Any]) -> str | None:
    """Give a function's body as normalized text, without docstring and comments; None: unknown."""
    found = source_of(function)
    if found is None:
        return None
    body = found.body
    if ast.get_docstring(found) is not None:
        body = body[1:]
    return "\n".join(ast.unparse(statement) for statement in body)
