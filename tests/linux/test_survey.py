"""What is read of a host, and how it reaches the explanation: on hosts in memory and in a directory."""

import errno
import gzip
import os
import stat
from pathlib import Path

import machines
import pytest
from machines import MODULES, RELEASE, unregistered, x86
from memoryhost import MemoryHost, Node

from linux import msr, raw_cpuid
from linux.diagnosis import survey
from linux.diagnosis.cause import Cause, Explanation
from linux.diagnosis.facts import LOG
from linux.diagnosis.node import unregistered as explain
from linux.diagnosis.survey import REGISTERS
from linux.view import INITIAL_PID_NAMESPACE
from preflight.host import Host

KVM_FILES = ("kernel/arch/x86/kvm/kvm.ko.xz", "kernel/arch/x86/kvm/kvm-intel.ko.xz")
DEP = f"{KVM_FILES[0]}:\n{KVM_FILES[1]}: {KVM_FILES[0]}\n"


def host() -> MemoryHost:
    """Returns an Intel server without KVM."""
    return unregistered(x86("vmx"))


def put(machine: MemoryHost, files: dict[str, str | bytes | Node]) -> MemoryHost:
    for path, content in files.items():
        machine.put(path, content)
    return machine


def why(machine: MemoryHost) -> Explanation:
    found = explain(machine)
    assert "\n" not in found.because
    return found


def with_files(*present: str) -> MemoryHost:
    machine = put(host(), {f"{MODULES}/modules.dep": DEP, f"{MODULES}/kernel/fs/ext4/ext4.ko.xz": ""})
    return put(machine, {f"{MODULES}/{file}": b"" for file in present})


@pytest.mark.parametrize(
    ("present", "cause", "words"),
    [
        (KVM_FILES, Cause.MODULE_NOT_LOADED, "on disk but not loaded"),
        (KVM_FILES[:1], Cause.MODULE_MISSING, "kvm-intel.ko.xz for kvm_intel, but it is not there"),
        (KVM_FILES[1:], Cause.MODULE_MISSING, "kvm.ko.xz for kvm_intel, but it is not there"),
        ((), Cause.MODULE_MISSING, "kvm-intel.ko.xz for kvm_intel, but it is not there"),
    ],
)
def test_looks_whether_a_listed_file_is_there(present: tuple[str, ...], cause: Cause, words: str) -> None:
    found = why(with_files(*present))
    assert found.cause is cause
    assert words in found.because


def test_a_tree_without_any_module_tells_nothing_of_files() -> None:
    assert why(put(host(), {f"{MODULES}/modules.dep": DEP})).cause is Cause.MODULE_NOT_LOADED


def test_a_file_that_depmod_has_not_seen() -> None:
    machine = with_files(*KVM_FILES)
    machine.put(f"{MODULES}/modules.dep", "kernel/fs/ext4/ext4.ko.xz:\n")
    found = why(machine)
    assert found.cause is Cause.MODULE_NOT_LOADED
    assert found.hint == "depmod -a && modprobe kvm_intel"


def test_a_module_in_updates_counts() -> None:
    machine = put(
        host(),
        {
            f"{MODULES}/modules.dep": "updates/dkms/kvm-intel.ko.zst: updates/dkms/kvm.ko.zst\n",
            f"{MODULES}/updates/dkms/kvm-intel.ko.zst": b"",
            f"{MODULES}/updates/dkms/kvm.ko.zst": b"",
        },
    )
    assert why(machine).cause is Cause.MODULE_NOT_LOADED


@pytest.mark.parametrize("top", ["/usr", "/run/booted-system/kernel-modules", "/run/booted-system/kernel"])
def test_modules_elsewhere(top: str) -> None:
    machine = host()
    for name in ("modules.builtin", "modules.dep"):
        machine.put(f"{top}{MODULES}/{name}", "")
        del machine.nodes[f"{MODULES}/{name}"]
    found = why(machine)
    assert found.cause is Cause.MODULE_MISSING
    assert "neither in modules.builtin nor in modules.dep" in found.because


def test_built_in_without_a_list_of_it() -> None:
    machine = put(host(), {f"{MODULES}/modules.builtin.modinfo": b"kvm_intel.license=GPL\0kvm.license=GPL\0"})
    del machine.nodes[f"{MODULES}/modules.builtin"]
    assert "kvm_intel is built in" in why(machine).because


