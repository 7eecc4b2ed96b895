"""Finds the programs of the tests' control plane, or builds them once from the Go module proxy.

A program is looked for in `KUBEBUILDER_ASSETS` (the field's convention), on PATH, and in a cache directory
whose name carries a hash of the versions. `tests/support/tools/<dir>/` names packages and locks versions. Run
as a program it builds all of them.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "tools"
INSTALL = (
    "install Go 1.26 or newer (it builds them once, about ten minutes on 2 cores), put them on PATH, or set "
    "KUBEBUILDER_ASSETS to a directory that has them (sigs.k8s.io/controller-runtime/tools/setup-envtest)"
)
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
TICK_SECONDS = 20.0
_VERSION_PACKAGE = "k8s.io/component-base/version"


class ToolMissingError(Exception):
    """A program is not there and cannot be built; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that we know how to build.

    Attributes:
        name: The program's file name.
        package: Go package of its `main`.
        source: Directory with the `go.mod` that locks it.
    """

    name: str
    package: str
    source: Path

    @property
    def path(self) -> Path:
        """Where it is built to; another version of anything in it makes another directory."""
        locked = (self.source / "go.mod").read_bytes() + (self.source / "go.sum").read_bytes()
        return cache_directory() / f"{self.source.name}-{hashlib.sha256(locked).hexdigest()[:12]}" / self.name

    @property
    def flags(self) -> str:
        """Linker flags: a Kubernetes program tells its version only when told so here."""
        module = (self.source / "go.mod").read_text()
        found = re.search(r"\bk8s\.io/kubernetes v(\d+)\.(\d+)\.(\S+)", module)
        if found is None:
            return "-s -w"
        major, minor, patch = found.groups()
        told = {
            "gitVersion": f"v{major}.{minor}.{patch}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
        }
        return " ".join(["-s -w", *(f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in told.items())])


def cache_directory() -> Path:
    """Where built programs are kept (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "vm-preflight" / "tools"


def tools() -> dict[str, Tool]:
    """The programs that can be built, by name, read from each `tools.go`."""
    known = {}
    for file in sorted(SOURCES.glob("*/tools.go")):
        for package in re.findall(r'^\s*_ "(.+)"$', file.read_text(), re.MULTILINE):
            name = package.rpartition("/cmd/")[2] if "/cmd/" in package else file.parent.name
            known[name] = Tool(name, package, file.parent)
    return known


def installed(name: str) -> Path | None:
    """Where a program is already, without building it."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and os.access(Path(assets) / name, os.X_OK):
        return Path(assets) / name
    if found := shutil.which(name):
        return Path(found)
    tool = tools().get(name)
    return tool.path if tool and tool.path.exists() else None


def find(name: str) -> Path:
    """Returns the path of a program, which is built first when it is nowhere.

    Raises:
        ToolMissingError: It is nowhere, and there is no Go or Go could not build it.
    """
    if found := installed(name):
        return found
    tool = tools().get(name)
    if tool is None:
        raise ToolMissingError(f"{name} is not in KUBEBUILDER_ASSETS nor on PATH")
    go = shutil.which("go")
    if go is None:
        raise ToolMissingError(
            f"{name} is not in KUBEBUILDER_ASSETS nor on PATH, and there is no Go: {INSTALL}"
        )
    tool.path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(tool.path.parent / ".lock"):
        if not tool.path.exists():
            _build(tool, go)
    return tool.path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two test sessions that start together build each program once."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another build ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(tool: Tool, go: str, clock: Callable[[], float] = time.monotonic) -> None:
    _say(f"building {tool.name} from {tool.package} (once; kept in {tool.path.parent})")
    began = clock()
    descriptor, name = tempfile.mkstemp(prefix=f".{tool.name}-", dir=tool.path.parent)
    os.close(descriptor)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-trimpath -buildvcs=false -mod=readonly",
        "GOWORK": "off",
    }
    try:
        with tempfile.TemporaryFile() as log:
            command = [go, "build", "-ldflags", tool.flags, "-o", name, tool.package]
            with subprocess.Popen(command, cwd=tool.source, env=environment, stdout=log, stderr=log) as build:
                while build.poll() is None:
                    try:
                        build.wait(TICK_SECONDS)
                    except subprocess.TimeoutExpired:
                        _say(f"building {tool.name}: {clock() - began:.0f} s")
            if build.returncode != 0:
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()[-5:]
                raise ToolMissingError(f"{tool.name}: go build failed: {' | '.join(said)}; {INSTALL}")
        Path(name).chmod(0o755)
        Path(name).replace(tool.path)
    finally:
        Path(name).unlink(missing_ok=True)
    _say(f"built {tool.name} in {clock() - began:.0f} s")


def _say(line: str) -> None:
    print(f"toolchain: {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Finds or builds every program, and prints where each is."""
    for name in tools():
        try:
            print(f"{name}\t{find(name)}")
        except ToolMissingError as error:
            _say(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
