"""The check Disk: space, inodes, paths that are not there, and mounts that only look read-only."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from memoryhost import MemoryHost, Node
from realkvm import needs_root

from checks import disk as module
from checks.disk import disk
from preflight.check import Run
from preflight.config import ConfigError, parse
from preflight.host import Host
from preflight.result import Outcome, Status

HERE = "/var/lib/kubelet/pods"
GIB = 1 << 30


def machine(
    *, available: int = 5 * GIB, blocks: int = 20 * GIB // 4096, inodes: tuple[int, int] = (900, 800)
) -> MemoryHost:
    host = MemoryHost({HERE: Node()})
    # Of the free blocks, a tenth is kept for root: it is not ours.
    free = available // 4096
    host.space = (65536, 4096, blocks, free + blocks // 10, free, inodes[0], inodes[1], inodes[1])
    return host


@pytest.mark.parametrize(
    ("host", "minimum", "outcome", "words"),
    [
        (machine(), 1 * GIB, module.ENOUGH, "5.0 GiB are free at /var/lib/kubelet, at least 1.0 GiB"),
        (machine(available=GIB), GIB, module.ENOUGH, "1.0 GiB"),
        (machine(available=GIB - 4096), GIB, module.TOO_LITTLE, "1.0 GiB"),
        (machine(available=0), GIB, module.TOO_LITTLE, "0.0 GiB"),
        (machine(available=0), 0, module.ENOUGH, "0.0 GiB"),
        (machine(inodes=(900, 0)), GIB, module.NO_INODES, "not one inode of 900"),
        (machine(inodes=(0, 0)), GIB, module.ENOUGH, "5.0 GiB"),
        (machine(blocks=0), 0, module.UNREADABLE, "does not tell its size"),
    ],
)
def test_space_against_the_minimum(host: MemoryHost, minimum: int, outcome: Outcome, words: str) -> None:
    finding = disk(host, Run(settings={"minimum_free_bytes": minimum}))
    assert finding.outcome is outcome
    assert words in finding.message
    assert finding.hint or outcome is module.ENOUGH
    assert "PATH" not in (finding.hint or "")


@pytest.mark.parametrize(
    ("files", "path", "asked"),
    [
        ({"/var/lib/kubelet/x": Node()}, "/var/lib/kubelet", "/var/lib/kubelet"),
        ({"/var/lib/x": Node()}, "/var/lib/kubelet", "/var/lib"),
        ({"/etc/x": Node()}, "/var/lib/kubelet/", "/"),
        ({"/file": Node()}, "/file", "/file"),
        ({"/data/a b/x": Node()}, "/data/a b/c", "/data/a b"),
    ],
)
def test_the_nearest_directory_that_is_there_is_asked(files: dict[str, Node], path: str, asked: str) -> None:
    host = MemoryHost(files)
    host.space = machine().space
    finding = disk(host, Run(settings={"path": path}))
    assert finding.outcome is module.ENOUGH
    assert asked in finding.evidence
    assert ("is not there" in finding.message) == (asked != path)


def test_the_path_is_one_word_of_the_hints_commands() -> None:
    host = MemoryHost({"/data/a b/x": Node()})
    host.space = machine(available=0).space
    finding = disk(host, Run(settings={"path": "/data/a b"}))
    assert finding.outcome is module.TOO_LITTLE
    assert finding.hint is not None
    assert finding.hint.startswith("df -h '/data/a b'; ")


def test_a_link_that_leads_nowhere_is_not_the_directory_above_it() -> None:
    host = MemoryHost({"/var/lib/kubelet": Node(target="/data/kubelet")})
    host.space = machine().space
    assert disk(host, Run()).outcome is module.UNREADABLE


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ELOOP])
def test_what_cannot_be_asked_is_unknown(number: int) -> None:
    finding = disk(MemoryHost({"/var/lib/kubelet": Node(stat_errno=number)}), Run())
    assert finding.outcome is module.UNREADABLE
    assert errno.errorcode[number] in finding.message


def test_another_machines_files_say_nothing_of_our_own_disk(tmp_path: Path) -> None:
    (tmp_path / "var/lib/kubelet").mkdir(parents=True)
    finding = disk(Host(str(tmp_path)), Run(settings={"minimum_free_bytes": 0}))
    assert finding.outcome is module.NOT_THIS_MACHINE
    assert finding.outcome.status is Status.SKIP  # else no captured machine could pass
    assert not finding.evidence


def mounts(*lines: str) -> str:
    return "".join(f"{number} 1 8:1 / {line}\n" for number, line in enumerate(lines, 20))


@pytest.mark.parametrize(
    ("init", "outcome"),
    [
        (mounts("/ rw - ext4 /dev/a rw"), module.ENOUGH),
        (mounts("/ ro - ext4 /dev/a rw", "/var rw - xfs /dev/b rw"), module.ENOUGH),
        (mounts("/ rw - ext4 /dev/a ro,errors=remount-ro"), module.READ_ONLY),
        (mounts("/ rw - ext4 /dev/a rw", "/var/lib ro,nodev - xfs /dev/b rw"), module.READ_ONLY),
        (mounts("/ ro - ext4 /dev/a rw"), module.READ_ONLY),
        (None, module.UNREADABLE),
        ("junk\n", module.UNREADABLE),
    ],
)
def test_below_a_pods_read_only_mount_the_mounts_of_init_tell(init: str | None, outcome: Outcome) -> None:
    host = machine()
    host.root = "/host"
    host.mount_flags = os.ST_RDONLY
    if init is not None:
        host.put(module.INIT_MOUNTS, init)
    assert disk(host, Run()).outcome is outcome


def test_on_the_host_itself_its_own_view_tells() -> None:
    host = machine()
    host.mount_flags = os.ST_RDONLY
    assert disk(host, Run()).outcome is module.READ_ONLY


def test_this_machine_has_what_psutil_says(tmp_path: Path) -> None:
    finding = disk(Host(), Run(settings={"path": str(tmp_path), "minimum_free_bytes": 0}))
    assert finding.outcome in (module.ENOUGH, module.NO_INODES)
    usage = psutil.disk_usage(str(tmp_path))
    free, total = (int(word) for word in finding.evidence[str(tmp_path)].split() if word.isdigit())
    assert total == usage.total
    assert abs(free - usage.free) < 1 << 28  # others write meanwhile


SCRIPT = """
mount -t tmpfs -o size=2m,nr_inodes={inodes} tmpfs {path} && {change}
exec {python} -m cli.main run -o json --only Disk --config {config}
"""


@needs_root
@pytest.mark.parametrize(
    ("inodes", "change", "minimum", "reason"),
    [
        (100, "true", 1 << 20, "Enough"),
        (100, "true", 1 << 22, "TooLittle"),
        (100, "dd if=/dev/zero of={path}/full bs=64k 2>/dev/null; true", 1 << 16, "TooLittle"),
        (2, "touch {path}/last", 1 << 20, "NoInodes"),
        (100, "mount -o remount,ro {path}", 1 << 20, "ReadOnly"),
    ],
)
def test_a_real_file_system(inodes: int, change: str, minimum: int, reason: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    place = tmp_path / "images"
    place.mkdir()
    config.write_text(f'[checks.Disk]\npath = "{place}"\nminimum_free_bytes = {minimum}\n')
    script = SCRIPT.format(
        inodes=inodes,
        path=place,
        change=change.format(path=place),
        python=sys.executable,
        config=config,
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    (result,) = json.loads(done.stdout)["results"]
    assert result["reason"] == reason, result


POD = """
mount --rbind / {root} && mount -o remount,bind,ro {root}
exec {python} -m cli.main run -o json --only Disk --config {config} --host-root {root}
"""


@needs_root
def test_a_pods_read_only_mount_of_the_host_is_not_the_hosts(tmp_path: Path) -> None:
    """As deploy/daemonset.yaml mounts it; /proc/1 is an init whose mounts are writable."""
    config, root = tmp_path / "config.toml", tmp_path / "host"
    root.mkdir()
    config.write_text('[checks.Disk]\npath = "/etc"\nminimum_free_bytes = 0\n')
    script = POD.format(root=root, python=sys.executable, config=config)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    (result,) = json.loads(done.stdout)["results"]
    assert result["reason"] == "Enough", result
    assert "/etc" in result["evidence"]


@pytest.mark.parametrize("junk", ["", "var/lib", "a\\u0000b", "/a\\nb", "/" + "x" * 1024])
def test_a_path_that_is_none_is_refused(junk: str) -> None:
    with pytest.raises(ConfigError, match=r"^c: checks\.Disk\.path: "):
        parse(f'[checks.Disk]\npath = "{junk}"'.encode(), [disk], "c")
