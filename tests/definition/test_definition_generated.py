"""The classes per number of parameters are as their script writes them."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def generator():
    path = ROOT / "scripts" / "generate_arity.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["arity.py", "parallel.py"])
def test_the_generated_modules_are_current(name):
    path = ROOT / "orchestrator" / "definition" / name
    assert path.read_text() == generator().formatted(name), "run scripts/generate_arity.py"
