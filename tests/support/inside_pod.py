"""What a process in a container sees and may do: run there by the image's own Python.

It is fed to `kubectl exec -i POD -c CONTAINER -- python -`. With `look` it prints what the process sees, with
`ask REQUESTS` what the API server answers to the container's own token; both in JSON. It uses the standard
library only.
"""

import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LISTENS = "0A"
"""TCP_LISTEN in /proc/net/tcp (kernel: include/net/tcp_states.h)."""


def look() -> dict[str, Any]:
    """Describes the container's first process and what it has."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/1/status").read_text().splitlines())
    words = Path("/proc/1/environ").read_bytes().split(b"\0")
    return {
        "command": Path("/proc/1/cmdline").read_bytes().decode().split("\0"),
        "uid": int(status["Uid"].split()[0]),
        "gid": int(status["Gid"].split()[0]),
        "capabilities": {name: int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd")},
        "no new privileges": status["NoNewPrivs"] == "1",
        "seccomp": int(status["Seccomp"]),
        "environment": sorted(word.partition(b"=")[0].decode() for word in words if word),
        "token": ACCOUNT.exists(),
        "devices": sorted(os.listdir("/dev")),
        "listens": sorted(_listening() & _sockets()),
        "writable": [
            path for path in ("/", "/tmp", "/etc", "/opt", "/run", "/run/vm-preflight") if _writable(path)
        ],
        "shells": [path for path in ("/bin/sh", "/usr/bin/sh", "/bin/bash") if os.path.lexists(path)],
    }


def ask(requests: list[tuple[str, str, Any]]) -> list[tuple[int, str]]:
    """Sends requests with the container's own token; returns each answer's status and message."""
    token = (ACCOUNT / "token").read_text()
    address = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    answers = []
    for method, path, body in requests:
        request = urllib.request.Request(address + path, method=method)
        request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header(
                "Content-Type", "application/merge-patch+json" if method == "PATCH" else "application/json"
            )
        try:
            with urllib.request.urlopen(request, timeout=30, context=trusted) as answer:
                answers.append((answer.status, answer.read().decode()))
        except urllib.error.HTTPError as error:
            answers.append((error.code, str(json.loads(error.read()).get("message", ""))))
    return answers


def _writable(path: str) -> bool:
    try:
        with open(f"{path}/.written", "x"):
            pass
    except OSError:
        return False
    os.unlink(f"{path}/.written")
    return True


def _listening() -> set[str]:
    """Inodes of the network's listening TCP sockets."""
    tables = [Path("/proc/net", name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    return {fields[9] for fields in lines if fields[3] == LISTENS}


def _sockets() -> set[str]:
    """Inodes of the first process's sockets."""
    found = set()
    for number in os.listdir("/proc/1/fd"):
        match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/1/fd/{number}"))
        if match:
            found.add(match[1])
    return found


if __name__ == "__main__":
    json.dump(look() if sys.argv[1] == "look" else ask(json.loads(sys.argv[2])), sys.stdout)
