"""What a verb gets: the common options, turned into the things that they stand for when asked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.cli.output import Output

if TYPE_CHECKING:
    from orchestrator.audit.reading import Log
    from orchestrator.cli.devfile import Dev
    from orchestrator.cli.settings import ProgramSettings
    from orchestrator.cli.views import Readable
    from orchestrator.client import Client
    from orchestrator.codec.payloads import AvroPayloads
    from orchestrator.codec.registry import Registry
    from orchestrator.codec.wire import RecordCodec
    from orchestrator.kafka.base import Admin, Reader
    from orchestrator.kafka.settings import KafkaSettings
    from orchestrator.modules import Program
    from orchestrator.settings import Settings, Tables
    from orchestrator.topics import Topics

S = TypeVar("S", bound="Settings")

ANSWER_S = 8.0
"""How long a person waits to learn that Kafka does not answer; a broker that is there takes 0.1."""
DEFAULT_FILE = "saga.toml"


def add_common(parser: argparse._ActionsContainer) -> None:
    """Add the options that every verb takes. One that is not given leaves no attribute."""
    rows = (
        ("--bootstrap-servers", "HOST:PORT,...", "brokers to ask first (SAGA_BOOTSTRAP_SERVERS)"),
        ("--config", "FILE", f"settings file (SAGA_CONFIG; default {DEFAULT_FILE}, if it exists)"),
        ("--prefix", "NAME", "how the engine's topics begin (SAGA_PREFIX; default saga)"),
        (
            "--modules",
            "NAMES",
            "modules, packages or files of your sagas (SAGA_MODULES; those of a running saga dev; sagas)",
        ),
    )
    for name, metavar, text in rows:
        parser.add_argument(name, metavar=metavar, default=argparse.SUPPRESS, help=text)
    for name, text in (
        ("--json", "write JSON for programs instead of text for people"),
        ("--debug", "show a traceback when something goes wrong"),
    ):
        parser.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=text)


class Context:
    """Everything is made when it is first asked for, so that a verb pays only for what it uses."""

    def __init__(self, options: argparse.Namespace, out: Output) -> None:
        self.options = options
        self.out = out

    def settings(self, cls: type[S]) -> S:
        """Fill a settings class from options, environment and file.

        Raises:
            ConfigurationError: A setting is wrong or lacking.
        """
        from orchestrator.settings import load

        return load(cls, flags=vars(self.options), env=os.environ, file=self._defaults)

    def given(self, table: str, name: str) -> Any:
        """Give a setting as a flag, the environment or the file has it; None: nobody said."""
        flag = getattr(self.options, name, None)
        return (
            flag or os.environ.get(f"SAGA_{name.upper()}") or self._tables.get(table, {}).get(name)
        )

    @cached_property
    def dev(self) -> Dev | None:
        """The `saga dev` of this directory, if it runs and its Kafka is the one in use."""
        from orchestrator.cli.devfile import read

        found, servers = read(), self.given("kafka", "bootstrap_servers")
        return found if found is not None and servers in (None, found.servers) else None

    @cached_property
    def kafka(self) -> KafkaSettings:
        """How to reach Kafka.

        Raises:
            ConfigurationError: Nobody said where, and `saga dev` does not run here.
        """
        from orchestrator.errors import ConfigurationError
        from orchestrator.kafka.settings import KafkaSettings

        if not self.given("kafka", "bootstrap_servers"):
            if self.dev is None:
                raise ConfigurationError(
                    "bootstrap_servers is not set, and `saga dev` is not running in this directory:"
                    " start it, or pass --bootstrap-servers (SAGA_BOOTSTRAP_SERVERS, or"
                    " bootstrap_servers in [kafka] of the settings file)"
                )
            self.out.note(f"Using the Kafka of `saga dev` at {self.dev.servers}.")
        return self.settings(KafkaSettings)

    @cached_property
    def program_settings(self) -> ProgramSettings:
        """Prefix and modules."""
        from orchestrator.cli.settings import ProgramSettings

        return self.settings(ProgramSettings)

    @cached_property
    def program(self) -> Program:
        """The user's modules, imported.

        Raises:
            ModuleError: One cannot be.
        """
        from orchestrator.modules import load

        return load(self.program_settings.modules)

    @cached_property
    def known_program(self) -> Program | None:
        """The user's modules if they can be imported: for verbs that only look nicer with them."""
        from orchestrator.errors import OrchestratorError

        try:
            return self.program
        except OrchestratorError:
            return None

    @cached_property
    def read(self) -> Readable:
        """Reads payloads by their types, as far as the program at hand has them."""
        from orchestrator.cli.views import Readable
        from orchestrator.errors import OrchestratorError

        if self.known_program is None:
            return Readable()
        try:
            return Readable(*self._readers(self.known_program))
        except OrchestratorError:  # a definition with mistakes: payloads are shown as they are
            return Readable()

    def _readers(
        self, program: Program
    ) -> tuple[dict[bytes, Callable[[bytes], Any]], dict[bytes, str]]:
        from orchestrator.codec.avro import Schema
        from orchestrator.codec.derive import schema_of
        from orchestrator.modules import payload_kinds

        kinds = {Schema(schema_of(kind)).prefix: kind for kind in payload_kinds(program)}
        readers: dict[bytes, Callable[[bytes], Any]] = {
            prefix: partial(self._to_json, kind) for prefix, kind in kinds.items()
        }
        return readers, {prefix: kind.__name__ for prefix, kind in kinds.items()}

    def _to_json(self, kind: type[Any], data: bytes) -> Any:
        return self.payloads.to_json(data, kind)

    @cached_property
    def topics(self) -> Topics:
        """Names of the topics."""
        from orchestrator.topics import Topics

        return Topics(self.program_settings.prefix)

    @cached_property
    def codec(self) -> RecordCodec:
        """The engine's records."""
        from orchestrator.codec.wire import RecordCodec

        return RecordCodec(self.registry)

    @cached_property
    def registry(self) -> Registry | None:
        """The schema registry, if one is configured."""
        from orchestrator.cli.settings import RegistrySettings

        settings = self.settings(RegistrySettings)
        if not settings.registry_url:
            return None
        from orchestrator.kafka.registry import ConfluentRegistry

        return ConfluentRegistry(
            settings.registry_url,
            user_info=settings.registry_user_info.reveal(),
            ca_path=settings.registry_ca_file,
        )

    @cached_property
    def payloads(self) -> AvroPayloads:
        """The user's payloads, those of earlier versions too if their schemas are kept."""
        from orchestrator.codec.files import read
        from orchestrator.codec.payloads import AvroPayloads

        return AvroPayloads(older=read(self.program_settings.schemas), registry=self.registry)

    @cached_property
    def admin(self) -> Admin:
        """Questions to the cluster."""
        from orchestrator.kafka.admin import KafkaAdmin

        return KafkaAdmin(self.kafka, timeout_s=ANSWER_S)

    @cached_property
    def reader(self) -> Reader:
        """Reads partitions, in no group."""
        from orchestrator.kafka.changelog import ChangelogReader

        return ChangelogReader(self.kafka, "saga-cli")

    @cached_property
    def log(self) -> Log:
        """The installation's events and changelog."""
        from orchestrator.audit.reading import Log

        return Log(self.admin, self.reader, self.codec, self.topics)

    @cached_property
    def client(self) -> Client:
        """Sends commands, waits for outcomes."""
        from orchestrator.client import Client

        prefix = self.program_settings.prefix
        return Client(settings=self.kafka, prefix=prefix, payloads=self.payloads, codec=self.codec)

    @cached_property
    def _defaults(self) -> Tables:
        """The file's tables, and under them what `saga dev` has left."""
        if self.dev is None:
            return self._tables
        under = self.dev.tables
        names = under.keys() | self._tables.keys()
        return {name: {**under.get(name, {}), **self._tables.get(name, {})} for name in names}

    @cached_property
    def _tables(self) -> Tables:
        from orchestrator.settings import check_tables, read_file

        given: Any = getattr(self.options, "config", None) or os.environ.get("SAGA_CONFIG")
        tables = read_file(Path(given or DEFAULT_FILE), must_exist=given is not None)
        if tables:
            from orchestrator.settings_docs import settings_classes

            check_tables(tables, settings_classes())
        return tables
