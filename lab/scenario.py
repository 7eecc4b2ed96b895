"""What a scenario is: a machine, what is done in it, and what is then true."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from lab.architecture import Kernel

SEEN_GUEST = "guest ran"
"""What the oracle says where a guest's instructions gave what they must."""


SEEN = (SEEN_GUEST, "vCPU created")
"""What it says where KVM works; the second, where it has no guest for the architecture."""


class Truth(NamedTuple):
    """What is true in a machine.

    Attributes:
        status: Status of the check `KVM`.
        reason: Its reason.
        oracle: What the oracle, which shares no code with us, sees: `SEEN_GUEST`, or the call that fails and
            its errno (``open ENOENT``).
        facts: Lines of shell that succeed, as root, where the cause is what the reason says.
        mentions: Words that the check's message and hint hold.
        passed: Whether the node passes; None: as the check `KVM` does.
        others: Name of another check to its status and reason, separated by a space.
    """

    status: str
    reason: str
    oracle: str
    facts: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    passed: bool | None = None
    others: Mapping[str, str] = MappingProxyType({})

    @property
    def node_passes(self) -> bool:
        """Whether the node passes."""
        return self.status == "Pass" if self.passed is None else self.passed


class Scenario(NamedTuple):
    """A machine and what is true in it.

    Attributes:
        name: ``architecture/words``, unique.
        kernel: What it boots.
        truth: What is true.
        machine: QEMU's options beside its architecture's.
        cmdline: The kernel's parameters beside the console's.
        setup: Lines of shell that make the situation, as root; each must succeed.
        user: A command that the checks are run by, such as setpriv with its options; root's own where empty.
        order: Those with a lower number run first, where time is limited.
        tree: Its name below ``tests/hosts``, where it is captured.
    """

    name: str
    kernel: Kernel
    truth: Truth
    machine: tuple[str, ...] = ()
    cmdline: str = ""
    setup: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    order: int = 2
    tree: str = ""
