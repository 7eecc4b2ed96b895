"""Addresses and configuration files of a real node (realnode.py)."""

import resource
from pathlib import Path
from typing import Any

API_ADDRESS = "10.231.0.1"
SERVICES = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
"""The API server's Service: an address of the control plane itself, so kube-proxy is not needed."""
PAUSE = "localhost/pause:1"


def address(number: int) -> str:
    """A node's address."""
    return f"10.231.0.{10 + number}"


def pods(number: int) -> str:
    """The network of a node's pods."""
    return f"10.244.{number}.0/24"


def network(number: int) -> dict[str, Any]:
    """CNI's configuration: a bridge on each node, and plain routing between them."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": pods(number)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def containerd(programs: Path, cni: Path) -> str:
    """containerd's configuration, which keeps to what is the node's own.

    Args:
        programs: Directory of programs; CNI's are in `cni` below it.
        cni: Directory of CNI's configuration.
    """
    # opt: else a directory is made in /opt. disable_apparmor: it would load a profile into the kernel.
    # restrict_oom_score_adj: a root without CAP_SYS_RESOURCE may not lower a score, and pause wants -998.
    return f"""version = 4
[plugins.'io.containerd.internal.v1.opt']
  path = '/var/lib/containerd/opt'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{PAUSE}'
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = '{programs / "runc"}'
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['{programs / "cni"}']
  conf_dir = '{cni}'
"""


def kubelet(*, cgroup: str, address: str, authority: Path, serving: tuple[Path, Path]) -> dict[str, Any]:
    """The kubelet's configuration (kubelet.config.k8s.io/v1beta1).

    Args:
        cgroup: The cgroup that all of the node's pods are below.
        address: The node's address.
        authority: Certificate of who signs the kubelet's clients.
        serving: Its own certificate and key.
    """
    certificate, key = serving
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,  # version 1 is refused since 1.35 unless told so (KEP-5573)
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        # what a root without CAP_SYS_RESOURCE may have
        "oomScoreAdj": 0,
        "maxOpenFiles": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        # the disk is this machine's, however full
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
    }
