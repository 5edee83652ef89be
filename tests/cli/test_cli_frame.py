"""The frame of `saga`: every verb is documented, mistakes are told in a sentence, JSON has a shape."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import cli
from orchestrator.cli import VERBS, manual, parser_of, verb_named
from orchestrator.cli.cures import cure_of
from orchestrator.cli.exits import MEANINGS, Exit, Misused, exit_of
from orchestrator.cli.output import Output, clean
from orchestrator.errors import (
    CommandRejected,
    ConfigurationError,
    CorruptStore,
    DefinitionError,
    Fenced,
    LocalKafkaError,
    NotFound,
    Retriable,
    TimedOut,
    UnknownSchema,
    Unreachable,
)

ROOT = Path(__file__).parents[2]
TWICE = """from orchestrator import Flow, Later, Payload, minutes, saga
class Given(Payload):
    word: str
@saga(version=1, deadline=minutes(1))
def twice(flow: Flow, given: Later[Given]) -> None: ...
"""


def run(*arguments, env=None, cwd=None, stdin=""):
    """Run `saga` as a person does: in a process of its own, away from the source tree."""
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
    )


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- the table of verbs -------------------------------------------------------------------------


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_and_an_example_that_parses(name):
    verb = verb_named(name)

    assert verb.name == name
    assert verb.help.endswith(".")
    assert len(verb.help) < 100
    words = shlex.split(verb.example)
    assert words[:2] == ["saga", name]
    parser_of(verb).parse_args(words[2:])
    assert verb.example in parser_of(verb).format_help()


def test_every_file_with_a_verb_is_in_the_table():
    names = [module.name for module in pkgutil.iter_modules(cli.__path__)]
    with_verb = {
        name
        for name in names
        if hasattr(importlib.import_module(f"orchestrator.cli.{name}"), "VERB")
    }

    assert with_verb == {cli.file_of(name) for name in VERBS}


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_takes_the_common_options(name):
    words = [word for word in shlex.split(verb_named(name).example)[2:] if word != "--json"]
    options = parser_of(verb_named(name)).parse_args([*words, "--json", "--prefix", "other"])

    assert options.json
    assert options.prefix == "other"


def test_the_manual_is_current():
    page = ROOT / "docs" / "command-line.md"

    assert page.read_text("utf-8") == manual.render(), (
        "python -m orchestrator.cli.manual > " + str(page)
    )


def test_every_exit_code_is_documented():
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Misused("usage", ""), 2),
        (NotFound("x", ""), 5),
        (TimedOut("x", ""), 6),
        (CommandRejected("x", ""), 1),
        (UnknownSchema("x", ""), 1),
        (CorruptStore(""), 1),
        (DefinitionError(()), 3),
        (Unreachable(""), 4),
        (ConfigurationError(""), 3),
        (LocalKafkaError(""), 4),
        (Fenced(""), 4),
        (Retriable(""), 4),
    ],
)
def test_errors_have_exit_codes(error, code):
    assert exit_of(error) == code


# --- what a person sees -------------------------------------------------------------------------


def test_help_names_every_verb_and_code_and_stays_light():
    found = run("--help")

    assert found.returncode == 0
    assert all(f"\n  {name} " in found.stdout for name in VERBS)
    check = (
        "import sys, contextlib, io, orchestrator.cli as cli\n"
        "with contextlib.redirect_stdout(io.StringIO()): cli.main(['--help'])\n"
        "print(*sorted({'confluent_kafka', 'fastavro', 'rocksdict', 'rich', 'structlog'} & set(sys.modules)))"
    )
    heavy = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert heavy.stdout.strip() == ""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 0, ["usage: saga VERB"]),
        (("shwo",), 2, ["no verb `shwo`", "Did you mean `saga show`?"]),
        (("show",), 2, ["ID"]),
        (("show", "--nonsense", "x"), 2, ["--nonsense"]),
        (("show", "x"), 3, ["`saga dev` is not running in this directory", "--bootstrap-servers"]),
        (("show", "x", "--bootstrap-servers", "nowhere"), 3, ["host:port"]),
        (("show", "x", "--bootstrap-servers", "kafka.example:9092"), 3, ["security_protocol"]),
        (("show", "x", "--config", "none.toml"), 3, ["none.toml"]),
        (("show", "x", "--prefix", "a b", "--bootstrap-servers", "localhost:1"), 3, ["prefix"]),
        (("check", "--modules", "no_such_module"), 3, ["no module `no_such_module`"]),
        (("check", "--modules", "gone.py"), 3, ["no file `gone.py`"]),
        (("check", "--modules", "broken.py"), 3, ["SyntaxError", "broken.py:1"]),
        (("check", "--modules", "raises.py"), 3, ["ZeroDivisionError", "raises.py:1"]),
        (("check", "--modules", "twice_a.py,twice_b.py"), 3, ["two sagas", "twice_b.py:4"]),
        (("graph", "book_trp"), 5, ["did you mean book_trip?"]),
        (("start", "book_trip"), 2, ["--id"]),
        (("start", "book_trip", "--id", "t"), 2, ["--payload is missing", "traveller"]),
        (("start", "book_trip", "--id", "t", "--payload", "{"), 1, ["--payload is no JSON"]),
        (("start", "book_trip", "--id", "t", "--payload", "{}"), 1, ["traveller"]),
        (("start", "book_trip", "--id", "a b", "--payload", "{}"), 1, ["no saga id"]),
        (("start", "book_trip", "--file", "none.jsonl"), 1, ["none.jsonl"]),
        (("participant", "airlin"), 5, ["did you mean airline?"]),
        (("participant",), 2, ["--all", "known: airline"]),
    ],
)
def test_mistakes_are_told_in_a_sentence(in_tmp, arguments, code, words):
    (in_tmp / "broken.py").write_text("def (:\n")
    (in_tmp / "raises.py").write_text("1 / 0\n")
    for name in ("twice_a.py", "twice_b.py"):
        (in_tmp / name).write_text(TWICE)
    found = run(*arguments, cwd=in_tmp)

    assert found.returncode == code, found.stderr
    told = found.stdout + found.stderr
    assert "Traceback" not in told
    for word in words:
        assert word in told


def test_an_unreachable_kafka_has_its_own_code(in_tmp):
    found = run("show", "x", "--bootstrap-servers", "127.0.0.1:1", cwd=in_tmp)

    assert found.returncode == Exit.UNREACHABLE
    assert "127.0.0.1:1" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (CommandRejected("conflict", ""), "under another"),
        (TimedOut("not_taken", ""), "worker"),
        (NotFound("unknown_saga", ""), "saga list"),
        (CorruptStore(""), "saga replay"),
        (Unreachable(""), "--bootstrap-servers"),
    ],
)
def test_a_cure_fits_the_reason(error, cure):
    assert cure in cure_of(error)


@pytest.mark.parametrize(
    "error",
    [
        CommandRejected("bad_id", "says it all"),
        NotFound("unknown_definition", "did you mean it?"),
        Misused("usage", "give --id"),
        ConfigurationError("prefix='a b': must be"),
        UnknownSchema("unknown_schema", ""),
    ],
)
def test_there_is_no_second_line_that_adds_nothing(error):
    assert cure_of(error) == ""


def test_errors_are_json_too(in_tmp):
    found = run("graph", "book_trp", "--json", cwd=in_tmp)

    assert found.returncode == Exit.NOT_FOUND
    assert json.loads(found.stdout) == {
        "error": "NotFound",
        "reason": "unknown_definition",
        "text": "unknown_definition: no saga is called book_trp; did you mean book_trip?",
        "operator_action": "",
        "exit": 5,
    }


def test_a_bug_of_ours_leaves_its_traceback_in_a_file(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("orchestrator.cli.split", lambda _words: 1 // 0)

    assert cli.main(["version"]) == Exit.BUG
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "Traceback" not in told
    (log,) = tmp_path.glob("saga-error-*.log")
    assert "ZeroDivisionError" in log.read_text()

    assert cli.main(["version", "--debug"]) == Exit.BUG
    assert "Traceback" in capsys.readouterr().err


def test_settings_come_from_file_environment_and_flags(in_tmp):
    (in_tmp / "saga.toml").write_text('[program]\nprefix = "from file"\n')
    assert (
        "from file"
        in run("show", "x", cwd=in_tmp, env={"SAGA_BOOTSTRAP_SERVERS": "localhost:1"}).stderr
    )
    found = run("show", "x", cwd=in_tmp, env={"SAGA_PREFIX": "from env"})
    assert (
        "from env"
        in run(
            "topics",
            "plan",
            cwd=in_tmp,
            env={"SAGA_PREFIX": "from env", "SAGA_BOOTSTRAP_SERVERS": "localhost:1"},
        ).stderr
    )
    (in_tmp / "saga.toml").write_text('[program]\nprefiks = "saga"\n')
    found = run("show", "x", cwd=in_tmp)
    assert found.returncode == Exit.CONFIGURATION
    assert "did you mean prefix?" in found.stderr


@pytest.mark.parametrize("place", ["before", "after"])
def test_common_options_stand_before_or_after_the_verb(place):
    words = ["--json", "--prefix", "p"]
    found = run(
        *(words if place == "before" else []), "version", *(words if place == "after" else [])
    )

    assert json.loads(found.stdout)["versions"].keys() >= {"saga-orchestrator", "python"}


# --- verbs that need no Kafka -------------------------------------------------------------------


def test_check_lock_and_schemas(in_tmp):
    first = json.loads(run("check", "--json", cwd=in_tmp).stdout)
    assert first["ok"]
    assert len(first["skipped"]) == 2
    assert {"saga": "book_trip", "version": 1} in first["sagas"]

    assert run("lock", cwd=in_tmp).returncode == 0
    assert run("schemas", "check", cwd=in_tmp).returncode == Exit.FOUND
    written = json.loads(run("schemas", "write", "--json", cwd=in_tmp).stdout)
    assert "Trip.avsc" in written["written"]
    assert run("schemas", "check", cwd=in_tmp).returncode == 0
    second = json.loads(run("check", "--json", cwd=in_tmp).stdout)
    assert (second["ok"], second["problems"], second["skipped"]) == (True, [], [])

    lock = in_tmp / "saga.lock"
    lock.write_text(lock.read_text().replace("reserve_seat", "take_seat"))
    third = run("check", "--json", cwd=in_tmp)
    assert third.returncode == Exit.FOUND
    assert "SG401" in {problem["code"] for problem in json.loads(third.stdout)["problems"]}
    assert run("lock", cwd=in_tmp).returncode == Exit.CONFIGURATION
    assert run("lock", "--force", cwd=in_tmp).returncode == 0


@pytest.mark.parametrize("name", ["mermaid", "svg"])
def test_graph(in_tmp, name):
    found = run("graph", "book_trip", "--format", name, cwd=in_tmp)
    document = json.loads(run("graph", "book_trip", "--format", name, "--json", cwd=in_tmp).stdout)

    assert "reserve_seat" in found.stdout
    assert document["graph"].strip() == found.stdout.strip()
    assert run("graph", "book_trip", "--output", f"x.{name}", cwd=in_tmp).returncode == 0
    assert "reserve_seat" in (in_tmp / f"x.{name}").read_text()


# --- output -------------------------------------------------------------------------------------


def test_text_from_outside_cannot_move_the_cursor():
    assert clean("a\x1b[2Jb\x07\x9b") == "a\\x1b[2Jb\\x07\\x9b"
    assert clean("Zürich\t1\n") == "Zürich\t1\n"


def test_tables_are_aligned_and_plain_without_a_terminal(capsys):
    Output().table(("saga", "n"), [("trip-1", 2), ("t", 30)])

    assert capsys.readouterr().out == "saga    n\ntrip-1  2\nt       30\n"


def test_json_output_holds_nothing_but_the_document(capsys):
    out = Output(json=True)
    out.line("for people")
    out.table(("a",), [("b",)])
    out.document({"a": "ü"})
    out.note("beside")
    told = capsys.readouterr()

    assert json.loads(told.out) == {"a": "ü"}
    assert told.err == "beside\n"
