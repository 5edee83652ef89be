"""User payloads to bytes and back, by their types.

A payload's bytes carry their own prefix, so that they can be told apart, and read by later versions
of the program, wherever they travel. Any other value (a `bool`, a `tuple` of payloads) stays within
the engine and is bare Avro.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from orchestrator.codec import json, lint
from orchestrator.codec.avro import Schema
from orchestrator.codec.binary import compile_schema
from orchestrator.codec.derive import may_refuse, schema_of, shapes_of
from orchestrator.codec.forms import Decoder, Form, Writers, quick_decoder
from orchestrator.codec.kinds import Problem, Record, holds_many, kind_of
from orchestrator.codec.plain import from_plain, to_plain
from orchestrator.codec.primitives import READ_ERRORS, WRITE_ERRORS, Codec
from orchestrator.codec.refusals import refuse
from orchestrator.codec.registry import Registry
from orchestrator.errors import DefinitionError

_JSON_BEGINS = b"{ \t\r\n"


class _Compiled(NamedTuple):
    """What can be done with values of one type."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    vet: Callable[[bytes], bytes]
    accept: Callable[[bytes], bytes]


class AvroPayloads:
    """Encodes and decodes values by their types; compiles each type once.

    Args:
        kinds: Types to compile at once. With a registry, name all that will be written: what is
            met later is registered when it is first met.
        older: Schemas of earlier versions of payloads, from `files.read`.
        registry: With one, payloads are written in its wire format. Both prefixes are always read.

    Safe to use from several threads.
    """

    def __init__(
        self,
        kinds: Iterable[Any] = (),
        *,
        older: Iterable[Schema] = (),
        registry: Registry | None = None,
    ) -> None:
        self._writers = Writers(older, registry)
        self._compiled: dict[Any, _Compiled] = {}
        for kind in kinds:
            self._of(kind)

    def encode(self, value: Any, kind: Any, /) -> bytes:
        """Encode a value of type `kind`.

        Raises:
            MalformedPayload: `malformed_payload`; the text names the field that is not of its type.
            DefinitionError: Values of this type cannot travel.
        """
        compiled = self._of(kind)
        try:
            return compiled.encode(value)
        except WRITE_ERRORS as error:
            to_plain(value, kind)
            raise refuse("malformed_payload", f"cannot be encoded: {error}") from error

    def decode(self, data: bytes, kind: Any, /) -> Any:
        """Decode a value of type `kind`.

        Raises:
            DecodeError: For any bytes that are no such value.
            Retriable: The registry is needed and away.
            DefinitionError: Values of this type cannot travel.
        """
        return self._of(kind).decode(data)

    def encoder(self, kind: Any, /) -> Callable[[Any], bytes]:
        """Give `encode` for one type, in fewer steps: for those who write many.

        Raises DefinitionError.
        """
        encode_any = self._of(kind).encode

        def encode(value: Any) -> bytes:
            try:
                return encode_any(value)
            except WRITE_ERRORS:
                return self.encode(value, kind)  # says what is wrong

        return encode

    def decoder(self, kind: Any, /) -> Callable[[bytes], Any]:
        """Give `decode` for one type, in fewer steps: for those who read many.

        Raises DefinitionError.
        """
        return self._of(kind).decode

    def accept(self, data: bytes, kind: Any, /) -> bytes:
        """Turn what a stranger sent as a payload into the bytes that `encode` would give.

        JSON, an older schema and either prefix are all accepted. Nothing else may be handed to a
        saga: what has passed here decodes.

        Raises:
            DecodeError: As `decode`; `malformed_payload` for JSON of another type.
        """
        return self._of(kind).accept(data)

    def acceptor(self, kind: Any, /) -> Callable[[bytes], bytes]:
        """Give `accept` for one type. Raises DefinitionError."""
        return self._of(kind).accept

    def vetter(self, kind: Any, /) -> Callable[[bytes], bytes]:
        """Do as `acceptor`, but leave bytes that decode by the present schema as they are: cheaper."""
        return self._of(kind).vet

    def read(self, data: bytes, kind: Any, /) -> Any:
        """Decode a value that may also be JSON. Raises as `accept`."""
        # Only a payload's bytes are told from JSON by their beginning; a bare text may begin so too.
        if data[:1] and data[0] in _JSON_BEGINS and isinstance(kind_of(kind), Record):
            return from_plain(json.loads(data), kind)
        return self.decode(data, kind)

    def to_json(self, data: bytes, kind: Any, /) -> Any:
        """Decode a value and give it as plain JSON. Raises as `decode`."""
        return to_plain(self.decode(data, kind), kind)

    def _of(self, kind: Any) -> _Compiled:
        compiled = self._compiled.get(kind)
        if compiled is None:
            compiled = self._compiled[kind] = self._compile(kind)
        return compiled

    def _compile(self, kind: Any) -> _Compiled:
        document = schema_of(kind)
        problems = lint.problems(document)
        if problems:
            name = getattr(kind, "__name__", str(kind))
            raise DefinitionError(tuple(Problem(name, text) for text in problems))
        schema = Schema(document)
        codec = compile_schema(schema.parsed, shapes_of(kind))

        def rewrite(data: bytes) -> bytes:
            return self.encode(self.read(data, kind), kind)

        if not isinstance(kind_of(kind), Record):
            return _Compiled(codec.encode, codec.decode, rewrite, rewrite)
        form = Form(schema, codec)
        self._writers.publish(form)
        decode = quick_decoder(form, None, Decoder({form: _itself}, self._writers))
        if may_refuse(kind):
            return _Compiled(form.encode, decode, _vetter(form.prefix, codec, rewrite), rewrite)
        # To be read, it need not be made an object of: its class has no say.
        vet = _vetter(form.prefix, compile_schema(schema.parsed), rewrite)
        # With one encoding for each value, what is read would be written just so.
        return _Compiled(form.encode, decode, vet, rewrite if holds_many(kind) else vet)


def _vetter(
    prefix: bytes, codec: Codec, other: Callable[[bytes], bytes]
) -> Callable[[bytes], bytes]:
    read, start = codec.read, len(prefix)

    def vet(data: bytes) -> bytes:
        if data.startswith(prefix):
            try:
                _, end = read(data, start)
            except READ_ERRORS:
                return other(data)  # which says what is wrong
            if end == len(data):
                return data
        return other(data)

    return vet


def _itself(value: Any) -> Any:
    return value
