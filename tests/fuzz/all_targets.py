"""Every target, and where the inputs lie that were kept."""

import cluster_targets
import host_targets
import linux_targets
import shown_targets
import socket_targets
import wire_targets
from inputs import CORPUS, Target

TARGETS = (
    *linux_targets.TARGETS,
    *host_targets.TARGETS,
    *wire_targets.TARGETS,
    *socket_targets.TARGETS,
    *cluster_targets.TARGETS,
    *shown_targets.TARGETS,
)


def kept(target: Target) -> list[bytes]:
    """Returns the inputs that the corpus keeps for a target: what once failed, and what reached new code."""
    folder = CORPUS / target.name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []
