"""The probe's socket in the file system."""

import os
import stat
from pathlib import Path

import pytest

from agent.probe_socket import SocketError, discard, inherited, listen


def test_socket_can_be_connected_to_by_its_directorys_group_only(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, -1, 12345)
    path = tmp_path / "probe.sock"
    listen(str(path)).close()
    found = path.stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == tmp_path.stat().st_gid


def test_socket_of_a_dead_probe_is_replaced_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "probe.sock")
    listen(path).close()
    living = listen(path)
    with pytest.raises(SocketError, match=rf"^socket {path}: another probe listens on it$"):
        listen(path)
    living.close()


@pytest.mark.parametrize(
    "path", ["/proc/none/probe.sock", "x" * 200, "", "/dev/null", "/dev/null/probe.sock"]
)
def test_socket_that_cannot_be_made_is_one_line_that_names_it(path: str) -> None:
    with pytest.raises(SocketError) as caught:
        listen(path)
    assert str(caught.value).startswith(f"socket {path}: ")
    assert "\n" not in str(caught.value)


def test_socket_is_discarded_unless_another_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "probe.sock"
    listen(str(path)).close()
    made = path.lstat()
    path.rename(tmp_path / "old.sock")
    listen(str(path)).close()
    discard(str(path), made)
    assert path.is_socket()
    discard(str(tmp_path / "old.sock"), made)
    discard(str(tmp_path / "old.sock"), made)
    assert [entry.name for entry in tmp_path.iterdir()] == ["probe.sock"]


@pytest.mark.parametrize("name", ["fd:", "fd:x", "fd:-1", "fd:99999", "fd:99999999999999999999"])
def test_no_inherited_socket_is_one_line_that_names_it(name: str) -> None:
    with pytest.raises(SocketError, match=rf"^socket {name}: .*$"):
        inherited(name)
