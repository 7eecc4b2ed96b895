import base64
import json
from pathlib import Path

import pytest

from lab import apt, capture, machine
from lab.apt import Package, UnavailableError
from lab.image import Image
from lab.scenario import Scenario
from lab.x86 import BOOKWORM, runs

SCENARIO = Scenario("x86/a", BOOKWORM, runs(), ("-cpu", "max", "-m", "900M"), "clearcpuid=svm")


def test_the_scenario_has_the_last_word() -> None:
    words = machine.command(SCENARIO, Path("kernel"), Path("initrd"))
    assert words[0] == "qemu-system-x86_64"
    assert [words[place + 1] for place, word in enumerate(words) if word == "-m"][-1] == "900M"
    assert words[words.index("-append") + 1].startswith("console=ttyS0 ")
    assert words[words.index("-append") + 1].endswith(" clearcpuid=svm")


def emulator(directory: Path, lines: str) -> None:
    program = directory / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(0o755)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "archive").write_bytes(b"")
    return Image(tmp_path / "kernel", (tmp_path / "archive",))


def test_a_machine_that_says_nothing_failed(
    tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator(tmp_path, "echo 'qemu: no such cpu'; exit 3")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(machine.FailedError, match=r"QEMU: status 3 .* no such cpu"):
        machine.boot(SCENARIO, image, tmp_path / "log")
    assert (tmp_path / "log").read_text() == "qemu: no such cpu\n"


def test_a_machine_that_hangs_is_ended(tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator(tmp_path, "exec sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(machine, "MACHINE_SECONDS", 0.2)
    with pytest.raises(machine.FailedError, match=r"killed after 0\.2 s"):
        machine.boot(SCENARIO, image, tmp_path / "log")


def test_an_emulator_that_is_not_there_is_named(
    tmp_path: Path, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="qemu-system-x86_64 is not installed"):
        machine.boot(SCENARIO, image, tmp_path / "log")


def test_a_package_with_an_epoch_is_found() -> None:
    assert Package("acl", "1:2.3-1", "amd64").file == "acl_1%3a2.3-1_amd64.deb"


def test_the_mirror_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(apt.MIRROR, "http://localhost/debian")
    assert apt._mirror() == "http://localhost/debian"


def test_a_tree_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "HOSTS", tmp_path)
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "old").touch()
    tree = {
        "files": {
            "/proc/misc": base64.b64encode(b"232 kvm\n").decode(),
            "/usr/lib/modules/6.1/modules.dep": "",
        },
        "links": {"/lib": "usr/lib"},
    }
    root = capture.keep("lab", {"tree": json.dumps(tree)})
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == ["misc", "modules.dep"]
    assert (root / "lib/modules/6.1/modules.dep").exists()
    assert (root / "proc/misc").read_bytes() == b"232 kvm\n"


def test_a_path_out_of_the_tree_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "HOSTS", tmp_path)
    with pytest.raises(ValueError, match="leads out"):
        capture.keep("lab", {"tree": json.dumps({"files": {"/../../passwd": ""}, "links": {}})})
