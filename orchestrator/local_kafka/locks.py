"""Make locks anew: `python -m orchestrator.local_kafka.locks [NAME...]`. For maintainers.

Run it when a version in `ROOTS` changes; the new lock is reviewed like code and committed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jgo.maven import MavenContext

from orchestrator.local_kafka.jars import (
    BROKER_LOCK,
    REGISTRY_LOCK,
    TOOLS_LOCK,
    Artifact,
    sha256_of,
)

if TYPE_CHECKING:
    from jgo.maven import Artifact as MavenArtifact

# Kafka's own dependencies name no logging back end; without one its logs stay empty. The version
# is that of the log4j-core that Kafka itself asks for.
_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl"
# The first of each is resolved; the others are added as they are, so that what their own parents
# manage cannot change the versions that the first one asks for.
ROOTS = {
    BROKER_LOCK: ("org.apache.kafka:kafka_2.13:4.4.0", f"{_LOGGING}:2.25.5"),
    # The newest kafka-tools that is published; its wire protocol is the broker's.
    TOOLS_LOCK: ("org.apache.kafka:kafka-tools:4.3.1", f"{_LOGGING}:2.25.4"),
    REGISTRY_LOCK: ("io.apicurio:apicurio-registry-app:2.6.13.Final:all:tar.gz",),
}
# Kafka Connect's HTTP server is no part of the console tools: 20 MB less.
_EXCLUDED = (("org.apache.kafka", "connect-runtime"), ("org.apache.kafka", "connect-json"))


def make_lock(roots: tuple[str, ...], repository: Path) -> dict[str, Any]:
    """Resolve `roots` with everything that they need at run time, and hash each file."""
    context = MavenContext(repo_cache=repository, timeout=60)
    wanted = [_artifact(context, root) for root in roots]
    if wanted[0].packaging == "jar":
        wanted += _needed_by(context, roots[0])
    locked = sorted((_locked(one) for one in wanted), key=lambda one: (one.group, one.name))
    return {"roots": list(roots), "artifacts": [asdict(one) for one in locked]}


def _artifact(context: MavenContext, coordinate: str) -> MavenArtifact:
    """Of `group:name:version` or `group:name:version:classifier:packaging`."""
    group, name, version, *kind = coordinate.split(":")
    return context.project(group, name).at_version(version).artifact(*kind)


def _needed_by(context: MavenContext, root: str) -> list[MavenArtifact]:
    excluded = [context.project(group, name) for group, name in _EXCLUDED]
    _, transitive = context.resolver.resolve([context.create_dependency(root, excluded)])
    return [dependency.artifact for dependency in transitive]


def _locked(artifact: MavenArtifact) -> Artifact:
    path: Path = artifact.resolve()
    return Artifact(
        group=artifact.groupId,
        name=artifact.artifactId,
        version=artifact.version,
        packaging=artifact.packaging,
        classifier=artifact.classifier,
        size_bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )


def main() -> None:
    """Write the locks named in the arguments, or all, beside this module."""
    with tempfile.TemporaryDirectory() as repository:
        for name in sys.argv[1:] or ROOTS:
            lock = json.dumps(make_lock(ROOTS[name], Path(repository)), indent=1) + "\n"
            Path(__file__).with_name(name).write_text(lock, encoding="utf-8")


if __name__ == "__main__":
    main()