CONFIG = "CONFIG_X86=y\nCONFIG_MODULES=y\nCONFIG_KVM=m\n"


@pytest.mark.parametrize("path", [f"/boot/config-{RELEASE}", f"{MODULES}/config", f"/usr{MODULES}/config"])
def test_what_the_kernel_was_built_with(path: str) -> None:
    machine = put(host(), {path: CONFIG})
    del machine.nodes[f"{MODULES}/modules.dep"]
    found = why(machine)
    assert found.cause is Cause.MODULE_MISSING
    assert path in found.because
    assert found.evidence == {path: "CONFIG_KVM_INTEL is not set"}


def test_what_the_kernel_itself_says_comes_before_a_file() -> None:
    compressed = gzip.compress((CONFIG + "CONFIG_KVM_INTEL=y\n").encode())
    machine = put(host(), {"/proc/config.gz": compressed, f"/boot/config-{RELEASE}": CONFIG})
    assert "kvm_intel is built in" in why(machine).because


SIGNED = b"\x7fELF" + bytes(64) + b"~Module signature appended~\n"
UNSIGNED = b"\x7fELF" + bytes(64)
PLAIN_DEP = "kernel/arch/x86/kvm/kvm-intel.ko: kernel/arch/x86/kvm/kvm.ko\nkernel/arch/x86/kvm/kvm.ko:\n"


@pytest.mark.parametrize(
    ("enforced", "words"),
    [
        ({"/sys/module/module/parameters/sig_enforce": "Y\n"}, "sig_enforce is Y"),
        ({"/proc/cmdline": "quiet module.sig_enforce"}, "the kernel command line has module.sig_enforce"),
        ({"/proc/cmdline": "quiet module.sig_enforce=1"}, "the kernel command line has module.sig_enforce"),
        ({"/sys/kernel/security/lockdown": "none [integrity] confidentiality\n"}, "lockdown is integrity"),
        ({"/sys/kernel/security/lockdown": "none integrity [confidentiality]\n"}, "lockdown is confidential"),
        ({"/sys/kernel/security/lockdown": "[none] integrity confidentiality\n"}, ""),
        ({"/sys/module/module/parameters/sig_enforce": "N\n"}, ""),
        ({"/proc/cmdline": "module.sig_enforce=0"}, ""),
        ({"/proc/cmdline": "lockdown=integrity"}, "the kernel command line has lockdown=integrity"),
        (
            {"/proc/cmdline": "lockdown=integrity", "/sys/kernel/security/lockdown": "[none] integrity\n"},
            "",
        ),
    ],
)
@pytest.mark.parametrize("contents", [SIGNED, UNSIGNED])
def test_a_module_without_a_signature(contents: bytes, enforced: dict[str, str], words: str) -> None:
    machine = put(
        host(),
        {
            f"{MODULES}/modules.dep": PLAIN_DEP,
            f"{MODULES}/kernel/arch/x86/kvm/kvm-intel.ko": contents,
            f"{MODULES}/kernel/arch/x86/kvm/kvm.ko": SIGNED,
            **enforced,
        },
    )
    found = why(machine)
    assert found.cause is Cause.MODULE_NOT_LOADED
    if words and contents == UNSIGNED:
        assert f"carries no signature, and the kernel takes signed modules only: {words}" in (
            found.because.replace("/sys/module/module/parameters/", "").replace("/sys/kernel/security/", "")
        )
    else:
        assert "signature" not in found.because


class WithRegisters(MemoryHost):
    """A machine whose registers of the boot CPU can be read; others answer EIO, as msr(4) says."""

    def __init__(self, cpuinfo: str, registers: dict[int, int]) -> None:
        plain = unregistered(cpuinfo)
        super().__init__()
        self.nodes, self.own, self.registers = plain.nodes, plain.own, registers
        self.asked: list[int] = []
        self.put(REGISTERS, Node(mode=stat.S_IFCHR | 0o600, number=os.makedev(202, 0)))
        self.put("/sys/class/msr/msr0/dev", "202:0\n")

    def read_at(self, path: str, offset: int, length: int) -> bytes:
        if path != REGISTERS:
            return super().read_at(path, offset, length)
        self.asked.append(offset)
        if offset not in self.registers:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return self.registers[offset].to_bytes(8, "little")


