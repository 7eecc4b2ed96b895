"""The check Kernel, on releases as vendors spell them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memoryhost import MemoryHost

from checks import kernel as module
from checks.kernel import kernel
from linux import release
from preflight.check import Run
from preflight.config import ConfigError, parse
from preflight.host import Host
from preflight.result import Outcome


@pytest.mark.parametrize(
    ("running", "version"),
    [
        ("5.14.0-427.el9.x86_64", (5, 14, 0)),
        ("6.1.0-18-cloud-amd64", (6, 1, 0)),
        ("4.18.0-553.el8_10.x86_64", (4, 18, 0)),
        ("6.18.44-fc", (6, 18, 44)),
        ("6.12-rc3", (6, 12, 0)),
        ("5.4.0-1103-gke", (5, 4, 0)),
        ("5.15.167.4-microsoft-standard-WSL2", (5, 15, 167)),
        ("6.6.32+", (6, 6, 32)),
        ("10.0", (10, 0, 0)),
        ("5", None),
        ("", None),
        ("v5.10", None),
        (" 5.10", None),
        ("5.10.123456", None),
        ("1234.1", None),
        ("5.1234", None),
        ("\u0665.\u0661", None),
    ],
)
def test_the_version_of_a_release(running: str, version: release.Version | None) -> None:
    assert release.version(running) == version


@pytest.mark.parametrize(
    ("running", "minimum", "outcome"),
    [
        ("5.14.0-427.el9.x86_64\n", "4.19", module.RECENT),
        ("4.19.0\n", "4.19", module.RECENT),
        ("4.18.0-553.el8_10.x86_64\n", "4.19", module.TOO_OLD),
        ("5.10.9\n", "5.10.10", module.TOO_OLD),
        ("5.10.10-x\n", "5.10.10", module.RECENT),
        ("5.9.99\n", "5.10", module.TOO_OLD),
        ("10.0\n", "5.10", module.RECENT),
        ("junk\n", "0.0", module.UNREADABLE),
        ("\xff\n", "0.0", module.UNREADABLE),
        ("\n", "0.0", module.UNREADABLE),
    ],
)
def test_the_running_kernel_against_the_minimum(running: str, minimum: str, outcome: Outcome) -> None:
    finding = kernel(MemoryHost({module.PATH: running}), Run(settings={"minimum_release": minimum}))
    assert finding.outcome is outcome
    assert finding.hint or outcome is module.RECENT


def test_another_machines_files_do_not_tell_our_own_release() -> None:
    assert kernel(MemoryHost({}), Run()).outcome is module.UNREADABLE


def test_this_machine() -> None:
    finding = kernel(Host(), Run())
    assert finding.evidence == {module.PATH: os.uname().release}
    assert finding.outcome in (module.RECENT, module.TOO_OLD)


@given(st.text())
def test_no_text_makes_it_fail(text: str) -> None:
    found = release.version(text)
    assert found is None or text.startswith(f"{text.partition('.')[0]}.")


@pytest.mark.parametrize("junk", ["", "junk", "5", "5.10-rc1", ">=5.10", "5.10\\n", "-1.0"])
def test_a_minimum_that_is_no_version_is_refused(junk: str) -> None:
    with pytest.raises(ConfigError, match=r"^c: checks\.Kernel\.minimum_release: "):
        parse(f'[checks.Kernel]\nminimum_release = "{junk}"'.encode(), [kernel], "c")
