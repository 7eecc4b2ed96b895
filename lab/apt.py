"""Debian packages of any suite and architecture, by apt-get, without touching the machine's own state.

The mirror is the one that the machine's own sources name, or ``VM_PREFLIGHT_LAB_MIRROR``.
"""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MIRROR = "VM_PREFLIGHT_LAB_MIRROR"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vm-preflight" / "lab"
"""Where suites are kept, and what is made of them."""
INDEX_SECONDS = 24 * 3600
"""How long a suite's index is used before it is fetched again."""

_INSTALL = re.compile(r"Inst (\S+) \((\S+) .*\[(\S+)\]\)")


class UnavailableError(Exception):
    """Something cannot be had; the message says what and why, in one line."""


class Package(NamedTuple):
    """A package as the index has it."""

    name: str
    version: str
    architecture: str

    @property
    def file(self) -> str:
        """What apt-get calls it when it has fetched it."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"

    def __str__(self) -> str:
        """Names it as apt-get takes it."""
        return f"{self.name}={self.version}"


class Suite:
    """A Debian suite for one architecture, with a state and a cache of its own."""

    def __init__(self, name: str, architecture: str, cache: Path) -> None:
        """Looks at the suite ``name`` for Debian's ``architecture``; everything lies below ``cache``."""
        self.name = name
        self._directory = cache / f"{name}-{architecture}"
        self.archives = self._directory / "archives"
        self.architecture = architecture

    def update(self) -> None:
        """Fetches the index where there is none of today.

        Raises:
            UnavailableError: It cannot be fetched, and there is none.
        """
        stamp = self._directory / "fetched"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < INDEX_SECONDS:
            return
        for path in ("lists/partial", "archives/partial"):
            (self._directory / path).mkdir(parents=True, exist_ok=True)
        (self._directory / "sources").write_text(f"deb {_mirror()} {self.name} main\n", encoding="utf-8")
        try:
            self._apt("update", "--error-on=any")
        except UnavailableError:
            if not stamp.exists():
                raise
        stamp.touch()

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """Finds packages and what they depend on.

        Raises:
            UnavailableError: The suite does not have them.
        """
        output = self._apt("install", "--simulate", *names)
        return [Package(*found.groups()) for found in map(_INSTALL.match, output.splitlines()) if found]

    def fetch(self, packages: Sequence[Package]) -> list[Path]:
        """Fetches packages.

        Raises:
            UnavailableError: One cannot be fetched.
        """
        files = [self.archives / package.file for package in packages]
        missing = [str(package) for package, file in zip(packages, files, strict=True) if not file.exists()]
        if missing:
            self._apt("download", *missing, directory=self.archives)
        absent = [file.name for file in files if not file.exists()]
        if absent:
            raise UnavailableError(f"apt-get fetched no {absent[0]}")
        return files

    def _apt(self, *arguments: str, directory: Path | None = None) -> str:
        options = {
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Dir::Cache": str(self._directory),
            "Dir::Etc::sourcelist": str(self._directory / "sources"),
            "Dir::Etc::sourceparts": "/nonexistent",
            "Dir::State::Lists": str(self._directory / "lists"),
            "Dir::State::status": "/dev/null",
        }
        command = ["apt-get", "--quiet=2", *(f"-o{name}={value}" for name, value in options.items())]
        done = _run([*command, *arguments], directory)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["no message"]
            raise UnavailableError(f"{self.name} for {self.architecture}: {said[0].removeprefix('E: ')}")
        return done.stdout


def _run(command: Sequence[str], directory: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    except FileNotFoundError:
        raise UnavailableError(
            f"{command[0]} is not installed: Debian packages are fetched with it"
        ) from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{' '.join(command[-2:])}: no end in 10 minutes") from None


def _mirror() -> str:
    """The mirror of the machine's own sources, which apt-get lists without having fetched an index."""
    named = os.environ.get(MIRROR)
    if named:
        return named
    listed = _run(("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"))
    for line in listed.stdout.splitlines():
        uri, _, release = line.partition(" ")
        if uri.rstrip("/").endswith("/debian") and "-" not in release:
            return uri
    raise UnavailableError(f"apt's sources name no Debian mirror; set {MIRROR}")
