"""How long what is in the image takes to start, in a container as the cluster makes it.

Its root is read-only, only /run can be written to, and who runs is 65532 without capabilities: what needs
more does not start. The container is made by unshare(1) and chroot(1), which are part of every Linux.
"""

import os
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from image import buildah
from image.failure import FailedError

SECONDS = 30.0
"""What is not there by then does not start."""

USER = 65532
PROGRAM = "/opt/vm-preflight/bin/vm-preflight"
ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
_SERVICE = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "9"}
"""An API server that is not there: a daemon listens before it has seen one."""

_ENTER = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -t proc proc "$1/proc" &&
mount --bind "$2" "$1/run" && mount --bind "$2/account" "$1/{account}" &&
root=$1 && shift 2 && exec chroot --userspec={user}:{user} "$root" "$@"
"""


class Start(NamedTuple):
    """How a process started.

    Attributes:
        what: Its command.
        seconds: Until it answered, or until its end.
        cpu: Seconds that it had a CPU for: what is left on a machine with nothing else to do.
    """

    what: str
    seconds: float
    cpu: float


def measure(name: str) -> Iterator[Start]:
    """Starts each process of an image.

    Each is started twice, and the second time counts: the first one reads the disk.

    Raises:
        FailedError: One does not start.
    """
    with buildah.mounted(name) as root, tempfile.TemporaryDirectory(prefix="vm-preflight-run-") as run:
        os.chmod(run, 0o777)
        os.makedirs(f"{root}/{ACCOUNT}", exist_ok=True)
        os.mkdir(f"{run}/account")
        for file in ("token", "namespace"):
            Path(run, "account", file).write_text("none", encoding="ascii")
        Path(run, "account", "ca.crt").write_text(_an_authority(root), encoding="ascii")
        listen, address = f"127.0.0.1:{_free_port()}", f"{run}/probe.sock"
        ends: dict[tuple[str, ...], Callable[[], bool]] = {
            ("probe", "--socket=/run/probe.sock"): lambda: os.path.exists(address),
            ("agent", "--node=none", "--probe=/run/probe.sock", f"--listen={listen}"): lambda: _answers(
                listen
            ),
            ("controller", "--agent-manifest=/run/none", f"--listen={listen}"): lambda: _answers(listen),
        }
        for _ in range(2):
            taken = [_run(root, run, "version")]
            for words, there in ends.items():
                Path(address).unlink(missing_ok=True)
                taken.append(_until(root, run, words, there))
        yield from taken


def _an_authority(root: str) -> str:
    """A certificate, whoever's: the first of the package certifi."""
    (bundle,) = Path(root).glob("opt/vm-preflight/lib/*/site-packages/certifi/cacert.pem")
    return ssl.PEM_HEADER + bundle.read_text("ascii").split(ssl.PEM_HEADER)[1]


def _run(root: str, run: str, *words: str) -> Start:
    began, before = time.monotonic(), os.times()
    done = subprocess.run(_command(root, run, words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(
            f"{' '.join(words)} ended with {done.returncode} in the image: {done.stderr.strip()}"
        )
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])  # of children
    return Start(words[0], time.monotonic() - began, cpu)


def _until(root: str, run: str, words: tuple[str, ...], there: Callable[[], bool]) -> Start:
    began = time.monotonic()
    with _process(root, run, words) as process:
        while not there():
            if process.poll() is not None or time.monotonic() - began > SECONDS:
                process.kill()
                said = process.communicate()[0].strip()
                raise FailedError(f"{words[0]} does not start in the image: {said}")
            time.sleep(0.005)  # what is measured is hundreds of milliseconds
        return Start(words[0], time.monotonic() - began, _cpu(process.pid))


def _cpu(pid: int) -> float:
    """Seconds of a process on a CPU (proc_pid_stat(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _process(root: str, run: str, words: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        _command(root, run, words),
        env=os.environ | _SERVICE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _command(root: str, run: str, words: tuple[str, ...]) -> list[str]:
    script = _ENTER.format(user=USER, account=ACCOUNT)
    return ["unshare", "--mount", "sh", "-c", script, "sh", root, run, PROGRAM, *words]


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def _answers(listen: str) -> bool:
    host, _, port = listen.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True
