"""A plugin directory: which files are checks, what their TOML files say, and what is told of the others."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight import trust
from preflight.check import ADVISORY, BLOCKING, Check, Run
from preflight.discovery import discover
from preflight.host import Host
from preflight.ordering import order
from preflight.outcomes import BAD_CONFIGURATION
from preflight.plugin_directory import find
from preflight.report import MAX_RESULTS
from preflight.result import Status
from preflight.toml_file import MAX_SIZE, ConfigError

SCRIPT = "#!/bin/sh\necho well\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty plugin directory."""
    path = tmp_path / "plugins"
    path.mkdir(mode=0o755)
    return path


def put(folder: Path, name: str, text: str = SCRIPT, mode: int = 0o755) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def found(folder: Path) -> dict[str, Check]:
    return {check.name: check for check, _ in find(str(folder))}


def problem(check: Check) -> str:
    """Returns what a check that cannot be used says; its hint is there and starts with a command."""
    finding = check(Host(), Run())
    assert finding.outcome is BAD_CONFIGURATION
    assert check.weight is BLOCKING
    assert finding.hint
    assert finding.hint != BAD_CONFIGURATION.hint
    return finding.message


def test_a_file_and_what_is_said_beside_it(folder: Path) -> None:
    path = put(folder, "disk-health")
    toml = (
        'name = "Disks"\nweight = "advisory"\ntimeout = 2.5\nquestion = "Are they\\nwell?"\nhint = "df -h"\n'
    )
    put(folder, "disk-health.toml", toml, 0o755)
    (check,) = found(folder).values()
    assert (check.name, check.weight, check.timeout) == ("Disks", ADVISORY, 2.5)
    assert check.question == "Are they well?"
    assert check.reads == (str(path),)
    assert [one.hint for one in check.outcomes if one.reason == "Failed"] == ["df -h"]
    assert check(Host(), Run()).message == "well"


def test_nothing_said_is_the_default(folder: Path) -> None:
    put(folder, "disk-health.sh")
    (check,) = found(folder).values()
    assert (check.name, check.weight, check.timeout) == ("DiskHealth", BLOCKING, 5.0)
    assert check.question == "What does disk-health.sh say?"


@pytest.mark.parametrize(
    ("file", "declaration", "belongs"),
    [
        ("disk", "disk.toml", True),
        ("disk.sh", "disk.toml", True),
        ("disk.sh", "disk.sh.toml", True),
        ("disk.tar.py", "disk.tar.toml", True),
        ("disk", "disks.toml", False),
    ],
)
def test_which_declaration_belongs_to_which_file(
    folder: Path, file: str, declaration: str, belongs: bool
) -> None:
    put(folder, file)
    put(folder, declaration, 'name = "Declared"\n', 0o644)
    assert ("Declared" in found(folder)) is belongs


def test_everything_else_is_left_alone(folder: Path) -> None:
    for name in (".hidden", "disk~", "disk.bak", "disk.dpkg-old", "disk.rpmsave", ".disk.swp", "#disk#"):
        put(folder, name)
    put(folder, "README", mode=0o644)
    put(folder, ".hidden.toml", "junk")
    put(folder, "preflight.toml", "[run]\ntimeout = 30\n", 0o644)
    put(folder, "other.toml", "[checks.Memory]\nminimum_bytes = 1\n", 0o644)
    (folder / "lib").mkdir()
    (folder / "link").symlink_to("lib")
    os.mkfifo(folder / "fifo", 0o777)
    assert found(folder) == {}


@pytest.mark.parametrize("name", ["disk health", "größe", "a\nb", "-rf", "9", "%s{0}$(id)"])
def test_a_file_of_any_name_is_run(folder: Path, name: str) -> None:
    put(folder, name)
    (check,) = order(found(folder).values())
    assert check(Host(), Run()).message == "well"
    assert check.name.isalnum()


def test_a_name_that_is_no_unicode(folder: Path) -> None:
    path = os.fsencode(folder) + b"/d\xffsk"
    with open(path, "wb") as file:
        file.write(SCRIPT.encode())
    os.chmod(path, 0o755)
    assert found(folder)["DSk"](Host(), Run()).message == "well"


