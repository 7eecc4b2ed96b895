"""Gathers what a host tells about the kernel modules of KVM: where they are, and what forbids them."""

import posixpath

from linux import kconfig, modprobe, modules, selection, view
from linux.cmdline import CommandLine
from linux.modprobe import Rule
from linux.modules import Modules
from linux.reader import Reader, link, names, text

MODULES = frozenset({"kvm", "kvm_intel", "kvm_amd", "kvm_pvm", "kvm_hv", "kvm_pr"})

_FOLDERS = {
    "x86_64": "x86",
    "i686": "x86",
    "s390x": "s390",
    "ppc64le": "powerpc",
    "ppc64": "powerpc",
    "riscv64": "riscv",
}
"""Where an architecture's sources are below ``arch``, where it is not its own name."""

_TOPS = ("/lib", "/usr/lib", "/run/booted-system")
"""One of these is on every machine that has modules (`modules.DIRECTORIES`)."""

_LOCKED = ("integrity", "confidentiality")
"""Modes of lockdown in which unsigned modules are refused (kernel_lockdown(7))."""

_TAIL = 28
"""Bytes at the end of a signed module's file (kernel: include/linux/module_signature.h)."""


def take(reader: Reader, parameters: CommandLine, architecture: str) -> Modules:
    """Reads everything that tells of KVM's modules."""
    release = _release(reader)
    loaded = {name for name in MODULES if reader.exists(f"/sys/module/{name}")}
    loaded |= MODULES & modules.loaded(text(reader, "/proc/modules"))
    found = Modules(
        release=release,
        folder=f"{modules.DIRECTORIES[0]}/{release}",
        loaded=frozenset(loaded),
        listed=bool(names(reader, "/sys/module")),
        disabled=text(reader, "/proc/sys/kernel/modules_disabled").strip() == "1",
        signed_only=_signed_only(reader, parameters),
        foreign=_foreign(reader),
    )
    found = _with_options(reader, found)
    if not release or "/" in release or found.foreign:
        return found
    return _on_disk(reader, found, architecture)


def rules(reader: Reader) -> tuple[Rule, ...]:
    """Reads modprobe's configuration; that of a container is not the host's."""
    if _foreign(reader):
        return ()
    listing = {directory: names(reader, directory) for directory in modprobe.DIRECTORIES}
    return tuple(
        rule
        for file in modprobe.effective_files(listing)
        for rule in modprobe.rules(file, text(reader, file))
    )


def _release(reader: Reader) -> str:
    """The kernel's release; where a captured tree does not tell it, that of the only modules there."""
    told = text(reader, "/proc/sys/kernel/osrelease").strip()
    if told:
        return told
    words = text(reader, "/proc/version").split()
    if words[:2] == ["Linux", "version"] and len(words) > 2:
        return words[2]
    kernels = {name for directory in modules.DIRECTORIES for name in names(reader, directory)}
    return kernels.pop() if len(kernels) == 1 and not reader.is_own_machine() else ""


def _foreign(reader: Reader) -> bool:
    """Whether the root that we look at is a container's own, and not mounted from the host."""
    if reader.root != "/":
        return False
    namespace = link(reader, "/proc/self/ns/pid")
    if namespace != view.INITIAL_PID_NAMESPACE:
        return bool(namespace)
    try:  # a container in the host's namespace of processes, or a chroot
        ours, hosts = reader.stat("/"), reader.stat("/proc/1/root/")
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) != (hosts.st_dev, hosts.st_ino)


def _with_options(reader: Reader, found: Modules) -> Modules:
    """Adds what the kernel was built with."""
    try:
        options = kconfig.parse_compressed(reader.read_bytes(kconfig.COMPRESSED))
    except OSError:
        options = {}
    if options:
        return found._replace(options=options, options_file=kconfig.COMPRESSED)
    usable = found.release and "/" not in found.release and not found.foreign
    for file in kconfig.files(found.release) if usable else ():
        options = kconfig.parse(text(reader, file))
        if options:
            return found._replace(options=options, options_file=file)
    return found


