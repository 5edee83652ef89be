"""Loading a user's program: what counts as one, and what is wrong with it."""

from __future__ import annotations

import sys

import pytest

from orchestrator.errors import DefinitionError
from orchestrator.modules import (
    ModuleError,
    commands_of,
    load,
    participants_of,
    payload_kinds,
    split,
)

CONTRACT = """
from orchestrator import Command, Done, Flow, Later, Participant, Payload, minutes, saga, seconds, step

till = Participant("till-{name}")
class Given(Payload):
    word: str
class No(Payload):
    why: str
class Pay{name}(Command[Done, No], to=till):
    word: str
"""
SAGA = """
@step(within=seconds(1), irreversible=True)
def pay(given: Given) -> Pay{name}:
    return Pay{name}(given.word)
@saga(version=1, deadline=minutes(1))
def {name}(flow: Flow, given: Later[Given]) -> None:
    flow.pivot(pay(given))
"""
HANDLER = """
@Pay{name}.handler
def on_pay(command: Pay{name}) -> Done:
    return Done()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(path, *parts, name):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts).replace("{name}", name))


def test_a_package_stands_for_all_below_it(folder):
    write(folder / "shop_a/__init__.py", name="a")
    write(folder / "shop_a/deep/__init__.py", name="a")
    write(folder / "shop_a/deep/all.py", CONTRACT, SAGA, HANDLER, name="alpha")
    write(folder / "shop_a/__main__.py", "raise SystemExit(7)", name="a")
    program = load("shop_a")

    assert [saga.id for saga in program.sagas] == ["alpha"]
    assert program.participants == ("till-alpha",)
    assert program.modules == ("shop_a", "shop_a.deep", "shop_a.deep.all")
    assert participants_of(program) == ("till-alpha",)
    assert [command.__name__ for command, _ in commands_of(program)] == ["Payalpha"]
    assert {kind.__name__ for kind in payload_kinds(program)} == {
        "Given",
        "Payalpha",
        "Done",
        "No",
    }


def test_files_and_what_lies_beside_them(folder):
    write(folder / "elsewhere/contract_b.py", CONTRACT, name="beta")
    write(folder / "elsewhere/saga_b.py", "from contract_b import *\n", SAGA, name="beta")
    program = load(["elsewhere/saga_b.py"])

    assert [saga.id for saga in program.sagas] == ["beta"]
    assert load(["elsewhere/saga_b.py", "saga_b"]).sagas == program.sagas


def test_a_saga_that_two_modules_name_is_one(folder):
    write(folder / "one_c.py", CONTRACT, SAGA, name="gamma")
    write(folder / "two_c.py", "from one_c import gamma\n", name="gamma")

    assert len(load("one_c two_c").sagas) == 1


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((CONTRACT, SAGA), "two sagas are called delta version 1: one_d.py"),
        (("from shared_d import *\n", HANDLER), "two handlers of till-delta take Paydelta"),
    ],
)
def test_clashes(folder, parts, words):
    write(folder / "shared_d.py", CONTRACT, name="delta")
    for name in ("one_d.py", "two_d.py"):
        write(folder / name, *parts, name="delta")
    with pytest.raises(ModuleError, match=words):
        load("one_d,two_d")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_thing\n", "no_such_thing.*broken_e.py:1"),
        ("x = {}\n\nx['seat']\n", "KeyError: 'seat'.*broken_e.py:3"),
        ("raise SystemExit(3)\n", "SystemExit.*broken_e.py:1"),
        ("x = (\n", "SyntaxError.*broken_e.py:1"),
    ],
)
@pytest.mark.parametrize("how", ["broken_e", "broken_e.py"])
def test_modules_that_cannot_be_imported(folder, text, words, how):
    (folder / "broken_e.py").write_text(text)
    with pytest.raises(ModuleError, match=words):
        load(how)


def test_a_declaration_that_is_stopped_keeps_its_own_words(folder):
    write(folder / "wrong_f.py", CONTRACT, SAGA, "zeta.given(3)\n", name="zeta")
    with pytest.raises(DefinitionError, match="SG212"):
        load("wrong_f")


def test_a_file_called_like_another_module(folder):
    (folder / "json.py").write_text("")
    with pytest.raises(ModuleError, match="another module is called `json`"):
        load("./json.py")


def test_lists_of_modules():
    assert split(" a.b, c.py d ") == ("a.b", "c.py", "d")
