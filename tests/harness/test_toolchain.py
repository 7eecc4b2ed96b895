"""Where the control plane's programs come from, and what is said when they come from nowhere."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import toolchain

ROOT = Path(__file__).parents[2]
NEEDS_CONTROL_PLANE = "tests/deploy/test_install.py::test_applies_twice_and_the_second_time_changes_nothing"
FAKE_GO = """#!/bin/sh
echo build >> "$FAKE_GO_LOG"
sleep 0.3
while [ "$1" != -o ]; do shift; done
[ -z "$FAKE_GO_FAILS" ] || { echo "half" > "$2"; echo "no such module"; exit 1; }
printf '#!/bin/sh\\necho built\\n' > "$2"
"""


def program(directory: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / name
    file.write_text(text)
    file.chmod(0o755)
    return file


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without any of the programs; returns the directory that PATH names."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / "path"


def test_assets_come_before_path_and_path_before_the_cache(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = toolchain.tools()["etcd"].path
    assert program(cached.parent, "etcd") == toolchain.find("etcd")
    assert program(nowhere, "etcd") == toolchain.find("etcd")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    assert toolchain.find("etcd") == nowhere / "etcd"
    assert program(tmp_path / "assets", "etcd") == toolchain.find("etcd")


def test_without_go_it_says_what_to_install(nowhere: Path) -> None:
    with pytest.raises(toolchain.ToolMissingError, match=r"kubectl is not in .* there is no Go: install Go"):
        toolchain.find("kubectl")


def test_a_program_that_nobody_knows(nowhere: Path) -> None:
    with pytest.raises(
        toolchain.ToolMissingError, match="frobnicate is not in KUBEBUILDER_ASSETS nor on PATH"
    ):
        toolchain.find("frobnicate")


def environment(nowhere: Path, tmp_path: Path, **more: str) -> Mapping[str, str]:
    """An environment whose Go is ours."""
    program(nowhere, "go", FAKE_GO)
    log = tmp_path / "go.log"
    return {**os.environ, "PATH": f"{nowhere}:/usr/bin:/bin", "FAKE_GO_LOG": str(log), **more}


def test_two_sessions_build_a_program_once(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import toolchain; print(toolchain.find('promtool'))"
    )
    command = [sys.executable, "-c", script, Path(toolchain.__file__).parent]
    variables = environment(nowhere, tmp_path)
    sessions = [
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [session.communicate() for session in sessions]

    assert (tmp_path / "go.log").read_text() == "build\n"
    paths = {out.strip() for out, _ in said}
    assert len(paths) == 1
    built = Path(paths.pop())
    assert subprocess.check_output([built], text=True) == "built\n"
    assert sorted(os.listdir(built.parent)) == [".lock", "promtool"]
    assert "building promtool from github.com/prometheus" in said[0][1] + said[1][1]


def test_a_build_that_fails_leaves_nothing_and_says_why(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(nowhere, tmp_path, FAKE_GO_FAILS="1").items():
        monkeypatch.setenv(name, value)

    with pytest.raises(
        toolchain.ToolMissingError, match="promtool: go build failed: no such module; install"
    ):
        toolchain.find("promtool")

    assert os.listdir(toolchain.tools()["promtool"].path.parent) == [".lock"]


def test_the_cache_knows_versions_apart(nowhere: Path, tmp_path: Path) -> None:
    for name, sums in (("one", "a"), ("two", "b")):
        (tmp_path / name / "etcd").mkdir(parents=True)
        (tmp_path / name / "etcd" / "go.mod").write_text("module x\n")
        (tmp_path / name / "etcd" / "go.sum").write_text(sums)
    one, two = (toolchain.Tool("etcd", "package", tmp_path / name / "etcd") for name in ("one", "two"))

    assert one.path != two.path


def test_kubernetes_programs_are_told_their_version() -> None:
    flags = toolchain.tools()["kubectl"].flags

    assert "version.gitVersion=v1." in flags
    assert "version.gitMajor=1 " in flags
    assert toolchain.tools()["etcd"].flags == "-s -w"


def test_a_kubelet_can_be_told_another_version() -> None:
    kubelet = toolchain.tools()["kubelet"]
    newer = replace(kubelet, told="v1.99.8")

    assert "version.gitVersion=v1.99.8 " in newer.flags
    assert "version.gitMinor=99 " in newer.flags
    assert newer.path.parent == kubelet.path.parent
    assert newer.path != kubelet.path


def test_a_program_of_the_same_name_on_path_is_not_a_nodes(nowhere: Path, tmp_path: Path) -> None:
    program(nowhere, "bridge")  # iproute2's
    cached = toolchain.tools()["bridge"].path
    program(cached.parent, "bridge")

    assert toolchain.built("bridge") == cached


def test_what_a_node_needs_can_be_built(nowhere: Path) -> None:
    for name in toolchain.NODE:
        with pytest.raises(toolchain.ToolMissingError, match=f"{name} is built by Go, which is not here"):
            toolchain.built(name)


def test_a_build_with_c_says_what_it_needs(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(nowhere, tmp_path, FAKE_GO_FAILS="1").items():
        monkeypatch.setenv(name, value)

    with pytest.raises(toolchain.ToolMissingError, match="it needs gcc libseccomp-dev pkg-config"):
        toolchain.built("runc")


@pytest.mark.parametrize(("ci", "status"), [(None, 0), ("true", 1)])
def test_without_programs_tests_are_skipped_with_the_reason_but_not_in_ci(
    nowhere: Path, ci: str | None, status: int
) -> None:
    variables = {key: value for key, value in os.environ.items() if key != "CI"} | ({"CI": ci} if ci else {})
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", NEEDS_CONTROL_PLANE]
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == status, done.stdout
    assert ("1 skipped" in done.stdout) is (ci is None)
    assert "there is no Go: install Go" in done.stdout
