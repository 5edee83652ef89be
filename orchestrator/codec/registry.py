"""The schema registry as the codec sees it: ids for schemas, schemas for ids."""

from __future__ import annotations

from typing import Any, Protocol


class Registry(Protocol):
    """A Confluent-compatible registry, cached both ways. The adapter is `kafka.registry`."""

    def register(self, subject: str, document: Any) -> int:
        """Give the id of a schema under a subject, registering it if it is new.

        Raises ConfigurationError if the registry refuses it or cannot be reached.
        """
        ...

    def document(self, schema_id: int) -> Any | None:
        """Give the schema of an id as parsed JSON; None if the registry has none.

        Raises Retriable if the registry cannot be reached: the bytes are then neither good nor bad.
        """
        ...
