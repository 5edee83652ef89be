"""The language's specification: which line is rejected by whom, compared line by line."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.definition.check import problems_in
from orchestrator.definition.saga import sagas_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BIN = Path(sys.executable).parent
RIGHT = sorted(HERE.glob("right_*.py"))
WRONG = sorted(HERE.glob("wrong_*.py"))
# mypy takes any object as a condition; pyright knows that these can be none.
PYRIGHT_ONLY = {"M9b", "M9c"}
PYRIGHT = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    "venvPath": str(ROOT),
    "extraPaths": [str(ROOT), str(HERE)],
    # Style, not types; planted mistakes leave much unused and unknown.
    **{
        f"report{rule}": False
        for rule in (
            "UnusedVariable",
            "UnusedFunction",
            "UnusedExpression",
            "UnknownMemberType",
            "UnknownArgumentType",
            "UnknownVariableType",
            "UntypedFunctionDecorator",
            "WildcardImportFromLibrary",
        )
    },
}


def marks(path):
    """Each marked line of a file with its marks."""
    lines = enumerate(path.read_text().splitlines(), 1)
    found = {
        number: match.group(1).split()
        for number, line in lines
        if (match := re.search(r"  # ((?:(?:M\w+|SG\d+) ?)+)$", line))
    }
    assert found or path in RIGHT
    return found


@pytest.fixture(scope="module")
def mypy_lines(tmp_path_factory):
    cache = tmp_path_factory.mktemp("mypy")
    command = [BIN / "mypy", "--strict", "--cache-dir", cache, "--python-version", "3.11"]
    done = subprocess.run(
        [*command, "--config-file", "", *RIGHT, *WRONG],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
        env={"MYPYPATH": f"{ROOT}:{HERE}"},
    )
    assert done.returncode in {0, 1}, done.stderr
    found = re.finditer(r"^(?:.*/)?(\w+\.py):(\d+): error: (.*)$", done.stdout, re.MULTILINE)
    return {(match[1], int(match[2])): match[3] for match in found}


@pytest.fixture(scope="module")
def pyright_lines(tmp_path_factory):
    config = tmp_path_factory.mktemp("pyright") / "pyrightconfig.json"
    files = [str(path) for path in (*RIGHT, *WRONG)]
    config.write_text(json.dumps({**PYRIGHT, "include": files}))
    command = [BIN / "basedpyright", "--outputjson", "-p", config, "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] >= len(files)
    lines = {}
    for said in found["generalDiagnostics"]:
        if said["severity"] in {"error", "warning"}:
            first, last = said["range"]["start"]["line"] + 1, said["range"]["end"]["line"] + 1
            lines[Path(said["file"]).name, first, last] = said["message"]
    return lines


@pytest.mark.parametrize("path", [*RIGHT, *WRONG], ids=lambda path: path.stem)
def test_mypy_rejects_the_marked_lines_and_no_other(path, mypy_lines):
    wanted = {
        line
        for line, codes in marks(path).items()
        if any(code.startswith("M") and code not in PYRIGHT_ONLY for code in codes)
    }
    said = {line: text for (file, line), text in mypy_lines.items() if file == path.name}
    assert said.keys() == wanted, {n: said.get(n) for n in said.keys() ^ wanted}


@pytest.mark.parametrize("path", [*RIGHT, *WRONG], ids=lambda path: path.stem)
def test_pyright_rejects_the_marked_lines_and_no_other(path, pyright_lines):
    wanted = {
        line for line, codes in marks(path).items() if any(code.startswith("M") for code in codes)
    }
    said = {
        (first, last): text
        for (file, first, last), text in pyright_lines.items()
        if file == path.name
    }
    stray = {
        place: text
        for place, text in said.items()
        if not wanted & set(range(place[0], place[1] + 1))
    }
    missed = {line for line in wanted if not any(a <= line <= b for a, b in said)}
    assert (stray, missed) == ({}, set())


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_the_build_reports_the_marked_lines_and_no_other(path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = problems_in(*(one.sketch() for one in sagas_of(module)))
    said = {(problem.place.line, problem.code) for problem in found}
    wanted = {
        (line, code)
        for line, codes in marks(path).items()
        for code in codes
        if code.startswith("SG")
    }
    assert said == wanted, [str(p) for p in found if (p.place.line, p.code) not in wanted]
