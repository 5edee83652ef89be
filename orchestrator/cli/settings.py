"""What every verb must know of an installation besides how to reach its Kafka."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.ids import is_id
from orchestrator.errors import ConfigurationError
from orchestrator.modules import DEFAULT


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