@pytest.mark.parametrize(
    ("cpuinfo", "registers", "cause"),
    [
        (x86("svm", vendor="AuthenticAMD"), {msr.VM_CR: 0x18}, Cause.DISABLED_BY_FIRMWARE),
        (x86(vendor="AuthenticAMD"), {msr.VM_CR: 0x10}, Cause.DISABLED_BY_FIRMWARE),
        (x86("svm", vendor="HygonGenuine"), {msr.VM_CR: 0x10}, Cause.DISABLED_BY_FIRMWARE),
        (x86("svm", vendor="AuthenticAMD"), {msr.VM_CR: 0x8}, Cause.MODULE_NOT_LOADED),
        (x86("vmx"), {msr.FEATURE_CONTROL: 0x1}, Cause.DISABLED_BY_FIRMWARE),
        (x86(), {msr.FEATURE_CONTROL: 0x1}, Cause.DISABLED_BY_FIRMWARE),
        (x86("vmx"), {msr.FEATURE_CONTROL: 0x5}, Cause.MODULE_NOT_LOADED),
        (x86(), {msr.FEATURE_CONTROL: 0x5}, Cause.NO_VIRTUALIZATION),
        (x86(), {}, Cause.NO_VIRTUALIZATION),
        (x86("hypervisor"), {msr.FEATURE_CONTROL: 0x1}, Cause.NESTED_NOT_EXPOSED),
        (x86("hypervisor", vendor="AuthenticAMD"), {msr.SEV_STATUS: 0x7}, Cause.CONFIDENTIAL_GUEST),
        (x86("hypervisor", vendor="AuthenticAMD"), {msr.SEV_STATUS: 0}, Cause.NESTED_NOT_EXPOSED),
    ],
)
def test_registers_tell(cpuinfo: str, registers: dict[int, int], cause: Cause) -> None:
    assert why(WithRegisters(cpuinfo, registers)).cause is cause


def test_registers_are_not_looked_for_without_their_module() -> None:
    """Opening a node without a driver would have the kernel try to load one."""
    machine = WithRegisters(x86(), {msr.FEATURE_CONTROL: 0x1})
    del machine.nodes["/sys/class/msr/msr0/dev"]
    assert why(machine).cause is Cause.NO_VIRTUALIZATION
    assert machine.asked == []


def test_registers_below_a_captured_tree_are_not_those_of_our_own_machine() -> None:
    machine = WithRegisters(x86(), {msr.FEATURE_CONTROL: 0x1})
    machine.own_machine = False
    assert why(machine).cause is Cause.NO_VIRTUALIZATION
    assert machine.asked == []


@pytest.mark.parametrize(
    ("cpuinfo", "files", "words"),
    [
        (x86("hypervisor"), {"/proc/misc": "125 sev-guest\n"}, "sev-guest"),
        (x86("hypervisor"), {"/proc/misc": "125 tdx_guest\n"}, "tdx_guest"),
        (x86("hypervisor"), {"/sys/class/misc/tdx_guest/dev": "10:125\n"}, "tdx_guest"),
        (x86("hypervisor", "tdx_guest"), {}, "tdx_guest"),
        (machines.S390.format(sie=""), {"/sys/firmware/uv/prot_virt_guest": "1\n"}, "Secure Execution"),
        (machines.ARM, {"/sys/devices/platform/arm-cca-dev/uevent": ""}, "realm"),
    ],
)
def test_signs_of_a_confidential_guest(
    cpuinfo: str, files: dict[str, str | bytes | Node], words: str
) -> None:
    found = why(put(unregistered(cpuinfo), files))
    assert found.cause is Cause.CONFIDENTIAL_GUEST
    assert words in found.because
    assert found.evidence


