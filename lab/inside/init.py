"""The first process of a machine: makes the situation, asks all, hands the record over, switches off."""

import json
import os
import subprocess
import sys
import time
import traceback
from typing import Any

from lab import console

APPLETS = "/lab/applets"
"""Busybox's own commands; last on PATH, because some (setpriv) know less than util-linux's."""

OURS = ("vm-preflight", "run", "-o", "json", "--config", "/lab/lab/inside/config.toml")
COMMAND_SECONDS = 120
"""For a machine that is emulated on a busy one."""

MOUNTS = (
    ("proc", "/proc", "nosuid,nodev,noexec"),
    ("sysfs", "/sys", "nosuid,nodev,noexec"),
    ("devtmpfs", "/dev", "nosuid,noexec"),
    ("tmpfs", "/run", "nosuid,nodev"),
    ("tmpfs", "/tmp", "nosuid,nodev"),
    ("tmpfs", "/var/lib", "size=16G"),
)

Result = dict[str, Any]


def main() -> None:
    """Does everything, and switches the machine off."""
    record: Result = {}
    try:
        with open("/lab/scenario.json", encoding="utf-8") as file:
            scenario = json.load(file)
        _start()
        record = _run(scenario)
    except BaseException:  # noqa: BLE001 - the machine ends here, and must say why
        record["error"] = traceback.format_exc()
    _hand_over(json.dumps(record).encode())
    _switch_off()


def _start() -> None:
    """Makes what a distribution's init makes before anything else, modules of devices included."""
    os.environ.clear()
    os.environ.update(PATH=f"/usr/local/bin:/usr/sbin:/usr/bin:{APPLETS}", HOME="/root", LC_ALL="C.UTF-8")
    os.makedirs(APPLETS, exist_ok=True)
    subprocess.run(("/usr/bin/busybox", "--install", "-s", APPLETS), check=True)
    for kind, where, options in MOUNTS:
        os.makedirs(where, exist_ok=True)
        subprocess.run((f"{APPLETS}/mount", "-t", kind, "-o", options, kind, where), check=True)
    with open("/proc/sys/kernel/printk", "w", encoding="ascii") as file:
        file.write("1")


def _run(scenario: Result) -> Result:
    """Makes the situation; asks ours before anything else, which could change it."""
    user = scenario["user"]
    return {
        "setup": [_shell(line) for line in scenario["setup"]],
        "ours": _command([*user, *OURS]),
        "tree": _command(["/lab/capture"])["output"] if scenario["capture"] else "",
        "oracle": _command([*user, "/lab/oracle"]),
        "facts": [_shell(line) for line in scenario["facts"]],
        "references": {name: _command([*user, *name.split()]) for name in scenario["references"]},
        "release": os.uname().release,
        "log": _command(["dmesg"])["output"],
    }


def _shell(line: str) -> Result:
    return {"line": line, **_command(["sh", "-ec", line])}


def _command(arguments: list[str]) -> Result:
    start = time.monotonic()
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
        status, output, errors = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as expired:
        status, output, errors = -1, expired.stdout or b"", b"no end in time"
    except OSError as error:
        status, output, errors = 127, b"", str(error).encode()
    return {
        "status": status,
        "output": output.decode("utf-8", "replace"),
        "errors": errors.decode("utf-8", "replace"),
        "seconds": round(time.monotonic() - start, 3),
    }


def _hand_over(record: bytes) -> None:
    sys.stdout.write("\n" + console.encode(record))
    sys.stdout.flush()


def _switch_off() -> None:
    """Magic SysRq *o* (kernel: Documentation/admin-guide/sysrq.rst), else reboot(2), which ends QEMU too."""
    os.sync()
    try:
        with open("/proc/sysrq-trigger", "w", encoding="ascii") as file:
            file.write("o")
        time.sleep(10)
    finally:
        subprocess.run((f"{APPLETS}/reboot", "-f"), check=False)
        time.sleep(60)
