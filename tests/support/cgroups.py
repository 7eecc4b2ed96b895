"""Directories in the machine's cgroup hierarchies for nodes that run on it: cgroups(7), version 1 and 2.

Each node has its own below `NAME/`, made before its kubelet starts, which keeps its pods there. On version 2
the controllers that the root does not give to its children yet are switched on there, and stay so.
"""

import contextlib
import os
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
REMOVE_SECONDS = 10.0
CPUSET = ("cpuset.cpus", "cpuset.mems")
WEIGHTS = {"cpu.shares": 1024, "cpu.weight": 100}
"""Share of the processors that a cgroup has unless told otherwise, on version 1 and 2."""


def hierarchies(root: Path = ROOT) -> list[Path]:
    """Where cgroups can be made: one place on version 2, one for each hierarchy otherwise."""
    if (root / "cgroup.controllers").exists():
        return [root]
    # names such as cpu are links to cpu,cpuacct where one hierarchy has both
    return sorted({found.parent.resolve() for found in root.glob("*/cgroup.procs")})


def make(name: str, *, weight: int = 1, root: Path = ROOT) -> None:
    """Makes a cgroup, such as `run/n1`, in every hierarchy, able to take processes and children.

    Args:
        name: Its path.
        weight: How many of the machine's other processes the topmost part weighs as much as, for the CPUs.
        root: Where the hierarchies are.

    Raises:
        OSError: The hierarchy is read-only; or, on version 2, its root has processes (in a container).
    """
    for hierarchy in hierarchies(root):
        parent = hierarchy
        for part in Path(name).parts:
            _give_controllers(parent)
            made = parent / part
            made.mkdir(exist_ok=True)
            for file in CPUSET:  # version 1 makes them empty, and refuses processes until they are set
                if (made / "tasks").exists() and (parent / file).exists():
                    (made / file).write_text((parent / file).read_text())
            parent = made
        _give_controllers(parent)
        for file, default in WEIGHTS.items():
            top = hierarchy / Path(name).parts[0] / file
            if top.exists():
                top.write_text(str(default * weight))


def _give_controllers(cgroup: Path) -> None:
    """Version 2: children have the controllers that the parent gives them."""
    if not (cgroup / "cgroup.subtree_control").exists():
        return
    there = (cgroup / "cgroup.controllers").read_text().split()
    given = (cgroup / "cgroup.subtree_control").read_text().split()
    if wanted := [f"+{controller}" for controller in there if controller not in given]:
        (cgroup / "cgroup.subtree_control").write_text(" ".join(wanted))


def remove(name: str, *, root: Path = ROOT, seconds: float = REMOVE_SECONDS) -> None:
    """Removes a cgroup and all below it in every hierarchy; nothing may run in them any more.

    Raises:
        OSError: Something is in it still after a while.
    """
    end = time.monotonic() + seconds
    for hierarchy in hierarchies(root):
        while (hierarchy / name).exists():
            try:
                _remove_tree(hierarchy / name)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)  # a process that was killed leaves its cgroup a little later


def _remove_tree(cgroup: Path) -> None:
    for directory, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(directory)


def names(prefix: str, *, root: Path = ROOT) -> set[str]:
    """Names of the cgroups at the top of any hierarchy that begin so."""
    return {
        found.name
        for hierarchy in hierarchies(root)
        for found in hierarchy.glob(f"{prefix}*")
        if found.is_dir()
    }
