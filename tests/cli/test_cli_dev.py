"""What `saga dev` leaves for other verbs, and what it shows of its children's logs."""

from __future__ import annotations

import argparse
import io
import json
import os

import pytest
import structlog

from orchestrator import guard
from orchestrator.cli import devfile
from orchestrator.cli.context import Context
from orchestrator.cli.dev import Shown
from orchestrator.cli.devfile import Dev, DevRuns
from orchestrator.cli.output import Output
from orchestrator.cli.participant import VERB as PARTICIPANT
from orchestrator.cli.worker import worker_settings
from orchestrator.errors import ConfigurationError
from orchestrator.observability import log
from orchestrator.participant.settings import ParticipantSettings

SERVERS = "127.0.0.1:19092"


def fail():
    raise ZeroDivisionError("no keys")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("SAGA_BOOTSTRAP_SERVERS", "SAGA_MODULES", "SAGA_PREFIX", "SAGA_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".saga").mkdir()
    return tmp_path


def dev(**changed):
    given = {
        "pid": os.getpid(),
        "servers": SERVERS,
        "prefix": "mine",
        "modules": ("rent", "services.py"),
        "directory": ".saga",
        "workers_count": 1,
        "participants": ("cars",),
    }
    return Dev(**{**given, **changed})


def context(**options):
    return Context(argparse.Namespace(**options), Output(stderr=io.StringIO()))


@pytest.mark.usefixtures("here")
def test_others_use_what_dev_has():
    with devfile.written(dev()):
        assert devfile.read() == dev()
        found = context()
        assert found.kafka.bootstrap_servers == SERVERS
        assert found.program_settings.modules == ("rent", "services.py")
        assert found.program_settings.prefix == "mine"
        assert str(found.settings(ParticipantSettings).ledger_directory) == ".saga/ledgers"
        assert str(worker_settings(found).data_dir) == ".saga/state"
    assert devfile.read() is None


def test_what_was_said_wins(here, monkeypatch):
    (here / "saga.toml").write_text('[program]\nprefix = "file"\n')
    monkeypatch.setenv("SAGA_DATA_DIR", "elsewhere")
    with devfile.written(dev()):
        found = context(modules="other")
        assert found.program_settings.modules == ("other",)
        assert found.program_settings.prefix == "file"
        assert str(worker_settings(found).data_dir) == "elsewhere"


@pytest.mark.usefixtures("here")
def test_another_kafka_has_nothing_to_do_with_dev():
    with devfile.written(dev()):
        found = context(bootstrap_servers="127.0.0.1:1")
        assert found.dev is None
        assert found.program_settings.prefix == "saga"


def test_a_dev_that_died_is_none(here):
    (here / ".saga" / "dev.json").write_text(json.dumps({"pid": 2**22 + 1, "servers": SERVERS}))

    assert devfile.read() is None
    with pytest.raises(ConfigurationError, match="`saga dev` is not running in this directory"):
        _ = context().kafka


@pytest.mark.usefixtures("here")
def test_a_second_dev_is_refused():
    with devfile.written(dev()), pytest.raises(DevRuns, match=rf"pid {os.getpid()}"):
        devfile.refuse_second(devfile.DEV_DIRECTORY)


SERVICE = """
from orchestrator import Command, Done, Participant

cars = Participant("cars")


class Keep(Command[Done], to=cars):
    item: str


@Keep.handler
def on_keep(command: Keep) -> Done:
    return Done()
"""


def test_a_participant_of_devs_is_refused(here):
    (here / "own_service.py").write_text(SERVICE)
    with devfile.written(dev(modules=("own_service.py",))):
        options = argparse.Namespace(names=["cars"], all=False, log_level="info")
        with pytest.raises(DevRuns, match="saga dev --without cars"):
            PARTICIPANT.run(Context(options, Output(stderr=io.StringIO())), options)


def test_an_exception_of_a_handler_is_logged_and_shown_with_its_traceback(tmp_path):
    stream, told = io.StringIO(), io.StringIO()
    log.configure("info", stream)
    try:
        raised = guard.call(fail)
        log.get().error("handler_raised", saga="s-1", exc_info=raised.error)
    finally:
        structlog.reset_defaults()
    line = stream.getvalue().rstrip("\n")
    exception = json.loads(line)["exception"]
    assert exception.startswith("Traceback")
    assert "test_cli_dev.py" in exception

    Shown(Output(stdout=told, stderr=told), tmp_path).line("cars", line)
    assert "[cars] error: handler_raised saga=s-1\n" in told.getvalue()
    assert "[cars]   ZeroDivisionError: no keys\n" in told.getvalue()
    assert (tmp_path / "cars.log").read_text() == line + "\n"
