"""Prints what the checks read of this machine, as JSON: files by path, in base64, and links.

The checks are asked twice: as things are, and as if ``/dev/kvm`` were not there, which is how a tree without
device nodes will look. What they read is kept; what they only saw to be there is kept empty. Devices are not
kept, nor what tells this boot from another.
"""

import base64
import json
import os
from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from preflight.check import Run
from preflight.discovery import discover
from preflight.host import MAX_READ, Host
from preflight.ordering import unmet
from preflight.outcomes import DEPENDENCY_FAILED
from preflight.result import Finding

DEVICE = "/dev/kvm"
LOG = "/dev/kmsg"
LEFT_OUT = (
    "/proc/self",
    "/proc/1/",
    "/proc/2/",
    "/proc/sys/kernel/random",
    "/proc/sys/kernel/hostname",
    "/lab",
)
MAX_NAMES = 30
"""Of a directory; those that tell something by what is in them have fewer."""

ROOT_LINKS = ("/lib",)
"""Links of a merged /usr that lead to where checks look."""


class Recorder(Host):
    """The machine, with every path written down that a check finds something at.

    Attributes:
        read: Files that were read.
        seen: What was looked at, or listed.
    """

    def __init__(self, *, with_device: bool) -> None:
        """Hides the device from `stat`, and so from everybody, where it is not wanted."""
        super().__init__()
        self._with_device = with_device
        self.read = {LOG}
        self.seen: set[str] = set()

    def read_bytes(self, path: str, *, limit: int = MAX_READ) -> bytes:
        """Reads a file; see `Host.read_bytes`."""
        contents = super().read_bytes(path, limit=limit)
        self.read.add(path)
        return contents

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """Returns the status of a file; see `Host.stat`."""
        if path == DEVICE and not self._with_device:
            raise FileNotFoundError(2, "No such file or directory", path)
        status = super().stat(path, follow=follow)
        self.seen.add(path)
        return status

    def listdir(self, path: str) -> list[str]:
        """Returns the names in a directory; see `Host.listdir`."""
        names = super().listdir(path)
        self.seen |= {path, *(f"{path}/{name}" for name in names if len(names) <= MAX_NAMES)}
        return names


def main() -> None:
    """Prints it."""
    read, seen = set(), set()
    for with_device in (True, False):
        host = Recorder(with_device=with_device)
        _ask(host)
        read |= set(_kept(host.read))
        seen |= set(_kept(host.seen))
    files = {path: base64.b64encode(_read(path)).decode("ascii") for path in sorted(read)}
    for path in sorted(seen - read, reverse=True):
        files.update((file, "") for file in _standing_for(path, files))
    print(json.dumps({"files": files, "links": {name: os.readlink(name) for name in ROOT_LINKS}}))


def _kept(paths: Iterable[str]) -> Iterator[str]:
    """Yields paths that belong into a tree, past the links of a merged /usr."""
    for path in paths:
        if not path.startswith(LEFT_OUT):
            yield f"/usr{path}" if f"{path}/".startswith(tuple(f"{name}/" for name in ROOT_LINKS)) else path


def _ask(host: Host) -> None:
    findings: dict[str, Finding] = {}
    for check in discover():
        problem = unmet(check, findings)
        if problem:
            findings[check.name] = DEPENDENCY_FAILED(problem)
            continue
        before = {name: findings[name] for name in (*check.needs, *check.after)}
        settings = {setting.name: setting.default for setting in check.settings}
        findings[check.name] = check(host, Run(findings=before, settings=settings))


def _standing_for(path: str, kept: Collection[str]) -> Iterator[str]:
    """Yields a file that was seen, or one file of a directory of which none is kept: git keeps no others."""
    if os.path.isfile(path):
        yield path
    elif os.path.isdir(path) and not any(file.startswith(f"{path}/") for file in kept):
        files = (f"{path}/{name}" for name in sorted(os.listdir(path)))
        yield from islice(filter(os.path.isfile, files), 1)


def _read(path: str) -> bytes:
    """Reads a file to its end, or the kernel's log to its last record."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        parts = []
        while True:
            try:
                part = os.read(descriptor, 1 << 16)
            except BlockingIOError:
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
