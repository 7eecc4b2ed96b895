import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyfakefs.fake_filesystem import FakeFilesystem

from preflight.paths import MAX_LINKS, resolve


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/", "/host"),
        ("/etc/os-release", "/host/etc/os-release"),
        ("etc//./os-release", "/host/etc/os-release"),
        ("/folder//", "/host/etc"),
        ("/absent/file", "/host/absent/file"),
        ("/../../etc", "/host/etc"),
        ("/etc/../../../etc", "/host/etc"),
        ("/relative", "/host/etc/os-release"),
        ("/absolute", "/host/etc/os-release"),
        ("/climbing", "/host/etc/os-release"),
        ("/folder/os-release", "/host/etc/os-release"),
        ("/folder/../etc", "/host/etc"),
        ("/chain", "/host/etc/os-release"),
        ("/dangling", "/host/gone/file"),
        ("/to-root/etc", "/host/etc"),
    ],
)
def test_every_path_stays_below_the_root(fs: FakeFilesystem, path: str, real: str) -> None:
    fs.create_file("/host/etc/os-release")
    fs.create_file("/etc/os-release")
    for link, target in (
        ("relative", "etc/os-release"),
        ("absolute", "/etc/os-release"),
        ("climbing", "../../../../etc/os-release"),
        ("folder", "/etc"),
        ("chain", "/absolute"),
        ("dangling", "/gone/file"),
        ("to-root", "/"),
    ):
        fs.create_symlink(f"/host/{link}", target)
    assert resolve("/host", path) == real


def test_the_last_link_can_be_left_alone(fs: FakeFilesystem) -> None:
    fs.create_file("/host/etc/passwd")
    fs.create_symlink("/host/etc/link", "/etc/passwd")
    fs.create_symlink("/host/folder", "/etc")
    assert resolve("/host", "/etc/link", follow_last=False) == "/host/etc/link"
    assert resolve("/host", "/folder/link", follow_last=False) == "/host/etc/link"
    assert resolve("/host", "/folder/link") == "/host/etc/passwd"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/absent/../file", errno.ENOENT),
        ("/absent/", errno.ENOENT),
        ("/file/", errno.ENOTDIR),
        ("/file/.", errno.ENOTDIR),
        ("/file/../file", errno.ENOTDIR),
        ("/through", errno.ENOENT),
        ("/slash", errno.ENOTDIR),
    ],
)
def test_what_is_no_directory_leads_nowhere(tmp_path, path: str, answer: int) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "through").symlink_to("absent/../file")
    (tmp_path / "slash").symlink_to("/file/")
    with pytest.raises(OSError, match=r"No such|Not a directory") as caught:
        os.close(os.open(resolve(str(tmp_path), path), os.O_RDONLY))
    assert caught.value.errno == answer


def test_links_that_go_round_end(tmp_path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "self").symlink_to("self/self")
    for path in ("/a", "/b/c", "/self"):
        with pytest.raises(OSError, match=path) as caught:
            resolve(str(tmp_path), path)
        assert caught.value.errno == errno.ELOOP


def test_as_many_links_as_the_kernel_follows(tmp_path) -> None:
    (tmp_path / "0").touch()
    for number in range(MAX_LINKS + 1):
        (tmp_path / str(number + 1)).symlink_to(str(number))
    assert resolve(str(tmp_path), f"/{MAX_LINKS}") == f"{tmp_path}/0"
    with pytest.raises(OSError, match="symbolic links"):
        resolve(str(tmp_path), f"/{MAX_LINKS + 1}")


def test_a_link_of_proc_that_leads_out_stays_inside(tmp_path) -> None:
    inside = tmp_path / "root"
    inside.mkdir()
    (tmp_path / "secret").touch()
    (inside / "link").symlink_to(tmp_path / "secret")
    assert resolve(str(inside), "/link") == f"{inside}{tmp_path}/secret"


pieces = st.lists(st.sampled_from(["..", ".", "", "a", "b", "up", "out"]), max_size=12).map("/".join)


@given(path=pieces)
def test_no_path_leads_out(tree: str, path: str) -> None:
    real = resolve(tree, path)
    assert os.path.realpath(real) == real.removesuffix("/.")
    assert real == tree or real.startswith(f"{tree}/")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tree whose links try to lead out of it."""
    root = tmp_path_factory.mktemp("tree")
    (root / "a").mkdir()
    (root / "a" / "up").symlink_to("../..")
    (root / "b").symlink_to("/a")
    (root / "out").symlink_to("/../../..")
    return str(root)
