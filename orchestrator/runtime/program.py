"""From a user's sagas to the catalog that a worker runs."""

from __future__ import annotations

from collections.abc import Iterable
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
    steps = saga.sketch().drawing.steps
    vetters = {mark.id: payloads.vetter(mark.spec.result) for mark in steps}

    def accept_result(step_id: str, data: bytes) -> bytes:
        vet = vetters.get(step_id)
        if vet is None:
            return data  # the saga refuses a step that it has not
        return vet(data or _NOTHING)

    return Known(definition, payloads.acceptor(saga.input_type), accept_result)
