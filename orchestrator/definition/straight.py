"""Plans with mistakes, straightened so that all of their text is drawn.

A decision would hide one of its arms, and a statement that raises would hide all that follow. A
plan or block in which either happens is drawn in another form: arms one after the other, loops for
one turn, and each statement that raises is told and passed over. That form is never built: it
serves only to find what else is wrong.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from itertools import islice
from types import CellType, CodeType, FunctionType
from typing import Any, TypeVar

from orchestrator import guard
from orchestrator.definition import syntax
from orchestrator.definition.drawing import Drawing
from orchestrator.definition.later import Call, Later, made_of, planned_of
from orchestrator.definition.problem import Place, Problem
from orchestrator.errors import DefinitionError

UNKNOWN, RETURNED, RAISED, ONE_TURN, ERRORS = (
    "__unknown__",
    "__returned__",
    "__raised__",
    "__one_turn__",
    "__errors__",
)


S = TypeVar("S", bound=ast.stmt)


def form_of(
    function: Callable[..., Any], drawing: Drawing, judge: Callable[[object], object]
) -> Callable[..., Any]:
    """Give the form of a plan or block that is drawn: itself, unless something would be hidden.

    `judge` is given what its arms return. A function without its text at hand is drawn as it is.
    """
    source = syntax.source_of(function)
    if source is None or not (drawing.forgiving or _decides(source)):
        return function
    code = _compiled(source, function.__code__)
    if code is None:
        return function
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for name, helper in _helpers(function, drawing, judge).items():
        cells[name] = CellType(helper)
    closure = tuple(cells[name] for name in code.co_freevars)
    form = FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, closure
    )
    form.__kwdefaults__ = function.__kwdefaults__
    return form


def problems_of(raised: guard.Raised) -> tuple[Problem, ...]:
    """Say what a plan that raised has done wrong."""
    error = raised.error
    if isinstance(error, DefinitionError):
        return tuple(p for p in error.problems if isinstance(p, Problem))
    text = f"the plan raised `{raised.summary}`"
    cure = "a plan only hands values on; compute in a step or a `@derive` function"
    if isinstance(error, NameError):
        text += " (a name that is not yet bound: the step comes later, or is a sibling)"
        cure = "place the step that gives it first"
    return (Problem("SG300", Place(raised.file, raised.line), text, cure),)


def _decides(source: syntax.Function) -> bool:
    return any(not banned.loops for banned in syntax.banned_in(source))


def _helpers(
    function: Callable[..., Any], drawing: Drawing, judge: Callable[[object], object]
) -> dict[str, Any]:
    def unknown(*_: object) -> Later[Any]:
        return Later(drawing.unknown())

    def raised(first: int, last: int, *names: str) -> None:
        error = sys.exc_info()[1]
        if error is None or error.__traceback__ is None:
            return
        local = error.__traceback__.tb_frame.f_locals
        given = [local.get(name) for name in names]
        # Who works with what a mistake took away raises as a consequence.
        if not any(isinstance(value, Later) and made_of(value).unknown for value in given):
            drawing.told.extend(problems_of(guard.raised_by(function, error)))
        # What the statement made, or was to place, is not to blame for being placed nowhere.
        calls = [planned_of(value) for value in given if isinstance(value, Call)]
        file = function.__code__.co_filename
        made = (call for call in drawing.calls if call.use.place.file == file)
        calls += [call for call in made if first <= call.use.place.line <= last]
        for call in calls:
            call.excused = True

    def one_turn(items: Iterable[Any]) -> Iterator[Any]:
        return islice(items, 1)

    errors = (Exception, SystemExit)
    return {UNKNOWN: unknown, RETURNED: judge, RAISED: raised, ONE_TURN: one_turn, ERRORS: errors}


def _compiled(source: syntax.Function, old: CodeType) -> CodeType | None:
    inner = _Straightener().function(deepcopy(source))
    # Within a function that has the names, they become free in the inner one, as they were.
    free = [*old.co_freevars, UNKNOWN, RETURNED, RAISED, ONE_TURN, ERRORS]
    outer = ast.FunctionDef("__outer__", _arguments(free), [inner], [])
    module = ast.Module([_at(source, outer)], [])
    try:
        code = compile(module, old.co_filename, "exec")
    except (SyntaxError, ValueError):
        return None
    return _code_in(_code_in(code, "__outer__"), "__inner__")


def _code_in(code: CodeType, name: str) -> CodeType:
    found = (const for const in code.co_consts if isinstance(const, CodeType))
    return next(const for const in found if const.co_name == name)


def _arguments(names: list[str]) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _unknown(name: str) -> ast.Assign:
    return ast.Assign([ast.Name(name, ast.Store())], _call(UNKNOWN))


def _at(place: ast.AST, node: S) -> S:
    return ast.fix_missing_locations(ast.copy_location(node, place))


# ruff: noqa: N815  # the names of visitors are the module ast's


class _Straightener(ast.NodeTransformer):
    # Rewrites the body of one function; functions defined in it stay as they are.

    def __init__(self) -> None:
        self.arms = 0  # decisions and loops that are open
        self.returned = False  # whether an arm gives the function's value

    def function(self, node: syntax.Function) -> ast.FunctionDef:
        body = self.statements(node.body)
        if self.returned:
            body.append(ast.Return(_call(UNKNOWN)))
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg):
                argument.annotation = None
        # The real ones are the function's own; here they only keep their number.
        node.args.defaults = [ast.Constant(None) for _ in node.args.defaults]
        node.args.kw_defaults = [d and ast.Constant(None) for d in node.args.kw_defaults]
        return _at(node, ast.FunctionDef("__inner__", node.args, body, []))

    def statements(self, nodes: Iterable[ast.stmt]) -> list[ast.stmt]:
        return [part for node in nodes for part in self.statement(node)] or [ast.Pass()]

    def statement(self, node: ast.stmt) -> Iterator[ast.stmt]:
        changed = self.visit(node)
        for one in changed if isinstance(changed, list) else [changed]:
            if isinstance(one, ast.Pass | ast.Try | ast.Global | ast.Nonlocal):
                yield one
            else:
                yield _guarded(one if hasattr(one, "lineno") else _at(node, one))

    def arm(self, nodes: Iterable[ast.stmt]) -> list[ast.stmt]:
        self.arms += 1
        body = self.statements(nodes)
        self.arms -= 1
        return body

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_Return(self, node: ast.Return) -> ast.AST:
        value = None if node.value is None else self.visit(node.value)
        if not self.arms:
            return ast.Return(value)
        self.returned = self.returned or value is not None
        return ast.Pass() if value is None else ast.Expr(_call(RETURNED, value))

    def visit_Break(self, node: ast.Break) -> ast.AST:  # noqa: ARG002 - the base class names it
        return ast.Pass()

    visit_Continue = visit_Break  # type: ignore[assignment]

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        test = _at(node.test, ast.Expr(self.visit(node.test)))
        return [test, *self.arm(node.body), *self.arm(node.orelse)]

    visit_While = visit_If  # type: ignore[assignment]

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return ast.Expr(self.visit(node.test))

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        turns = _call(ONE_TURN, self.visit(node.iter))
        loop = ast.For(node.target, turns, self.arm(node.body), [])
        return [_at(node, loop), *self.arm(node.orelse)]

    visit_AsyncFor = visit_For  # type: ignore[assignment]

    def visit_With(self, node: ast.With) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for item in node.items:
            found.append(_at(node, ast.Expr(self.visit(item.context_expr))))
            if item.optional_vars is not None:
                found.append(_at(node, ast.Assign([item.optional_vars], _call(UNKNOWN))))
        return [*found, *self.statements(node.body)]

    visit_AsyncWith = visit_With  # type: ignore[assignment]

    def visit_Match(self, node: ast.Match) -> list[ast.stmt]:
        found: list[ast.stmt] = [_at(node, ast.Expr(self.visit(node.subject)))]
        for case in node.cases:
            found += [_at(node, _unknown(name)) for name in _captured(case.pattern)]
            found += self.arm(case.body)
        return found

    def visit_Try(self, node: ast.Try) -> list[ast.stmt]:
        found = self.arm([*node.body, *node.orelse])
        for handler in node.handlers:
            found += [_at(handler, _unknown(handler.name))] if handler.name else []
            found += self.arm(handler.body)
        return found + self.arm(node.finalbody)

    visit_TryStar = visit_Try  # type: ignore[assignment]

    def visit_IfExp(self, node: ast.expr) -> ast.AST:
        self.generic_visit(node)
        parts = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        return ast.copy_location(_call(UNKNOWN, *parts), node)

    visit_BoolOp = visit_Compare = visit_IfExp

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        return self.visit_IfExp(node) if isinstance(node.op, ast.Not) else self.generic_visit(node)

    def visit_Await(self, node: ast.Await | ast.Yield | ast.YieldFrom) -> ast.AST:
        return ast.Constant(None) if node.value is None else self.visit(node.value)

    visit_Yield = visit_YieldFrom = visit_Await

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        node.is_async = 0
        return node


def _captured(pattern: ast.pattern) -> Iterator[str]:
    for part in ast.walk(pattern):
        name = getattr(part, "name", None) or getattr(part, "rest", None)
        if name is not None:
            yield name


def _guarded(node: ast.stmt) -> ast.stmt:
    # It tells what it raises; then each name that it binds gets what stands for a value.
    found = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    read = dict.fromkeys(part.id for part in found if isinstance(part.ctx, ast.Load))
    bound = dict.fromkeys(part.id for part in found if isinstance(part.ctx, ast.Store))
    lines = (node.lineno, node.end_lineno or node.lineno)
    told = _call(RAISED, *map(ast.Constant, lines), *map(ast.Constant, read))
    after: list[ast.stmt] = [ast.Expr(told), *map(_unknown, bound)]
    if isinstance(node, ast.Return):
        after.append(ast.Return(_call(UNKNOWN)))
    handler = ast.ExceptHandler(ast.Name(ERRORS, ast.Load()), None, after)
    return _at(node, ast.Try([node], [handler], [], []))