@pytest.mark.parametrize(
    ("cpuinfo", "files"),
    [
        (x86("svm", vendor="AuthenticAMD"), {"/proc/misc": "124 sev\n"}),
        (machines.S390.format(sie=" sie"), {"/sys/firmware/uv/prot_virt_guest": "0\n"}),
        (machines.S390.format(sie=" sie"), {"/sys/firmware/uv/prot_virt_host": "1\n"}),
    ],
)
def test_a_host_of_confidential_guests_is_none(cpuinfo: str, files: dict[str, str | bytes | Node]) -> None:
    assert why(put(unregistered(cpuinfo), files)).cause is not Cause.CONFIDENTIAL_GUEST


def asked(machine: MemoryHost, output: bytes) -> MemoryHost:
    machine.programs[raw_cpuid.COMMAND[0]] = (0, output)
    return machine


def test_the_cpu_names_a_hypervisor_that_nothing_else_names() -> None:
    machine = asked(unregistered(x86("hypervisor")), b"hypervisor\nbhyve bhyve \n")
    found = why(machine)
    assert found.cause is Cause.NESTED_NOT_EXPOSED
    assert "bhyve" in found.because
    assert found.evidence["hypervisor"] == "bhyve"


def test_the_cpu_is_not_asked_where_the_log_tells() -> None:
    machine = asked(unregistered(x86()), b"vmx\n")
    machine.log = ["x86/cpu: VMX (outside TXT) disabled by BIOS"]
    found = why(machine)
    assert found.cause is Cause.DISABLED_BY_FIRMWARE
    assert found.evidence == {LOG: "x86/cpu: VMX (outside TXT) disabled by BIOS"}
    assert machine.started == []


def test_the_cpu_is_not_asked_where_the_log_still_has_its_start() -> None:
    machine = asked(unregistered(x86("hypervisor"), vendor="QEMU\n"), b"hypervisor vmx\n")
    machine.log = ["Hypervisor detected: KVM"]
    assert why(machine).cause is Cause.NESTED_NOT_EXPOSED
    assert machine.started == []
    machine.log = []
    assert why(machine).cause is Cause.DISABLED_BY_FIRMWARE


def test_a_cpu_that_cannot_be_asked_accuses_nobody() -> None:
    found = why(asked(unregistered(x86()), b""))
    assert found.cause is Cause.NO_VIRTUALIZATION
    assert "the CPU itself could not be asked" in found.because


def test_the_module_that_another_hypervisor_kept_from_starting() -> None:
    machine = put(unregistered(x86("vmx")), {"/sys/module/vboxdrv/initstate": "live\n"})
    machine.log = ["kvm: enabling virtualization on CPU0 failed"]
    found = why(machine)
    assert found.cause is Cause.HYPERVISOR_BUSY
    assert "vboxdrv" in found.because
    assert found.evidence == {LOG: "kvm: enabling virtualization on CPU0 failed"}


def test_a_containers_own_files_say_nothing_of_the_host() -> None:
    machine = put(
        unregistered(x86("vmx"), conf="blacklist kvm_intel\n", dep=""),
        {"/proc/self/ns/pid": Node(target="pid:[4026532000]")},
    )
    found = why(machine)
    assert found.cause is Cause.MODULE_NOT_LOADED
    assert "in a container" in found.because
    assert survey.take(machine).rules == ()


@pytest.mark.parametrize("files", [{"/proc/1/root/": Node(mode=stat.S_IFDIR)}, {}])
def test_who_has_the_root_of_init_has_the_hosts_files(files: dict[str, str | bytes | Node]) -> None:
    machine = put(host(), {"/proc/self/ns/pid": Node(target=INITIAL_PID_NAMESPACE), **files})
    assert not survey.take(machine).modules.foreign


def test_a_root_other_than_that_of_init_says_nothing_of_the_host() -> None:
    """A container in the host's namespace of processes, or a chroot."""

    class Chroot(MemoryHost):
        def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
            found = super().stat(path, follow=follow)
            return os.stat_result((found.st_mode, 2 if path == "/proc/1/root/" else 1, *found[2:]))

    machine = Chroot(unregistered(x86("vmx"), conf="blacklist kvm_intel\n", dep="").nodes)
    machine.put("/proc/self/ns/pid", Node(target=INITIAL_PID_NAMESPACE))
    machine.put("/proc/1/root/", Node(mode=stat.S_IFDIR))
    found = why(machine)
    assert (found.cause, found.evidence["/"]) == (Cause.MODULE_NOT_LOADED, "not the host's")


