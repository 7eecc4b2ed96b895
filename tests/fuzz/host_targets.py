"""Whole machines: checks on trees of any content, devices that answer anything, links that lead anywhere."""

import contextlib
import ctypes
import errno
import mmap
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import golden
from inputs import STRANGE, Source, Target
from memoryhost import FakeDevice, FakeKVM, MemoryHost, kvm_node

from checks.kvm import GUEST_RAN, kvm
from linux.kvm import exits, uapi
from preflight.check import Run
from preflight.host import Host
from preflight.outcomes import DEPENDENCY_FAILED
from preflight.paths import resolve
from preflight.result import Finding, Status

CHECKS = {check.name: check for check in golden.checks()}


def asked(host: Host) -> dict[str, Finding]:
    """Asks every check, and holds each to its declaration."""
    findings = golden.ask(host)
    for name, finding in findings.items():
        assert finding.outcome in (*CHECKS[name].outcomes, DEPENDENCY_FAILED)
        assert finding.hint or finding.outcome.status not in (Status.FAIL, Status.UNKNOWN)
        assert finding.message.isprintable()
    return findings


NEED_A_DEVICE = (
    *("KVM", "KVMCapabilities", "GuestExitLatency", "HostCPUModel"),
    *("Tun", "VhostNet", "VhostVsock"),
)
"""Checks that no file alone can let pass."""


@cache
def lines() -> tuple[bytes, ...]:
    """Returns every line of every captured machine."""
    files = (path for path in golden.HOSTS.rglob("*") if path.is_file() and path.parent != golden.HOSTS)
    return tuple(sorted({line[:400] for file in files for line in file.read_bytes().split(b"\n")}))


@cache
def paths() -> tuple[str, ...]:
    """Returns every path that a captured machine has, and those of devices."""
    found = {"/dev/kvm", "/dev/net/tun", "/dev/vhost-net", "/etc/modprobe.d/a.conf", "/proc/self/cgroup"}
    for machine in golden.MACHINES:
        root = golden.HOSTS / machine
        found |= {f"/{path.relative_to(root)}" for path in root.rglob("*") if path.is_file()}
    return tuple(sorted(found))


OWN = ("status", "mountinfo", "uid_map", "gid_map", "environ", "cgroup")
"""What is read of our own process."""


def text_of(source: Source) -> str:
    """Returns text of one line of a captured machine, or of anything."""
    return source.words(lines()).decode("utf-8", "replace")


def check_trees(data: bytes) -> None:
    """No contents of files make a check raise, or one pass that needs a device."""
    source = Source(data)
    contents = {}
    for _ in range(source.below(8)):
        some = (source.words(lines()) for _ in range(source.below(6)))
        contents[source.pick(paths())] = b"\n".join(some)
    host = MemoryHost(contents)
    host.log = [line.decode("utf-8", "replace") for line in contents.get("/dev/kmsg", b"").split(b"\n")]
    host.own = {name: text_of(source) for name in OWN if source.below(4)}
    host.own_machine = source.below(2) == 0
    findings = asked(host)
    for name in NEED_A_DEVICE:
        assert findings[name].outcome.status is not Status.PASS


ERRORS = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ELOOP,
    errno.EMFILE,
    errno.EINVAL,
    errno.EBUSY,
)


