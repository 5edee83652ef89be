"""The settings' own words, as data and as the page `docs/settings.md`.

`python -m orchestrator.settings_docs` prints the page; a test keeps the file the same.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from orchestrator.settings import Secret, Settings, allowed_range, flag, section, variable

CLASSES = (
    "orchestrator.cli.settings:ProgramSettings",
    "orchestrator.cli.settings:RegistrySettings",
    "orchestrator.kafka.settings:KafkaSettings",
    "orchestrator.topics:TopicSettings",
    "orchestrator.runtime.settings:WorkerSettings",
    "orchestrator.runtime.settings:StandbySettings",
    "orchestrator.kafka.sink:TransactionSettings",
    "orchestrator.store.rocks:StoreSettings",
    "orchestrator.participant.settings:ParticipantSettings",
)
"""Every class of settings, in the page's order, as `module:class`."""

_HEAD = """\
# Settings

Each setting can be given in three ways; the first that is there counts:

1. a flag of the command line, where the verb has it (`saga worker --help`),
2. an environment variable,
3. a key of the settings file: `saga.toml`, or the file named by `--config` or `SAGA_CONFIG`.

A secret is never a flag. Its variable's name with `_FILE` behind it names a file that holds it.
A wrong value, a misspelt table or key of the file stops the program with a message that names it.

```toml
[kafka]
bootstrap_servers = "kafka-1:9093,kafka-2:9093"
security_protocol = "sasl_ssl"
sasl_mechanism = "SCRAM-SHA-512"
sasl_username = "saga-worker"

[worker]
batch_count_max = 1_000
```

This page is made from the program: `python -m orchestrator.settings_docs > docs/settings.md`.
"""


class Row(NamedTuple):
    """One setting, for people."""

    name: str
    kind: str
    default: str
    allowed: str
    variable: str
    flag: str
    """Empty for a secret."""
    text: str


def settings_classes() -> tuple[type[Settings], ...]:
    """Import every class of settings."""
    found = []
    for place in CLASSES:
        module, _, name = place.partition(":")
        found.append(getattr(importlib.import_module(module), name))
    return tuple(found)


def documented(cls: type[Settings]) -> tuple[Row, ...]:
    """Every setting of a class with the docstring under its field."""
    hints, texts = get_type_hints(cls), field_texts(cls)
    return tuple(
        Row(
            field.name,
            _kind(hints[field.name]),
            _default(field),
            allowed_range(field.metadata),
            variable(field.name) + ("_FILE" if hints[field.name] is Secret else ""),
            "" if hints[field.name] is Secret else flag(field.name),
            texts.get(field.name, ""),
        )
        for field in dataclasses.fields(cls)
    )


def field_texts(cls: type[Settings]) -> dict[str, str]:
    """The strings that stand under the fields of a class; Python itself throws them away."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    texts = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = _text(below)
            if text:
                texts[field.target.id] = text
    return texts


def render(classes: Iterable[type[Settings]]) -> str:
    """The whole page."""
    return "\n".join([_HEAD, *map(_section, classes)])


def _text(statement: ast.stmt) -> str:
    value = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return " ".join(value.value.split())
    return ""


def _section(cls: type[Settings]) -> str:
    rows = [f"## [{section(cls)}]\n", f"{inspect.getdoc(cls)}\n"]
    rows += [
        "| key | type | default | allowed | variable | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in documented(cls):
        cells = (
            f"`{row.name}`",
            row.kind,
            row.default,
            row.allowed,
            f"`{row.variable}`",
            row.text,
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _kind(hint: Any) -> str:
    text = str(getattr(hint, "__name__", hint)) if isinstance(hint, type) else str(hint)
    known = {
        "str": "text",
        "int": "number",
        "float": "number",
        "bool": "true/false",
        "Path": "path",
        "Secret": "secret",
    }
    if "Mapping" in text:
        return "table"
    if "tuple" in text:
        return "list"
    return known.get(text, text)


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        return "required"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value)
    return f"`{value}`" if isinstance(value, str | Path) and str(value) else ""


def main() -> None:
    """Print the page."""
    sys.stdout.write(render(settings_classes()))


if __name__ == "__main__":
    main()
