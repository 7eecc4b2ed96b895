"""What the image is built from: the version, and the commit that gives it its labels and its time."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

PROJECT = Path(__file__).parents[1]
PREFIX = "org.opencontainers.image."
"""What the names of the OCI image-spec's labels begin with (annotations.md)."""


def version() -> str:
    """The project's version."""
    return str(tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def default_base() -> str:
    """The image that the Dockerfile builds on unless told otherwise."""
    (base,) = re.findall(r"^ARG BASE=(\S+)$", (PROJECT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return str(base)


def timestamp() -> int:
    """Seconds since the epoch that all of the image gets: ``SOURCE_DATE_EPOCH``, else the commit's time."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(given or _git("log", "-1", "--format=%ct") or 0)


def labels() -> dict[str, str]:
    """Labels of the OCI image-spec, those whose value is known."""
    known = {
        "version": version(),
        "revision": _revision(),
        "source": web_address(_git("remote", "get-url", "origin")),
    }
    return {f"{PREFIX}{name}": value for name, value in known.items() if value}


def web_address(remote: str) -> str:
    """Makes a git remote an address to open, without user or password; empty where there is none."""
    found = re.fullmatch(r"[\w.-]+@([\w.-]+):(.+)", remote)
    if found:
        remote = f"https://{found[1]}/{found[2]}"
    parts = urlsplit(remote)
    if parts.scheme not in ("http", "https", "ssh") or not parts.hostname:
        return ""
    port = f":{parts.port}" if parts.port and parts.scheme != "ssh" else ""
    scheme = "https" if parts.scheme == "ssh" else parts.scheme
    return f"{scheme}://{parts.hostname}{port}{parts.path.removesuffix('.git')}"


def _revision() -> str:
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changed else commit


def _git(*arguments: str) -> str:
    """Returns what git says, nothing where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
