"""What of pip's settings on this machine reaches a build."""

import configparser
from pathlib import Path

import pytest

from image import machine

LISTED = """\
:env:.timeout='180'
:env:.find-links='/opt/wheels'
global.index-url='https://index.example/simple'
global.timeout='60'
install.trusted-host='a.example\\nb.example'
"""


def test_the_environment_wins_and_lists_stay_lists() -> None:
    assert machine.parse(LISTED) == {
        "index-url": "https://index.example/simple",
        "timeout": "180",
        "trusted-host": "a.example\n    b.example",
        "find-links": "/opt/wheels",
    }


def test_a_build_gets_the_index_and_the_authorities_and_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorities = tmp_path / "authorities.pem"
    authorities.write_text("PEM\n")
    settings = {
        "index-url": "https://index.example/%20simple",
        "find-links": "/opt/wheels",
        "cert": str(authorities),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name.upper().replace('-', '_')}", value)
    assert set(machine.secrets(tmp_path)) == {
        f"--secret=id=ca.pem,src={authorities}",
        f"--secret=id=pip.conf,src={tmp_path / 'pip.conf'}",
    }
    written = configparser.RawConfigParser()
    written.read(tmp_path / "pip.conf")
    assert written["global"]["index-url"] == "https://index.example/%20simple"
    assert written["global"]["cert"] == machine.SECRET
    assert "find-links" not in written["global"]
