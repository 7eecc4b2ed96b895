"""What started a process, by what runtimes leave behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linux import container

DOCKER_CGROUP = "0::/system.slice/docker-0123456789ab.scope\n"
UNIT = "0::/system.slice/vm-preflight.service\n"


@pytest.mark.parametrize(
    ("environment", "cgroups", "files", "named"),
    [
        ("KUBERNETES_SERVICE_HOST=10.0.0.1\0HOME=/", "0::/\n", {}, container.KUBERNETES),
        ("", "12:devices:/kubepods/burstable/pod1/2\n", {}, container.KUBERNETES),
        ("", "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope\n", {}, container.KUBERNETES),
        ("KUBERNETES_SERVICE_HOST=10.0.0.1", "0::/\n", {".dockerenv": ""}, container.KUBERNETES),
        ("", "0::/\n", {".dockerenv": ""}, container.DOCKER),
        ("", "4:devices:/docker/0123\n", {}, container.DOCKER),
        ("", DOCKER_CGROUP, {}, container.DOCKER),
        ("container=podman", "0::/\n", {"run/.containerenv": 'engine="podman"'}, container.PODMAN),
        ("", "0::/machine.slice/libpod-0123.scope/container\n", {}, container.PODMAN),
        ("container=lxc", "0::/\n", {}, container.LXC),
        ("", "0::/\n", {"run/systemd/container": "lxc\n"}, container.LXC),
        ("", "0::/lxc.payload.web/init.scope\n", {}, container.LXC),
        ("", "5:devices:/lxc/web\n", {}, container.LXC),
        ("container=systemd-nspawn", "0::/\n", {}, container.NSPAWN),
        ("", "0::/machine.slice/systemd-nspawn@web.service/payload\n", {}, container.NSPAWN),
        ("container=oci", "0::/\n", {}, container.OTHER),
        ("", "0::/\n", {"run/host/container-manager": "something new"}, container.OTHER),
        ("container=", "0::/\n", {}, None),
        ("HOME=/root", "0::/user.slice/user-0.slice/session-1.scope\n", {}, None),
        ("", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", {}, None),
        ("", "0::/init.scope\n", {}, None),
        ("", "", {}, None),
    ],
)
def test_names_the_runtime(
    environment: str, cgroups: str, files: dict[str, str], named: container.Runtime | None
) -> None:
    assert container.identify(environment, cgroups, files) == named


@pytest.mark.parametrize(
    "cgroups",
    [UNIT, "1:name=systemd:/system.slice/vm-preflight.service\n0::/\n", UNIT.rstrip() + "/payload\n"],
)
def test_names_the_unit_of_a_service(cgroups: str) -> None:
    named = container.identify("", cgroups, {})
    assert named is not None
    assert named.name == "systemd (vm-preflight.service)"
    assert named.device.startswith("systemctl set-property vm-preflight.service 'DeviceAllow=PATH rw'")
    assert named.device.endswith("systemctl restart vm-preflight.service")


@given(st.text(), st.text(), st.dictionaries(st.sampled_from(container.FILES), st.text()))
def test_no_text_makes_it_fail(environment: str, cgroups: str, files: dict[str, str]) -> None:
    named = container.identify(environment, cgroups, files)
    assert named is None or "\n" not in named.device + named.group + named.no_filter
