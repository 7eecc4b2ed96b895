"""What the scenarios of all architectures share."""

from lab.scenario import SEEN_GUEST, Truth

DEVICES = ("modprobe tun", "modprobe vhost_net")
"""What a node has loaded beside KVM."""

USER = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")
"""An ordinary user (`lab.image` writes the machine's users)."""

ABSENT = "open ENOENT"
"""What the oracle sees where there is no device."""

REGISTERED, UNREGISTERED = "grep -qw kvm /proc/misc", "! grep -qw kvm /proc/misc"


def runs(*facts: str, **others: str) -> Truth:
    """A guest runs; other checks' status and reason by name."""
    return Truth("Pass", "GuestRan", SEEN_GUEST, facts=facts, others=others)


def fails(reason: str, oracle: str, *facts: str, mentions: tuple[str, ...] = ()) -> Truth:
    """No guest runs."""
    return Truth("Fail", reason, oracle, facts=facts, mentions=mentions)


def unclear(reason: str, oracle: str, *facts: str, mentions: tuple[str, ...] = ()) -> Truth:
    """Whether a guest runs cannot be told by who asks."""
    return Truth("Unknown", reason, oracle, facts=facts, mentions=mentions)
