"""Write the tables of docs/records.md from the schemas, the events' columns and the refusals.

`python scripts/records_doc.py`. A test keeps the page current.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.codec.avro import engine_schemas
from orchestrator.codec.refusals import REFUSALS
from orchestrator.codec.rows import COLUMNS
from orchestrator.codec.wire import PRIVATE
from orchestrator.core import events as ev
from orchestrator.core.events import EVENT_NUMBERS

PAGE = Path(__file__).parent.parent / "docs" / "records.md"
MARK = "<!-- from here on written by scripts/records_doc.py -->\n"
ORDER = (
    "StartSaga", "CancelSaga", "RetrySaga", "SkipStep", "ResolveStep", "StepCommand", "Reply",
    "Outcome", "Transition", "DeadLetter", "Snapshot", "Cursor",
)  # fmt: skip


def render() -> str:
    """Give the generated half of the page."""
    records = "\n".join(_record(name) for name in ORDER)
    return f"{MARK}\n## Every record\n\n{records}\n{_events()}\n{_refusals()}"


def _record(name: str) -> str:
    schema = engine_schemas()[name]
    private = " It is private to the workers: read it, but do not rely on it." * (name in PRIVATE)
    begins = f"Schema `{schema.name}`, begins with `{schema.prefix.hex(' ')}`."
    about = f"{schema.document['doc']}{private} {begins}\n"
    lines = [f"### {name}\n", about, *_fields(schema.document)]
    return "\n".join(lines) + "\n"


def _fields(record: Any) -> list[str]:
    rows, below = ["| field | type | meaning |", "| --- | --- | --- |"], []
    for field in record["fields"]:
        rows.append(f"| `{field['name']}` | {_type(field['type'])} | {_cell(field['doc'])} |")
        below += _records(field["type"])
    for part in below:
        rows += [f"\n`{part['name']}`: {part['doc']}\n", *_fields(part)]
    return rows


def _type(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(_type(branch) for branch in schema)
    if isinstance(schema, dict) and schema["type"] == "array":
        return f"array of {_type(schema['items'])}"
    return str(schema["name"] if isinstance(schema, dict) else schema)


def _records(schema: Any) -> list[Any]:
    if isinstance(schema, list):
        return [part for branch in schema for part in _records(branch)]
    if isinstance(schema, dict):
        return _records(schema["items"]) if schema["type"] == "array" else [schema]
    return []


def _events() -> str:
    lines = [
        "## Every event\n",
        "The columns of `Event` that each type uses. All other columns hold their none.\n",
        "| type | event | columns |",
        "| --- | --- | --- |",
    ]
    special = {
        ev.SagaStarted: "definition: `name`; `due_ms`, `payload`, `details` (Started)",
        ev.SagaEnded: "forget_ms: `due_ms`; result: `payload`; `details` (Ended)",
    }
    for kind, number in EVENT_NUMBERS.items():
        columns = special.get(kind) or ", ".join(
            f"`{column}`" if field == column else f"{field}: `{column}`"
            for field, column in zip(kind._fields, COLUMNS[kind], strict=True)
        )
        lines.append(f"| {number} | {kind.__name__} | {columns or 'none'} |")
    return "\n".join(lines) + "\n"


def _refusals() -> str:
    lines = [
        "## Every reason for which bytes are refused\n",
        "Checked in this order: limits, prefix, schema, values, ids and ranges.\n",
        "| reason | meaning |",
        "| --- | --- |",
        *(f"| `{code}` | {_cell(refusal.meaning)} |" for code, refusal in REFUSALS.items()),
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Replace what is below the mark."""
    prose = PAGE.read_text("utf-8").partition(MARK)[0]
    PAGE.write_text(prose + render(), "utf-8")


if __name__ == "__main__":
    main()
