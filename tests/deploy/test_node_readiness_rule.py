"""The example for kubernetes-sigs/node-readiness-controller, held to what we publish and to its own schema.

The schema is taken from that project's Go module, or from the file that the environment variable
`NODE_READINESS_CRD` names; nothing of it is in this repository.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from controlplane import DEPLOY, ControlPlane

from cluster.resources import PASSED_CONDITION
from controller.objects import Meta, Node, Taint
from controller.participation import fits

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "node-readiness-rule.yaml"
MODULE = "sigs.k8s.io/node-readiness-controller@v0.5.0"
FILE = "config/crd/bases/readiness.node.x-k8s.io_nodereadinessrules.yaml"
RULE = yaml.safe_load(EXAMPLE.read_text())
SECONDS = 60.0


def schema() -> Path:
    """The published CRD; skips where it cannot be had."""
    if given := os.environ.get("NODE_READINESS_CRD"):
        return Path(given)
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"no Go to get {MODULE} with, and NODE_READINESS_CRD names no file")
    try:
        done = subprocess.run(
            [go, "mod", "download", "-json", MODULE],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{MODULE} did not come within {SECONDS:.0f} s, and NODE_READINESS_CRD names no file")
    told = json.loads(done.stdout or "{}")
    if done.returncode != 0:
        why = " ".join(str(told.get("Error", done.stderr)).split())
        pytest.skip(f"no schema: {why[:200]}; NODE_READINESS_CRD may name a file")
    return Path(told["Dir"]) / FILE


@pytest.fixture
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with the kind NodeReadinessRule, which is taken away again."""
    file = schema()
    control_plane.apply_kinds(file)
    yield control_plane
    control_plane.remove_kinds(file)


def test_the_example_is_accepted_by_the_published_schema_as_it_is(plane: ControlPlane) -> None:
    made = plane.kubectl("create", "--validate=strict", "--dry-run=server", "-o", "json", "-f", EXAMPLE)
    assert json.loads(made)["spec"] == RULE["spec"]


def test_it_asks_for_the_condition_that_we_publish() -> None:
    assert RULE["spec"]["conditions"] == [{"type": PASSED_CONDITION, "requiredStatus": "True"}]


def test_the_agents_tolerate_its_taint_so_that_the_node_can_be_checked() -> None:
    template = yaml.safe_load((DEPLOY / "daemonset.yaml").read_text())["spec"]["template"]
    given = RULE["spec"]["taint"]
    taint = Taint(given["key"], given["value"], given["effect"])
    assert fits(template, Node(Meta("new"), {"kubernetes.io/os": "linux"}, (taint,)))
