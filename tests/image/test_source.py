"""Labels and time of the image."""

import subprocess

import pytest

from image import source


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://host.example/team/project.git", "https://host.example/team/project"),
        ("https://user:secret@host.example:8443/project", "https://host.example:8443/project"),
        ("git@host.example:team/project.git", "https://host.example/team/project"),
        ("ssh://git@host.example:2222/team/project.git", "https://host.example/team/project"),
        ("/srv/git/project.git", ""),
        ("file:///srv/git/project.git", ""),
        ("https://", ""),
        ("", ""),
    ],
)
def test_an_address_of_a_remote_is_one_to_open_and_holds_no_secret(remote: str, address: str) -> None:
    assert source.web_address(remote) == address


def test_time_is_what_the_environment_says_else_the_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert source.timestamp() == 1700000000
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    command = ["git", "-C", str(source.PROJECT), "log", "-1", "--format=%ct"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    assert source.timestamp() == int(told or 0)


def test_labels_tell_the_version_and_nothing_that_is_not_known() -> None:
    labels = source.labels()
    assert labels["org.opencontainers.image.version"] == source.version()
    assert all(labels.values())
