"""Settings: frozen dataclasses, filled from flags, environment and `saga.toml`, in that order.

A field named `cache_bytes` of `StoreSettings` is `--cache-bytes`, `SAGA_CACHE_BYTES` and
`cache_bytes` in the file's table `[store]`. A secret is never a flag (a process list shows those);
its environment name with `_FILE` behind it names a file that holds it.

A field's metadata may say `min` and `max` (inclusive) or `choices`; its type is one of bool, int,
float, str, Path, Secret, `tuple[str, ...]`, `Mapping[str, str]`, or one of these `| None`. What
concerns several fields is checked in the class's `__post_init__`.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    NamedTuple,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from orchestrator.errors import ConfigurationError

ENVIRONMENT_PREFIX = "SAGA_"
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


class Secret:
    """A text that must not be seen: every way of printing it is masked. Only `reveal` tells."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Never log what this returns."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')" if self._text else "Secret('')"

    def __str__(self) -> str:
        return "***" if self._text else ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret cannot be pickled")


class Settings(Protocol):
    """A frozen dataclass of settings."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


S = TypeVar("S", bound=Settings)
Tables = Mapping[str, Mapping[str, object]]
"""What a settings file holds: table name to its keys."""


class _Given(NamedTuple):
    """Everything that was given, strongest first."""

    flags: Mapping[str, object]
    env: Mapping[str, str]
    file: Tables


class _Found(NamedTuple):
    value: object
    place: str
    """Where it came from, for people."""


def section(cls: type[Settings]) -> str:
    """Name of the file's table for a class: `StoreSettings` reads `[store]`."""
    return cls.__name__.removesuffix("Settings").lower()


def flag(name: str) -> str:
    """The command line's spelling of a field."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment's spelling of a field."""
    return ENVIRONMENT_PREFIX + name.upper()


def read_file(path: Path, *, must_exist: bool = True) -> Tables:
    """Read a settings file; nothing if it may be absent and is.

    Raises ConfigurationError if it cannot be read or is no TOML of tables.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not must_exist:
            return {}
        raise ConfigurationError(f"settings file {path} does not exist") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"settings file {path} cannot be read: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigurationError(
                f"settings file {path}: {name} stands outside of a table such as [kafka]"
            )
    return tables


def check_tables(tables: Tables, classes: tuple[type[Settings], ...]) -> None:
    """Refuse a table or a key that no class knows: a misspelt setting must not be passed over."""
    known = {section(cls): {field.name for field in _fields(cls)} for cls in classes}
    for name, table in tables.items():
        if name not in known:
            raise ConfigurationError(f"settings file: unknown table [{name}]{_hint(name, known)}")
        for key in table:
            if key not in known[name]:
                raise ConfigurationError(
                    f"settings file: unknown key {key} in [{name}]{_hint(key, known[name])}"
                )


def load(
    cls: type[S],
    *,
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    file: Tables | None = None,
) -> S:
    """Build settings: a flag wins over the environment, that over the file, that over the default.

    `flags` maps field names to values or texts; None means that the flag was not given.
    Raises ConfigurationError, naming the setting, its value, what is allowed and where it came from.
    """
    given = _Given(flags or {}, env or {}, file or {})
    values: dict[str, object] = {}
    hints = get_type_hints(cls)
    for field in _fields(cls):
        found = _find(cls, field, hints[field.name], given)
        if found is not None:
            values[field.name] = _checked(field, hints[field.name], found)
        elif _is_required(field):
            raise ConfigurationError(
                f"{field.name} is not set: give {flag(field.name)}, {variable(field.name)}"
                f" or {field.name} in [{section(cls)}] of the settings file"
            )
    return cls(**values)


def _fields(cls: type[Settings]) -> tuple[dataclasses.Field[Any], ...]:
    return tuple(field for field in dataclasses.fields(cls) if field.init)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _find(
    cls: type[Settings],
    field: dataclasses.Field[Any],
    hint: object,
    given: _Given,
) -> _Found | None:
    name, key = field.name, variable(field.name)
    env = given.env
    if given.flags.get(name) is not None:
        return _Found(given.flags[name], flag(name))
    if key in env:
        return _Found(env[key], f"environment variable {key}")
    if hint is Secret and f"{key}_FILE" in env:
        return _Found(_secret_file(Path(env[f"{key}_FILE"]), f"{key}_FILE"), f"{key}_FILE")
    table = given.file.get(section(cls), {})
    if name in table:
        return _Found(table[name], f"settings file, table [{section(cls)}]")
    return None


def _secret_file(path: Path, key: str) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{key}: {path} cannot be read: {error}") from error


def _checked(field: dataclasses.Field[Any], hint: object, found: _Found) -> object:
    value = _converted(field.name, hint, found)
    limits = field.metadata
    low, high, choices = limits.get("min"), limits.get("max"), limits.get("choices")
    if choices is not None and value not in choices:
        raise _refusal(field.name, found, f"must be one of {', '.join(map(repr, choices))}")
    if isinstance(value, int | float) and (
        (low is not None and value < low) or (high is not None and value > high)
    ):
        raise _refusal(field.name, found, f"must be {allowed_range(limits)}")
    return value


def allowed_range(limits: Mapping[str, Any]) -> str:
    """What a field's metadata allow, in words; empty if anything goes."""
    low, high, choices = limits.get("min"), limits.get("max"), limits.get("choices")
    if choices is not None:
        return ", ".join(f"`{choice}`" if choice else "empty" for choice in choices)
    if low is not None and high is not None:
        return f"from {low} to {high}"
    if low is not None:
        return f"at least {low}"
    return "" if high is None else f"at most {high}"


