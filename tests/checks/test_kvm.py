"""Every reason of the check KVM, from the evidence that a kernel gives, on hosts in memory."""

import errno
import os
import stat
import struct

import machines
import pytest
from machines import registered, unregistered, x86
from memoryhost import FakeDevice, FakeKVM, MemoryHost, Node, kvm_node

from checks import kvm as module
from checks.kvm import kvm
from linux.kvm import uapi
from preflight.check import Run
from preflight.result import Finding, Outcome, Status

IO, HLT = uapi.EXIT_IO, uapi.EXIT_HLT
WROTE = struct.pack("=BBHIQ", uapi.EXIT_IO_OUT, 2, 0xF4, 1, uapi.RUN_UNION + 16) + struct.pack("=H", 0x2269)
WROTE_WRONG = WROTE[:-2] + b"\0\0"
MMIO, SYSTEM_EVENT, HYPERCALL = uapi.EXIT_MMIO, uapi.EXIT_SYSTEM_EVENT, uapi.EXIT_PAPR_HCALL
STORED = struct.pack("=QI4xI?", 0x1000_0000, 0x2269, 4, True)
POWERED_OFF = struct.pack("=I", 1)
CALLED = struct.pack("=QQ9Q", 0x58, 0, 0, 2, 0x2269, *(6 * [0]))
CALLED_AGAIN = struct.pack("=QQ9Q", 0x58, 0, 0, 2, 0x2269 + 0x1357, *(6 * [0]))


def find(host: MemoryHost) -> Finding:
    before = FakeDevice.open_ones
    finding = kvm(host, Run())
    assert FakeDevice.open_ones == before, "a descriptor was not closed"
    assert "\n" not in finding.message
    if finding.outcome.status in (Status.FAIL, Status.UNKNOWN):
        assert finding.hint
    return finding


def with_device(**changes: object) -> MemoryHost:
    return registered(FakeKVM(exits=(IO, HLT), union=WROTE), **changes)


def answering(**errors: int) -> MemoryHost:
    return registered(FakeKVM(exits=(IO, HLT), union=WROTE, errors=errors))


def exiting(*exits: int, union: bytes = b"") -> MemoryHost:
    return registered(FakeKVM(exits=exits, union=union))


def on(machine: str, **changes: object) -> MemoryHost:
    host = registered(FakeKVM(machine=machine, **changes))
    host.own_architecture = machine
    return host


POWER_FOLDER = "kernel/arch/powerpc/kvm"


def power() -> MemoryHost:
    """A partition in which the module kvm is loaded."""
    host = on("ppc64le", errors={"create_vm": errno.EINVAL})
    host.put("/proc/sys/kernel/osrelease", f"{machines.RELEASE}\n")
    host.put("/sys/module/kvm/parameters/halt_poll_ns", "10000\n")
    host.put(f"{machines.MODULES}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")
    host.put(f"{machines.MODULES}/modules.dep", f"{POWER_FOLDER}/kvm-hv.ko: {POWER_FOLDER}/kvm.ko\n")
    host.put(f"{machines.MODULES}/{POWER_FOLDER}/kvm-hv.ko", "")
    host.put(f"{machines.MODULES}/{POWER_FOLDER}/kvm.ko", "")
    return put(host, "/proc/cpuinfo", machines.POWER)


def unreadable_log(host: MemoryHost) -> MemoryHost:
    host.log = errno.EPERM
    return host


def without_node(host: MemoryHost, **own: str) -> MemoryHost:
    del host.nodes["/dev/kvm"]
    host.own.update(own)
    return host


def logged(host: MemoryHost, *messages: str) -> MemoryHost:
    host.log = list(messages)
    return host


def put(host: MemoryHost, path: str, node: Node | str) -> MemoryHost:
    host.put(path, node)
    return host


def running(host: MemoryHost, *processes: tuple[int, str]) -> MemoryHost:
    host.running = list(processes)
    return host


def as_user(host: MemoryHost, user: int = 1000) -> MemoryHost:
    host.user, host.groups = user, frozenset({user})
    return host


def nodev(host: MemoryHost) -> MemoryHost:
    host.mount_flags = os.ST_NODEV
    return host


def in_container(host: MemoryHost) -> MemoryHost:
    del host.nodes["/dev/kvm"]
    host.own["mountinfo"] = "24 27 0:6 / /dev rw - tmpfs tmpfs rw\n"
    host.put("/proc/self/ns/pid", Node(target="pid:[4026532000]"))
    return host


