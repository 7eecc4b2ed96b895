"""Parses ``/proc/PID/mountinfo`` (kernel: Documentation/filesystems/proc.rst, 3.5)."""

from typing import NamedTuple


class Mount(NamedTuple):
    """A mounted file system.

    Attributes:
        point: Where it is mounted.
        kind: The file system's type.
        options: The mount's own options.
        super_options: The file system's options, which every mount of it shares.
    """

    point: str
    kind: str
    options: frozenset[str]
    super_options: frozenset[str] = frozenset()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written through this mount."""
        return "ro" in self.options or "ro" in self.super_options


def parse(text: str) -> list[Mount]:
    """Returns the mounts in order; lines that are none are left out."""
    mounts: list[Mount] = []
    for line in text.split("\n"):
        left, dash, right = line.partition(" - ")
        fields, source = left.split(" "), right.split(" ")
        if dash and len(fields) >= 6:
            point, options = _unescaped(fields[4]), frozenset(fields[5].split(","))
            mounts.append(Mount(point, source[0], options, frozenset(source[-1].split(","))))
    return mounts


def holding(mounts: list[Mount], path: str) -> Mount | None:
    """Returns the mount that a path is on: the longest mount point above it, the latest of these."""
    best: Mount | None = None
    for mount in mounts:
        above = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if above and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
