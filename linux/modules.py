"""Parses the lists of modules that depmod and the kernel's build leave below ``/lib/modules/RELEASE``.

``modules.builtin`` and ``modules.dep`` (kernel: Documentation/kbuild/kbuild.rst; modules.dep(5)).
"""

from typing import NamedTuple

from linux.cmdline import normal

DIRECTORIES = ("/lib/modules", "/usr/lib/modules")


class Modules(NamedTuple):
    """What is known of some modules of a host.

    Attributes:
        release: The kernel's release.
        loaded: Those of them that ``/sys/module`` or ``/proc/modules`` shows.
        builtin: Those that ``modules.builtin`` names, None where it could not be read.
        on_disk: Those that ``modules.dep`` names, None where it could not be read.
        absent: No directory of modules for this kernel exists.
        disabled: Loading is switched off until the next boot (``kernel.modules_disabled``).
    """

    release: str = ""
    loaded: frozenset[str] = frozenset()
    builtin: frozenset[str] | None = None
    on_disk: frozenset[str] | None = None
    absent: bool = False
    disabled: bool = False


def named(text: str, wanted: frozenset[str]) -> frozenset[str]:
    """Returns which of the wanted modules a ``modules.builtin`` or ``modules.dep`` lists.

    A line's module is the file name before the first colon without ``.ko`` and what compresses it.
    """
    found = set()
    for line in text.split("\n"):
        if ".ko" not in line:
            continue
        name = normal(line.partition(":")[0].rpartition("/")[2].partition(".ko")[0].strip())
        if name in wanted:
            found.add(name)
    return frozenset(found)


def loaded(text: str) -> frozenset[str]:
    """Returns the names that ``/proc/modules`` lists (proc_modules(5)), each matched whole."""
    return frozenset(normal(line.split()[0]) for line in text.split("\n") if line.strip())
