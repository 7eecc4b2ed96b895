"""Finds the programs of the tests' control plane, or builds them once from the Go module proxy.

A program is looked for in `KUBEBUILDER_ASSETS` (the field's convention), on PATH, and in a cache directory
whose name carries a hash of the versions. `tests/support/tools/<dir>/` names packages and locks versions. Run
as a program it finds or builds what `make test` needs.

The programs of a whole cluster (realcluster.py) are always `built`: a kubelet must fit its API server, and a
program of the same name on PATH may be an old one, or another (iproute2 has a `bridge` too).
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
from dataclasses import dataclass, replace
from pathlib import Path

SOURCES = Path(__file__).parent / "tools"
INSTALL = (
    "install Go 1.26 or newer (it builds them once, about ten minutes on 2 cores), put them on PATH, or set "
    "KUBEBUILDER_ASSETS to a directory that has them (sigs.k8s.io/controller-runtime/tools/setup-envtest)"
)
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
NODE = (
    "kube-scheduler",
    "kubelet",
    "containerd",
    "containerd-shim-runc-v2",
    "ctr",
    "runc",
    "bridge",
    "host-local",
    "loopback",
    "pause",
)
"""What a whole cluster needs beside the control plane."""
TICK_SECONDS = 20.0
_VERSION_PACKAGE = "k8s.io/component-base/version"


class ToolMissingError(Exception):
    """A program is not there and cannot be built; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the programs of one directory are built.

    Attributes:
        cgo: Whether C is compiled too.
        tags: Build tags.
        link: Linker flags beside those that every program has.
        needs: Debian packages that the build needs, for the error's message.
    """

    cgo: bool = False
    tags: str = ""
    link: str = ""
    needs: str = ""


SETTINGS = {
    # without the snapshotters that want libraries, or a daemon, of their own (containerd: BUILDING.md)
    "containerd": Settings(tags="no_aufs no_btrfs no_devmapper no_zfs"),
    # its nsenter is C; static, since it is run in other machines' and containers' root directories
    "runc": Settings(
        cgo=True,
        tags="netgo osusergo seccomp",
        link="-linkmode external -extldflags -static",
        needs="gcc libseccomp-dev pkg-config",
    ),
}
"""By directory; the others have the defaults."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that we know how to build.

    Attributes:
        name: The program's file name.
        package: Go package of its `main`.
        source: Directory with the `go.mod` that locks it.
        told: Version that a Kubernetes program is told to be, its own when empty.
    """

    name: str
    package: str
    source: Path
    told: str = ""

    @property
    def path(self) -> Path:
        """Where it is built to; another version of anything in it makes another directory."""
        files = [self.source / name for name in ("go.mod", "go.sum", "main.go")]
        locked = b"".join(file.read_bytes() for file in files if file.exists())
        if self.settings != Settings():
            locked += repr(self.settings).encode()
        return (
            cache_directory()
            / f"{self.source.name}-{hashlib.sha256(locked).hexdigest()[:12]}"
            / f"{self.name}{self.told}"
        )

    @property
    def settings(self) -> Settings:
        """How it is built."""
        return SETTINGS.get(self.source.name, Settings())

    @property
    def flags(self) -> str:
        """Linker flags: a Kubernetes program tells its version only when told so here."""
        module = (self.source / "go.mod").read_text()
        version = f"k8s.io/kubernetes {self.told}" if self.told else module
        found = re.search(r"\bk8s\.io/kubernetes v(\d+)\.(\d+)\.(\S+)", version)
        if found is None:
            return f"-s -w {self.settings.link}".rstrip()
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
    """The programs that can be built, by name: those of each `tools.go`, and our own (`main.go`)."""
    known = {file.parent.name: Tool(file.parent.name, ".", file.parent) for file in SOURCES.glob("*/main.go")}
    for file in sorted(SOURCES.glob("*/tools.go")):
        for package in re.findall(r'^\s*_ "(.+)"$', file.read_text(), re.MULTILINE):
            of_many = re.search(r"/(?:cmd|plugins/plugins/\w+)/([^/]+)$", package)
            name = of_many[1] if of_many else file.parent.name
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
    if name not in tools():
        raise ToolMissingError(f"{name} is not in KUBEBUILDER_ASSETS nor on PATH")
    if shutil.which("go") is None:
        raise ToolMissingError(
            f"{name} is not in KUBEBUILDER_ASSETS nor on PATH, and there is no Go: {INSTALL}"
        )
    return built(name)


def built(name: str, *, told: str = "") -> Path:
    """Returns the path of a program of exactly our version, which is built first when it was not yet.

    Args:
        name: The program.
        told: Another version that a Kubernetes program is told to be (`v1.37.9`), as after an upgrade.

    Raises:
        ToolMissingError: There is no Go, or Go could not build it.
    """
    tool = replace(tools()[name], told=told)
    if tool.path.exists():
        return tool.path
    go = shutil.which("go")
    if go is None:
        raise ToolMissingError(f"{name} is built by Go, which is not here: install Go 1.26 or newer")
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
        "CGO_ENABLED": str(int(tool.settings.cgo)),
        "GOFLAGS": "-trimpath -buildvcs=false -mod=readonly",
        "GOWORK": "off",
    }
    try:
        with tempfile.TemporaryFile() as log:
            tags, flags = tool.settings.tags, tool.flags
            command = [go, "build", "-tags", tags, "-ldflags", flags, "-o", name, tool.package]
            with subprocess.Popen(command, cwd=tool.source, env=environment, stdout=log, stderr=log) as build:
                while build.poll() is None:
                    try:
                        build.wait(TICK_SECONDS)
                    except subprocess.TimeoutExpired:
                        _say(f"building {tool.name}: {clock() - began:.0f} s")
            if build.returncode != 0:
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()[-5:]
                help_ = f"it needs {tool.settings.needs}" if tool.settings.needs else INSTALL
                raise ToolMissingError(f"{tool.name}: go build failed: {' | '.join(said)}; {help_}")
        Path(name).chmod(0o755)
        Path(name).replace(tool.path)
    finally:
        Path(name).unlink(missing_ok=True)
    _say(f"built {tool.name} in {clock() - began:.0f} s")


def _say(line: str) -> None:
    print(f"toolchain: {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Finds or builds what `make test` needs, and prints where each program is."""
    for name in (*CONTROL_PLANE, "promtool"):
        try:
            print(f"{name}\t{find(name)}")
        except ToolMissingError as error:
            _say(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