@pytest.mark.parametrize(
    ("version", "dep", "cause"),
    [
        ("", "kernel/fs/ext4/ext4.ko:\n", Cause.MODULE_MISSING),
        ("", DEP, Cause.MODULE_NOT_LOADED),
        (f"Linux version {RELEASE} (gcc) #1 SMP\n", "kernel/fs/ext4/ext4.ko:\n", Cause.MODULE_MISSING),
        ("Linux version 6.1.0 (gcc) #1 SMP\n", DEP, Cause.MODULE_MISSING),
    ],
)
def test_a_captured_tree_without_a_release(version: str, dep: str, cause: Cause) -> None:
    machine = put(host(), {"/proc/version": version, f"{MODULES}/modules.dep": dep})
    machine.own_machine = False
    machine.nodes.pop("/proc/sys/kernel/osrelease", None)
    del machine.nodes[f"{MODULES}/modules.builtin"]
    assert why(machine).cause is cause


def test_a_tree_without_lib_tells_nothing_of_modules() -> None:
    machine = MemoryHost({"/proc/cpuinfo": x86("vmx"), "/proc/sys/kernel/osrelease": RELEASE}, root="/tree")
    assert why(machine).cause is Cause.MODULE_NOT_LOADED
    assert why(put(machine, {"/lib/firmware/README": ""})).cause is Cause.MODULE_MISSING


def test_a_list_of_modules_that_cannot_be_read_lists_not_none() -> None:
    machine = put(host(), {f"{MODULES}/modules.dep": Node(open_errno=errno.EACCES)})
    assert why(machine).cause is Cause.MODULE_NOT_LOADED


def test_configuration_that_hides_another_file(tmp_path: Path) -> None:
    """A link to /dev/null, as systemd's tools mask a file, and precedence between directories."""
    for path, content in {
        "proc/cpuinfo": x86("vmx"),
        "proc/sys/kernel/osrelease": RELEASE,
        f"lib/modules/{RELEASE}/modules.dep": DEP,
        f"lib/modules/{RELEASE}/modules.builtin": "",
        "usr/lib/modprobe.d/kvm.conf": "blacklist kvm_intel\n",
        "run/modprobe.d/other.conf": "install kvm_intel /bin/false\n",
        "etc/modprobe.d/other.conf": "# allowed\n",
        "dev/null": "",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert explain(Host(str(tmp_path))).cause is Cause.MODULE_BLACKLISTED
    (tmp_path / "etc/modprobe.d/kvm.conf").symlink_to("/dev/null")
    assert explain(Host(str(tmp_path))).cause is Cause.MODULE_NOT_LOADED


def test_nothing_can_be_read() -> None:
    class Refusing(MemoryHost):
        def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)

        def read_bytes(self, path: str, *, limit: int = 0) -> bytes:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)

        def listdir(self, path: str) -> list[str]:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)

    machine = Refusing()
    machine.log = errno.EPERM
    found = why(machine)
    assert found.cause is Cause.UNSUPPORTED


@pytest.mark.parametrize("name", ["kvm(", "[", "\\", "*", "?" * 9])
def test_no_name_of_a_module_makes_it_fail(name: str) -> None:
    machine = unregistered(
        x86("vmx"),
        dep=f"kernel/kvm-intel.ko: kernel/{name}.ko\n",
        conf=f"install {name} /bin/false\n",
        cmdline=f"module_blacklist={name}",
    )
    machine.log = [f"Module {name} is blacklisted", "kvm_intel: Unknown symbol x"]
    assert why(machine).cause in (Cause.MODULE_BLACKLISTED, Cause.MODULE_NOT_LOADED)


def test_what_is_no_name_of_an_architecture_is_none() -> None:
    machine = put(unregistered(""), {"/proc/sys/kernel/arch": "../../tmp/x\n"})
    assert "does not tell" in why(machine).because


def test_an_architecture_that_we_do_not_know_is_named() -> None:
    machine = put(unregistered("system type\t: Some board\n"), {"/proc/sys/kernel/arch": "mips64\n"})
    found = why(machine)
    assert found.cause is Cause.UNSUPPORTED
    assert "mips64" in found.because
