"""Situations of the real kernel: a child of this process is put into one, and asks there.

What is done to the child is done by the system calls that a sandbox makes: seccomp(2), landlock(7), bpf(2),
setuid(2). Their numbers here are those of x86-64.
"""

import ctypes
import json
import os
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

X86_64 = os.uname().machine == "x86_64"
needs_x86_64 = pytest.mark.skipif(not X86_64, reason="the numbers of system calls are x86-64's")

ACCESS, IOCTL, MMAP, OPENAT, FACCESSAT, FACCESSAT2 = 21, 16, 9, 257, 269, 439

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF, _BPF = 444, 445, 446, 321

LANDLOCK_WRITE_FILE, LANDLOCK_READ_FILE, LANDLOCK_IOCTL_DEV = 1 << 1, 1 << 2, 1 << 15
"""``LANDLOCK_ACCESS_FS_…`` (``include/uapi/linux/landlock.h``)."""

KILL = 0x80000000
"""``SECCOMP_RET_KILL_PROCESS``."""

_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


class Answer(NamedTuple):
    """What the program answered.

    Attributes:
        status: Its exit status.
        results: The report's results by name of check.
        errors: What it wrote to standard error.
        passed: The report's verdict.
    """

    status: int
    results: dict[str, dict[str, object]]
    errors: str
    passed: bool

    def told(self, name: str) -> tuple[str, str, str, str]:
        """Returns a check's reason, status, message and hint; asserts what every answer must hold to."""
        assert self.errors == ""
        assert self.status == (0 if self.passed else 1)
        assert self.passed == all(result["passed"] for result in self.results.values())
        found = self.results[name]
        reason, status, message = (str(found[key]) for key in ("reason", "status", "message"))
        hint = str(found.get("hint", ""))
        assert message
        assert "\n" not in message + hint
        assert "Traceback" not in message
        assert hint or status not in ("Fail", "Unknown", "Warn")
        return reason, status, message, hint


def run(prepare: Callable[[], object], *words: str) -> Answer:
    """Runs ``vm-preflight run -o json`` in a child of this process, in the situation that ``prepare`` makes.

    Everything is imported and every check found before: the user that the child becomes may not be able to
    read our modules.
    """
    from importlib import import_module

    from cli import main
    from preflight import discovery

    for name in ("calls", "node", "own_dev", "refusal"):
        import_module(f"linux.diagnosis.{name}")
    for name in ("cli.run", "preflight.config", "preflight.runner", "preflight.version"):
        import_module(name)
    checks = discovery.discover()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            status = 99
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 -- to the process's end
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 -- to the process's end
                discovery.discover = lambda **_: checks
                prepare()
                status = main.main(["run", "-o", "json", *words])
                sys.stdout.flush()
            except BaseException:  # noqa: BLE001 -- nothing may unwind into the test's frames
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        text, errors = out.read().decode(), err.read().decode()
    try:
        report = json.loads(text)
    except ValueError:
        pytest.fail(f"no report: {text!r}, {errors!r}, status {ended}")
    results = {result["checkName"]: result for result in report["results"]}
    return Answer(os.waitstatus_to_exitcode(ended), results, errors, report["passed"])


def become(user: int, group: int, *others: int) -> Callable[[], object]:
    """Returns what makes a process that of an ordinary user."""

    def step() -> None:
        os.setgroups(others)
        os.setgid(group)
        os.setuid(user)

    return step


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    answer = int(_libc().syscall(number, *arguments))
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def _no_new_privileges() -> None:
    if _libc().prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")


