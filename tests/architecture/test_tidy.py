"""The house rules that a linter does not know, each with its reason."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = sorted(
    path
    for name in ("orchestrator", "sagas", "demo", "benchmarks")
    for path in (ROOT / name).rglob("*.py")
)
FUNCTION_LINES_MAX = 70  # what fits a screen can be reviewed
MODULE_LINES_MAX = 600  # every project of our kind grew one file that nobody could review
# User code is called in one place; a person's mistake is turned into a sentence in the other.
BROAD_EXCEPT = {"orchestrator/guard.py", "orchestrator/cli/__init__.py"}
# A duration or a size without a unit in its name is read wrongly one day.
UNITLESS = re.compile(r"(timeout|interval|delay|duration|elapsed|latency|size|retention|linger)$")


def name(path):
    return path.relative_to(ROOT).as_posix()


def functions(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def long_functions(tree):
    return [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in functions(tree)
        if node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]


def reraises(handler):
    """A handler that only cleans up and passes the error on hides nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def broad_handlers(tree):
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not reraises(node):
            caught = ast.unparse(node.type) if node.type else "everything"
            if re.search(r"\b(Exception|BaseException)\b|everything", caught):
                found.append(f"line {node.lineno} catches {caught}")
    return found


def unitless_fields(tree):
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            kind = ast.unparse(node.annotation)
            if re.fullmatch(r"(int|float)( \| None)?", kind) and UNITLESS.search(node.target.id):
                found.append(f"line {node.lineno}: {node.target.id}: {kind}")
    return found


@pytest.mark.parametrize("path", CODE, ids=name)
def test_no_function_is_longer_than_a_screen(path):
    assert long_functions(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", CODE, ids=name)
def test_no_module_outgrows_review(path):
    assert len(path.read_text().splitlines()) <= MODULE_LINES_MAX


@pytest.mark.parametrize("path", CODE, ids=name)
def test_broad_except_stands_in_two_places_only(path):
    if name(path) not in BROAD_EXCEPT:
        assert broad_handlers(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", CODE, ids=name)
def test_numbers_carry_their_unit(path):
    assert unitless_fields(ast.parse(path.read_text())) == []


def test_every_module_says_what_it_is():
    silent = [name(path) for path in CODE if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def tracked():
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / each for each in listing.stdout.split("\0") if each]


def test_no_left_overs_and_no_foreign_hosts():
    words = "|".join(["FIX" + "ME", "TO" + "DO", "XX" + "X", "pypi" + r"\.org", "/wo" + "rk/"])
    for path in tracked():
        if (
            path.suffix in {".py", ".md", ".toml", ".lock", ".yaml", ".avsc", ".in", ""}
            and path.is_file()
        ):
            found = re.search(rf"\b(?:{words})|maven\." + r"org", path.read_text(errors="replace"))
            assert found is None, f"{name(path)}: {found.group(0)}"


def test_the_rules_bite():
    long = "def f():\n" + "    x = 1\n" * 80
    assert long_functions(ast.parse(long))
    assert broad_handlers(ast.parse("try:\n    pass\nexcept (ValueError, Exception):\n    pass"))
    assert unitless_fields(ast.parse("class A:\n    timeout: float"))
