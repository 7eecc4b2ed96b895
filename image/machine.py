"""What the machine's own settings mean for pip in the build: which index, through which proxy, trusting whom.

They reach the build as secrets and environment of its run only, so that none is in the image.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
SECRET = "/run/secrets/ca.pem"
"""Where the Dockerfile's secret is mounted (``RUN --mount=type=secret``)."""

KEPT = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
"""Settings that mean the same in the build; paths of the machine do not."""

_SECTIONS = ("global", "install", ":env:")


def secrets(directory: Path) -> Iterator[str]:
    """Yields options of ``buildah build`` that pass the machine's settings on.

    Args:
        directory: Where files are written that must live as long as the build.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = dict(parse(listed.stdout))
    trusted = settings.get("cert") or os.environ.get("SSL_CERT_FILE") or CERTIFICATES
    text = "[global]\n" + "".join(f"{name} = {settings[name]}\n" for name in KEPT if name in settings)
    if os.path.exists(trusted):
        text += f"cert = {SECRET}\n"
        yield f"--secret=id=ca.pem,src={trusted}"
    (directory / "pip.conf").write_text(text, encoding="utf-8")
    yield f"--secret=id=pip.conf,src={directory / 'pip.conf'}"


def parse(listed: str) -> Mapping[str, str]:
    """Reads what ``pip config list`` prints: for all, over it for install, over both the environment."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in found:
            found[section][option] = "\n    ".join(str(ast.literal_eval(value)).split("\n"))
    return {option: value for section in _SECTIONS for option, value in found[section].items()}
