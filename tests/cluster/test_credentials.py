import os

import pytest

from cluster.credentials import TokenFile, in_cluster
from cluster.errors import CredentialsError

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def mounted(tmp_path):
    (tmp_path / "token").write_text("abc\n")
    (tmp_path / "ca.crt").write_text("PEM")
    return tmp_path


def test_a_pod_finds_its_credentials(mounted) -> None:
    found = in_cluster(POD, directory=str(mounted))
    assert found.server == "https://10.96.0.1:443"
    assert found.ca_file == str(mounted / "ca.crt")
    assert found.authorization is not None
    assert found.authorization() == "Bearer abc"


def test_an_ipv6_service_address(mounted) -> None:
    found = in_cluster({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}, directory=str(mounted))
    assert found.server == "https://[fd00::1]:443"


def test_outside_a_pod(mounted) -> None:
    with pytest.raises(CredentialsError, match="not in a pod"):
        in_cluster({}, directory=str(mounted))


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_pod_without_a_mounted_token(mounted, missing: str) -> None:
    (mounted / missing).unlink()
    with pytest.raises(CredentialsError, match=rf"{missing}: No such file or directory"):
        in_cluster(POD, directory=str(mounted))


def test_a_renewed_token_is_read_again(tmp_path) -> None:
    """Renewed as the kubelet does: a new directory, and a symbolic link that is renamed over the old one."""
    for name, token in (("one", "first"), ("two", "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(token)
        os.utime(tmp_path / name / "token", ns=(1, 1))
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "token").symlink_to("data/token")
    token = TokenFile(str(tmp_path / "token"))
    assert token() == "Bearer first"
    (tmp_path / "data.new").symlink_to("two")
    (tmp_path / "data.new").rename(tmp_path / "data")
    assert token() == "Bearer second"


def test_an_unchanged_token_is_not_read_again(tmp_path) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    token = TokenFile(str(path))
    assert token() == "Bearer first"
    before = path.stat()
    path.write_text("other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert token() == "Bearer first"


@pytest.mark.parametrize("content", [b"", b" \n", b"a\r\nX-Injected: 1", b"a b", b"\xff\xfe", b"a\0b"])
def test_what_is_no_token_never_gets_into_a_header(tmp_path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(CredentialsError, match="token: holds no bearer token"):
        TokenFile(str(path))()