def with_its_own_first_process(host: MemoryHost) -> MemoryHost:
    for process in ("self", "1"):
        host.put(f"/proc/{process}/ns/mnt", Node(target="mnt:[4026532001]"))
    host.put("/proc/1/root/dev/null", "")
    return in_container(host)


def beside_its_first_process(host: MemoryHost, *, has_it: bool) -> MemoryHost:
    host.put("/proc/self/ns/pid", Node(target="pid:[4026531836]"))
    host.put("/proc/self/ns/mnt", Node(target="mnt:[4026532001]"))
    host.put("/proc/1/ns/mnt", Node(target="mnt:[4026531832]"))
    host.put("/proc/1/root/dev/null", "")
    if has_it:
        host.put("/proc/1/root/dev/kvm", "")
    return without_node(host, mountinfo="24 27 0:6 / /dev rw - tmpfs tmpfs rw\n")


def raw_cpuid(host: MemoryHost, output: bytes) -> MemoryHost:
    from linux import raw_cpuid

    host.programs[raw_cpuid.COMMAND[0]] = (0, output)
    return host


SEV_LOG = "Memory Encryption Features active: AMD SEV SEV-ES"
VMX_LOG = "x86/cpu: VMX (outside TXT) disabled by BIOS"

SITUATIONS = {
    "guest runs": (lambda: with_device(), module.GUEST_RAN, "0x2269"),
    "guest runs without a flag": (
        lambda: put(with_device(), "/proc/cpuinfo", x86("hypervisor")),
        module.GUEST_RAN,
        "opens",
    ),
    "aarch64": (
        lambda: on("aarch64", exits=(MMIO, SYSTEM_EVENT), unions=(STORED, POWERED_OFF)),
        module.GUEST_RAN,
        "0x2269",
    ),
    "riscv64": (
        lambda: on("riscv64", exits=(MMIO, SYSTEM_EVENT), unions=(STORED, POWERED_OFF)),
        module.GUEST_RAN,
        "0x2269",
    ),
    "ppc64le": (
        lambda: on("ppc64le", exits=(HYPERCALL, HYPERCALL), unions=(CALLED, CALLED_AGAIN)),
        module.GUEST_RAN,
        "0x35c0",
    ),
    "ppc64le, wrong value": (
        lambda: on("ppc64le", exits=(HYPERCALL, HYPERCALL), union=CALLED),
        module.GUEST_FAILED,
        "0x35c0",
    ),
    "an embedded CPU of the POWER family": (
        lambda: on("ppc64", extensions={uapi.CAP_PPC_PAPR: 0}),
        module.VCPU_CREATED,
        "no instruction was run: this KVM has no PAPR",
    ),
    "s390x": (
        lambda: on("s390x"),
        module.VCPU_CREATED,
        "no instruction was run: there is no guest for s390x",
    ),
    "device missing": (lambda: without_node(with_device()), module.DEVICE_MISSING, "10:232"),
    "dangling link": (
        lambda: put(with_device(), "/dev/kvm", Node(target="/dev/gone")),
        module.DEVICE_MISSING,
        "/dev/gone",
    ),
    "loop of links": (
        lambda: put(with_device(), "/dev/kvm", Node(target="kvm")),
        module.DEVICE_MISSING,
        "ELOOP",
    ),
    "container": (lambda: in_container(with_device()), module.DEVICE_NOT_IN_CONTAINER, "container"),
    "container, whose first process is its own": (
        lambda: with_its_own_first_process(with_device()),
        module.DEVICE_NOT_IN_CONTAINER,
        "container",
    ),
    "the first process sees it": (
        lambda: beside_its_first_process(with_device(), has_it=True),
        module.DEVICE_NOT_IN_CONTAINER,
        "10:232",
    ),
    "the first process does not see it": (
        lambda: beside_its_first_process(with_device(), has_it=False),
        module.DEVICE_MISSING,
        "10:232",
    ),
    "plain file": (lambda: put(with_device(), "/dev/kvm", ""), module.NOT_CHARACTER_DEVICE, "plain file"),
    "directory": (
        lambda: put(with_device(), "/dev/kvm", Node(mode=stat.S_IFDIR)),
        module.NOT_CHARACTER_DEVICE,
        "directory",
    ),
    "FIFO": (
        lambda: put(with_device(), "/dev/kvm", Node(mode=stat.S_IFIFO)),
        module.NOT_CHARACTER_DEVICE,
        "FIFO",
    ),
    "socket": (
        lambda: put(with_device(), "/dev/kvm", Node(mode=stat.S_IFSOCK)),
        module.NOT_CHARACTER_DEVICE,
        "socket",
    ),
    "block device": (
        lambda: put(with_device(), "/dev/kvm", Node(mode=stat.S_IFBLK)),
        module.NOT_CHARACTER_DEVICE,
        "block",
    ),
    "another driver's number": (lambda: with_device(number=os.makedev(1, 3)), module.WRONG_DEVICE, "1:3"),
    "another misc device's number": (
        lambda: with_device(number=os.makedev(10, 200)),
        module.WRONG_DEVICE,
        "tun",
    ),
    "not KVM: ENOTTY": (lambda: answering(get_api_version=errno.ENOTTY), module.WRONG_DEVICE, "ENOTTY"),
    "not KVM: EBADFD": (lambda: answering(get_api_version=errno.EBADFD), module.WRONG_DEVICE, "EBADFD"),
    "old API": (lambda: registered(FakeKVM(version=11)), module.WRONG_DEVICE, "11"),
    "unused number": (lambda: with_device(number=os.makedev(10, 250)), module.STALE_DEVICE, "10:250"),
    "ENXIO": (lambda: with_device(open_errno=errno.ENXIO), module.STALE_DEVICE, "ENXIO"),
    "static node, module not loaded": (
        lambda: put(unregistered(x86("vmx")), "/dev/kvm", machines.static_node()),
        module.STALE_DEVICE,
        "kvm_intel is on disk but not loaded",
    ),
    "static node, firmware": (
        lambda: put(logged(unregistered(x86()), VMX_LOG), "/dev/kvm", machines.static_node()),
        module.DISABLED_BY_FIRMWARE,
        "disabled by BIOS",
    ),
    "nodev": (lambda: nodev(with_device(open_errno=errno.EACCES)), module.NODEV_MOUNT, "nodev"),
    "mode": (
        lambda: as_user(with_device(open_errno=errno.EACCES, gid=107)),
        module.PERMISSION_DENIED,
        "root:kvm",
    ),
    "a device that may not be looked at": (
        lambda: as_user(with_device(stat_errno=errno.EACCES)),
        module.PERMISSION_DENIED,
        "every directory on the path can be searched",
    ),
    "a look that is forbidden": (
        lambda: with_device(stat_errno=errno.EPERM),
        module.DEVICE_CGROUP_DENIED,
        "seccomp is off",
    ),
    "EACCES for root": (
        lambda: with_device(open_errno=errno.EACCES),
        module.PERMISSION_DENIED_TO_ROOT,
        "security module",
    ),
    "EPERM on open": (
        lambda: with_device(open_errno=errno.EPERM),
        module.DEVICE_CGROUP_DENIED,
        "device cgroup",
    ),
    "EPERM on an ioctl": (
        lambda: answering(get_api_version=errno.EPERM),
        module.DEVICE_CGROUP_DENIED,
        "KVM_GET_API_VERSION",
    ),
    "EPERM on KVM_CREATE_VM": (
        lambda: answering(create_vm=errno.EPERM),
        module.DEVICE_CGROUP_DENIED,
        "KVM_CREATE_VM",
    ),
    "module not loaded": (lambda: unregistered(x86("vmx")), module.MODULE_NOT_LOADED, "kvm_intel"),
    "module of AMD not loaded": (
        lambda: unregistered(x86("svm", vendor="AuthenticAMD")),
        module.MODULE_NOT_LOADED,
        "kvm_amd",
    ),
    "modules_disabled": (
        lambda: unregistered(x86("vmx"), disabled="1\n"),
        module.MODULE_NOT_LOADED,
        "modules_disabled",
    ),
    "built in, not started": (
        lambda: unregistered(x86("vmx"), builtin="kernel/arch/x86/kvm/kvm-intel.ko\n"),
        module.MODULE_NOT_LOADED,
        "built in",
    ),
    "blacklist": (
        lambda: unregistered(x86("vmx"), conf="blacklist kvm_intel\n"),
        module.MODULE_BLACKLISTED,
        "blacklist.conf",
    ),
    "install false": (
        lambda: unregistered(x86("vmx"), conf="install kvm-intel /bin/false\n"),
        module.MODULE_BLACKLISTED,
        "install kvm-intel /bin/false",
    ),
    "modprobe.blacklist": (
        lambda: unregistered(x86("vmx"), cmdline="quiet modprobe.blacklist=kvm_intel,floppy"),
        module.MODULE_BLACKLISTED,
        "modprobe.blacklist=kvm_intel,floppy",
    ),
    "module_blacklist": (
        lambda: unregistered(x86("vmx"), cmdline="module_blacklist=kvm_intel"),
        module.MODULE_BLACKLISTED,
        "module_blacklist=kvm_intel",
    ),
    "module missing": (lambda: unregistered(x86("vmx"), dep=""), module.MODULE_MISSING, "modules.dep"),
    "clearcpuid": (
        lambda: unregistered(x86(vendor="AuthenticAMD"), cmdline="clearcpuid=svm"),
        module.DISABLED_BY_KERNEL_PARAMETER,
        "clearcpuid=svm",
    ),
    "kvm-arm.mode=none": (
        lambda: unregistered(machines.ARM, cmdline="kvm-arm.mode=none"),
        module.DISABLED_BY_KERNEL_PARAMETER,
        "kvm-arm.mode=none",
    ),
    "initcall_blacklist": (
        lambda: unregistered(x86("vmx"), cmdline="initcall_blacklist=vmx_init"),
        module.DISABLED_BY_KERNEL_PARAMETER,
        "vmx_init",
    ),
    "firmware, by the log": (
        lambda: logged(unregistered(x86()), VMX_LOG),
        module.DISABLED_BY_FIRMWARE,
        "disabled by BIOS",
    ),
    "firmware, by the log of an old kernel that shows the flag": (
        lambda: logged(unregistered(x86("svm")), "kvm: support for 'kvm_amd' disabled by bios"),
        module.DISABLED_BY_FIRMWARE,
        "disabled by bios",
    ),
    "firmware, by raw CPUID": (
        lambda: raw_cpuid(unregistered(x86()), b"vmx\n"),
        module.DISABLED_BY_FIRMWARE,
        "raw CPUID",
    ),
    "nested, by the flag": (
        lambda: unregistered(x86("hypervisor")),
        module.NESTED_NOT_EXPOSED,
        "does not tell its name",
    ),
    "nested, VMware": (
        lambda: unregistered(x86("hypervisor"), vendor="VMware, Inc.", product="VMware7,1"),
        module.NESTED_NOT_EXPOSED,
        "VMware",
    ),
    "nested, aarch64": (
        lambda: logged(unregistered(machines.ARM, vendor="QEMU"), "kvm [1]: HYP mode not available"),
        module.NESTED_NOT_EXPOSED,
        "KVM/QEMU",
    ),
    "POWER, nothing to make VMs with": (
        lambda: power(),
        module.MODULE_NOT_LOADED,
        "the module kvm alone makes no VMs: kvm_hv is on disk but not loaded",
    ),
    "POWER, nothing to make VMs with, and no log": (
        lambda: unreadable_log(power()),
        module.NESTED_NOT_EXPOSED,
        "kernel log could not be read",
    ),
    "POWER, no nesting": (
        lambda: logged(power(), "kvm-hv: Parent hypervisor does not support nesting (rc=-2)"),
        module.NESTED_NOT_EXPOSED,
        "does not support nesting",
    ),
    "POWER, hash MMU": (
        lambda: put(power(), "/proc/cpuinfo", f"{machines.POWER}MMU\t\t: Hash\n"),
        module.NESTED_NOT_EXPOSED,
        "radix",
    ),
    "POWER, module for problem state": (
        lambda: put(
            put(power(), "/proc/cpuinfo", f"{machines.POWER}MMU\t\t: Hash\n"),
            f"{machines.MODULES}/{POWER_FOLDER}/kvm-pr.ko",
            "",
        ),
        module.MODULE_NOT_LOADED,
        "kvm-pr.ko is there, but modules.dep",
    ),
    "POWER, not a partition": (
        lambda: put(
            put(power(), "/proc/cpuinfo", machines.POWER.replace("pSeries", "PowerNV")),
            "/sys/module/kvm_hv/parameters/nested",
            "Y",
        ),
        module.CREATE_VM_FAILED,
        "creates no VM",
    ),
    "POWER, threads of a core": (
        lambda: put(on("ppc64le", errors={"run": errno.EBUSY}), "/proc/cpuinfo", machines.POWER),
        module.GUEST_FAILED,
        "other threads are offline",
    ),
    "aarch64, no vCPU": (
        lambda: on("aarch64", errors={"arm_vcpu_init": errno.EINVAL}),
        module.CREATE_VCPU_FAILED,
        "KVM_ARM_VCPU_INIT",
    ),
    "nested, ppc64le": (
        lambda: put(on("ppc64le", errors={"create_vm": errno.EINVAL}), "/proc/cpuinfo", machines.POWER),
        module.NESTED_NOT_EXPOSED,
        "pSeries",
    ),
    "SEV guest": (lambda: logged(unregistered(x86("hypervisor")), SEV_LOG), module.CONFIDENTIAL_GUEST, "SEV"),
    "TDX guest": (
        lambda: unregistered(x86("hypervisor", "tdx_guest")),
        module.CONFIDENTIAL_GUEST,
        "tdx_guest",
    ),
    "nothing tells": (
        lambda: raw_cpuid(unregistered(x86()), b"\n"),
        module.NO_VIRTUALIZATION,
        "cannot be told apart",
    ),
    "s390x without SIE": (
        lambda: unregistered(machines.S390.format(sie="")),
        module.NO_VIRTUALIZATION,
        "cannot be told apart",
    ),
    "aarch64 at EL1, no VM": (
        lambda: logged(unregistered(machines.ARM), "kvm [1]: HYP mode not available"),
        module.NO_VIRTUALIZATION,
        "cannot be told apart",
    ),
    "busy": (lambda: answering(create_vm=errno.EBUSY), module.HYPERVISOR_BUSY, "another hypervisor"),
    "busy: VirtualBox": (
        lambda: put(answering(create_vm=errno.EBUSY), "/sys/module/vboxdrv/initstate", "live\n"),
        module.HYPERVISOR_BUSY,
        "vboxdrv",
    ),
    "busy: VirtualBox, which runs a VM": (
        lambda: running(
            put(answering(create_vm=errno.EBUSY), "/sys/module/vboxdrv/initstate", "live\n"),
            (1, "systemd"),
            (4711, "VBoxHeadless"),
        ),
        module.HYPERVISOR_BUSY,
        "runs a VM in VBoxHeadless (process 4711)",
    ),
    "busy: a CPU without the flag": (
        lambda: put(
            answering(create_vm=errno.EBUSY),
            "/proc/cpuinfo",
            x86("svm", cpus=1) + "\n" + x86(cpus=2).split("\n\n")[1],
        ),
        module.HYPERVISOR_BUSY,
        "CPU 1 lacks",
    ),
    "KVM_CREATE_VM": (lambda: answering(create_vm=errno.EINVAL), module.CREATE_VM_FAILED, "EINVAL"),
    "open: EIO": (lambda: with_device(open_errno=errno.EIO), module.CREATE_VM_FAILED, "EIO"),
    "KVM_CREATE_VCPU": (
        lambda: answering(create_vcpu=errno.EINVAL),
        module.CREATE_VCPU_FAILED,
        "KVM_CREATE_VCPU",
    ),
    "mmap": (lambda: answering(map=errno.EINVAL), module.CREATE_VCPU_FAILED, "mmap"),
    "a mapping that is too small": (
        lambda: registered(FakeKVM(mmap_size=0)),
        module.CREATE_VCPU_FAILED,
        "KVM_GET_VCPU_MMAP_SIZE",
    ),
    "FAIL_ENTRY": (
        lambda: exiting(uapi.EXIT_FAIL_ENTRY, union=struct.pack("=Q", 0x80000021)),
        module.GUEST_FAILED,
        "reason 0x80000021",
    ),
    "INTERNAL_ERROR": (
        lambda: exiting(uapi.EXIT_INTERNAL_ERROR, union=struct.pack("=I", 1)),
        module.GUEST_FAILED,
        "EMULATION",
    ),
    "SHUTDOWN": (lambda: exiting(uapi.EXIT_SHUTDOWN), module.GUEST_FAILED, "KVM_EXIT_SHUTDOWN"),
    "wrong value": (lambda: exiting(IO, HLT, union=WROTE_WRONG), module.GUEST_FAILED, "0x0000"),
    "wrong port": (
        lambda: exiting(IO, union=struct.pack("=BBHIQ", 1, 1, 0x80, 1, 48)),
        module.GUEST_FAILED,
        "port 0x80",
    ),
    "data outside of the mapping": (
        lambda: exiting(IO, union=struct.pack("=BBHIQ", 1, 2, 0xF4, 1, 1 << 63)),
        module.GUEST_FAILED,
        "port",
    ),
    "not halted": (
        lambda: exiting(IO, uapi.EXIT_SHUTDOWN, union=WROTE),
        module.GUEST_FAILED,
        "KVM_EXIT_HLT is right",
    ),
    "KVM_RUN": (lambda: exiting(-errno.EFAULT), module.GUEST_FAILED, "KVM_RUN: Bad address (EFAULT)"),
    "memory refused": (
        lambda: answering(set_user_memory_region=errno.EINVAL),
        module.GUEST_FAILED,
        "KVM_SET_USER_MEMORY_REGION",
    ),
    "KVM_RUN refused": (lambda: exiting(-errno.EPERM), module.DEVICE_CGROUP_DENIED, "KVM_RUN"),
    "EMFILE": (lambda: with_device(open_errno=errno.EMFILE), module.RESOURCE_EXHAUSTED, "EMFILE"),
    "ENOMEM": (lambda: answering(create_vcpu=errno.ENOMEM), module.RESOURCE_EXHAUSTED, "ENOMEM"),
    "an architecture that we do not know": (
        lambda: unregistered("processor\t: 0\nsystem type\t: FooBar\n"),
        module.UNSUPPORTED,
        "architecture",
    ),
    "an empty machine": (lambda: MemoryHost(), module.UNSUPPORTED, "architecture"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_tells_verdict_and_cause(situation: str) -> None:
    make, outcome, words = SITUATIONS[situation]
    finding = find(make())
    assert finding.outcome is outcome, finding
    assert words in finding.message


def test_every_outcome_but_the_time_out_is_in_the_table() -> None:
    told: set[Outcome] = {outcome for _, outcome, _ in SITUATIONS.values()}
    assert set(module.OUTCOMES) - told == {module.GUEST_TIMED_OUT}


CONTRACT = """
GuestRan VCPUCreated DeviceMissing DeviceNotInContainer NotCharacterDevice WrongDevice StaleDevice NodevMount
PermissionDenied DeviceCgroupDenied ModuleNotLoaded ModuleBlacklisted ModuleMissing DisabledByKernelParameter
DisabledByFirmware NestedNotExposed ConfidentialGuest NoVirtualization HypervisorBusy CreateVMFailed
CreateVCPUFailed GuestFailed GuestTimedOut ResourceExhausted Unsupported
"""


def test_the_reasons_are_the_contract() -> None:
    reasons = {outcome.reason for outcome in module.OUTCOMES}
    assert reasons == set(CONTRACT.split())


def test_an_interrupted_run_is_resumed() -> None:
    assert (
        find(exiting(-errno.EINTR, uapi.EXIT_INTR, IO, -errno.EINTR, HLT, union=WROTE)).outcome
        is module.GUEST_RAN
    )


def test_a_guest_that_goes_on_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GUEST_SECONDS", 0.01)
    finding = find(exiting(*[-errno.EINTR] * 1_000_000))
    assert finding.outcome is module.GUEST_TIMED_OUT
    assert finding.hint


@pytest.mark.parametrize(("bits", "vm_type"), [(36, 36), (40, 0), (48, 0), (0, 0)])
def test_aarch64_asks_for_the_size_of_guest_addresses(bits: int, vm_type: int) -> None:
    device = FakeKVM(
        machine="aarch64", ipa_bits=bits, exits=(MMIO, SYSTEM_EVENT), unions=(STORED, POWERED_OFF)
    )
    host = registered(device)
    host.own_architecture = "aarch64"
    assert find(host).outcome is module.GUEST_RAN
    # FakeDevice.open passes the VM's type as the argument of KVM_CREATE_VM.
    assert ("create_vm", vm_type) in device.calls


@pytest.mark.parametrize("machine", ["aarch64", "s390x", "riscv64", "x86_64", "ppc64le"])
@pytest.mark.parametrize("opens", [False, True])
def test_a_32_bit_process_is_told_from_a_node_without_a_driver(
    machine: str, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen with a Python of armhf on a kernel of arm64: opening gives ENODEV; before, ioctls gave EINVAL."""
    host = on(machine, errors={"get_api_version": errno.EINVAL})
    if not opens:
        host.nodes["/dev/kvm"].open_errno = errno.ENODEV
    host.put("/proc/sys/kernel/arch", f"{machine}\n")
    otherwise = module.WRONG_DEVICE if opens else module.STALE_DEVICE
    assert find(host).outcome is otherwise
    monkeypatch.setattr("sys.maxsize", (1 << 31) - 1)
    finding = find(host)
    if machine in ("x86_64", "ppc64le"):
        assert finding.outcome is otherwise
    else:
        assert finding.outcome is module.UNSUPPORTED
        assert "32-bit program" in finding.message


def test_a_watchdog_is_not_opened() -> None:
    opened: list[str] = []

    def open_watchdog() -> FakeDevice:
        opened.append("watchdog")
        return FakeDevice(lambda request, argument: 0)

    host = registered()
    host.put("/proc/misc", "130 watchdog\n232 kvm\n")
    host.put("/dev/kvm", Node(mode=stat.S_IFCHR | 0o600, number=os.makedev(10, 130), device=open_watchdog))
    finding = find(host)
    assert finding.outcome is module.WRONG_DEVICE
    assert "watchdog" in finding.message
    assert not opened


def test_the_cpu_is_asked_on_its_own_machine_only() -> None:
    host = raw_cpuid(unregistered(x86()), b"vmx\n")
    host.own_machine = False
    assert find(host).outcome is module.NO_VIRTUALIZATION
    assert host.started == []


def test_root_of_a_user_namespace_is_an_ordinary_user() -> None:
    host = with_device(open_errno=errno.EACCES)
    host.own["uid_map"] = "0 1000 1\n"
    finding = find(host)
    assert finding.outcome is module.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("mode", "gid", "hint"),
    [
        (0o660, 107, 'sudo usermod -aG kvm "$USER"'),
        (0o600, 0, "sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm"),
    ],
)
def test_the_hint_fits_mode_and_group(mode: int, gid: int, hint: str) -> None:
    host = as_user(with_device(open_errno=errno.EACCES, gid=gid, mode=stat.S_IFCHR | mode))
    found = find(host).hint
    assert found is not None
    assert hint in found


@pytest.mark.parametrize(
    ("status", "label", "words"),
    [
        ("Seccomp:\t2\n", "", "seccomp (a filter is in force)"),
        ("Seccomp:\t0\n", "docker-default (enforce)\n", "AppArmor (docker-default (enforce))"),
        ("Seccomp:\t0\n", "unconfined\n", "seccomp is off"),
        ("", "", "a security module"),
    ],
)
def test_says_what_keeps_it_away(status: str, label: str, words: str) -> None:
    host = answering(create_vm=errno.EPERM)
    host.own |= {"status": status, "attr/current": label}
    assert words in find(host).message


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("Seccomp:\t2\n", module.DEVICE_CGROUP_DENIED), ("Seccomp:\t0\n", module.CREATE_VM_FAILED)],
)
@pytest.mark.parametrize("call", ["get_api_version", "create_vm"])
def test_a_filter_that_hides_calls_is_not_the_devices_fault(call: str, status: str, outcome: Outcome) -> None:
    host = answering(**{call: errno.ENOSYS})
    host.own["status"] = status
    assert find(host).outcome is outcome


def test_memory_that_is_short_is_not_another_device() -> None:
    assert find(answering(get_api_version=errno.ENOMEM)).outcome is module.RESOURCE_EXHAUSTED


def test_names_the_device_cgroup_that_denies() -> None:
    host = with_device(open_errno=errno.EPERM)
    host.own["cgroup"] = "4:devices:/pods/a\n"
    host.put("/sys/fs/cgroup/devices/pods/a/devices.list", "c 1:3 rwm\nc 10:200 rwm\n")
    assert "/pods/a" in find(host).message


def test_a_mounted_root_without_dev_is_our_mistake() -> None:
    host = MemoryHost({"/proc/misc": "232 kvm\n", "/proc/cpuinfo": x86("vmx")}, root="/host")
    assert find(host).outcome is module.DEVICE_NOT_IN_CONTAINER
    host.own_machine = False  # a captured tree is all of its host
    assert find(host).outcome is module.DEVICE_MISSING


@pytest.mark.parametrize(
    ("kind", "files", "outcome"),
    [
        ("tmpfs", {}, module.DEVICE_NOT_IN_CONTAINER),
        ("tmpfs", {"/proc/misc": "183 hw_random\n"}, module.MODULE_NOT_LOADED),
        ("tmpfs", {"/sys/class/misc/hw_random/dev": "10:183\n"}, module.MODULE_NOT_LOADED),
        ("devtmpfs", {}, module.MODULE_NOT_LOADED),
    ],
)
def test_a_container_that_hides_what_is_registered_accuses_no_module(
    kind: str, files: dict[str, str], outcome: Outcome
) -> None:
    host = MemoryHost({"/proc/cpuinfo": x86("vmx"), **files})
    host.put("/proc/self/ns/pid", Node(target="pid:[4026532000]"))
    host.own["mountinfo"] = f"24 27 0:6 / /dev rw - {kind} x rw\n"
    finding = find(host)
    assert finding.outcome is outcome
    assert ("neither /proc/misc nor /sys/class/misc shows" in finding.message) is (not files)


def test_a_registered_device_has_a_directory_in_sysfs() -> None:
    host = MemoryHost({"/sys/class/misc/kvm/uevent": "DEVNAME=kvm\n", "/proc/cpuinfo": x86("vmx")})
    finding = find(host)
    assert finding.outcome is module.DEVICE_MISSING
    assert "(10:232)" in finding.message


def test_says_that_the_kernel_log_could_not_be_read() -> None:
    host = unregistered(x86())
    host.log = errno.EPERM
    assert "the kernel log could not be read" in find(host).message


def test_a_plain_node_of_kvm_is_opened_without_any_registry() -> None:
    host = MemoryHost({"/dev/kvm": kvm_node(FakeKVM(exits=(IO, HLT), union=WROTE))})
    assert find(host).outcome is module.GUEST_RAN


CONTAINED = {"/proc/self/ns/uts": Node(target="uts:[4026532000]")}
ATTACHED = "0::/system.slice/vm-preflight.service\n"


@pytest.mark.parametrize(
    ("own", "hint"),
    [
        ({"root/.dockerenv": ""}, "docker run --device /dev/kvm …"),
        ({"root/run/.containerenv": ""}, "podman run --device /dev/kvm --group-add keep-groups …"),
        (
            {"environ": "KUBERNETES_SERVICE_HOST=10.0.0.1"},
            "in the container's securityContext, privileged: true",
        ),
        ({"environ": "container=systemd-nspawn"}, "systemd-nspawn --bind=/dev/kvm"),
        ({"cgroup": ATTACHED}, "systemctl set-property vm-preflight.service 'DeviceAllow=/dev/kvm rw'"),
        ({}, "allow this process the device"),
    ],
)
def test_the_hint_fits_what_started_this_process(own: dict[str, str], hint: str) -> None:
    host = with_device(open_errno=errno.EPERM)
    host.accessible = False
    host.nodes |= CONTAINED
    host.own |= own
    finding = find(host)
    assert finding.outcome is module.DEVICE_CGROUP_DENIED
    assert "the device cgroup" in finding.message
    assert (finding.hint or "").startswith(hint)


def test_what_an_image_left_behind_is_no_container() -> None:
    """A machine's image may be made of a container's; its processes are in the first namespaces."""
    host = with_device(open_errno=errno.EPERM)
    host.accessible = False
    host.own["root/.dockerenv"] = ""
    assert "docker run --device /dev/kvm …" not in (find(host).hint or "")


def test_a_group_for_a_container_without_root() -> None:
    host = as_user(with_device(open_errno=errno.EACCES, gid=107))
    host.nodes |= CONTAINED
    host.own["root/.dockerenv"] = ""
    assert find(host).hint == "docker run --device /dev/kvm --group-add 107 …"


@pytest.mark.parametrize(
    ("accessible", "own", "files", "words"),
    [
        (
            True,
            {"attr/apparmor/current": "web (enforce)\n"},
            {},
            "and access(2) agrees: what refuses it is AppArmor (web (enforce))",
        ),
        (
            True,
            {"attr/current": "web (complain)\n"},
            {},
            "what refuses it is a security module that keeps no label",
        ),
        (
            False,
            {"attr/current": "u:r:container_t:s0\0"},
            {},
            "but access(2) refuses it too: what refuses it is the security module (u:r:container_t:s0)",
        ),
        (
            True,
            {"attr/current": "u:r:container_t:s0"},
            {"/sys/fs/selinux/enforce": "0"},
            "a security module that keeps no label",
        ),
        (
            True,
            {},
            {"/sys/kernel/security/lsm": "lockdown,capability,landlock,bpf"},
            "Landlock (no file tells its rules) or a BPF security module",
        ),
        (None, {}, {}, "which lets user 0 in: what refuses it is"),
    ],
)
def test_names_the_security_module(
    accessible: bool | None, own: dict[str, str], files: dict[str, str], words: str
) -> None:
    host = with_device(open_errno=errno.EACCES)
    host.accessible = accessible
    host.own |= own
    for path, text in files.items():
        host.put(path, text)
    finding = find(host)
    assert finding.outcome is module.PERMISSION_DENIED_TO_ROOT
    assert words in finding.message


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(errno.EBUSY, module.HYPERVISOR_BUSY), (errno.EIO, module.CREATE_VM_FAILED)],
)
def test_a_cpu_that_refuses_is_named_by_the_kernels_log(number: int, outcome: Outcome) -> None:
    """Up to Linux 6.11 the kernel answers EBUSY, later EIO."""
    host = logged(answering(create_vm=number), "kvm: enabling virtualization on CPU1 failed")
    finding = find(host)
    assert finding.outcome is outcome
    assert "the kernel log says: kvm: enabling virtualization on CPU1 failed" in finding.message
    host.log = errno.EPERM
    assert "the kernel log could not be read" in find(host).message


def test_memory_that_python_lacks_is_not_the_nodes_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(machine: str) -> None:
        raise MemoryError

    monkeypatch.setattr(module.guests, "find", out_of_memory)
    assert find(with_device()).outcome is module.RESOURCE_EXHAUSTED


def test_an_error_that_is_none_of_the_devices_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_module(machine: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(module.guests, "find", no_module)
    with pytest.raises(OSError, match="Input/output error"):
        kvm(with_device(), Run())
