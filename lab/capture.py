"""Keeps what the checks read in a machine as a tree below ``tests/hosts``."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.image import PROJECT

HOSTS = PROJECT / "tests" / "hosts"


def keep(name: str, record: dict[str, Any]) -> Path:
    """Writes the tree of a machine's record anew, and returns it.

    Raises:
        ValueError: The machine captured nothing, or a path that leads out of the tree.
    """
    root = HOSTS / name
    tree: dict[str, dict[str, str]] = json.loads(record["tree"])
    shutil.rmtree(root, ignore_errors=True)
    for path, encoded in tree["files"].items():
        file = root / path.removeprefix("/")
        if ".." in file.parts:
            raise ValueError(f"{path} leads out of the tree")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(encoded))
    for path, target in tree["links"].items():
        (root / path.removeprefix("/")).symlink_to(target)
    return root


def write_reasons(names: Sequence[str]) -> None:
    """Writes the reasons that each check gives on trees beside them."""
    subprocess.run((sys.executable, "tests/support/golden.py", *names), cwd=PROJECT, check=True)
