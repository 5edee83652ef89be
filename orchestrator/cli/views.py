"""How sagas, events and payloads look, to people and in JSON. The JSON shapes are a contract."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.audit.timeline import Moment
from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Outcome
from orchestrator.core.state import SagaState, StepState

TEXT_SHOWN_MAX = 160
"""Characters of one detail in a table; `--json` has them all."""


def instant(ms: int) -> str | None:
    """ISO 8601 in UTC with milliseconds; None for 0, which means never."""
    if not ms:
        return None
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="milliseconds")


def parse_instant(text: str) -> int:
    """Read ISO 8601 (UTC unless it says otherwise) or ms since the epoch.

    Raises:
        ValueError: It is neither.
    """
    if text.isdigit():
        return int(text)
    found = datetime.fromisoformat(text)
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000)


def place(origin: Origin) -> str:
    """`topic/partition/offset`, as everywhere."""
    return f"{origin.topic}/{origin.partition}/{origin.offset}"


def origin_json(origin: Origin) -> dict[str, Any]:
    """Give the JSON of where a record lies."""
    return {"topic": origin.topic, "partition": origin.partition, "offset": origin.offset}


def bytes_json(data: bytes | None) -> Any:
    """Give JSON for bytes: themselves if they are JSON, else base64; None for none."""
    if not data:
        return None
    if data[:1] in (b"{", b"["):
        try:
            return json.loads(data)
        except ValueError:
            pass
    return {"base64": base64.b64encode(data).decode("ascii"), "bytes": len(data)}


def hex_lines(data: bytes, bytes_max: int = 512) -> list[str]:
    """Dump bytes for people, 16 a line: offset, hex, text."""
    lines = []
    for start in range(0, min(len(data), bytes_max), 16):
        piece = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{start:06x}  {piece.hex(' '):<47}  {text}")
    if len(data) > bytes_max:
        lines.append(f"... {len(data) - bytes_max} bytes more")
    return lines


def step_json(step: StepState, name: str) -> dict[str, Any]:
    """Give the JSON of one step of a saga."""
    return {
        "step": name,
        "status": step.status.name.lower(),
        "attempt": step.attempt,
        "due_at": instant(step.due_ms),
        "command": bytes_json(step.command),
        "result": bytes_json(step.result),
    }


def saga_json(state: SagaState, names: Mapping[int, str] | None = None) -> dict[str, Any]:
    """Give the JSON of a saga; with `names` of its steps also the steps."""
    found: dict[str, Any] = {
        "saga": state.saga_id,
        "definition": state.definition,
        "version": state.version,
        "phase": state.phase.name.lower(),
        "consistency": state.consistency.name.lower(),
        "stuck": state.stuck,
        "sequence": state.sequence,
        "started_at": instant(state.started_ms),
        "deadline_at": None if state.ended else instant(state.due_ms),
        "forgotten_at": instant(state.due_ms) if state.ended else None,
        "cause": state.cause or None,
    }
    if names is not None:
        found["payload"] = bytes_json(state.payload)
        found["faults"] = list(state.faults)
        found["steps"] = [
            step_json(step, names.get(index, f"#{index}"))
            for index, step in enumerate(state.steps)
        ]
    return found


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Give the JSON of how a saga ended."""
    return {
        "saga": outcome.saga,
        "definition": outcome.definition,
        "version": outcome.version,
        "business": outcome.business,
        "consistency": outcome.consistency,
        "sequence": outcome.sequence,
        "started_at": instant(outcome.started_ms),
        "ended_at": instant(outcome.ended_ms),
        "result": bytes_json(outcome.result),
    }


def moment_json(moment: Moment) -> dict[str, Any]:
    """Give the JSON of one event of a timeline."""
    cause = moment.cause
    details = {
        name: bytes_json(value) if isinstance(value, bytes) else value
        for name, value in moment.details
    }
    return {
        "sequence": moment.sequence,
        "at": instant(moment.at_ms),
        "event": moment.event,
        "step": moment.step or None,
        "attempt": moment.attempt or None,
        "cause": {"kind": cause.kind, "actor": cause.actor or None, **origin_json(cause.origin)},
        "record": origin_json(moment.origin),
        "details": details,
    }


def moment_text(moment: Moment) -> str:
    """Give the details of an event for people, in one cell."""
    parts = []
    for name, value in moment.details:
        if isinstance(value, bytes):
            shown = f"{len(value)} B" if value else ""
        elif name.endswith("_ms"):
            shown = instant(value) or ""
        else:
            shown = str(value)
        if shown:
            parts.append(f"{name}={shown}")
    text = " ".join(parts)
    return text if len(text) <= TEXT_SHOWN_MAX else text[: TEXT_SHOWN_MAX - 3] + "..."
