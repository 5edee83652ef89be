"""Jars by name and hash: read a committed lock, fetch what is missing, verify everything.

Nothing is resolved at run time: a lock names every file with its sha256. Files are fetched by
`jgo` from Maven's central repository (or from the mirrors of the user's own `jgo.conf`) into a
cache of ours, and a file is used only after its hash was compared, also when it was cached.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka.progress import OnProgress, Phase, Progress, silent

if TYPE_CHECKING:
    from jgo.maven import MavenContext

BROKER_LOCK = "kafka-4.4.0.lock.json"
TOOLS_LOCK = "kafka-tools-4.3.1.lock.json"
REGISTRY_LOCK = "apicurio-registry-2.6.13.lock.json"

# A repository that says nothing for this long is taken for unreachable.
_DOWNLOAD_TIMEOUT_S = 30
_PROGRESS_STEP_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Artifact:
    """One locked file."""

    group: str
    name: str
    version: str
    packaging: str
    classifier: str
    size_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        """The file's name in every Maven repository."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{classifier}.{self.packaging}"

    @property
    def path(self) -> Path:
        """The file's place in every Maven repository, and in our cache."""
        return Path(*self.group.split("."), self.name, self.version, self.filename)

    def is_at(self, path: Path) -> bool:
        """Whether `path` holds exactly this file."""
        return path.stat().st_size == self.size_bytes and sha256_of(path) == self.sha256


def load_lock(name: str | Path) -> tuple[Artifact, ...]:
    """The files that a committed lock names: one of this package's, or one that lies elsewhere."""
    where = name if isinstance(name, Path) else files("orchestrator.local_kafka") / name
    text = where.read_text(encoding="utf-8")
    return tuple(Artifact(**entry) for entry in json.loads(text)["artifacts"])


def cache_dir() -> Path:
    """Where fetched files are kept: below XDG_CACHE_HOME, or ~/.cache.

    Raises:
        LocalKafkaError: There is neither; the text says what to set.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "saga-orchestrator" / "maven"
    try:
        return Path.home() / ".cache" / "saga-orchestrator" / "maven"
    except RuntimeError as error:
        raise LocalKafkaError(
            "No home directory to cache Kafka's jars in: set XDG_CACHE_HOME to a directory."
        ) from error


def fetch(lock: str | Path, on_progress: OnProgress = silent) -> tuple[Path, ...]:
    """Paths of all files of a lock, verified, in the lock's order; downloads what is missing.

    Raises:
        LocalKafkaError: A file cannot be fetched, or is not the locked one.
    """
    artifacts, cache = load_lock(lock), cache_dir()
    missing = tuple(artifact for artifact in artifacts if not _is_cached(artifact, cache))
    if missing:
        _download(missing, cache, on_progress)
    return tuple(cache / artifact.path for artifact in artifacts)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_cached(artifact: Artifact, cache: Path) -> bool:
    path = cache / artifact.path
    if not path.exists():
        return False
    if not artifact.is_at(path):
        raise LocalKafkaError(
            f"{path} is not the file that our lock names (sha256 {artifact.sha256}): it was"
            " damaged or replaced. Delete it, and it will be fetched again."
        )
    return True


def _download(missing: tuple[Artifact, ...], cache: Path, on_progress: OnProgress) -> None:
    """Fetch into a staging directory beside the cache, verify, then move each file in at once.

    Two processes may do this at the same time: the last move wins, with the same bytes.
    """
    meter = _Meter(sum(artifact.size_bytes for artifact in missing), on_progress)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".staging-") as staging:
            context = _maven(Path(staging), meter)
            for artifact in missing:  # several connections at once were measured: no gain
                _install(artifact, context, cache)
    except OSError as error:
        raise LocalKafkaError(_unreachable(missing, cache, error)) from error


def _maven(staging: Path, meter: _Meter) -> MavenContext:
    try:
        # jgo is an optional extra and costs 0.3 s to import: only a first start pays it.
        from jgo.config import GlobalSettings  # noqa: PLC0415
        from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415
    except ImportError as error:
        raise LocalKafkaError(
            "Fetching Kafka needs the package `jgo`: pip install 'saga-orchestrator[kafka]'."
            " Or pass --bootstrap-servers to use your own cluster."
        ) from error
    return MavenContext(
        resolver=PythonResolver(progress_callback=meter.file),
        repo_cache=staging,
        remote_repos=GlobalSettings.load().repositories or None,
        timeout=_DOWNLOAD_TIMEOUT_S,
    )


def _install(artifact: Artifact, context: MavenContext, cache: Path) -> None:
    component = context.project(artifact.group, artifact.name).at_version(artifact.version)
    try:
        fetched: Path = component.artifact(artifact.classifier, artifact.packaging).resolve()
    except RuntimeError as error:  # jgo's way to say: no repository has it
        raise LocalKafkaError(f"No Maven repository has {artifact.filename}: {error}") from error
    if fetched.stat().st_size < artifact.size_bytes:
        raise OSError(f"the download of {artifact.filename} broke off")
    if not artifact.is_at(fetched):
        raise LocalKafkaError(
            f"{artifact.filename} came with sha256 {sha256_of(fetched)}, but our lock says"
            f" {artifact.sha256}: the repository, or something on the way to it, served another"
            " file. It was not used."
        )
    target = cache / artifact.path
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched.replace(target)


def _unreachable(missing: tuple[Artifact, ...], cache: Path, error: OSError) -> str:
    size_mb = sum(artifact.size_bytes for artifact in missing) / 1e6
    return (
        f"Kafka cannot be fetched: {len(missing)} files ({size_mb:.0f} MB, first"
        f" {missing[0].filename}) are not in the cache {cache}, and the download failed"
        f" ({type(error).__name__}: {error}).\n"
        "To go on without network: pass --bootstrap-servers to use your own cluster, or copy"
        f" the directory {cache} from a machine where this has run once."
    )


class _Meter:
    """Adds up the bytes of files that are downloaded one after the other."""

    def __init__(self, total_bytes: int, on_progress: OnProgress) -> None:
        self._total_bytes = total_bytes
        self._on_progress = on_progress
        self._done_bytes = 0
        self._shown_bytes = -_PROGRESS_STEP_BYTES

    def file(
        self, filename: str, _size_bytes: int
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Jgo's hook: a context for one file, yielding a function that counts its chunks."""

        @contextmanager
        def counting() -> Iterator[Callable[[int], None]]:
            yield lambda chunk_bytes: self._add(filename, chunk_bytes)

        return counting()

    def _add(self, filename: str, chunk_bytes: int) -> None:
        self._done_bytes += chunk_bytes
        finished = self._done_bytes >= self._total_bytes
        if finished or self._done_bytes - self._shown_bytes >= _PROGRESS_STEP_BYTES:
            self._shown_bytes = self._done_bytes
            done_bytes = min(self._done_bytes, self._total_bytes)
            self._on_progress(Progress(Phase.DOWNLOAD, filename, done_bytes, self._total_bytes))
