"""A host in memory: files, links, devices that answer by script, and errors where a test wants them."""

import errno
import mmap
import os
import stat
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from linux.kvm import uapi
from preflight.device import Device
from preflight.host import Host

Conversation = tuple[int, bytes, bytes]
"""A program's status, what it answered and what it printed."""

Ioctl = Callable[[int, int | bytearray], int]

KVM_NUMBER = os.makedev(10, 232)


@dataclass
class Node:
    """Something that stands at a path.

    Attributes:
        mode: Type and permission bits.
        content: What a file holds.
        target: Where a link points to.
        number: The device's number.
        device: Makes the open device.
        open_errno: What opening or reading answers, 0 for success.
        stat_errno: What stat answers, 0 for success.
        uid: Owner.
        gid: Group.
    """

    mode: int = stat.S_IFREG | 0o644
    content: bytes = b""
    target: str = ""
    number: int = 0
    device: Callable[[], Device] | None = None
    open_errno: int = 0
    stat_errno: int = 0
    uid: int = 0
    gid: int = 0


def fail(number: int, path: str = "") -> OSError:
    """Returns the error with which the kernel would answer."""
    return OSError(number, os.strerror(number), path or None)


class FakeDevice(Device):
    """An open device whose ioctls are a function; counts what was not closed."""

    open_ones: int = 0

    def __init__(self, ioctl: Ioctl, opened: Callable[[int], Device] | None = None, run: bytes = b"") -> None:
        self._ioctl = ioctl
        self._opened = opened
        self._run = run
        self._closed = False
        FakeDevice.open_ones += 1

    def ioctl(self, request: int, argument: int | bytearray = 0) -> int:
        return self._ioctl(request, argument)

    def open(self, request: int, argument: int = 0) -> Device:
        self._ioctl(request, argument)
        assert self._opened is not None
        return self._opened(request)

    def map(self, length: int) -> mmap.mmap:
        area = mmap.mmap(-1, length)
        area[: len(self._run)] = self._run
        return area

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            FakeDevice.open_ones -= 1


