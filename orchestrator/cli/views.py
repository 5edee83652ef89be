"""How sagas, events and payloads look, to people and in JSON. The JSON shapes are a contract."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from orchestrator.audit.timeline import Moment, TurnedBack
from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Outcome
from orchestrator.core.state import Consistency, Phase, SagaState, StepState
from orchestrator.errors import DecodeError

PREFIX_BYTES = 10
"""How many bytes name the schema at the beginning of a payload."""


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


class Readable:
    """Turns payload bytes into JSON: by their types, if the program that has them is at hand."""

    def __init__(
        self,
        to_json: Mapping[bytes, Callable[[bytes], Any]] | None = None,
        names: Mapping[bytes, str] | None = None,
    ) -> None:
        """Know how to read bytes, and what their type is called, by the prefix of their schema."""
        self._to_json = to_json or {}
        self._names = names or {}

    def __call__(self, data: bytes | None) -> Any:
        """Give JSON for bytes: typed if their schema is known, else base64; None for none."""
        to_json = self._to_json.get((data or b"")[:PREFIX_BYTES])
        if data and to_json is not None:
            try:
                return to_json(data)
            except DecodeError:
                pass
        return bytes_json(data)

    def text(self, data: bytes) -> str:
        """Give the same in one line for people."""
        found = self(data)
        if isinstance(found, dict) and found.keys() == {"base64", "bytes"}:
            return f"{len(data)} B"
        return json.dumps(found, ensure_ascii=False)

    def call(self, data: bytes, name: str = "") -> str:
        """Give the same as Python writes it: `Declined(reason="limit")`; `name` if none is known."""
        name = self._names.get(data[:PREFIX_BYTES], name)
        found = self(data)
        if not isinstance(found, dict) or found.keys() == {"base64", "bytes"}:
            return name or f"{len(data)} B"
        given = (f"{key}={json.dumps(one, ensure_ascii=False)}" for key, one in found.items())
        return f"{name}({', '.join(given)})"


UNTYPED = Readable()
"""Reads what is JSON already, and nothing else."""


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


def step_json(step: StepState, name: str, read: Readable) -> dict[str, Any]:
    """Give the JSON of one step of a saga."""
    return {
        "step": name,
        "status": step.status.name.lower(),
        "attempt": step.attempt,
        "due_at": instant(step.due_ms),
        "command": read(step.command),
        "result": read(step.result),
    }


def saga_json(
    state: SagaState, names: Mapping[int, str] | None = None, read: Readable = UNTYPED
) -> dict[str, Any]:
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
        found["payload"] = read(state.payload)
        found["faults"] = list(state.faults)
        found["steps"] = [
            step_json(step, names.get(index, f"#{index}"), read)
            for index, step in enumerate(state.steps)
        ]
    return found


def outcome_json(outcome: Outcome, read: Readable = UNTYPED) -> dict[str, Any]:
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
        "result": read(outcome.result),
    }


def moment_json(moment: Moment, read: Readable = UNTYPED) -> dict[str, Any]:
    """Give the JSON of one event of a timeline."""
    cause = moment.cause
    return {
        "sequence": moment.sequence,
        "at": instant(moment.at_ms),
        "event": moment.event,
        "step": moment.step or None,
        "attempt": moment.attempt or None,
        "cause": {"kind": cause.kind, "actor": cause.actor or None, **origin_json(cause.origin)},
        "record": origin_json(moment.origin),
        "details": {name: _detail(name, value, read) for name, value in moment.details},
    }


def turned_back_text(why: TurnedBack, read: Readable) -> str:
    """Say in one line why a saga turned back."""
    by = f" by {why.actor}" if why.actor else ""
    if why.cause == "step_failed":
        if why.actor:
            return f"{why.step} was skipped{by}: {why.reason}"
        told = read.call(why.failure, why.text) if why.failure else why.text
        return f"{why.step} failed" + (f": {told}" if told else "")
    if why.cause == "step_unknown":
        told = ": ".join(filter(None, (why.reason, why.text)))
        if why.actor:
            return f"{why.step} was skipped{by}: {told}"
        return f"nobody knows whether {why.step} happened ({told})"
    if why.cause == "deadline":
        return "its deadline passed"
    return why.cause + by + (f": {why.reason}" if why.reason else "")


def turned_back_json(why: TurnedBack | None, read: Readable = UNTYPED) -> dict[str, Any] | None:
    """Give the JSON of why a saga turned back; None: it did not."""
    if why is None:
        return None
    return {
        "cause": why.cause,
        "step": why.step or None,
        "reason": why.reason or None,
        "text": why.text or None,
        "failure": read(why.failure),
        "actor": why.actor or None,
    }


def stuck_text(moment: Moment) -> str:
    """Say in one line where and why a saga is stuck."""
    told = dict(moment.details)
    what = {
        "StepStuck": moment.step,
        "CompensationStuck": f"the undo of {moment.step}",
        "NodeFaulted": "a function of the definition",
    }[moment.event]
    why = ": ".join(filter(None, (told.get("reason", ""), told.get("text", ""))))
    return f"{what}: {why}"


def _detail(name: str, value: Any, read: Readable) -> Any:
    if name in _NUMBERED:
        return _NUMBERED[name](value).name.lower()
    if name in _DIGESTS:
        return value.hex()
    return read(value) if isinstance(value, bytes) else value


def moment_text(moment: Moment, read: Readable = UNTYPED) -> str:
    """Give the details of an event for people, in one cell; its times last."""
    parts, times = [], []
    for name, value in moment.details:
        if name in _LEFT_OUT or value in {"", b""}:
            continue
        if name.endswith("_ms"):
            times.append(f"{name.removesuffix('_ms')}={instant(value) or ''}")
        elif isinstance(value, bytes):
            parts.append(f"{name}={read.text(value)}")
        else:
            parts.append(f"{name}={_detail(name, value, read)}")
    return " ".join(parts + times)


_NUMBERED: Mapping[str, type[IntEnum]] = {"phase": Phase, "consistency": Consistency}
_DIGESTS = frozenset({"start_digest"})
_LEFT_OUT = frozenset(
    {
        "saga_id",
        "fingerprint",
        "steps_count",
        "decisions_count",
        "start_digest",
        "keep_command",
        "started_ms",
    }
)
"""Of no use to a person who reads a timeline; `--json` has them."""
