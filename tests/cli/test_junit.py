from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st
from reports import EVERY_STATUS, report

from cli.junit import junit
from preflight.result import Result, Status

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))


def test_every_status_is_valid_and_counted():
    text = junit(report(*EVERY_STATUS))
    SCHEMA.validate(text)
    suite = ET.fromstring(text.encode()).find("testsuite")
    assert suite is not None
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    failure = suite.find("testcase[@name='KVM']/failure")
    assert failure is not None
    assert failure.get("type") == "DeviceMissing"
    assert failure.text == "/dev/kvm: No such file or directory\nmknod /dev/kvm c 10 232"
    assert suite.findtext("system-out") == "VhostNet: /dev/vhost-net is not there\nmodprobe vhost_net"


def test_what_an_advisory_check_could_not_tell_is_said():
    vague = Result("Emulation", Status.UNKNOWN, True, "Unverified", "no QEMU is here", "apt install qemu")
    suite = ET.fromstring(junit(report(vague)).encode()).find("testsuite")
    assert suite is not None
    assert (suite.get("errors"), suite.get("failures")) == ("0", "0")
    assert suite.findtext("system-out") == "Emulation: no QEMU is here\napt install qemu"


@pytest.mark.parametrize("change", [("time=", "tim="), ("<properties>", "<p>"), ("hostname=", "host=")])
def test_the_schema_can_refuse(change):
    broken = (
        junit(report(*EVERY_STATUS))
        .replace(*change)
        .replace("</properties>", "</p>" if "<p>" in change else "</properties>")
    )
    assert not SCHEMA.is_valid(broken)


@given(message=st.text(), hint=st.text(), node=st.text())
def test_whatever_a_plugin_says_is_valid(message, hint, node):
    result = Result("Plugin", Status.FAIL, False, "Odd", message, hint)
    SCHEMA.validate(junit(report(result, node=node.strip() or "n")))