@dataclass
class FakeKVM:
    """A KVM whose answers are scripted; by default every call succeeds and the guest does nothing.

    Attributes:
        machine: The architecture whose requests it knows.
        errors: Request name (an attribute of `uapi.Requests`) to the error that it answers.
        version: What ``KVM_GET_API_VERSION`` gives.
        exits: What each ``KVM_RUN`` gives: an exit reason, or a negative errno.
        union: The union of ``struct kvm_run`` after each exit.
        unions: The same exit by exit, before ``union``.
        ipa_bits: ``KVM_CAP_ARM_VM_IPA_SIZE``.
        extensions: What ``KVM_CHECK_EXTENSION`` gives by number; 1 where it is not here.
        mmap_size: ``KVM_GET_VCPU_MMAP_SIZE``.
        calls: Every request with its argument, by name.
    """

    machine: str = "x86_64"
    errors: Mapping[str, int] = field(default_factory=dict)
    version: int = uapi.API_VERSION
    exits: Sequence[int] = ()
    union: bytes = b""
    unions: Sequence[bytes] = ()
    ipa_bits: int = 0
    extensions: Mapping[int, int] = field(default_factory=dict)
    mmap_size: int = 3 * 4096
    calls: list[tuple[str, int | bytearray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        requests = uapi.Requests(self.machine)
        names = [name for name, value in vars(uapi.Requests).items() if isinstance(value, property)]
        self._names = {getattr(requests, name): name for name in names}
        self._left = list(self.exits)
        self._unions = list(self.unions)
        self._area: mmap.mmap | None = None

    def open(self) -> Device:
        return FakeDevice(self._answer, lambda _: FakeDevice(self._answer, self._vcpu))

    @property
    def mapped(self) -> bool:
        """Whether a vCPU's structure is still mapped."""
        return self._area is not None and not self._area.closed

    def _vcpu(self, request: int) -> Device:
        kvm = self

        class VCPUDevice(FakeDevice):
            def map(self, length: int) -> mmap.mmap:
                if "map" in kvm.errors:
                    raise fail(kvm.errors["map"])
                kvm._area = mmap.mmap(-1, length)
                return kvm._area

        return VCPUDevice(self._answer)

    def _answer(self, request: int, argument: int | bytearray) -> int:
        name = self._names.get(request)
        if name is None:
            raise fail(errno.ENOTTY)
        self.calls.append((name, argument))
        if name in self.errors:
            raise fail(self.errors[name])
        if name == "get_api_version":
            return self.version
        if name == "get_vcpu_mmap_size":
            return self.mmap_size
        if name == "check_extension":
            assert isinstance(argument, int)
            return self.extensions.get(argument, self.ipa_bits if argument == uapi.CAP_ARM_VM_IPA_SIZE else 1)
        if name == "run":
            self._exit()
        return 0

    def _exit(self) -> None:
        assert self._area is not None
        reason = self._left.pop(0) if self._left else 0
        if reason < 0:
            raise fail(-reason)
        struct.pack_into("=I", self._area, uapi.RUN_EXIT_REASON, reason)
        union = self._unions.pop(0) if self._unions else self.union
        self._area[uapi.RUN_UNION : uapi.RUN_UNION + len(union)] = union


class MemoryHost(Host):
    """A machine in memory.

    Attributes:
        nodes: Path to what stands there; directories above are there by themselves.
        log: The kernel's messages, or the error that reading them answers.
        own: ``/proc/self/NAME`` of our own process.
        mount_flags: ``statvfs(2)`` flags, of every file system.
        space: What ``statvfs(2)`` says before the flags: block and fragment size, blocks, free and available
            ones, inodes, free and available ones; of every file system.
        attributes: Extended attributes by path and name.
        accessible: What access(2) says of every file.
        user: Our effective user.
        groups: Our groups.
        own_architecture: ``uname -m`` of the kernel that we run on.
        programs: Path of a program to the status and output that it gives, or the error on starting it.
        conversations: Path of a program that is spoken to, to what comes of it or a function of arguments.
        started: The programs that were run.
    """

    own_architecture = "x86_64"
    program_directories = ()

    def __init__(self, nodes: Mapping[str, Node | str | bytes] | None = None, *, root: str = "/") -> None:
        super().__init__(root)
        self.nodes: dict[str, Node] = {}
        for path, node in (nodes or {}).items():
            self.put(path, node)
        self.log: list[str] | int = []
        self.own: dict[str, str] = {"uid_map": "0 0 4294967295\n", "status": "Seccomp:\t0\n"}
        self.own["mountinfo"] = "24 27 0:6 / /dev rw - devtmpfs devtmpfs rw\n"
        self.mount_flags = 0
        self.space = (4096, 4096, 0, 0, 0, 0, 0, 0)
        self.attributes: dict[tuple[str, str], bytes] = {}
        self.accessible: bool | None = None
        self.user = 0
        self.groups = frozenset({0})
        self.own_machine = True
        self.running: list[tuple[int, str]] = []
        self.programs: dict[str, tuple[int, bytes] | OSError] = {}
        self.conversations: dict[
            str, Conversation | OSError | Callable[[tuple[str, ...]], Conversation | OSError]
        ] = {}
        self.started: list[tuple[str, ...]] = []

    def put(self, path: str, node: Node | str | bytes) -> None:
        if isinstance(node, str):
            node = node.encode()
        self.nodes[path] = Node(content=node) if isinstance(node, bytes) else node

    def _find(self, path: str, *, follow: bool = True) -> Node:
        for _ in range(40):
            node = self.nodes.get(path)
            if node is None:
                if any(name.startswith(path.rstrip("/") + "/") for name in self.nodes):
                    return Node(mode=stat.S_IFDIR | 0o755)
                raise fail(errno.ENOENT, path)
            if node.stat_errno:
                raise fail(node.stat_errno, path)
            if not node.target or not follow:
                return node
            path = os.path.normpath(os.path.join(os.path.dirname(path), node.target))
        raise fail(errno.ELOOP, path)

    def read_bytes(self, path: str, *, limit: int = 1 << 24) -> bytes:
        node = self._find(path)
        if node.open_errno:
            raise fail(node.open_errno, path)
        if stat.S_ISDIR(node.mode):
            raise fail(errno.EISDIR, path)
        return node.content[:limit]

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        return self.read_bytes(path)[offset : offset + length]

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        node = self._find(path, follow=follow)
        mode = stat.S_IFLNK | 0o777 if node.target and not follow else node.mode
        return os.stat_result(
            (mode, 1, 1, 1, node.uid, node.gid, len(node.content), 0, 0, 0), {"st_rdev": node.number}
        )

    def readlink(self, path: str) -> str:
        node = self.nodes.get(path) or self._find(path, follow=False)
        if not node.target:
            raise fail(errno.EINVAL, path)
        return node.target

    def statvfs(self, path: str) -> os.statvfs_result:
        self._find(path)
        return os.statvfs_result((*self.space, self.mount_flags, 255))

    def listdir(self, path: str) -> list[str]:
        if not stat.S_ISDIR(self._find(path).mode):
            raise fail(errno.ENOTDIR, path)
        prefix = path.rstrip("/") + "/"
        return sorted({name[len(prefix) :].split("/")[0] for name in self.nodes if name.startswith(prefix)})

    def extended_attribute(self, path: str, name: str) -> bytes:
        self._find(path)
        if (path, name) not in self.attributes:
            raise fail(errno.ENODATA, path)
        return self.attributes[path, name]

    def may_access(self, path: str) -> bool | None:
        return self.accessible

    def open_device(self, path: str) -> Device:
        node = self._find(path)
        if not stat.S_ISCHR(node.mode):
            raise fail(errno.ENOTTY, path)
        if node.open_errno:
            raise fail(node.open_errno, path)
        if node.device is None:
            raise fail(errno.ENXIO, path)
        return node.device()

    def kernel_log(self) -> Iterator[str]:
        if isinstance(self.log, int):
            raise fail(self.log, "/dev/kmsg")
        yield from self.log

    @property
    def effective_user(self) -> int:
        return self.user

    @property
    def effective_groups(self) -> frozenset[int]:
        return self.groups

    def is_own_machine(self) -> bool:
        return self.own_machine

    def processes(self) -> list[tuple[int, str]]:
        return self.running

    def own_process(self, name: str) -> str:
        if name not in self.own:
            raise fail(errno.ENOENT, f"/proc/self/{name}")
        return self.own[name]

    def run_program(self, arguments: Sequence[str], *, timeout: float) -> tuple[int, bytes]:
        self.started.append(tuple(arguments))
        answer = self.programs.get(arguments[0], fail(errno.ENOENT, arguments[0]))
        if isinstance(answer, OSError):
            raise answer
        return answer

    def converse(self, arguments: Sequence[str], said: bytes, *, timeout: float) -> Conversation:
        self.started.append(tuple(arguments))
        answer = self.conversations.get(arguments[0], fail(errno.ENOENT, arguments[0]))
        if callable(answer):
            answer = answer(tuple(arguments))
        if isinstance(answer, OSError):
            raise answer
        return answer


def kvm_node(device: FakeKVM | None = None, **changes: object) -> Node:
    """Returns ``/dev/kvm`` as it stands on most machines."""
    kvm = device or FakeKVM()
    node = Node(mode=stat.S_IFCHR | 0o660, number=KVM_NUMBER, device=kvm.open)
    for name, value in changes.items():
        setattr(node, name, value)
    return node
