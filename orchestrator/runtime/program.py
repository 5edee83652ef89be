"""From a user's sagas to the catalog that a worker runs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.codec.payloads import AvroPayloads
from orchestrator.runtime.catalog import Catalog, Known

if TYPE_CHECKING:
    from orchestrator.definition.saga import Saga


_NOTHING = b"{}"
"""What an empty result stands for: a payload without fields, such as `Done`."""


def catalog_of(sagas: Iterable[Saga[Any, Any]], payloads: AvroPayloads) -> Catalog:
    """Build every saga and bind it to the payloads' codec.

    Raises DefinitionError for mistakes in a saga, ConfigurationError if two share name and version.
    """
    return Catalog(_known(saga, payloads) for saga in sagas)


def _known(saga: Saga[Any, Any], payloads: AvroPayloads) -> Known:
    definition = saga.bind(payloads)
    results = {mark.id: mark.spec.result for mark in saga.sketch().drawing.steps}
    return Known(
        definition,
        accept=partial(_accept, payloads, saga.input_type),
        accept_result=partial(_accept_result, payloads, results),
    )


def _accept(payloads: AvroPayloads, kind: type[Any], data: bytes) -> bytes:
    return payloads.accept(data, kind)


def _accept_result(
    payloads: AvroPayloads, results: dict[str, type[Any]], step_id: str, data: bytes
) -> bytes:
    kind = results.get(step_id)
    if kind is None:
        return data  # the saga refuses a step that it has not
    return payloads.vet(data or _NOTHING, kind)
