"""Names of what we read and write on the API server, and the URL paths that they have."""

from dataclasses import dataclass
from urllib.parse import quote

FIELD_MANAGER = "vm-preflight"
NAMESPACE = "vm-system"
VM_RUNTIME_NAME = "vmruntime"
AGENT_NAME = "vm-preflight-agent"
CONTROLLER_NAME = "vmruntime-controller-manager"
LEASE_NAME = "vmruntime-controller-manager"

SKIP_LABEL = "kubevm.io/VM-SkipSchedule"
MODE_LABEL = "kubevm.io/vm-mode"
PASSED_CONDITION = "kubevm.io/VMPreflightPassed"
TRIGGER_ANNOTATION = "kubevm.io/trigger"
DISABLING_ANNOTATION = "kubevm.io/disabling"
FORCE_DISABLE_ANNOTATION = "baremetal.cluster.gke.io/vmrumtime-force-disable"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as its URL names it.

    Attributes:
        group: API group, empty for the core group.
        version: API version.
        plural: The resource's plural name.
        kind: The kind.
        namespaced: Whether objects live in a namespace.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = False

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of an object of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, name: str = "", *, namespace: str = "", subresource: str = "") -> str:
        """Returns the URL path of a collection, an object or a subresource; every name is escaped.

        An empty namespace of a namespaced kind means all of them.
        """
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)


NODES = Resource("", "v1", "nodes", "Node")
PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
EVENTS = Resource("", "v1", "events", "Event", namespaced=True)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", namespaced=True)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", namespaced=True)
NODE_PREFLIGHTS = Resource("kubevm.io", "v1alpha1", "nodepreflights", "NodePreflight")
VM_RUNTIMES = Resource("vm.cluster.gke.io", "v1", "vmruntimes", "VMRuntime")
CHECKS = Resource(
    "vm.cluster.gke.io", "v1", "vmruntimepreflightchecks", "VMRuntimePreflightCheck", namespaced=True
)
VIRTUAL_MACHINES = (
    Resource("kubevirt.io", "v1", "virtualmachines", "VirtualMachine", namespaced=True),
    Resource("kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance", namespaced=True),
    Resource("vm.cluster.gke.io", "v1", "virtualmachines", "VirtualMachine", namespaced=True),
)
"""The kinds of virtual machine that the switch and the gate know; each may be installed or not."""
