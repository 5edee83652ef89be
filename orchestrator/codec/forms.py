"""Forms: record types on the wire, under either prefix, by their newest or an older schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from orchestrator.codec.avro import PREFIX_BYTES, SINGLE_OBJECT, Schema, resolve
from orchestrator.codec.primitives import READ_ERRORS, Codec
from orchestrator.codec.refusals import refuse
from orchestrator.codec.registry import Registry
from orchestrator.errors import ConfigurationError

CONFLUENT = b"\x00"
"""How the registry's wire format begins; the schema's id follows, 4 bytes, big-endian."""
_CONFLUENT_BYTES = 5
_IDS_MAX = 1_024
"""Ids of the registry that are remembered, known or not: a hostile id costs one look-up."""

Check: TypeAlias = Callable[[Any], Any]


class Form:
    """One schema, and how its values look in Python."""

    def __init__(self, schema: Schema, codec: Codec) -> None:
        self.schema = schema
        self.codec = codec
        self.prefix = schema.prefix
        """What its values are written with."""
        self._write = codec.write

    def encode(self, value: object) -> bytes:
        """Encode a value after the prefix. Raises one of `primitives.WRITE_ERRORS`."""
        out = [self.prefix]
        self._write(value, out)
        return b"".join(out)


class Writers:
    """Finds the schema that bytes were written by: by fingerprint, or by the registry's id.

    Args:
        schemas: All that are known here, those of earlier versions too.
        registry: None: only the single-object prefix is written or read.
    """

    def __init__(self, schemas: Iterable[Schema], registry: Registry | None = None) -> None:
        self._by_prefix = {schema.prefix: schema for schema in schemas}
        self._by_id: dict[int, Schema | None] = {}
        self._registry = registry

    def publish(self, form: Form) -> None:
        """Write the form's values with the registry's prefix from now on, if there is a registry.

        Raises ConfigurationError if the registry refuses the schema or cannot be reached.
        """
        if self._registry is not None:
            schema_id = self._registry.register(form.schema.name, form.schema.document)
            self._by_id[schema_id] = form.schema
            form.prefix = CONFLUENT + schema_id.to_bytes(4, "big")

    def find(self, data: bytes) -> tuple[Schema, int]:
        """Give the schema and where the value begins.

        Raises:
            UnknownSchema: `unknown_format`, `unknown_schema`.
            Retriable: The registry is needed and away.
        """
        if data[:2] == SINGLE_OBJECT:
            known = self._by_prefix.get(data[:PREFIX_BYTES])
            if known is None:
                raise refuse("unknown_schema", f"no schema has the fingerprint {data[2:10].hex()}")
            return known, PREFIX_BYTES
        if data[:1] == CONFLUENT and len(data) >= _CONFLUENT_BYTES and self._registry is not None:
            schema_id = int.from_bytes(data[1:_CONFLUENT_BYTES], "big")
            return self._registered(schema_id, self._registry), _CONFLUENT_BYTES
        raise refuse("unknown_format", f"a value cannot begin with {data[:5].hex() or 'nothing'}")

    def _registered(self, schema_id: int, registry: Registry) -> Schema:
        if schema_id not in self._by_id:
            if len(self._by_id) >= _IDS_MAX:
                self._by_id = {key: known for key, known in self._by_id.items() if known}
            self._by_id[schema_id] = _usable(registry.document(schema_id))
        schema = self._by_id[schema_id]
        if schema is None:
            raise refuse("unknown_schema", f"the registry has no usable schema {schema_id}")
        return schema


def quick_decoder(form: Form, check: Check | None, other: Callable[[bytes], Any]) -> Check:
    """Give a decoder of one form for those who decode many: few steps, if nothing is special.

    Args:
        form: What the bytes should be. It is published by now.
        check: Makes of the value what is given back; None: it is given as it is.
        other: Decodes what is not to the letter as the form's values are written, and says what is
            wrong with the bytes.
    """
    prefix, read = form.prefix, form.codec.read
    start = len(prefix)

    def decode(data: bytes) -> Any:
        if data.startswith(prefix):
            try:
                value, end = read(data, start)
            except READ_ERRORS:
                return other(data)
            if end == len(data):
                return value if check is None else check(value)
        return other(data)

    return decode


class Decoder:
    """Decodes bytes that must be of one of a few forms; gives what the form's check makes of it."""

    def __init__(self, checks: Mapping[Form, Check], writers: Writers) -> None:
        self._by_prefix = {form.schema.prefix: (form, check) for form, check in checks.items()}
        self._by_name = {form.schema.name: (form, check) for form, check in checks.items()}
        self._writers = writers

    def __call__(self, data: bytes) -> Any:
        """Decode.

        Raises:
            DecodeError: For any bytes that are no such value.
            Retriable: The registry is needed and away.
        """
        known = self._by_prefix.get(data[:PREFIX_BYTES])
        if known is None:
            return self._foreign(data)
        form, check = known
        return check(form.codec.decode(data, PREFIX_BYTES))

    def _foreign(self, data: bytes) -> Any:
        # By a schema that is not ours to the letter: an older one, or one found by its id.
        writer, start = self._writers.find(data)
        if writer.name not in self._by_name:
            raise refuse("wrong_record", f"a {writer.name} is not expected here")
        form, check = self._by_name[writer.name]
        if writer != form.schema:
            data, start = resolve(data[start:], writer, form.schema), 0
        return check(form.codec.decode(data, start))


def _usable(document: Any | None) -> Schema | None:
    if document is None:
        return None
    try:
        return Schema(document)
    except ConfigurationError:
        return None
