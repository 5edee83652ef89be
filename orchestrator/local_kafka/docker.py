"""The same broker in containers of this machine's Docker engine, through testcontainers.

The containers share the host's network, so that everything else is as with processes: loopback
only, the same ports, the same directories. `python -m orchestrator.local_kafka.docker DIR` writes
the build context of the image.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka.jars import BROKER_LOCK, fetch
from orchestrator.local_kafka.progress import OnProgress, Phase, Progress, silent

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from orchestrator.local_kafka.backend import Handle

_IMAGE = "saga-kafka"


class DockerBackend:
    """Containers of this machine's Docker engine, with its host's network."""

    def __init__(self) -> None:
        self._image = f"{_IMAGE}:{_recipe_hash()}"

    def prepare(self, on_progress: OnProgress) -> None:
        """Build the image unless the engine has it."""
        engine = _engine()
        try:
            if engine.images.list(name=self._image):
                return
            on_progress(Progress(Phase.IMAGE, self._image, 0, 1))
            with tempfile.TemporaryDirectory(prefix="saga-kafka-image-") as context:
                write_build_context(Path(context), on_progress)
                _build(engine, Path(context), self._image)
            on_progress(Progress(Phase.IMAGE, self._image, 1, 1))
        finally:
            engine.close()

    def launch(
        self, name: str, arguments: tuple[str, ...], output: Path, thrown_away: Path | None
    ) -> Handle:
        """Start one container; testcontainers' reaper removes it should we die without a stop."""
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - optional extra

        del name, thrown_away
        container = (
            DockerContainer(self._image)
            .with_command(list(arguments))
            .with_volume_mapping(str(output.parent), str(output.parent), "rw")
            .with_kwargs(network_mode="host", user=f"{os.getuid()}:{os.getgid()}")
            .start()
            .get_wrapped_container()
        )
        return _ContainerHandle(container, output)


class _ContainerHandle:
    """A container that runs one Java program."""

    def __init__(self, container: Container, output: Path) -> None:
        self._container = container
        self._output = output
        self._exit_code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        if self._exit_code is None:
            self._container.reload()
            if self._container.status in {"exited", "dead"}:
                self._remove()
        return self._exit_code

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; raises `subprocess.TimeoutExpired` if it still runs."""
        from requests.exceptions import ConnectionError as NoAnswer  # noqa: PLC0415
        from requests.exceptions import ReadTimeout  # noqa: PLC0415

        if self._exit_code is None:
            try:
                self._container.wait(timeout=max(timeout_s, 0.1))
            except (ReadTimeout, NoAnswer) as error:  # the engine's way to say: not yet
                raise subprocess.TimeoutExpired(str(self._container.name), timeout_s) from error
            self._container.reload()
            self._remove()
        return self._exit_code or 0

    def terminate(self) -> None:
        """SIGTERM; returns at once."""
        self._signal("SIGTERM")

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._signal("SIGKILL")
        self.wait(30)

    def _signal(self, name: str) -> None:
        from docker.errors import APIError  # noqa: PLC0415 - optional extra

        if self.exit_code is None:
            try:
                self._container.kill(name)
            except APIError:
                # It ended between the question and the signal; `wait` finds out.
                return

    def _remove(self) -> None:
        """Keep the exit code and what was printed; a stopped container serves nobody."""
        self._exit_code = int(self._container.attrs["State"]["ExitCode"])
        self._output.write_bytes(self._container.logs())
        self._container.remove(v=True, force=True)


def engine_problem() -> str:
    """Why `LocalKafka(backend="docker")` cannot work here; empty if it can."""
    try:
        _engine().close()
    except LocalKafkaError as error:
        return str(error)
    return ""


def write_build_context(directory: Path, on_progress: OnProgress = silent) -> None:
    """Fill `directory` with what `docker build` needs: the recipe and the verified jars.

    Raises:
        LocalKafkaError: The jars cannot be fetched.
    """
    jars = directory / "jars"
    jars.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_bytes(_recipe())
    for jar in fetch(BROKER_LOCK, on_progress):
        shutil.copyfile(jar, jars / jar.name)


def _engine() -> DockerClient:
    try:
        import docker  # noqa: PLC0415 - optional extra
        import docker.errors  # noqa: PLC0415
        import testcontainers.core  # noqa: F401, PLC0415
    except ImportError as error:
        raise LocalKafkaError(
            "Kafka in Docker needs: pip install 'saga-orchestrator[docker]'."
        ) from error
    try:
        _knock()
        engine = docker.from_env()
        engine.ping()
    except (OSError, docker.errors.DockerException) as error:
        raise LocalKafkaError(f"No Docker engine answers: {error}") from error
    return engine


def _knock() -> None:
    """Ask the engine's socket ourselves: the client library leaks one when nobody answers."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(address.removeprefix("unix://"))


def _build(engine: DockerClient, context: Path, image: str) -> None:
    from docker.errors import APIError, BuildError  # noqa: PLC0415 - optional extra

    try:
        engine.images.build(path=str(context), tag=image, rm=True)
    except (APIError, BuildError) as error:
        raise LocalKafkaError(f"The image {image} cannot be built: {error}") from error


def _recipe() -> bytes:
    return (files("orchestrator.local_kafka") / "Dockerfile").read_bytes()


def _recipe_hash() -> str:
    """Names the image by what is in it, so that a new lock never meets an old image."""
    lock = (files("orchestrator.local_kafka") / BROKER_LOCK).read_bytes()
    return hashlib.sha256(_recipe() + lock).hexdigest()[:12]


if __name__ == "__main__":
    write_build_context(Path(sys.argv[1]))