def answer(call: int, error: int, *, argument: tuple[int, int] | None = None) -> None:
    """Has a system call of this process answered with an error by a seccomp filter, or by `KILL`.

    Args:
        call: Its number.
        error: The errno, or an action.
        argument: The number of an argument and its lower 32 bits; other calls are let through.
    """
    action = error if error >= KILL else _ERRNO | error
    which, value = argument or (0, 0)
    program = struct.pack(
        "HBBI" * 6,
        *(0x20, 0, 0, 0),  # load the call's number
        *(0x15, 0, 3, call),  # another: allow
        *(0x20, 0, 0, 16 + 8 * which),  # load the argument
        *(0x15 if argument else 0x35, 0, 1, value),  # another: allow; without one, any is at least 0
        *(0x06, 0, 0, action),
        *(0x06, 0, 0, _ALLOW),
    )
    text = ctypes.create_string_buffer(program)

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))

    _no_new_privileges()
    if _libc().prctl(22, 2, ctypes.byref(Filter(6, ctypes.addressof(text))), 0, 0):  # PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def landlock_version() -> int:
    """Returns the ABI version of Landlock, 0 where the kernel has none."""
    try:
        return _call(_LANDLOCK_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def landlock(handled: int, allowed: int) -> None:
    """Confines this process: of the accesses ``handled``, only those ``allowed`` are left, everywhere."""
    attributes = ctypes.create_string_buffer(struct.pack("=Q", handled), 8)
    ruleset = _call(_LANDLOCK_CREATE_RULESET, attributes, 8, 0)
    if allowed:
        root = os.open("/", os.O_PATH)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, root), 12)
        _call(_LANDLOCK_ADD_RULE, ruleset, 1, rule, 0)
        os.close(root)
    _no_new_privileges()
    _call(_LANDLOCK_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _instruction(code: int, registers: int, offset: int, value: int) -> bytes:
    return struct.pack("<BBhi", code, registers, offset, value)


@contextmanager
def device_cgroup(major: int, minor: int) -> Iterator[Callable[[], object]]:
    """Makes a cgroup of version 2 whose BPF program refuses one device; yields what enters it.

    Container runtimes attach such programs (kernel: Documentation/admin-guide/cgroup-v2.rst, device
    controller); this one reads ``struct bpf_cgroup_dev_ctx``: access type, major, minor.
    """
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    root = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("no cgroup of version 2 is mounted")
    program = b"".join(
        [
            _instruction(0x61, 0x12, 4, 0),  # r2 = major
            _instruction(0x61, 0x13, 8, 0),  # r3 = minor
            _instruction(0xB7, 0x00, 0, 1),  # r0 = 1
            _instruction(0x55, 0x02, 2, major),  # another: leave
            _instruction(0x55, 0x03, 1, minor),  # another: leave
            _instruction(0xB7, 0x00, 0, 0),  # r0 = 0: refused
            _instruction(0x95, 0x00, 0, 0),
        ]
    )
    text, license_name = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
    load = struct.pack("=IIQQ", 15, len(program) // 8, ctypes.addressof(text), ctypes.addressof(license_name))
    group = Path(root, f"vm-preflight-{os.getpid()}")
    try:
        loaded = _call(_BPF, 5, ctypes.create_string_buffer(load.ljust(120, b"\0"), 120), 120)
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no device program can be loaded here: {error}")
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        attach = struct.pack("=IIII", directory, loaded, 6, 0)
        _call(_BPF, 8, ctypes.create_string_buffer(attach.ljust(120, b"\0"), 120), 120)
        yield lambda: (group / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        os.close(directory)
        os.close(loaded)
        group.rmdir()


def enter_user_namespace(user: int) -> None:
    """Makes this process root of a user namespace whose ids begin at ``user``, as root of a container is."""
    ready, ready_end = os.pipe()
    us = os.getpid()
    helper = os.fork()  # a process outside writes the maps
    if helper == 0:
        os.close(ready_end)
        os.read(ready, 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{us}/{name}").write_text(f"0 {user} 1000")
        os._exit(0)
    if _libc().unshare(0x10000000):  # CLONE_NEWUSER
        raise OSError(ctypes.get_errno(), "unshare")
    os.close(ready_end)
    os.waitpid(helper, 0)
    os.setgroups([])
    os.setgid(0)
    os.setuid(0)


def private_mounts() -> None:
    """Gives this process a mount namespace of its own, whose mounts nobody else sees."""
    if _libc().unshare(0x20000):  # CLONE_NEWNS
        raise OSError(ctypes.get_errno(), "unshare")
    mount("none", "/", flags=0x4000 | 0x40000)  # MS_REC | MS_PRIVATE


def mount(kind: str, target: str, options: str = "", *, flags: int = 0) -> None:
    """Mounts a file system (mount(2)).

    Raises:
        OSError: The kernel's answer.
    """
    if _libc().mount(kind.encode(), target.encode(), kind.encode(), flags, options.encode() or None):
        raise OSError(ctypes.get_errno(), f"mount {kind}: {os.strerror(ctypes.get_errno())}", target)


def drop_capabilities(*kept: int) -> None:
    """Takes every capability from this process but those kept (capset(2))."""
    mask = sum(1 << number for number in kept)
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = ctypes.create_string_buffer(struct.pack("=6I", low, low, 0, high, high, 0), 24)
    if _libc().capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def together(*steps: Callable[[], object]) -> Callable[[], object]:
    """Returns what does several steps in order."""
    return lambda: [step() for step in steps]
