"""What every verb must know of an installation besides how to reach its Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.ids import is_id
from orchestrator.errors import ConfigurationError
from orchestrator.modules import DEFAULT
from orchestrator.settings import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSettings:
    """Which program runs, and under which topic names."""

    prefix: str = "saga"
    """How the engine's topics begin. Default `saga`. Two installations on one cluster need two."""
    modules: tuple[str, ...] = (DEFAULT,)
    """Modules, packages or files that hold sagas and handlers. Default `sagas`: a package of the
    current directory. A package stands for all modules in it."""
    schemas: Path = Path("schemas/payloads")
    """Directory of your payloads' schemas, which `saga schemas` writes. Default
    `schemas/payloads`. What an earlier version of a payload wrote is read with its schema there."""

    def __post_init__(self) -> None:
        if not is_id(self.prefix):
            raise ConfigurationError(f"prefix={self.prefix!r}: must be [A-Za-z0-9._-]{{1,128}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """A Confluent-compatible schema registry, if you have one (extra `registry`)."""

    registry_url: str = ""
    """Where it answers, such as `http://localhost:8081`. Default empty: none; records then name
    their schemas by fingerprint and need no registry."""
    registry_user_info: Secret = field(default_factory=lambda: Secret(""))
    """`user:password` for HTTP basic authentication. Default empty: none. Set it by
    `SAGA_REGISTRY_USER_INFO_FILE`."""
    registry_ca_file: str = ""
    """PEM file of the authorities that sign its certificate. Default empty: the system's."""
