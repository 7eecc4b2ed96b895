"""The extensions of KVM that a VM under QEMU needs, by architecture.

Numbers: ``KVM_CAP_…`` of ``include/uapi/linux/kvm.h``. What is needed: QEMU refuses to start without it
(``kvm_required_capabilites`` in accel/kvm/kvm-all.c, ``kvm_arch_required_capabilities`` and
``kvm_arch_init`` in target/…/kvm/kvm.c, as of QEMU 9). What is expected: QEMU falls back to doing without.
"""

NR_VCPUS = 9
MAX_VCPUS = 66

_NEEDED = {
    "USER_MEMORY": 3,
    "DESTROY_MEMORY_REGION_WORKS": 21,
    "JOIN_MEMORY_REGIONS_WORKS": 30,
    "IOEVENTFD": 36,
    "INTERNAL_ERROR_DATA": 40,
    "IOEVENTFD_ANY_LENGTH": 122,
}
_DEVICE_CTRL = {"DEVICE_CTRL": 89}
_NEEDED_X86 = _NEEDED | {
    "SET_TSS_ADDR": 4,
    "EXT_CPUID": 7,
    "MP_STATE": 14,
    "IRQ_ROUTING": 25,
    "MCE": 31,
    "SET_IDENTITY_MAP_ADDR": 37,
    "ADJUST_CLOCK": 39,
    "VCPU_EVENTS": 41,
    "DEBUGREGS": 50,
    "X86_ROBUST_SINGLESTEP": 51,
    "XSAVE": 55,
    "SIGNAL_MSI": 77,
}

NEEDED = {
    "x86_64": _NEEDED_X86,
    "i686": _NEEDED_X86,
    "aarch64": _NEEDED | _DEVICE_CTRL,
    "s390x": _NEEDED | _DEVICE_CTRL | {"S390_COW": 79},
    "ppc64le": _NEEDED,
    "ppc64": _NEEDED,
    "riscv64": _NEEDED,
    "loongarch64": _NEEDED,
}
"""By ``uname -m``: name to number."""

EXPECTED = {"x86_64": {"IRQCHIP": 0, "IRQFD": 32}, "i686": {"IRQCHIP": 0, "IRQFD": 32}}
"""Interrupts without a detour through QEMU; vhost-net has them by IRQFD."""
