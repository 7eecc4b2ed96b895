"""The page that shows how a check is written: its commands, run as it says, and its examples."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from program import vm_preflight

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs/examples"
PAGE = (ROOT / "docs/writing-a-check.md").read_text(encoding="utf-8")
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n"
AREA = "/dev/sda2\tpartition\t8388604\t0\t-2\n"


def commands() -> Iterator[tuple[str, str]]:
    """Yields the page's commands in order, each with what the page says that it prints."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A virtual environment that has what ours has, and into which the page's example can be installed."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    site = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    (Path(site) / "ours.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in sys.path)
    )
    program = folder / "bin/vm-preflight"
    program.write_text(f"#!{folder}/bin/python\nfrom cli.main import entry\nentry()\n")
    program.chmod(0o755)
    # The page's own words do: pip looks for nothing elsewhere, and builds with what is here.
    pip = {"PIP_PYTHON": f"{folder}/bin/python", "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    path = os.pathsep.join([f"{folder}/bin", str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VM_PREFLIGHT_")}
    return {
        **kept,
        **pip,
        "PATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
    }


def test_the_page_is_true_command_by_command(environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    run = []
    for command, printed in commands():
        ended = subprocess.run(
            ["bash", "-ec", command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=100,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}"
        assert not printed or ended.stdout == printed, command
        run.append(command.split()[0])
    assert {"install", "vm-preflight", "pip", "python"} <= set(run)


@pytest.mark.parametrize(
    "file",
    ["plugins/swap-off", "plugins/swap-off.toml", "hardware-random/rng_check.py"],
    ids=os.path.basename,
)
def test_the_page_shows_the_files_as_they_are(file: str) -> None:
    assert f"\n{(EXAMPLES / file).read_text()}```\n" in PAGE


def test_the_page_names_every_key_and_reason_of_an_executable() -> None:
    from preflight.executable import OUTCOMES
    from preflight.plugin_directory import KEYS

    assert {one.reason for one in OUTCOMES} - set(re.findall(r"`([A-Z]\w+)`", PAGE)) == set()
    assert set(KEYS) - set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set()


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """The example as the page installs it."""
    folder = tmp_path / "plugins"
    files = [str(path) for path in (EXAMPLES / "plugins").iterdir()]
    subprocess.run(["install", "-D", "-t", str(folder), *files], check=True, timeout=60)
    return folder


@pytest.mark.parametrize(
    ("contents", "status", "reason", "message"),
    [
        (SWAPS, "Pass", "Passed", "/proc/swaps lists no swap area"),
        ("", "Pass", "Passed", "/proc/swaps lists no swap area"),
        (SWAPS + AREA, "Warn", "SwapOn", "swap is on: /dev/sda2"),
        (SWAPS + AREA + '/a\\040"b\tfile\t1\t0\t-3\n', "Warn", "SwapOn", 'swap is on: /dev/sda2 /a\\040"b'),
        (None, "Skip", "Skipped", "no /proc/swaps: this kernel cannot swap"),
    ],
)
def test_the_executable_answers(
    plugins: Path, tmp_path: Path, contents: str | None, status: str, reason: str, message: str
) -> None:
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    if contents is not None:
        (root / "proc/swaps").write_text(contents)
    words = ("--only", "SwapOff", "--host-root", str(root), "--plugin-dir", str(plugins), "-o", "json")
    ended = vm_preflight("run", *words)
    (result,) = json.loads(ended.stdout)["results"]
    assert (result["status"], result["reason"], result["message"]) == (status, reason, message)
    assert ("hint" in result) is (status == "Warn")


def test_what_the_executable_cannot_read_is_unknown(plugins: Path, tmp_path: Path) -> None:
    (tmp_path / "root/proc/swaps").mkdir(parents=True)
    words = (
        "--only",
        "SwapOff",
        "--host-root",
        str(tmp_path / "root"),
        "--plugin-dir",
        str(plugins),
        "-o",
        "json",
    )
    (result,) = json.loads(vm_preflight("run", *words).stdout)["results"]
    assert (result["status"], result["reason"]) == ("Unknown", "UndefinedStatus")
    assert "exit status 4" in result["message"]
