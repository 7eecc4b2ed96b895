"""Explains a device node that is not there, or that is not KVM's."""

import errno
import os

from linux import lookup, misc, raw_cpuid
from linux.diagnosis import calls, confinement, narrow, own_dev, survey, virtualization
from linux.diagnosis.cause import Cause, Explanation
from linux.kvm.uapi import KVM_MINOR, MISC_MAJOR, PATH
from linux.raw_cpuid import RawCPU
from linux.reader import Reader, link, text


def foreign(reader: Reader, number: int) -> Explanation | None:
    """Explains a character device whose number is not KVM's, None where it is.

    Such a device is better not opened: opening a watchdog's can reboot the machine.
    """
    major, minor = os.major(number), os.minor(number)
    if (major, minor) == (MISC_MAJOR, KVM_MINOR):
        return None
    registered = lookup.registered(reader)
    if major == MISC_MAJOR and minor == registered:
        return None
    right = KVM_MINOR if registered is None else registered
    what = f"{PATH} is the character device {major}:{minor}, KVM is {MISC_MAJOR}:{right}"
    hint = f"rm {PATH} && mknod {PATH} c {MISC_MAJOR} {right}; find out what made it"
    names = {value: name for name, value in misc.parse(text(reader, "/proc/misc")).items()}
    driver = names.get(minor, "") if major == MISC_MAJOR else ""
    if driver or reader.exists(f"/sys/dev/char/{major}:{minor}"):
        whose = f"the device {driver}" if driver else "another driver's"
        return Explanation(Cause.WRONG_DEVICE, f"{what}; that is {whose}, so it was not opened", hint)
    if (names and major == MISC_MAJOR) or reader.exists("/sys/dev/char"):
        return Explanation(Cause.STALE_DEVICE, f"{what}; no driver stands behind {major}:{minor}", hint)
    return Explanation(Cause.WRONG_DEVICE, f"{what}; it was not opened", hint)


def missing(reader: Reader) -> Explanation:
    """Explains that no device stands at the path: KVM is not registered, or only the node is not there."""
    minor = lookup.registered(reader)
    if minor is None:
        elsewhere = "" if _shows_devices(reader) else own_dev.container(reader)
        if elsewhere:
            return Explanation(
                Cause.DEVICE_NOT_IN_CONTAINER,
                f"{_UNSEEN}, and {elsewhere}",
                confinement.device_hint(reader, PATH),
            )
        return unregistered(reader)
    there = f"KVM is registered with the kernel ({MISC_MAJOR}:{minor})"
    make = f"mknod -m 660 {PATH} c {MISC_MAJOR} {minor} && chgrp kvm {PATH}"
    target = link(reader, PATH)
    if target:
        return Explanation(
            Cause.DEVICE_MISSING,
            f"it is a link to {target}, where no device is; {there}",
            f"rm {PATH} && {make}",
        )
    elsewhere = own_dev.container(reader)
    if elsewhere:
        return Explanation(
            Cause.DEVICE_NOT_IN_CONTAINER, f"{there}, but {elsewhere}", confinement.device_hint(reader, PATH)
        )
    return Explanation(
        Cause.DEVICE_MISSING,
        f"{there}, only its device node is missing",
        f"{make}; where udev runs: udevadm trigger --name-match=kvm",
    )


def stale(reader: Reader) -> Explanation:
    """Explains a node without a driver; where CPU, firmware or configuration are the cause, these are.

    Such a node is ordinary: systemd makes one at boot for modules that ask for it, loaded or not (kmod(8),
    static-nodes).
    """
    if lookup.registered(reader) is not None:
        return narrow.refused(reader) or Explanation(
            Cause.STALE_DEVICE,
            "no driver answers, although KVM is registered with the kernel",
            "dmesg | grep -i kvm",
        )
    why = unregistered(reader)
    cause = why.cause
    if cause in (Cause.MODULE_NOT_LOADED, Cause.MODULE_MISSING, Cause.UNSUPPORTED):
        cause = Cause.STALE_DEVICE
    return why._replace(cause=cause, because=f"no driver stands behind the node; {why.because}")


def unregistered(reader: Reader) -> Explanation:
    """Explains why KVM is not registered with the kernel."""
    facts = survey.take(reader)
    why = virtualization.explain(facts)
    if why.ask_cpu and reader.is_own_machine():
        why = virtualization.explain(facts._replace(raw=_raw(reader), asked=True))
    if why.cause is Cause.HYPERVISOR_BUSY:
        found = calls.failed(reader, "KVM_CREATE_VM", errno.EBUSY)
        why = found._replace(
            because=f"{why.because}; {found.because}", evidence={**why.evidence, **found.evidence}
        )
    told = "KVM is not registered with the kernel" if _shows_devices(reader) else _UNSEEN
    return why._replace(because=f"{told}: {why.because}")


_UNSEEN = "neither /proc/misc nor /sys/class/misc shows what is registered with the kernel"


def _shows_devices(reader: Reader) -> bool:
    """Whether what is registered can be seen, and so that KVM is not."""
    return bool(misc.parse(text(reader, "/proc/misc"))) or reader.exists("/sys/class/misc")


def _raw(reader: Reader) -> RawCPU | None:
    try:
        status, output = reader.run_program(raw_cpuid.COMMAND, timeout=raw_cpuid.TIMEOUT)
    except OSError:
        return None
    return raw_cpuid.parse(output) if status == 0 else None
