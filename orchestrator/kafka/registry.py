"""A Confluent-compatible schema registry. Needs the extra `registry`."""

from __future__ import annotations

import json
import warnings
from typing import Any

from orchestrator.errors import ConfigurationError, Retriable

_NOT_FOUND = 404
_CONFLICT = 409
_CONFLICTS_MAX = 2


class ConfluentRegistry:
    """The registry at a URL, as the codec wants it (`codec.registry.Registry`).

    Ids and schemas never change once given, so each is asked for once; unknown ids are remembered by
    the codec.

    Args:
        url: Such as `http://localhost:8081`.
        user_info: `user:password` for HTTP basic authentication; empty: none.
        ca_path: PEM file of the authorities to trust; empty: the system's.
        timeout_s: For one request.

    Raises:
        ConfigurationError: The extra is not installed, or the URL is none.
    """

    def __init__(
        self, url: str, *, user_info: str = "", ca_path: str = "", timeout_s: int = 5
    ) -> None:
        client = _client_module()
        conf: dict[str, Any] = {"url": url, "timeout": timeout_s, "max.retries": 2}
        if user_info:
            conf["basic.auth.user.info"] = user_info
        if ca_path:
            conf["ssl.ca.location"] = ca_path
        try:
            self._client = client.SchemaRegistryClient(conf)
        except ValueError as error:
            raise ConfigurationError(f"schema registry {url}: {error}") from error
        self._make = client.Schema
        self._refused = client.SchemaRegistryError
        self._unreached = _transport_error()
        self._url = url

    def __repr__(self) -> str:
        return f"ConfluentRegistry({self._url!r})"

    def register(self, subject: str, document: Any) -> int:
        """Give the id of a schema under a subject, registering it if it is new.

        Raises:
            ConfigurationError: The registry refuses it (such as incompatible with what is there),
                or cannot be reached.
        """
        schema = self._make(json.dumps(document), "AVRO")
        for attempt in range(_CONFLICTS_MAX + 1):
            try:
                return int(self._client.register_schema(subject, schema))
            except (self._refused, self._unreached) as error:
                # Another process may have registered the same just now: then asking again finds it.
                if getattr(error, "http_status_code", 0) == _CONFLICT and attempt < _CONFLICTS_MAX:
                    continue
                raise ConfigurationError(
                    f"the schema registry at {self._url} does not take {subject}: {error}"
                ) from error
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def document(self, schema_id: int) -> Any | None:
        """Give the schema of an id as parsed JSON; None if the registry has none.

        Raises:
            Retriable: The registry cannot be reached, or fails.
        """
        try:
            text = self._client.get_schema(schema_id).schema_str
        except self._refused as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            raise Retriable(f"the schema registry at {self._url} failed: {error}") from error
        except self._unreached as error:
            raise Retriable(f"the schema registry at {self._url} is away: {error}") from error
        return _parsed(text)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _parsed(text: str | None) -> Any | None:
    # A registry may hold schemas that are not Avro's, such as Protobuf's.
    try:
        return json.loads(text or "")
    except ValueError:
        return None


def _client_module() -> Any:
    # Imported when needed: it is an extra. Its OAuth part, which is not used, imports a library
    # that warns about another, whatever the filters say: so the warning is taken and dropped.
    try:
        with warnings.catch_warnings(record=True):
            import confluent_kafka.schema_registry as client  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"the schema registry needs an extra: pip install 'saga-orchestrator[registry]' ({error})"
        ) from error
    return client


def _transport_error() -> type[Exception]:
    import httpx  # noqa: PLC0415

    return httpx.TransportError