def check_machines_with_one_file_spoilt(data: bytes) -> None:
    """A captured machine with some files spoilt or refused: no check raises, or passes without a device."""
    source = Source(data)
    root = golden.HOSTS / source.pick(golden.MACHINES)
    host = MemoryHost({f"/{path.relative_to(root)}": path.read_bytes() for path in files(root)})
    host.own_machine = False
    for _ in range(source.below(5)):
        node = host.nodes[source.pick(sorted(host.nodes))]
        match source.below(5):
            case 0:
                node.open_errno = source.pick(ERRORS)
            case 1:
                node.stat_errno = source.pick(ERRORS)
            case 2:
                at = source.below(max(1, len(node.content)))
                node.content = node.content[:at] + source.pick(STRANGE) + node.content[at:]
            case 3:
                node.mode = source.pick((stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR)) | 0o644
            case _:
                node.target = source.pick((*sorted(host.nodes), "..", "x/../y"))
    host.log = (
        [line.decode("utf-8", "replace") for line in root.joinpath("dev/kmsg").read_bytes().split(b"\n")]
        if (root / "dev/kmsg").is_file()
        else source.pick(ERRORS)
    )
    findings = asked(host)
    for name in NEED_A_DEVICE:
        assert findings[name].outcome.status is not Status.PASS


@cache
def files(root: Path) -> tuple[Path, ...]:
    """Returns the files of a captured machine."""
    return tuple(path for path in sorted(root.rglob("*")) if path.is_file())


SUM = 0x1234 + 3 * 0x0567
"""What the code of every guest computes."""

DATA = 4096
"""Where in the vCPU's mapping the data of a port's access stands."""

STORE = struct.pack("<Q8sIB", 0x1000_0000, SUM.to_bytes(8, "little"), 4, 1)
POWER_OFF = struct.pack("<I", 1)
RIGHT = {
    "x86_64": [(2, struct.pack("<BBHIQ", 1, 2, 0xF4, 1, DATA)), (5, b"")],
    "aarch64": [(6, STORE), (24, POWER_OFF)],
    "riscv64": [(6, STORE), (24, POWER_OFF)],
    "ppc64le": [(19, struct.pack("<QQ3Q", 0x58, 0, 0, 2, some)) for some in (SUM, SUM + 0x1357)],
    "s390x": [],
}
"""The exits of each architecture's guest as ``include/uapi/linux/kvm.h`` lays them out: reason, and union."""

CARE = {2: [range(16)], 6: [range(12), range(16, 20)], 19: [range(8), range(16, 40)], 24: [range(4)], 5: []}
"""The bytes of each exit's union that say what the guest did; 0 and 1 are all that a flag can be."""


class AnyKVM(FakeKVM):
    """A KVM whose guest does what it must, but for what the input spoils: an answer, an exit, a byte."""

    def __init__(self, source: Source) -> None:
        machine = source.pick(tuple(RIGHT))
        requests = [name for name, value in vars(uapi.Requests).items() if isinstance(value, property)]
        errors = {}
        if source.below(4) == 0:
            errors[source.pick([name for name in requests if name != "run"])] = errno.EINTR
            errors[source.pick(requests)] = source.pick((*ERRORS, errno.ENOSYS, errno.ENOMEM))
        super().__init__(
            machine,
            errors=errors,
            version=source.pick((*([12] * 13), 0, 13, -1)),
            mmap_size=source.pick((*([12288] * 12), 8192, 4096, 2047, 0)),
            ipa_bits=source.pick((0, 36, 40, 52)),
        )
        self.source = source
        self.right = True

    def _answer(self, request: int, argument: int | bytearray) -> int:
        answer = super()._answer(request, argument)
        if isinstance(argument, bytearray) and self.source.below(4) == 0:
            some = self.source.take(len(argument))
            argument[: len(some)] = some
        return answer

    def _exit(self) -> None:
        area = self._area
        assert area is not None
        step = sum(name == "run" for name, _ in self.calls) - 1
        steps = RIGHT[self.machine]
        reason, union = steps[step] if step < len(steps) else (0, b"")
        data = SUM.to_bytes(2, "little") if reason == 2 else b""
        wrong = bytearray(union)
        match self.source.below(8):
            case 0:
                reason = self.source.pick((0, 1, 2, 3, 5, 6, 8, 9, 17, 19, 24, 28, 35, 39, 99, 1 << 31))
                self.right = self.right and (step > 1 or (step < len(steps) and reason == steps[step][0]))
            case 1 if union:
                at = self.source.below(len(union))
                wrong[at] ^= 1 << self.source.below(8)
                cared = any(at in some for some in CARE[reason]) or (
                    reason == 6 and at == 20 and not wrong[at]
                )
                self.right = self.right and (step > 1 or not cared)
            case 2 if data:
                data = bytes([data[0] ^ 1 << self.source.below(8), data[1]])
                self.right = False
            case 3:
                wrong = bytearray(self.source.take(256).ljust(256, b"\0"))
                same = all(wrong[at] == union[at] for some in CARE.get(reason, ()) for at in some)
                self.right = self.right and (step > 1 or (step < len(steps) and same))
        struct.pack_into("=I", area, uapi.RUN_EXIT_REASON, reason)
        area[uapi.RUN_UNION : uapi.RUN_UNION + len(wrong)] = bytes(wrong)
        if data and len(area) >= DATA + 2:
            area[DATA : DATA + 2] = data