def test_a_configmap_as_the_kubelet_mounts_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links into a hidden directory that is replaced as a whole, in one of mode 0777 on a read-only mount."""
    data = folder / "..2026_11_26_06_51_55.123"
    data.mkdir(mode=0o755)
    (folder / "..data").symlink_to(data.name)
    for name, text in (("disk", SCRIPT), ("disk.toml", 'name = "Disk"\nweight = "advisory"\n')):
        put(data, name, text)
        (folder / name).symlink_to(f"..data/{name}")
    folder.chmod(0o777)
    assert list(found(folder)) == ["PluginDirectory"]
    real = os.statvfs(folder)

    class ReadOnly:
        f_flag = real.f_flag | os.ST_RDONLY

    monkeypatch.setattr(trust.os, "statvfs", lambda path: ReadOnly)
    assert list(found(folder)) == ["Disk"]
    assert found(folder)["Disk"](Host(), Run()).message == "well"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("junk", "not TOML: "),
        ("name = 5", "name: not a string"),
        ('name = "disk health"', "name: 'disk health' is no CamelCase word of at most 63 characters"),
        ('name = ""', "name: '' is no CamelCase word"),
        ('weight = "heavy"', "weight: none of blocking, unless-emulated, advisory"),
        ("weight = 1", "weight: none of blocking, unless-emulated, advisory"),
        ('timeout = "5s"', "timeout: not a number of seconds"),
        ("timeout = 0", "timeout: not a time from 0 to 86400 seconds"),
        ("timeout = nan", "timeout: not a time from 0 to 86400 seconds"),
        ("timout = 1", "timout: unknown key (known: name, weight, timeout, question, hint)"),
        ("question = []", "question: not a string"),
        ("hint = 1", "hint: not a string"),
        ("[checks.Disk]", "checks: unknown key"),
        ("# \udcff", "not UTF-8 at byte 2"),
        ("#" * (MAX_SIZE + 1), f"larger than {MAX_SIZE} bytes"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_told_and_costs_no_other(
    folder: Path, text: str, complaint: str
) -> None:
    put(folder, "disk")
    (folder / "disk.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    put(folder, "fine")
    checks = found(folder)
    assert list(checks) == ["Disk", "Fine"]
    assert problem(checks["Disk"]).startswith(f"{folder}/disk.toml: {complaint}")
    assert checks["Fine"](Host(), Run()).message == "well"


@pytest.mark.parametrize("kind", ["directory", "fifo", "link to nothing", "link to itself"])
def test_a_declaration_that_is_no_file(folder: Path, kind: str) -> None:
    put(folder, "disk")
    path = folder / "disk.toml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("disk.toml" if "itself" in kind else "nothing")
    assert str(folder) in problem(found(folder)["Disk"])


@pytest.mark.parametrize("kind", ["no mode", "directory", "fifo", "nothing"])
def test_what_is_declared_and_cannot_be_run(folder: Path, kind: str) -> None:
    path = folder / "disk"
    if kind == "no mode":
        put(folder, "disk", mode=0o644)
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path, 0o755)
    put(folder, "disk.toml", "timeout = 1\n", 0o644)
    (check,) = found(folder).values()
    assert check.name == "Disk"
    assert str(path) in problem(check)


def test_a_link_to_nothing_was_meant_to_be_a_check(folder: Path) -> None:
    (folder / "disk").symlink_to("/nowhere/disk")
    (folder / "loop").symlink_to("loop")
    checks = found(folder)
    assert problem(checks["Disk"]) == f"{folder}/disk: No such file or directory"
    assert "symbolic links" in problem(checks["Loop"])


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o775])
@pytest.mark.parametrize("name", ["disk", "disk.toml"])
def test_what_others_can_write_to_is_not_run(folder: Path, name: str, mode: int) -> None:
    put(folder, "disk")
    put(folder, "disk.toml", "")
    (folder / name).chmod(mode)
    if mode == 0o775 and os.geteuid() != 0:
        pytest.skip("a user's own group is the user")
    (check,) = found(folder).values()
    assert problem(check) == f"{folder}/{name} can be written by others than its owner"
    assert check(Host(), Run()).hint == f"chmod go-w {folder}/{name}"


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to give a file away")
def test_what_belongs_to_others_is_not_run(folder: Path, tmp_path: Path) -> None:
    os.chown(put(folder, "disk"), 65534, 65534)
    (folder / "link").symlink_to(put(tmp_path, "fine"))
    os.lchown(folder / "link", 65534, 65534)
    checks = found(folder)
    assert problem(checks["Disk"]).startswith(f"{folder}/disk belongs to user 65534")
    assert checks["Disk"](Host(), Run()).hint == f"chown root {folder}/disk"
    assert checks["Link"](Host(), Run()).hint == f"chown -h root {folder}/link"
    os.chown(folder, 65534, 65534)
    (check,) = found(folder).values()
    assert problem(check).startswith(f"{folder} belongs to user 65534")


def test_a_link_into_a_directory_that_others_can_write_to(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "disk").symlink_to(put(elsewhere, "disk"))
    elsewhere.chmod(0o777)
    assert problem(found(folder)["Disk"]) == f"{elsewhere} can be written by others than its owner"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.write_text(""), "Not a directory"),
    ],
)
def test_a_directory_that_cannot_be_used(tmp_path: Path, make, complaint: str) -> None:
    path = tmp_path / "there"
    make(path)
    with pytest.raises(ConfigError) as caught:
        found(path)
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_directory_that_others_can_write_to(folder: Path) -> None:
    put(folder, "disk")
    folder.chmod(0o777)
    (check,) = found(folder).values()
    assert check.name == "PluginDirectory"
    assert problem(check) == f"{folder} can be written by others than its owner"
    assert check(Host(), Run()).hint == f"chmod go-w {folder}"


def test_a_relative_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, "disk")
    monkeypatch.chdir(folder.parent)
    (check,) = (check for check, _ in find("plugins"))
    assert check.reads == (f"{folder}/disk",)


def test_a_built_in_check_is_not_replaced(folder: Path) -> None:
    put(folder, "kvm.sh")
    put(folder, "kvm.toml", 'name = "KVM"\n', 0o644)
    put(folder, "tun", mode=0o777)
    own = {check.name: check for check in discover()}
    checks = {check.name: check for check in discover(plugin_dir=str(folder))}
    assert {name: checks[name] for name in own} == own
    assert (
        problem(checks["KVMKvmSh"])
        == f"{folder}/kvm.sh calls itself KVM, and vm-preflight has a check of that name"
    )
    assert "can be written by others" in problem(checks["TunTun"])
    assert len(checks) == len(own) + 2


def test_two_files_of_one_name(folder: Path) -> None:
    put(folder, "disk.py")
    put(folder, "disk.sh")
    checks = {check.name: check for check in discover([], plugin_dir=str(folder))}
    assert checks["Disk"](Host(), Run()).outcome.status is Status.PASS
    assert (
        problem(checks["DiskDiskSh"])
        == f"{folder}/disk.sh calls itself Disk, and disk.py has a check of that name"
    )


def test_a_thousand_files_are_cut_to_what_a_report_holds(folder: Path) -> None:
    for number in range(1000):
        put(folder, f"disk-{number:03}")
    checks = {check.name: check for check in discover(plugin_dir=str(folder))}
    assert len(checks) == MAX_RESULTS
    assert "KVM" in checks
    message = problem(checks["TooManyChecks"])
    assert f"a report holds {MAX_RESULTS}: not asked are Disk" in message


keys = ("name", "weight", "timeout", "question", "hint", "nosuch")
values = ("5", "-1", "nan", "true", '"Disk"', '"advisory"', "[]", '"\\u0007"')
other = (" = ", "\n", "[name]\n", '"""', "\0", "\udcff", "'")
toml_pieces = st.sampled_from(keys + values + other)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(toml_pieces, max_size=10).map("".join) | st.text(max_size=30))
def test_whatever_a_declaration_says_a_check_stands_there(folder: Path, text: str) -> None:
    put(folder, "disk")
    (folder / "disk.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    (check,) = found(folder).values()
    if check.outcomes == (BAD_CONFIGURATION,):
        assert problem(check).startswith(f"{folder}/disk.toml: ")
    else:
        assert (check.timeout > 0, check.question.isprintable(), check.name.isalnum()) == (True, True, True)
