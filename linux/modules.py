"""Parses the lists of modules that depmod and the kernel's build leave below ``/lib/modules/RELEASE``.

``modules.builtin``, ``modules.builtin.modinfo`` and ``modules.dep`` (kernel: Documentation/kbuild/kbuild.rst;
modules.dep(5)).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from linux.cmdline import normal

DIRECTORIES = (
    "/lib/modules",
    "/usr/lib/modules",
    "/run/booted-system/kernel-modules/lib/modules",
    "/run/booted-system/kernel/lib/modules",
)
"""Where distributions keep them; the last two are NixOS's and Guix's."""


class Modules(NamedTuple):
    """What is known of some modules of a host.

    Attributes:
        release: The kernel's release.
        folder: The directory of its modules, that of most distributions where none was found.
        loaded: Those of them that ``/sys/module`` or ``/proc/modules`` shows.
        listed: ``/sys/module`` can be seen: a module that it does not show is neither loaded nor built in
            with parameters.
        builtin: Those that are built in, None where no list could be read.
        on_disk: Those that ``modules.dep`` names, to the files of each and of what it needs, its own first;
            None where it could not be read.
        gone: Files that ``modules.dep`` names, and that are not there.
        forgotten: Modules whose file is there, but not in ``modules.dep``, to the file.
        unsigned: Modules whose file carries no signature.
        absent: No directory of modules for this kernel exists.
        disabled: Loading is switched off until the next boot (``kernel.modules_disabled``).
        signed_only: What says that the kernel takes signed modules only, empty where nothing does.
        options: What the kernel was built with (`linux.kconfig`).
        options_file: The file that says so.
        foreign: These are the files of a container, not the host's: nothing is known of its modules.
    """

    release: str = ""
    folder: str = ""
    loaded: frozenset[str] = frozenset()
    listed: bool = False
    builtin: frozenset[str] | None = None
    on_disk: Mapping[str, tuple[str, ...]] | None = None
    gone: frozenset[str] = frozenset()
    forgotten: Mapping[str, str] = MappingProxyType({})
    unsigned: frozenset[str] = frozenset()
    absent: bool = False
    disabled: bool = False
    signed_only: str = ""
    options: Mapping[str, str] = MappingProxyType({})
    options_file: str = ""
    foreign: bool = False

    def needs(self, module: str) -> tuple[str, ...]:
        """Returns the modules that one needs, as far as ``modules.dep`` tells."""
        files = (self.on_disk or {}).get(module, ())
        return tuple(map(name_of, files[1:]))

    def can_be_had(self, module: str) -> bool | None:
        """Whether the kernel has a module, built in or on disk; None where nothing tells."""
        if module in self.loaded or module in (self.builtin or ()) or self.is_on_disk(module):
            return True
        option = self.options.get(module)
        if option in ("y", "n"):
            return option == "y"
        return False if self.builtin is not None and self.on_disk is not None else None

    def is_on_disk(self, module: str) -> bool:
        """Whether a module's file is there, as far as it is seen; it may be no part of the kernel."""
        return module in (self.on_disk or ()) or module in self.forgotten


def name_of(path: str) -> str:
    """Returns the name of the module in a file, whatever compresses it."""
    return normal(path.rpartition("/")[2].partition(".ko")[0].strip())


def named(text: str, wanted: frozenset[str]) -> frozenset[str]:
    """Returns which of the wanted modules a ``modules.builtin`` lists."""
    return frozenset(name for line in text.split("\n") if ".ko" in line and (name := name_of(line)) in wanted)


def built_in_by_information(text: str, wanted: frozenset[str]) -> frozenset[str]:
    """Returns which of the wanted modules a ``modules.builtin.modinfo`` tells of (``NAME.license=GPL``)."""
    return frozenset(
        name for entry in text.split("\0") if (name := normal(entry.partition(".")[0].strip())) in wanted
    )


def dependencies(text: str, wanted: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Returns the files of the wanted modules that a ``modules.dep`` lists, each before what it needs."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.split("\n"):
        path, colon, needs = line.partition(":")
        if colon and ".ko" in path and (name := name_of(path)) in wanted:
            found[name] = (path.strip(), *needs.split())
    return found


def loaded(text: str) -> frozenset[str]:
    """Returns the names that ``/proc/modules`` lists (proc_modules(5)), each matched whole."""
    return frozenset(normal(line.split()[0]) for line in text.split("\n") if line.strip())


def is_signed(tail: bytes) -> bool:
    """Whether the end of a module's file is that of a signature (kernel: admin-guide/module-signing.rst)."""
    return tail.endswith(b"~Module signature appended~\n")
