"""The tests' control plane itself: it is real, it can fail as a real one, and it leaves nothing running."""

import subprocess
import sys
from pathlib import Path

import controlplane
import pytest
from controlplane import ControlPlane, ControlPlaneError
from offspring import ended
from waiting import until

SUPPORT = Path(controlplane.__file__).parent
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


def test_it_is_what_it_says(control_plane: ControlPlane) -> None:
    assert control_plane.request("GET", "/readyz") == (200, {"message": "ok"})
    assert control_plane.get_json("namespace", "default")["kind"] == "Namespace"
    with pytest.raises(
        ControlPlaneError, match=r"kubectl get pod none.*: Error.*NotFound.*\"none\" not found"
    ):
        control_plane.kubectl("get", "pod", "none")


def test_a_token_bound_to_a_pod_names_the_pods_node(control_plane: ControlPlane) -> None:
    plane = control_plane
    plane.request("POST", "/api/v1/nodes", {"metadata": {"name": "tokens"}})
    pods = "/api/v1/namespaces/default/pods"
    spec = {"nodeName": "tokens", "containers": [{"name": "c", "image": "none"}]}
    try:
        assert plane.request("POST", pods, {"metadata": {"name": "bound"}, "spec": spec})[0] == 201
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        _, who = plane.request("POST", path, REVIEW, token=plane.token("default", "default", pod="bound"))
        info = who["status"]["userInfo"]
        assert info["username"] == "system:serviceaccount:default:default"
        assert info["extra"]["authentication.kubernetes.io/node-name"] == ["tokens"]
        _, who = plane.request("POST", path, REVIEW, token=plane.token("default", "default"))
        assert "authentication.kubernetes.io/node-name" not in who["status"]["userInfo"]["extra"]
        with pytest.raises(ControlPlaneError, match=r'pods "none" not found'):
            plane.token("default", "default", pod="none")
    finally:
        plane.request("DELETE", f"{pods}/bound?gracePeriodSeconds=0")
        plane.request("DELETE", "/api/v1/nodes/tokens")


def test_the_api_server_can_be_away_and_comes_back_as_it_was() -> None:
    with ControlPlane() as plane:
        plane.kubectl("create", "serviceaccount", "kept")
        token = plane.token("kept", "default")
        plane.kubectl("create", "configmap", "kept")
        plane.stop_apiserver()
        with pytest.raises(OSError):
            plane.request("GET", "/readyz")
        plane.start_apiserver()
        assert plane.kubectl("get", "configmap", "kept", "-o", "name") == "configmap/kept\n"
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        assert plane.request("POST", path, REVIEW, token=token)[0] == 201
        directory = plane.directory
    assert not directory.exists()


def test_a_part_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "etcd").write_text("not a directory")

    with pytest.raises(ControlPlaneError, match=r"(?s)etcd ended with 1:.*not a directory"):
        ControlPlane(directory=tmp_path).start()


def test_nothing_is_left_when_the_tests_are_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import controlplane\n"
        "plane = controlplane.ControlPlane(directory=Path(sys.argv[2])); plane.start()\n"
        "print(*(one.pid for one in plane._processes.values()), flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, SUPPORT, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        pids = [int(word) for word in session.stdout.readline().split()]
        session.kill()

    assert len(pids) == 2
    until(lambda: all(ended(pid) for pid in pids), "the end of etcd and kube-apiserver")
