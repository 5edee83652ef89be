"""Schemas: their names, fingerprints and prefixes. The only place that knows fastavro.

fastavro judges schemas (parsing, canonical form, fingerprint) and resolves old bytes to new schemas;
the bytes themselves are read and written by `binary`.
"""

from __future__ import annotations

import io
import json
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import (
    SchemaParseException,
    UnknownType,
    fingerprint,
    to_parsing_canonical_form,
)

from orchestrator.codec import lint
from orchestrator.codec.binary import compile_schema
from orchestrator.codec.primitives import Codec
from orchestrator.codec.refusals import refuse
from orchestrator.errors import ConfigurationError

SINGLE_OBJECT = b"\xc3\x01"
"""How bytes begin that name their schema by its fingerprint (8 bytes, little-endian)."""
PREFIX_BYTES = 10

_RESOLUTION_ERRORS = (ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError)


class Schema:
    """One parsed, linted Avro schema. Frozen, equal by fingerprint.

    Raises ConfigurationError if the document is no schema, or one that the lint refuses.
    """

    def __init__(self, document: Any) -> None:
        try:
            self.parsed = fastavro.parse_schema(document, named_schemas={})
        except (
            SchemaParseException,
            UnknownType,
            ValueError,
            TypeError,
            KeyError,
            RecursionError,
        ) as error:
            raise ConfigurationError(f"not an Avro schema: {error}") from error
        self.document = document
        problems = lint.problems(self.parsed)
        if problems:
            raise ConfigurationError(f"the schema of {self.name} is not allowed: {problems[0]}")
        self.fingerprint: str = fingerprint(to_parsing_canonical_form(self.parsed), "CRC-64-AVRO")

    @property
    def name(self) -> str:
        """Full name of a record or enum; the type's name otherwise."""
        parsed = self.parsed
        return str(parsed.get("name", parsed["type"]) if isinstance(parsed, dict) else parsed)

    @property
    def short_name(self) -> str:
        """The name without its namespace."""
        return self.name.rpartition(".")[2]

    @cached_property
    def prefix(self) -> bytes:
        """The 10 bytes that a value's single-object encoding begins with."""
        return SINGLE_OBJECT + bytes.fromhex(self.fingerprint)

    @cached_property
    def codec(self) -> Codec:
        """Reads and writes plain values: tuples for records."""
        return compile_schema(self.parsed)

    def text(self) -> str:
        """The document as a file holds it."""
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and other.fingerprint == self.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Schema({self.name}, {self.fingerprint})"


def resolve(body: bytes, writer: Schema, reader: Schema) -> bytes:
    """Turn a body that was written by another schema into the body that `reader` would write.

    The bytes are first read strictly by their own schema, so fastavro sees only good ones.

    Raises:
        DecodeError: `malformed_record` and the like for the bytes, `wrong_record` if the two
            schemas do not resolve.
    """
    writer.codec.decode(body)
    out = io.BytesIO()
    try:
        value = fastavro.schemaless_reader(io.BytesIO(body), writer.parsed, reader.parsed)
        fastavro.schemaless_writer(out, reader.parsed, value)
    except (*_RESOLUTION_ERRORS, SchemaResolutionError) as error:
        raise refuse("wrong_record", f"{writer} does not resolve to {reader}: {error}") from error
    return out.getvalue()


@lru_cache(maxsize=1)
def engine_schemas() -> dict[str, Schema]:
    """The engine's own schemas, by the stem of their files in `codec/schemas`.

    `Reply` is the newest of its name, `Reply.<fingerprint>` an earlier version.
    """
    files = resources.files("orchestrator.codec") / "schemas"
    return {
        file.name.removesuffix(".avsc"): Schema(json.loads(file.read_text("utf-8")))
        for file in sorted(files.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".avsc")
    }
