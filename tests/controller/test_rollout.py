from pathlib import Path

import pytest

from cluster import shapes
from controller.rollout import ManifestError, prepare

MANIFEST = Path(__file__).parents[2] / "deploy" / "daemonset.yaml"


def images(body: dict[str, object]) -> list[str]:
    spec = shapes.mapping(body, "spec", "template", "spec")
    containers = (*shapes.items(spec, "initContainers"), *shapes.items(spec, "containers"))
    return [shapes.text(one, "image") for one in containers]


def test_the_projects_own_manifest():
    body = prepare(MANIFEST.read_text(), image="registry/agent:1", namespace="elsewhere")
    assert images(body) == ["registry/agent:1", "registry/agent:1"]
    assert shapes.text(body, "metadata", "namespace") == "elsewhere"


def test_without_an_image_the_manifests_own_is_kept():
    body = prepare(MANIFEST.read_text(), image="", namespace="vm-system")
    assert all(image.startswith("vm-preflight:") for image in images(body))


TEXT = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: vm-preflight-agent, uid: x, resourceVersion: "1", managedFields: []}
spec:
  template:
    spec:
      initContainers: [{name: mine, image: my/own:1}]
      containers: [{name: a, image: vm-preflight}, {name: b, image: "registry/vm-preflight:2"}, {name: c}]
status: {numberReady: 1}
"""


def test_only_the_placeholder_is_replaced_and_the_servers_fields_go():
    body = prepare(TEXT, image="I", namespace="vm-system")
    assert images(body) == ["my/own:1", "I", "registry/vm-preflight:2", "I"]
    assert body["metadata"] == {"name": "vm-preflight-agent", "namespace": "vm-system"}
    assert "status" not in body


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not a YAML mapping"),
        ("]junk[", "not a YAML document"),
        ("- a\n- b", "not a YAML mapping"),
        ("a: 1\n---\nb: 2", "not a YAML document"),
        ("\x00", "not a YAML document"),
        ("[" * 5000, "not a YAML document"),
        ("kind: Pod", "its kind is Pod"),
        ("apiVersion: apps/v1", "its kind is apps/v1"),
        (TEXT.replace("vm-preflight-agent", "other"), "'other'"),
        (
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: vm-preflight-agent}\nspec: 1",
            "no containers",
        ),
        (TEXT + "x: 2026-01-01\n", "JSON"),
        (TEXT + "x: .nan\n", "JSON"),
        (TEXT + "x: &x [*x]\n", "JSON"),
    ],
)
def test_junk_is_named_in_one_line(text: str, named: str):
    with pytest.raises(ManifestError) as raised:
        prepare(text, image="I", namespace="vm-system")
    assert named in str(raised.value)
    assert "\n" not in str(raised.value)
