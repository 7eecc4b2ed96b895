"""Reports for the tests of what is shown: a result of every status, or whatever a test wants in one."""

from preflight.report import Mode, Report
from preflight.result import Result, Status

EVERY_STATUS = (
    Result(
        "KVM",
        Status.FAIL,
        False,
        "DeviceMissing",
        "/dev/kvm: No such file or directory",
        "mknod /dev/kvm c 10 232",
    ),
    Result("CPU", Status.PASS, True, "FlagPresent", "vmx on all 2 CPUs"),
    Result("Emulation", Status.SKIP, True, "NotNeeded", "KVM works"),
    Result("Tun", Status.UNKNOWN, False, "AccessDenied", "open /dev/net/tun: EPERM", "run as root"),
    Result(
        "VhostNet", Status.WARN, True, "DeviceMissing", "/dev/vhost-net is not there", "modprobe vhost_net"
    ),
)


def report(
    *results: Result, node: str = "worker-0", passed: bool = False, mode: Mode | None = Mode.NONE
) -> Report:
    """Makes a report of a machine that never was."""
    return Report(
        node=node,
        passed=passed,
        mode=mode,
        results=results,
        start_time="2026-01-01T00:00:00.000000Z",
        completion_time="2026-01-01T00:00:01.000000Z",
        kernel_version="6.1.0",
        architecture="x86_64",
        agent_version="0.0.0",
    )
