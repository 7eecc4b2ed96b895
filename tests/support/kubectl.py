"""kubectl with a kubeconfig of its own, and kubeconfigs."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class KubectlError(Exception):
    """kubectl failed; the message has its arguments and its standard error."""


class Kubectl:
    """Runs kubectl as one user of one cluster.

    Attributes:
        command: What each call begins with.
    """

    def __init__(self, program: Path, kubeconfig: Path, cache: Path) -> None:
        """Remembers what kubectl is run with.

        Args:
            program: kubectl itself.
            kubeconfig: Whose credentials, and which cluster.
            cache: Directory for what kubectl remembers of the API server's kinds.
        """
        self.command: list[str | Path] = [program, f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}"]

    def __call__(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Runs kubectl, and returns what it printed.

        Raises:
            KubectlError: It failed.
        """
        done = self.run(*arguments, stdin=stdin)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise KubectlError(f"kubectl {' '.join(map(str, arguments))}: {said}")
        return done.stdout

    def run(self, *arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs kubectl; returns its exit status and all that it printed, warnings too."""
        command = [*self.command, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def get(self, *arguments: str) -> dict[str, Any]:
        """Runs `kubectl get ... -o json`; empty when `--ignore-not-found` found nothing.

        Raises:
            KubectlError: It failed.
        """
        found = self("get", *arguments, "-o", "json")
        return dict(json.loads(found)) if found.strip() else {}


def write_kubeconfig(path: Path, *, server: str, authority: Path, user: Mapping[str, str]) -> None:
    """Writes a kubeconfig, in JSON, which is YAML too.

    Args:
        path: Where to.
        server: The API server's URL.
        authority: File of what verifies it.
        user: A user's credentials, such as `token`.
    """
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "test", "cluster": {"server": server, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": "test", "user": dict(user)}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
