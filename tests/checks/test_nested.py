"""The check Nested: every kind of machine, on every architecture, with and without a guest that runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import ARM, POWER, RISCV, S390, x86
from memoryhost import MemoryHost

from checks import kvm as kvm_module
from checks import nested as module
from checks.nested import nested
from preflight.check import Run
from preflight.host import Host
from preflight.result import Finding, Outcome, Status

WORKS = kvm_module.GUEST_RAN("a guest ran")
BROKEN = kvm_module.NO_VIRTUALIZATION("none ran")
ARCH = "/proc/sys/kernel/arch"
PRODUCT = "/sys/class/dmi/id/product_name"
CLOCKS = "/sys/devices/system/clocksource/clocksource0/available_clocksource"
DELL = {module.VENDOR: "Dell Inc.\n", PRODUCT: "PowerEdge R650\n"}
QEMU = {module.VENDOR: "QEMU\n", PRODUCT: "Standard PC (Q35 + ICH9, 2009)\n"}
GOOGLE = {module.VENDOR: "Google\n", PRODUCT: "Google Compute Engine\n"}
SEV = "Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP"
Z_VM = "Manufacturer: IBM\nLPAR Name: A\nVM00 Control Program: z/VM    7.3.0\n"


def ask(files: dict[str, str], *, kvm: Finding | None = BROKEN, log: str = "") -> Finding:
    host = MemoryHost(files)
    host.log = [log] if log else []
    finding = nested(host, Run(findings={} if kvm is None else {"KVM": kvm}))
    assert finding.outcome in nested.outcomes
    assert finding.hint or finding.outcome.status is Status.PASS
    return finding


BOARD = "/proc/device-tree/compatible"

BARE = {
    "Intel": ({"/proc/cpuinfo": x86("vmx")} | DELL, "bare metal of Dell Inc."),
    "AMD without its flag": ({"/proc/cpuinfo": x86()} | DELL, "bare metal of Dell Inc."),
    "nobody's": ({"/proc/cpuinfo": x86("vmx")}, "bare metal"),
    "a cloud's": ({"/proc/cpuinfo": x86("vmx")} | GOOGLE, "bare metal of Google"),
    "Arm with DMI": ({"/proc/cpuinfo": ARM, module.VENDOR: "Ampere(R)\n"}, "bare metal of Ampere(R)"),
    "Arm with a device tree": (
        {"/proc/cpuinfo": ARM, BOARD: "raspberrypi,4-model-b\0brcm,bcm2711\0"},
        "bare metal",
    ),
    "RISC-V": (
        {"/proc/cpuinfo": RISCV.format(h="h"), BOARD: "sifive,hifive-premier-p550\0"},
        "bare metal",
    ),
    "LPAR": ({"/proc/cpuinfo": S390.format(sie=" sie"), module.SYSINFO: "LPAR Name: A\n"}, "an LPAR"),
    "POWER": ({"/proc/cpuinfo": POWER.replace("pSeries", "PowerNV")}, "bare metal"),
}


@pytest.mark.parametrize("kvm", [WORKS, BROKEN, None])
@pytest.mark.parametrize(("files", "words"), BARE.values(), ids=BARE)
def test_bare_metal(files: dict[str, str], words: str, kvm: Finding | None) -> None:
    finding = ask(files, kvm=kvm)
    assert finding.outcome is module.BARE_METAL
    assert finding.message == f"nothing shows a hypervisor: {words}"


VMS = {
    "KVM": ({"/proc/cpuinfo": x86("hypervisor")} | QEMU, "KVM/QEMU"),
    "KVM that hides": ({"/proc/cpuinfo": x86()} | QEMU, "KVM/QEMU"),
    "KVM by its clock": ({"/proc/cpuinfo": x86("hypervisor"), CLOCKS: "tsc kvm-clock \n"}, "KVM/QEMU"),
    "Google": ({"/proc/cpuinfo": x86("hypervisor")} | GOOGLE, "Google Compute Engine"),
    "no name": ({"/proc/cpuinfo": x86("hypervisor")}, "does not tell its name"),
    "Xen": ({"/proc/cpuinfo": x86("hypervisor"), "/sys/hypervisor/type": "xen\n"}, "Xen"),
    "Arm": ({"/proc/cpuinfo": ARM} | QEMU, "KVM/QEMU"),
    "Arm by sysfs": (
        {"/proc/cpuinfo": ARM, "/sys/firmware/devicetree/base/compatible": "linux,dummy-virt\0"},
        "KVM/QEMU",
    ),
    "Arm by its device tree": ({"/proc/cpuinfo": ARM, BOARD: "linux,dummy-virt\0"}, "KVM/QEMU"),
    "RISC-V": ({"/proc/cpuinfo": RISCV.format(h=""), BOARD: "riscv-virtio\0"}, "KVM/QEMU"),
    "z/VM": ({"/proc/cpuinfo": S390.format(sie=""), module.SYSINFO: Z_VM}, "z/VM"),
    "pSeries": ({"/proc/cpuinfo": POWER}, "PowerVM or KVM"),
}


@pytest.mark.parametrize(("files", "name"), VMS.values(), ids=VMS)
def test_a_vm_is_told_by_what_it_runs_under(files: dict[str, str], name: str) -> None:
    works = ask(files, kvm=WORKS)
    assert works.outcome is module.NESTING_WORKS
    assert name in works.message
    broken = ask(files)
    assert broken.outcome is module.NESTING_NOT_EXPOSED
    assert name in broken.message


@pytest.mark.parametrize(
    ("files", "flag"),
    [
        ({"/proc/cpuinfo": x86("hypervisor", "vmx")}, "vmx"),
        ({"/proc/cpuinfo": x86("hypervisor", "svm", vendor="AuthenticAMD")} | GOOGLE, "svm"),
        ({"/proc/cpuinfo": S390.format(sie=" sie"), module.SYSINFO: Z_VM}, "sie"),
        ({"/proc/cpuinfo": RISCV.format(h="h"), BOARD: "riscv-virtio\0"}, "h"),
    ],
)
def test_a_flag_shows_that_nesting_is_exposed(files: dict[str, str], flag: str) -> None:
    finding = ask(files)
    assert finding.outcome is module.NESTING_EXPOSED
    assert f"its CPUs have {flag}; but no guest ran" in finding.message
    works = ask(files, kvm=WORKS)
    assert works.outcome is module.NESTING_WORKS
    assert "do not show" not in works.message


def test_where_no_flag_could_be_there_none_is_missed() -> None:
    assert ask({"/proc/cpuinfo": ARM} | QEMU, kvm=WORKS).message.endswith("and guests run in it")
    assert ask({"/proc/cpuinfo": ARM} | QEMU).message.endswith("KVM is not registered with its kernel")


def test_registered_kvm_shows_it_where_there_is_no_flag() -> None:
    finding = ask({"/proc/cpuinfo": ARM, "/proc/misc": "232 kvm\n"} | QEMU)
    assert finding.outcome is module.NESTING_EXPOSED


@pytest.mark.parametrize("files", [{"/proc/cpuinfo": POWER}, {"/proc/cpuinfo": x86("hypervisor")} | QEMU])
@pytest.mark.parametrize("why", [kvm_module.MODULE_NOT_LOADED, kvm_module.DISABLED_BY_KERNEL_PARAMETER])
def test_a_kernel_that_did_not_ask_tells_nothing(files: dict[str, str], why: Outcome) -> None:
    finding = ask(files, kvm=why("none ran"))
    assert finding.outcome is module.NOT_TOLD
    assert why.reason in finding.message


def test_the_kernels_log_outweighs_that_kvm_is_registered() -> None:
    log = "kvm-hv: Parent hypervisor does not support nesting (rc=-2)"
    finding = ask({"/proc/cpuinfo": POWER, "/proc/misc": "232 kvm\n"}, log=log)
    assert finding.outcome is module.NESTING_NOT_EXPOSED
    assert log in finding.message


def test_what_kvm_says_of_the_hypervisor_outweighs_that_it_is_registered() -> None:
    files = {"/proc/cpuinfo": POWER, "/proc/misc": "232 kvm\n"}
    assert ask(files, kvm=kvm_module.NESTED_NOT_EXPOSED("EINVAL")).outcome is module.NESTING_NOT_EXPOSED
    assert ask(files, kvm=kvm_module.CREATE_VM_FAILED("EIO")).outcome is module.NESTING_EXPOSED


def test_guests_that_run_without_a_flag_are_told_so() -> None:
    finding = ask({"/proc/cpuinfo": x86("hypervisor"), CLOCKS: "kvm-clock\n"}, kvm=WORKS)
    assert "guests run in it, though its CPUs do not show" in finding.message


@pytest.mark.parametrize(
    ("files", "log"),
    [
        ({"/proc/cpuinfo": x86("hypervisor")} | GOOGLE, SEV),
        ({"/proc/cpuinfo": x86("hypervisor", "tdx_guest")}, ""),
        ({"/proc/cpuinfo": x86("hypervisor"), "/proc/misc": "125 sev-guest\n"}, ""),
    ],
)
def test_a_confidential_guest_is_told(files: dict[str, str], log: str) -> None:
    finding = ask(files, log=log)
    assert finding.outcome is module.CONFIDENTIAL_GUEST
    assert ask(files, kvm=WORKS, log=log).outcome is module.NESTING_WORKS


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/proc/cpuinfo": ""},
        {"/proc/cpuinfo": "junk\n", module.VENDOR: "Dell Inc.\n"},
        {"/proc/cpuinfo": ARM},
        {"/proc/cpuinfo": ARM} | GOOGLE,
        {ARCH: "x86_64\n"},
        {ARCH: "x86_64\n", module.VENDOR: "Dell Inc.\n"},
        {ARCH: "mips64\n", BOARD: "board\0"},
    ],
)
def test_what_does_not_tell_is_unknown(files: dict[str, str]) -> None:
    assert ask(files).outcome is module.NOT_TOLD


def test_the_hint_is_that_of_the_hypervisor_and_the_architecture() -> None:
    google = ask({"/proc/cpuinfo": x86("hypervisor")} | GOOGLE).hint or ""
    assert "--enable-nested-virtualization" in google
    arm = ask({"/proc/cpuinfo": ARM} | QEMU).hint or ""
    assert "kvm-arm.mode=nested" in arm


def test_where_a_guest_ran_the_kernels_log_is_not_read() -> None:
    host = MemoryHost({"/proc/cpuinfo": x86("hypervisor")})
    host.kernel_log = None  # type: ignore[method-assign,assignment] -- reading it would fail
    assert nested(host, Run(findings={"KVM": WORKS})).outcome is module.NESTING_WORKS


def test_this_machine() -> None:
    """Whatever it is, the CPU's flag and what the check says of it go together."""
    host = Host()
    finding = nested(host, Run(findings={"KVM": kvm_module.kvm(host, Run())}))
    assert finding.outcome in nested.outcomes
    if "hypervisor" in host.read_text("/proc/cpuinfo").split():
        assert finding.outcome is not module.BARE_METAL


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "/proc/cpuinfo",
                ARCH,
                module.VENDOR,
                PRODUCT,
                BOARD,
                module.SYSINFO,
                CLOCKS,
                "/proc/misc",
            ]
        ),
        st.binary(max_size=60)
        | st.sampled_from([ARM, POWER, x86("vmx"), *QEMU.values(), Z_VM]).map(str.encode),
    ),
    st.sampled_from([WORKS, BROKEN]),
)
def test_no_files_make_it_fail(files: dict[str, bytes], kvm: Finding) -> None:
    finding = nested(MemoryHost(files), Run(findings={"KVM": kvm}))
    assert finding.outcome in nested.outcomes
    if finding.outcome is module.BARE_METAL:
        assert b"hypervisor" not in files["/proc/cpuinfo"]