def run_guests(data: bytes) -> None:
    """Whatever a device answers, a guest ran exactly where its exits say so; nothing stays open."""
    device = AnyKVM(Source(data))
    host = MemoryHost({"/proc/misc": "232 kvm\n"})
    host.own_architecture = device.machine
    host.put("/dev/kvm", kvm_node(device))
    before = FakeDevice.open_ones
    finding = kvm(host, Run())
    assert FakeDevice.open_ones == before
    assert finding.outcome in CHECKS["KVM"].outcomes
    assert finding.message.isprintable()
    called = [name for name, _ in device.calls]
    runs = [number for number, name in enumerate(called) if name == "run"]
    until_its_end = called[: runs[1] + 1] if len(runs) > 1 else called  # what follows is timed, no more
    right = device.right and len(runs) > 1 and not set(until_its_end) & set(device.errors)
    assert (finding.outcome is GUEST_RAN) is (right and device.machine != "s390x"), finding


def check_devices(data: bytes) -> None:
    """Whatever devices answer, checks come to an outcome of theirs, and nothing stays open."""
    source = Source(data)
    host = MemoryHost({"/proc/misc": "232 kvm\n200 tun\n", "/proc/cpuinfo": "processor\t: 0\nflags\t: svm\n"})
    device = AnyKVM(source)
    host.own_architecture = device.machine
    host.put("/dev/kvm", kvm_node(device))
    for path, number in (("/dev/net/tun", os.makedev(10, 200)), ("/dev/vhost-net", os.makedev(10, 238))):
        answers = source.pick((*ERRORS, errno.ENODEV, 0))
        host.put(path, kvm_node(number=number, open_errno=answers))
    before = FakeDevice.open_ones
    asked(host)
    assert FakeDevice.open_ones == before


def describe_exits(data: bytes) -> None:
    """Any exit is told in one short line."""
    source = Source(data)
    reason = source.pick((source.below(64), source.below(1 << 31)))
    area = mmap.mmap(-1, 4096)
    some = source.rest()[:4096]
    area[: len(some)] = some
    told = exits.describe(area, reason)
    area.close()
    assert told.isprintable()
    assert len(told) < 600


RESOLVE_IN_ROOT = 0x10
OPENAT2 = 437
LIBC = ctypes.CDLL(None, use_errno=True)


