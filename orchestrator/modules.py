"""A user's program: the sagas and the handlers that the named modules hold.

Nothing registers itself: a module's names are looked through after it is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from orchestrator import guard
from orchestrator.errors import ConfigurationError, OrchestratorError

if TYPE_CHECKING:
    from orchestrator.definition.payload import Command, Handler
    from orchestrator.definition.problem import Place
    from orchestrator.definition.saga import Saga

    AnyHandler: TypeAlias = Handler[Any, ..., Any]
    AnyCommand: TypeAlias = Command[Any, Any]
    AnySaga: TypeAlias = Saga[Any, Any]

DEFAULT = "sagas"
"""What is loaded if nobody says otherwise: the package `sagas` and all below it."""


class ModuleError(ConfigurationError):
    """A module of the user's cannot be found, cannot be imported, or clashes with another."""

    operator_action = "Mend the module named, or name others with --modules (or SAGA_MODULES)."


class Program(NamedTuple):
    """What the modules hold. Each saga and each handler is there once, in the order found."""

    sagas: tuple[AnySaga, ...]
    handlers: tuple[AnyHandler, ...]
    modules: tuple[str, ...]
    """Names of all modules that were imported, for people."""

    @property
    def participants(self) -> tuple[str, ...]:
        """Everyone for whom there is a handler, by name."""
        return tuple(sorted({handler.participant.name for handler in self.handlers}))


def load(modules: str | Iterable[str] = DEFAULT) -> Program:
    """Import modules and give the sagas and handlers in them.

    Args:
        modules: Dotted names (a package stands for all its submodules) or paths of files, as an
            iterable or as one text with commas or spaces between. The current directory is
            searched first.

    Raises:
        ModuleError: A module cannot be found or imported; two sagas share name and version; two
            handlers take one command. The text names the places.
    """
    names = split(modules) if isinstance(modules, str) else tuple(modules)
    _search_here()
    found = [module for name in names for module in _import_all(name)]
    unique = list({id(module): module for module in found}.values())
    return Program(
        sagas=_sagas(unique),
        handlers=_handlers(unique),
        modules=tuple(module.__name__ for module in unique),
    )


def split(text: str) -> tuple[str, ...]:
    """Part a list of modules at commas and white space."""
    return tuple(text.replace(",", " ").split())


def _search_here() -> None:
    # The script `saga` does not have the current directory on its path, `python -m` does.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _import_all(name: str) -> Iterator[ModuleType]:
    if name.endswith(".py") or "/" in name:
        yield _import_file(Path(name))
        return
    module = _import(name)
    yield module
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
        if not found.name.endswith(".__main__"):
            yield _import(found.name)


def _import(name: str) -> ModuleType:
    module = guard.call(importlib.import_module, name)
    if isinstance(module, guard.Raised):
        if isinstance(module.error, ModuleNotFoundError) and _within(module.error.name, name):
            raise ModuleError(f"there is no module `{module.error.name}` (of `{name}`)")
        raise _refused(f"module `{name}`", module)
    return module


def _within(missing: str | None, name: str) -> bool:
    return missing is not None and (name == missing or name.startswith(f"{missing}."))


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModuleError(f"there is no file `{path}`")
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).resolve() == path.resolve():
            return module
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ModuleError(f"`{path}` is no Python file")
    if path.stem in sys.modules:
        raise ModuleError(f"`{path}`: another module is called `{path.stem}`; rename the file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where its own annotations are looked up
    sys.path.insert(0, str(path.resolve().parent))  # what lies beside it, as for a script
    raised = guard.call(spec.loader.exec_module, module)
    if isinstance(raised, guard.Raised):
        del sys.modules[path.stem]
        raise _refused(f"`{path}`", raised)
    return module


def _refused(what: str, raised: guard.Raised) -> OrchestratorError:
    error = raised.error
    if isinstance(error, OrchestratorError):
        return error  # a declaration that was stopped: it says the place and the cure itself
    told = f"{raised.summary} ({_innermost(error)})"
    if isinstance(error, SyntaxError):
        told = f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    return ModuleError(f"{what} cannot be imported: {told}")


def _innermost(error: BaseException) -> str:
    # The import system's own frames say nothing to anybody.
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith("<frozen ")]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else "no place"


def _sagas(modules: Sequence[ModuleType]) -> tuple[AnySaga, ...]:
    from orchestrator.definition.saga import sagas_of  # noqa: PLC0415 - keeps this module light

    found: dict[tuple[str, int], AnySaga] = {}
    for module in modules:
        for saga in sagas_of(module):
            other = found.setdefault((saga.id, saga.version), saga)
            if other is not saga:
                raise ModuleError(
                    f"two sagas are called {saga.id} version {saga.version}:"
                    f" {other.spec.place} and {saga.spec.place}"
                )
    return tuple(found.values())


def _handlers(modules: Sequence[ModuleType]) -> tuple[AnyHandler, ...]:
    from orchestrator.definition.payload import handlers_of  # noqa: PLC0415 - keeps this module light

    found: dict[tuple[str, str], AnyHandler] = {}
    for module in modules:
        for handler in handlers_of(module):
            key = (handler.participant.name, handler.command.__name__)
            other = found.setdefault(key, handler)
            if other is not handler:
                raise ModuleError(
                    f"two handlers of {key[0]} take {key[1]}:"
                    f" {_place(other)} and {_place(handler)}"
                )
    return tuple(found.values())


def _place(handler: AnyHandler) -> str:
    code = getattr(handler.function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(handler.function)


def participants_of(program: Program) -> tuple[str, ...]:
    """Everyone who executes a step of a saga, or has a handler; by name.

    Raises:
        DefinitionError: A saga has mistakes.
    """
    named = {name for saga in program.sagas for name in saga.build().participants}
    return tuple(sorted(named | set(program.participants)))


def commands_of(program: Program) -> tuple[tuple[type[AnyCommand], Place], ...]:
    """Every command that a saga's step or compensation sends, and where that is declared.

    Raises:
        DefinitionError: A saga has mistakes.
    """
    found: dict[type[AnyCommand], Place] = {}
    for saga in program.sagas:
        saga.build()
        for mark in saga.sketch().drawing.steps:
            spec = mark.spec
            found.setdefault(spec.signature.gives, spec.place)
            if spec.undo is not None:
                found.setdefault(spec.undo.signature.gives, spec.undo.place)
    return tuple(found.items())


def payload_kinds(program: Program) -> tuple[type[Any], ...]:
    """Every class of a value that travels to or from others: what has a schema.

    Start payloads, commands, results, declared failures and outcomes. Each once.

    Raises:
        DefinitionError: A saga has mistakes.
    """
    from orchestrator.definition import kinds  # noqa: PLC0415 - keeps this module light

    found: list[Any] = []
    for saga in program.sagas:
        found += [saga.input_type, *kinds.present(saga.spec.gives)]
    commands = [handler.command for handler in program.handlers]
    for command in [*commands, *(command for command, _ in commands_of(program))]:
        result, failures = kinds.answers_of(command)
        found += [command, *kinds.present(result), *failures]
    return tuple(dict.fromkeys(kind for kind in found if isinstance(kind, type)))
