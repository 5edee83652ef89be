from __future__ import annotations

import pytest

from benchmarks.subjects import Load, run_bare, run_engine
from orchestrator.kafka.settings import KafkaSettings

LOAD = Load(sagas=200, in_flight=50, warm_up=50)


@pytest.mark.parametrize("measure", [run_engine, run_bare])
def test_a_run_gives_figures_of_every_saga(kafka, measure):
    found = measure(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), LOAD)
    assert found["ended"] == 200
    assert sum(found["outcomes"].values()) == 200
    assert found["wrong_outcome"] == 0
    assert found["throughput_per_s"] > 0
    if "effects" in found:
        assert found["effects"]["executed"]["undo_flight"] == 25