def opened_in_root(root: str, path: str) -> str | int:
    """Returns where the kernel finds a path inside a root (openat2(2)), or its error's number."""
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT)
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        descriptor, error = -1, errno.EAGAIN
        while descriptor < 0 and error == errno.EAGAIN:  # something was renamed meanwhile, wherever
            descriptor = LIBC.syscall(OPENAT2, directory, os.fsencode(path), how, len(how))
            error = ctypes.get_errno()
        if descriptor < 0:
            return error
        try:
            return os.readlink(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
    finally:
        os.close(directory)


@cache
def has_openat2() -> bool:
    """Whether the kernel has it and lets us: since Linux 5.6, and unknown to old seccomp filters."""
    return opened_in_root("/", "/") == "/"


PARTS = ("a", "b", "c", "dev", "kvm", "..", ".", "", "\udcff", "n" * 256, "n" * 255)


@contextlib.contextmanager
def tree(source: Source) -> Iterator[str]:
    """Makes a tree of directories, files and links to anywhere; beside it lies what must not be reached."""
    base = tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        root = os.path.join(base, "root")
        os.mkdir(root)
        for name in ("a", "b", "kvm"):
            Path(base, name).write_text("outside")
        for _ in range(source.below(10)):
            where = os.path.join(root, *(source.pick(PARTS[:5]) for _ in range(source.below(3) + 1)))
            with contextlib.suppress(OSError):
                kind = source.below(4)
                if kind == 0:
                    os.makedirs(where)
                elif kind == 1:
                    Path(where).write_text("inside")
                else:
                    os.symlink(some_path(source) or ".", where)
        yield root
    finally:
        shutil.rmtree(base)


def some_path(source: Source) -> str:
    """Returns a path, absolute or not."""
    parts = [source.pick(PARTS) for _ in range(source.below(5) + 1)]
    return "/" * source.below(2) + "/".join(parts)


def resolve_links(data: bytes) -> None:
    """A path below a root leads where the kernel's openat2 leads, never out of it, or to the same error."""
    source = Source(data)
    with tree(source) as root:
        for _ in range(3):
            path = "/" + some_path(source)
            expected = opened_in_root(root, path)
            found: str | int
            try:
                found = resolve(root, path)
                assert found == root or found.startswith(root + "/")
                descriptor = os.open(found, os.O_PATH | os.O_CLOEXEC)
            except OSError as error:
                found = error.errno or 0
            else:
                found = os.readlink(f"/proc/self/fd/{descriptor}")
                os.close(descriptor)
            assert found == expected or not has_openat2(), (path, found, expected)


def look_at_trees(data: bytes) -> None:
    """On a tree of links to anywhere every answer is a value or an OSError that names the host's own path."""
    source = Source(data)
    with tree(source) as root:
        host = Host(root)
        path = "/" + some_path(source).replace("\udcff", "\0" if source.below(2) else "x")
        looks: tuple[Callable[[str], object], ...] = (
            *(host.read_bytes, host.read_text, host.listdir, host.stat, host.readlink, host.statvfs),
            *(host.open_device, lambda one: host.read_at(one, 0, 9)),
            lambda one: host.extended_attribute(one, "user.x"),
        )
        for look in looks:
            try:
                seen = look(path)
            except OSError as error:
                assert error.filename == path
            else:
                assert seen not in ("outside", b"outside")
        assert host.exists(path) in (True, False)
        if "\0" not in path:
            assert host.may_access(path) in (True, False, None)


def read_kmsg(data: bytes) -> None:
    """Of any file at /dev/kmsg come lines without their prefixes, none twice and none of user space."""
    with tree(Source(b"")) as root:
        os.mkdir(os.path.join(root, "dev"))
        Path(root, "dev/kmsg").write_bytes(data)
        found = list(Host(root).kernel_log())
        lines = data.decode("utf-8", "replace").split("\n")
        assert len(found) <= len(lines)
        assert all(any(given.rstrip("\r").endswith(line) for given in lines) for line in found)


TARGETS = (
    Target("trees", check_trees, suite=50),
    Target("machines", check_machines_with_one_file_spoilt, suite=50),
    Target("guests", run_guests, suite=50),
    Target("devices", check_devices, suite=50),
    Target("exits", describe_exits),
    Target("links", resolve_links, suite=50),
    Target("host", look_at_trees, suite=50),
    Target(
        "kmsg",
        read_kmsg,
        (b"6,1,0,-;kvm: disabled by bios\n SUBSYSTEM=x\n30,2,1,-;user says\nplain\n",),
        suite=50,
    ),
)
"""Checks and the door that they see the machine through."""