def _converted(name: str, hint: object, found: _Found) -> object:
    """Turn a text (of a flag, of the environment) or a TOML value into a field's type."""
    value = found.value
    kind = _without_none(hint)
    origin = get_origin(kind)
    if kind is bool:
        return _bool(name, found)
    if kind in (int, float):
        return _number(name, kind, found)
    if origin is tuple:
        parts = value.replace(",", " ").split() if isinstance(value, str) else value
        return _texts(name, found, parts)
    if origin is Mapping:
        return _mapping(name, found)
    if kind in (Secret, Path) and isinstance(value, kind):
        return value
    if not isinstance(value, str):
        shown = _Found("***", found.place) if kind is Secret else found
        raise _refusal(name, shown, "must be a text")
    return {Secret: Secret, Path: Path}.get(kind, str)(value)


def _without_none(hint: object) -> Any:
    if get_origin(hint) is types.UnionType:
        return next(part for part in get_args(hint) if part is not types.NoneType)
    return hint


def _bool(name: str, found: _Found) -> bool:
    value = found.value
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise _refusal(name, found, "must be true or false")


def _number(name: str, kind: type[int | float], found: _Found) -> int | float:
    value = found.value
    allowed = "must be a whole number" if kind is int else "must be a number"
    if isinstance(value, str):
        try:
            return kind(value)
        except ValueError:
            raise _refusal(name, found, allowed) from None
    if type(value) is int or (type(value) is float and kind is float):
        return value
    raise _refusal(name, found, allowed)


def _texts(name: str, found: _Found, parts: object) -> tuple[str, ...]:
    if isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts):
        return tuple(parts)
    raise _refusal(name, found, "must be a list of texts")


def _mapping(name: str, found: _Found) -> Mapping[str, str]:
    """A TOML table, a mapping, or `key=value` pairs with commas between."""
    value = found.value
    if isinstance(value, str):
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise _refusal(name, found, "must be key=value pairs with commas between")
        return {key.strip(): text.strip() for key, _, text in pairs}
    if not isinstance(value, Mapping):
        raise _refusal(name, found, "must be a table")
    return {
        str(key): part if isinstance(part, str) else json.dumps(part)
        for key, part in value.items()
    }


def _refusal(name: str, found: _Found, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{name}={found.value!r} ({found.place}): {allowed}")


def _hint(name: str, known: Mapping[str, object] | set[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"
