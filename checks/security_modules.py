"""Does a Linux security module stand in the way of virtual machines?

Reads the loaded AppArmor profiles: one for libvirt's daemon attaches to that program by its path, also in
KubeVirt's privileged containers, and there denies it QEMU, which lies elsewhere (kubevirt#7463, #8692). Reads
whether SELinux is enforcing, and whether its policy knows containers: KubeVirt then asks for the package
container-selinux (KubeVirt user guide, installation). Lockdown (kernel_lockdown(7)) is told only: it keeps
unsigned modules out, which the result of KVM shows.
"""

from linux import apparmor, selection
from linux.errors import words
from linux.reader import text
from preflight.check import ADVISORY, Run, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, unknown

APPARMOR = "/sys/module/apparmor/parameters/enabled"
PROFILES = "/sys/kernel/security/apparmor/profiles"
FILESYSTEMS = "/proc/filesystems"
ENFORCE = "/sys/fs/selinux/enforce"
BOOLEANS = "/sys/fs/selinux/booleans"
LOCKDOWN = "/sys/kernel/security/lockdown"

DAEMONS = frozenset({"libvirtd", "virtqemud"})
"""libvirt's daemons that start QEMU."""

NOTHING_IN_THE_WAY = passing("NothingInTheWay")
APPARMOR_PROFILE = failing(
    "AppArmorProfile",
    hint="ln -s /etc/apparmor.d/usr.sbin.libvirtd /etc/apparmor.d/disable/; apparmor_parser -R "
    "/etc/apparmor.d/usr.sbin.libvirtd",
)
NO_CONTAINER_POLICY = failing(
    "NoContainerPolicy", hint="dnf install container-selinux; semodule -l | grep container"
)
NOT_VISIBLE = unknown(
    "NotVisible", hint="sudo vm-preflight run --only SecurityModules; in a container, mount the host's /sys"
)


@check(
    "SecurityModules",
    question="Does a Linux security module stand in the way of virtual machines?",
    weight=ADVISORY,
    outcomes=(NOTHING_IN_THE_WAY, APPARMOR_PROFILE, NO_CONTAINER_POLICY, NOT_VISIBLE),
    reads=(APPARMOR, PROFILES, FILESYSTEMS, ENFORCE, BOOLEANS, LOCKDOWN),
    source="kernel: security/apparmor/apparmorfs.c, security/selinux/selinuxfs.c; kernel_lockdown(7)",
)
def security_modules(host: Host, run: Run) -> Finding:
    """Asks AppArmor, then SELinux; what is sure to bite outweighs what could not be seen."""
    evidence: dict[str, str] = {}
    found, told = None, ""
    try:
        found = _profiles(host, evidence)
    except OSError as error:
        told = f"which AppArmor profiles are loaded: reading {error.filename}: {words(error.errno or 0)}"
    if bad := apparmor.confining(found or {}, DAEMONS):
        name, mode = next(iter(bad.items()))
        file = f"/etc/apparmor.d/usr.sbin.{name.rpartition('/')[2]}"
        return APPARMOR_PROFILE(
            f"the AppArmor profile {name} ({mode}) is loaded: it also confines KubeVirt's libvirt, and "
            "denies it QEMU; it does the host's own libvirt no harm",
            hint=f"ln -s {file} /etc/apparmor.d/disable/; apparmor_parser -R {file}",
            evidence={PROFILES: ", ".join(f"{name} ({mode})" for name, mode in bad.items())},
        )
    selinux = _selinux(host, evidence)
    if selinux == "enforcing" and not _knows_containers(host):
        return NO_CONTAINER_POLICY(
            f"SELinux is enforcing, and {BOOLEANS} has none of container-selinux's: it may deny pods devices",
            evidence=evidence,
        )
    if not told and not selinux:
        told = f"whether SELinux is enforcing: neither {FILESYSTEMS} nor {ENFORCE} tells"
    if told:
        return NOT_VISIBLE(told, evidence=evidence)
    lockdown = selection.chosen(text(host, LOCKDOWN))
    if lockdown:
        evidence[LOCKDOWN] = lockdown
    return NOTHING_IN_THE_WAY(
        f"AppArmor: {'off' if found is None else f'{len(found)} profiles, none for libvirt'}; "
        f"SELinux: {selinux}" + (f"; lockdown: {lockdown}" if lockdown else ""),
        evidence=evidence,
    )


def _profiles(host: Host, evidence: dict[str, str]) -> dict[str, str] | None:
    """Returns AppArmor's profiles, None where it is off.

    Raises:
        OSError: Whether it is on cannot be told; or it is, and its profiles cannot be read: that takes root,
            and securityfs.
    """
    try:
        evidence[APPARMOR] = enabled = host.read_text(APPARMOR).strip()
    except FileNotFoundError:
        if not host.exists(PROFILES):
            host.stat("/sys/module")
            return None
        enabled = "Y"
    return apparmor.profiles(host.read_text(PROFILES)) if enabled == "Y" else None


def _selinux(host: Host, evidence: dict[str, str]) -> str:
    """Returns what SELinux does, empty where that cannot be told.

    Its file system is registered with the kernel only where it is on (security/selinux/selinuxfs.c). A list
    that has not even procfs, as the kernel writes it (fs/filesystems.c), is none.
    """
    mode = {"1": "enforcing", "0": "permissive"}.get(text(host, ENFORCE).strip(), "")
    if mode:
        evidence[ENFORCE] = mode
        return mode
    known = text(host, FILESYSTEMS).split("\n")
    return "off" if "nodev\tproc" in known and "nodev\tselinuxfs" not in known else ""


def _knows_containers(host: Host) -> bool:
    try:
        return any(name.startswith("container_") for name in host.listdir(BOOLEANS))
    except OSError:
        return True
