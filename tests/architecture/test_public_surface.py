"""What users may import: complete, sorted, and light."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import orchestrator

PUBLIC = (
    "orchestrator",
    "orchestrator.definition",
    "orchestrator.participant",
    "orchestrator.testing",
)
HEAVY = {"confluent_kafka", "rocksdict", "fastavro", "rich", "structlog", "asyncio"}


@pytest.mark.parametrize("module", PUBLIC)
def test_all_is_sorted_and_true(module):
    found = importlib.import_module(module)
    assert list(found.__all__) == sorted(found.__all__)
    for name in found.__all__:
        assert getattr(found, name).__doc__ or isinstance(getattr(found, name), str)


def test_the_root_imports_nothing_heavy():
    code = "import sys, orchestrator; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(loaded.stdout.split())


def test_the_wheel_is_what_is_tested(request):
    wheel = os.environ.get("SAGA_TEST_WHEEL")
    if wheel is None:
        pytest.skip("the tree is tested, not the wheel (make test)")
    expected = Path(request.config.rootpath, wheel).resolve()
    assert Path(orchestrator.__file__).resolve().is_relative_to(expected)
