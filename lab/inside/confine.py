"""Starts a command that something keeps from KVM: ``confine HOW ARGUMENT COMMAND…``.

``seccomp REQUEST=ERRNO`` has an ioctl fail (kernel: Documentation/userspace-api/seccomp_filter.rst);
``landlock RIGHT`` takes a right to files below ``/dev`` away, bar the network's devices (landlock(7));
``devices MAJOR:MINOR`` denies a device to a cgroup of version 2 (kernel: admin-guide/cgroup-v2.rst).
"""

import ctypes
import os
import struct
import sys
from collections.abc import Callable

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_SECCOMP_MODE_FILTER, _SECCOMP_RET_ERRNO, _SECCOMP_RET_ALLOW = 2, 0x0005_0000, 0x7FFF_0000
_IS_X86 = os.uname().machine == "x86_64"
_IOCTL, _BPF = (16, 321) if _IS_X86 else (29, 280)
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_RIGHTS = {"write-file": 1 << 1, "ioctl-dev": 1 << 15}
_LET_IN = ("/dev/net", "/dev/vhost-net", "/dev/null", "/proc", "/tmp")
_BPF_PROG_LOAD, _BPF_PROG_ATTACH, _BPF_PROG_TYPE_CGROUP_DEVICE, _BPF_CGROUP_DEVICE = 5, 8, 15, 6


def main() -> None:
    """Confines itself, and becomes the command."""
    how, argument, *command = sys.argv[1:]
    ways: dict[str, Callable[[str], None]] = {"seccomp": seccomp, "landlock": landlock, "devices": devices}
    ways[how](argument)
    os.execvp(command[0], command)


def _system_call(*arguments: object) -> int:
    result = int(_LIBC.syscall(*arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(arguments[0]))
    return result


def _no_new_privileges() -> None:
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def seccomp(argument: str) -> None:
    """Has an ioctl fail."""
    request, number = (int(word, 0) for word in argument.split("="))
    # struct seccomp_data: number of the system call (4 bytes), architecture (4), address, arguments (8 each)
    program = (
        (0x20, 0, 0, 0),  # load the number
        (0x15, 0, 3, _IOCTL),  # another one: allow
        (0x20, 0, 0, 24),  # load the second argument
        (0x15, 0, 1, request),
        (0x06, 0, 0, _SECCOMP_RET_ERRNO | number),
        (0x06, 0, 0, _SECCOMP_RET_ALLOW),
    )
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    filters = struct.pack("=HxxxxxxQ", len(program), ctypes.addressof(instructions))
    _no_new_privileges()
    if _LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filters, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def landlock(argument: str) -> None:
    """Takes a right away, bar for what a node needs beside KVM."""
    right = ctypes.c_uint64(_LANDLOCK_RIGHTS[argument])
    rules = _system_call(_LANDLOCK_CREATE_RULESET, ctypes.byref(right), ctypes.c_size_t(8), 0)
    for path in _LET_IN:
        beneath = os.open(path, os.O_PATH)
        rule = struct.pack("=Qi", right.value, beneath)
        _system_call(_LANDLOCK_ADD_RULE, rules, 1, rule, 0)
    _no_new_privileges()
    _system_call(_LANDLOCK_RESTRICT_SELF, rules, 0)


def devices(argument: str) -> None:
    """Denies a device to a cgroup, and enters it."""
    major, minor = (int(word) for word in argument.split(":"))
    # struct bpf_cgroup_dev_ctx: access, major, minor (4 bytes each); r1 points to it, r0 is the answer
    program = (
        (0x61, 0x12, 4, 0),  # r2 = major
        (0x55, 0x02, 4, major),  # another one: allow
        (0x61, 0x12, 8, 0),  # r2 = minor
        (0x55, 0x02, 2, minor),
        (0xB7, 0x00, 0, 0),  # r0 = 0
        (0x95, 0x00, 0, 0),  # exit
        (0xB7, 0x00, 0, 1),  # r0 = 1
        (0x95, 0x00, 0, 0),
    )
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=BBhi", *one) for one in program))
    license_ = ctypes.create_string_buffer(b"GPL")
    load = struct.pack(
        "=IIQQ",
        *(_BPF_PROG_TYPE_CGROUP_DEVICE, len(program)),
        *(ctypes.addressof(instructions), ctypes.addressof(license_)),
    )
    loaded = _bpf(_BPF_PROG_LOAD, load)
    directory = "/sys/fs/cgroup/confined"
    os.makedirs(directory, exist_ok=True)
    group = os.open(directory, os.O_RDONLY)
    _bpf(_BPF_PROG_ATTACH, struct.pack("=IIII", group, loaded, _BPF_CGROUP_DEVICE, 0))
    with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0")


def _bpf(command: int, attributes: bytes) -> int:
    padded = attributes.ljust(128, b"\0")
    return _system_call(_BPF, command, padded, len(padded))
