from __future__ import annotations

import pytest
from contract.shard_store import ShardStoreContract

from orchestrator.store.memory import MemoryStores


class TestMemoryStore(ShardStoreContract):
    @pytest.fixture
    def stores(self):
        return MemoryStores()
