"""What `deploy/daemonset.yaml` gives to which container: read as the controller reads it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from controlplane import ControlPlane

MANIFEST = Path(__file__).parents[2] / "deploy" / "daemonset.yaml"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture(scope="module")
def daemon_set() -> dict[str, Any]:
    (only,) = yaml.safe_load_all(MANIFEST.read_text())
    return only


@pytest.fixture(scope="module")
def pod(daemon_set: dict[str, Any]) -> dict[str, Any]:
    return daemon_set["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def containers(pod: dict[str, Any]) -> dict[str, Any]:
    return {container["name"]: container for container in pod["containers"]}


def mounted(pod: dict[str, Any], container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}


def test_the_privileged_container_has_no_token_no_port_and_no_environment(
    pod: dict[str, Any], containers: dict[str, Any]
) -> None:
    probe = containers["probe"]

    assert probe["securityContext"]["privileged"] is True
    assert pod["automountServiceAccountToken"] is False
    assert [path for path, volume in mounted(pod, probe).items() if "projected" in volume] == []
    assert [key for key in ("ports", "env", "envFrom", "lifecycle") if key in probe] == []
    assert [key for key in ("hostNetwork", "hostPID", "hostIPC") if key in pod] == []


def test_the_probe_sees_the_host_read_only(pod: dict[str, Any], containers: dict[str, Any]) -> None:
    probe = containers["probe"]
    host = next(mount for mount in probe["volumeMounts"] if mount["mountPath"] == "/host")

    assert host["readOnly"] is True
    assert mounted(pod, probe)["/host"]["hostPath"] == {"path": "/"}
    assert "--host-root=/host" in probe["args"]


def test_the_agent_has_the_token_and_no_privileges(pod: dict[str, Any], containers: dict[str, Any]) -> None:
    agent = containers["agent"]

    assert agent["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    sources = mounted(pod, agent)[TOKEN]["projected"]["sources"]
    assert [next(iter(source)) for source in sources] == ["serviceAccountToken", "configMap", "downwardAPI"]
    assert [path for path, volume in mounted(pod, agent).items() if "hostPath" in volume] == []


def test_both_meet_at_the_socket_and_its_group_is_the_agents(
    pod: dict[str, Any], containers: dict[str, Any]
) -> None:
    socket = "/run/vm-preflight"

    assert {name: mounted(pod, one)[socket]["name"] for name, one in containers.items()} == {
        "probe": "socket",
        "agent": "socket",
    }
    assert f"--socket={socket}/probe.sock" in containers["probe"]["args"]
    assert f"--probe={socket}/probe.sock" in containers["agent"]["args"]
    assert pod["securityContext"]["fsGroup"] == containers["agent"]["securityContext"]["runAsGroup"]


def test_a_node_that_is_not_ready_takes_part(pod: dict[str, Any]) -> None:
    assert pod["tolerations"] == [
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists"},
        {"key": "readiness.k8s.io/vm-preflight", "operator": "Exists"},
    ]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_images_are_the_controllers_to_fill_in(containers: dict[str, Any]) -> None:
    assert {one["image"] for one in containers.values()} == {"vm-preflight:replaced-by-the-controller"}


def test_everything_is_bounded(containers: dict[str, Any]) -> None:
    assert all("memory" in one["resources"]["limits"] for one in containers.values())
    assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in containers.values())


def test_settings_and_checks_of_ones_own_are_a_matter_of_taking_away_comments(
    installed: ControlPlane,
) -> None:
    manifest = yaml.safe_load(re.sub(r"^( *)#(?=-|  )", r"\1", MANIFEST.read_text(), flags=re.MULTILINE))
    pod = manifest["spec"]["template"]["spec"]
    probe = pod["containers"][0]
    own = {path: volume for path, volume in mounted(pod, probe).items() if "configMap" in volume}
    assert {path: volume["configMap"]["name"] for path, volume in own.items()} == {
        "/etc/vm-preflight/config": "vm-preflight-config",
        "/etc/vm-preflight/plugins": "vm-preflight-plugins",
    }
    assert own["/etc/vm-preflight/plugins"]["configMap"]["defaultMode"] == 0o755
    assert "--plugin-dir=/etc/vm-preflight/plugins" in probe["args"]
    assert "--config=/etc/vm-preflight/config/preflight.toml" in probe["args"]
    page = (MANIFEST.parents[1] / "docs/operations.md").read_text()
    assert "create configmap vm-preflight-config -n vm-system --from-file=preflight.toml" in page
    assert "create configmap vm-preflight-plugins -n vm-system --from-file=docs/examples/plugins" in page
    installed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(manifest))
