"""Prints what the checks read of this machine, as JSON: path to contents in base64.

The checks are asked twice: as things are, and as if ``/dev/kvm`` were not there, which is how a tree without
device nodes will look. Only files and directories are kept, and nothing that tells this boot from another.
"""

import base64
import json
import os
import stat
from collections.abc import Iterator

from preflight.check import Run
from preflight.discovery import discover
from preflight.host import MAX_READ, Host
from preflight.ordering import unmet
from preflight.outcomes import DEPENDENCY_FAILED
from preflight.result import Finding

DEVICE = "/dev/kvm"
LEFT_OUT = ("/proc/self", "/proc/sys/kernel/random", "/proc/sys/kernel/hostname", "/dev/kvm", "/lab")
MAX_NAMES = 100
"""Of a directory that a check lists; none of those that tell something is larger."""


class Recorder(Host):
    """The machine, with every path written down that a check finds something at."""

    def __init__(self, *, with_device: bool) -> None:
        """Hides the device from `stat`, and so from everybody, where it is not wanted."""
        super().__init__()
        self._with_device = with_device
        self.paths: set[str] = {"/dev/kmsg"}

    def read_bytes(self, path: str, *, limit: int = MAX_READ) -> bytes:
        """Reads a file; see `Host.read_bytes`."""
        contents = super().read_bytes(path, limit=limit)
        self.paths.add(path)
        return contents

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """Returns the status of a file; see `Host.stat`."""
        if path == DEVICE and not self._with_device:
            raise FileNotFoundError(2, "No such file or directory", path)
        status = super().stat(path, follow=follow)
        self.paths.add(path)
        return status

    def listdir(self, path: str) -> list[str]:
        """Returns the names in a directory; see `Host.listdir`."""
        names = super().listdir(path)
        if path != "/proc" and len(names) <= MAX_NAMES:
            self.paths.update(f"{path}/{name}" for name in names)
        return names


def main() -> None:
    """Prints it."""
    paths: set[str] = set()
    for with_device in (True, False):
        host = Recorder(with_device=with_device)
        _ask(host)
        paths |= host.paths
    print(json.dumps(dict(_contents(sorted(paths)))))


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


def _contents(paths: list[str]) -> Iterator[tuple[str, str]]:
    """Contents of files; a directory that nothing is read of keeps one of its files, so that git keeps it."""
    for path in paths:
        if path.startswith(LEFT_OUT):
            continue
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISDIR(mode) and not any(other.startswith(f"{path}/") for other in paths):
                files = (f"{path}/{name}" for name in sorted(os.listdir(path)))
                yield from _contents([file for file in files if _is_file(file)][:1])
            elif stat.S_ISREG(mode) or path == "/dev/kmsg":
                yield path, base64.b64encode(_read(path)).decode("ascii")
        except OSError:
            continue  # a file that may not be read stays out of the tree, as it stays from the checks


def _is_file(path: str) -> bool:
    return stat.S_ISREG(os.stat(path).st_mode)


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