def _signed_only(reader: Reader, parameters: CommandLine) -> str:
    """What has the kernel refuse modules without a signature (kernel: kernel/module/signing.c)."""
    if text(reader, "/sys/module/module/parameters/sig_enforce").strip() == "Y":
        return "/sys/module/module/parameters/sig_enforce is Y"
    if parameters.is_set("module.sig_enforce"):
        return "the kernel command line has module.sig_enforce"
    lockdown = text(reader, "/sys/kernel/security/lockdown")
    mode = selection.chosen(lockdown)
    if mode in _LOCKED:
        return f"/sys/kernel/security/lockdown is {mode}"
    asked = parameters.last("lockdown") if not lockdown else None  # securityfs is not mounted
    return f"the kernel command line has lockdown={asked}" if asked in _LOCKED else ""


def _on_disk(reader: Reader, found: Modules, architecture: str) -> Modules:
    """Adds what lies below ``/lib/modules/RELEASE``; a tree without any ``lib`` tells nothing of it."""
    absent = any(map(reader.exists, _TOPS))
    for directory in modules.DIRECTORIES:
        folder = f"{directory}/{found.release}"
        try:
            there = reader.listdir(folder)
        except FileNotFoundError:
            continue
        except OSError:
            absent = False
            continue
        absent = False
        if found.builtin is None:
            found = found._replace(builtin=_builtin(reader, folder))
        if found.on_disk is None and "modules.dep" in there:
            try:
                listed = modules.dependencies(reader.read_text(f"{folder}/modules.dep"), MODULES)
            except OSError:
                continue
            found = _with_files(reader, found._replace(on_disk=listed, folder=folder), architecture)
    return found._replace(absent=absent)


def _builtin(reader: Reader, folder: str) -> frozenset[str] | None:
    try:
        return modules.named(reader.read_text(f"{folder}/modules.builtin"), MODULES)
    except OSError:
        pass
    try:
        return modules.built_in_by_information(reader.read_text(f"{folder}/modules.builtin.modinfo"), MODULES)
    except OSError:
        return None


def _with_files(reader: Reader, found: Modules, architecture: str) -> Modules:
    """Adds whether the listed files are there and signed, and which are there without being listed."""
    folder, listed = found.folder, found.on_disk or {}
    seen: dict[str, list[str]] = {}
    paths = {file: posixpath.join(folder, file) for files in listed.values() for file in files}
    gone = frozenset(file for file, path in paths.items() if _is_gone(reader, folder, path, seen))
    own = f"kernel/arch/{_FOLDERS.get(architecture, architecture)}/kvm"
    forgotten = {
        module: f"{folder}/{own}/{name}"
        for name in names(reader, f"{folder}/{own}")
        if ".ko" in name and (module := modules.name_of(name)) in MODULES and module not in listed
    }
    unsigned = frozenset(
        name
        for name, files in listed.items()
        if found.signed_only and _is_unsigned(reader, posixpath.join(folder, files[0]))
    )
    return found._replace(gone=gone, forgotten=forgotten, unsigned=unsigned)


def _is_gone(reader: Reader, folder: str, path: str, seen: dict[str, list[str]]) -> bool:
    """Whether a listed file is not there; not told where no module's file can be seen at all."""
    parent, name = posixpath.split(path)
    if parent not in seen:
        seen[parent] = names(reader, parent)
    if seen[parent]:
        return name not in seen[parent]
    top = path.removeprefix(folder).strip("/").partition("/")[0]
    return bool(names(reader, f"{folder}/{top}"))


def _is_unsigned(reader: Reader, path: str) -> bool:
    """Whether a module's file carries no signature; one that is compressed is not looked into."""
    if not path.endswith(".ko"):
        return False
    try:
        size = reader.stat(path).st_size
        return size > _TAIL and not modules.is_signed(reader.read_at(path, size - _TAIL, _TAIL))
    except OSError:
        return False
