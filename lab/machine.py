"""Boots a machine under QEMU's software emulation, and reads what it hands over."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import console, cpio
from lab.apt import UnavailableError
from lab.image import PROJECT, Image
from lab.scenario import Scenario

MACHINE_SECONDS = 180
"""From power on to power off; some 6 s on an idle machine."""

MEMORY = "1536M"

_PROGRAM = (
    "#!/usr/bin/python3\nimport sys\nsys.path.insert(0, '/lab')\nfrom lab.inside.{0} import main\nmain()\n"
)
_INSIDE = ("__init__.py", "console.py")


class FailedError(Exception):
    """A machine gave no record; the message says what is known."""


def boot(scenario: Scenario, image: Image, log: Path, *, capture: bool = False) -> dict[str, Any]:
    """Boots a machine, waits until it is off, and returns its record.

    Args:
        scenario: What machine, and what happens in it.
        image: What it boots.
        log: Where its console is kept.
        capture: The record holds what our checks read.

    Raises:
        FailedError: It gave no record.
        UnavailableError: QEMU is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="lab-") as directory:
        initrd = Path(directory, "initrd")
        _write_initrd(initrd, _work(scenario, capture=capture), image, Path(directory, "last"))
        shown = Path(directory, "console")
        status = _qemu(command(scenario, image.kernel, initrd), shown)
        text = shown.read_text(encoding="utf-8", errors="replace")
        shutil.copy2(shown, log)
    try:
        record: dict[str, Any] = json.loads(console.decode(text))
    except console.DamagedError as error:
        lines = [line.strip() for line in text.splitlines() if line.strip()] or ["nothing"]
        raise FailedError(f"{error} (QEMU: {status}; last line: {lines[-1][:160]})") from None
    if "error" in record:
        raise FailedError(f"inside: {record['error'].strip().splitlines()[-1]}")
    return record


def command(scenario: Scenario, kernel: Path, initrd: Path) -> list[str]:
    """Returns QEMU's command line for a scenario."""
    architecture = scenario.kernel.architecture
    words = (f"console={architecture.console} quiet panic=-1", architecture.parameters, scenario.cmdline)
    parameters = " ".join(filter(None, words))
    return [
        *(architecture.emulator, *architecture.options, "-m", MEMORY, *scenario.machine),
        *("-accel", "tcg,thread=multi", "-nodefaults", "-no-user-config", "-no-reboot"),
        *("-display", "none", "-serial", "stdio", "-nic", "none"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", parameters),
    ]


def _qemu(arguments: Sequence[str], shown: Path) -> str:
    """Runs QEMU, writes what its console shows, and says how it ended."""
    start = time.monotonic()
    with shown.open("wb") as file:
        try:
            done = subprocess.run(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=MACHINE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"killed after {MACHINE_SECONDS} s"
        except FileNotFoundError:
            raise UnavailableError(f"{arguments[0]} is not installed") from None
    return f"status {done.returncode} after {time.monotonic() - start:.0f} s"


def _work(scenario: Scenario, *, capture: bool) -> dict[str, Any]:
    """What `lab.inside.init` is to do."""
    return {
        "setup": scenario.setup,
        "facts": scenario.truth.facts,
        "user": scenario.user,
        "capture": capture,
        "references": scenario.kernel.architecture.references,
    }


def _write_initrd(initrd: Path, work: dict[str, Any], image: Image, last: Path) -> None:
    """Joins the image's archives and a last one, with the scenario and what runs inside."""
    package = last / "lab" / "lab"
    shutil.copytree(
        PROJECT / "lab" / "inside", package / "inside", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in _INSIDE:
        shutil.copy2(PROJECT / "lab" / name, package / name)
    for path in (PROJECT / "lab" / "inside").glob("*.py"):
        program = last / "lab" / path.stem
        program.write_text(_PROGRAM.format(path.stem), encoding="ascii")
        program.chmod(0o755)
    (last / "init").symlink_to("lab/init")
    (last / "lab" / "scenario.json").write_text(json.dumps(work), encoding="utf-8")
    with initrd.open("wb") as file:
        for archive in image.archives:
            with archive.open("rb") as part:
                shutil.copyfileobj(part, file, 1 << 20)
        cpio.write(str(last), file)
