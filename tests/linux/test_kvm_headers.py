"""Numbers and structures of the KVM interface against the kernel's headers, architecture by architecture.

Other architectures' headers are those of Debian's packages linux-libc-dev-…-cross. They are compiled for this
machine: 64-bit C lays structures out alike everywhere.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from linux.kvm import exits, guest_arm64, guest_powerpc, guest_riscv64, guest_x86, host_model_x86, uapi

TRIPLES = {
    "x86_64": "x86_64-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "ppc64le": "powerpc64le-linux-gnu",
    "s390x": "s390x-linux-gnu",
}

DEFINES = {"ppc64le": ["-D__powerpc64__"], "s390x": ["-D__s390x__"]}
"""What the headers take for their own compiler's word."""

MACROS = {
    "KVM_GET_API_VERSION": "get_api_version",
    "KVM_CREATE_VM": "create_vm",
    "KVM_CHECK_EXTENSION": "check_extension",
    "KVM_GET_VCPU_MMAP_SIZE": "get_vcpu_mmap_size",
    "KVM_CREATE_VCPU": "create_vcpu",
    "KVM_SET_USER_MEMORY_REGION": "set_user_memory_region",
    "KVM_RUN": "run",
    "KVM_ENABLE_CAP": "enable_cap",
    "KVM_SET_MP_STATE": "set_mp_state",
    "KVM_SET_ONE_REG": "set_one_reg",
}
MACROS_OF = {
    "x86_64": {
        "KVM_SET_TSS_ADDR": "set_tss_addr",
        "KVM_SET_REGS": "set_regs",
        "KVM_GET_SREGS": "get_sregs",
        "KVM_SET_SREGS": "set_sregs",
        "KVM_GET_SUPPORTED_CPUID": "get_supported_cpuid",
        "KVM_SET_CPUID2": "set_cpuid2",
        "KVM_GET_MSR_FEATURE_INDEX_LIST": "get_msr_feature_index_list",
        "KVM_GET_MSRS": "get_msrs",
        "KVM_SET_MSRS": "set_msrs",
    },
    "aarch64": {
        "KVM_ARM_VCPU_INIT": "arm_vcpu_init",
        "KVM_ARM_PREFERRED_TARGET": "arm_preferred_target",
    },
    "ppc64le": {"KVM_SET_REGS": "set_regs"},
}

CONSTANTS = {
    "KVM_API_VERSION": uapi.API_VERSION,
    "KVM_CAP_SET_TSS_ADDR": uapi.CAP_SET_TSS_ADDR,
    "KVM_CAP_PPC_GET_PVINFO": uapi.CAP_PPC_GET_PVINFO,
    "KVM_CAP_PPC_PAPR": uapi.CAP_PPC_PAPR,
    "KVM_CAP_MIPS_VZ": uapi.CAP_MIPS_VZ,
    "KVM_VM_MIPS_VZ": uapi.VM_MIPS_VZ,
    "KVM_CAP_ARM_VM_IPA_SIZE": uapi.CAP_ARM_VM_IPA_SIZE,
    "KVM_EXIT_IO_OUT": uapi.EXIT_IO_OUT,
    "KVM_SYSTEM_EVENT_SHUTDOWN": uapi.SYSTEM_EVENT_SHUTDOWN,
    "sizeof(struct kvm_userspace_memory_region)": 32,
    "sizeof(struct kvm_enable_cap)": uapi.ENABLE_CAP_SIZE,
    "sizeof(struct kvm_one_reg)": 16,
    "sizeof(struct kvm_mp_state)": 4,
    "KVM_MP_STATE_RUNNABLE": uapi.MP_STATE_RUNNABLE,
    "offsetof(struct kvm_one_reg, addr)": 8,
    "offsetof(struct kvm_run, exit_reason)": uapi.RUN_EXIT_REASON,
    "sizeof(struct kvm_run) >= 2048": 1,
    **{f"KVM_INTERNAL_ERROR_{name}": number for number, name in exits.INTERNAL_ERRORS.items()},
}
CONSTANTS_OF = {
    "x86_64": {
        "offsetof(struct kvm_run, io)": uapi.RUN_UNION,
        "offsetof(struct kvm_run, io.data_offset)": uapi.RUN_UNION + 8,
        "offsetof(struct kvm_sregs, cs)": guest_x86._CODE_SEGMENT,
        "offsetof(struct kvm_segment, selector)": 12,
        "offsetof(struct kvm_regs, rip)": 16 * 8,
        "sizeof(struct kvm_cpuid_entry2)": host_model_x86.ENTRY_SIZE,
        "offsetof(struct kvm_cpuid2, entries)": host_model_x86.ENTRIES,
        "offsetof(struct kvm_cpuid_entry2, edx)": 24,
        "offsetof(struct kvm_msr_list, indices)": 4,
        "sizeof(struct kvm_msr_entry)": 16,
        "offsetof(struct kvm_msrs, entries)": 8,
        "offsetof(struct kvm_msr_entry, data)": 8,
    },
    "aarch64": {
        "KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.pc)": guest_arm64.PC,
        "KVM_ARM_VCPU_PSCI_0_2": guest_arm64.VCPU_PSCI_0_2,
        "sizeof(struct kvm_vcpu_init)": uapi.VCPU_INIT_SIZE,
        "offsetof(struct kvm_vcpu_init, features)": guest_arm64._FEATURES,
    },
    "riscv64": {
        "KVM_REG_RISCV | KVM_REG_SIZE_U64 | KVM_REG_RISCV_CORE | "
        "KVM_REG_RISCV_CORE_REG(regs.pc)": guest_riscv64.PC,
    },
    "ppc64le": {
        "offsetof(struct kvm_regs, pc)": 0,
        "offsetof(struct kvm_regs, msr)": 5 * 8,
        "offsetof(struct kvm_run, papr_hcall.nr)": uapi.RUN_UNION,
        "offsetof(struct kvm_run, papr_hcall.ret)": uapi.RUN_UNION + guest_powerpc._RETURN,
        "offsetof(struct kvm_run, papr_hcall.args)": uapi.RUN_UNION + 16,
    },
}
UNION = {
    "offsetof(struct kvm_run, mmio.phys_addr)": uapi.RUN_UNION,
    "offsetof(struct kvm_run, mmio.data)": uapi.RUN_UNION + 8,
    "offsetof(struct kvm_run, mmio.len)": uapi.RUN_UNION + 16,
    "offsetof(struct kvm_run, mmio.is_write)": uapi.RUN_UNION + 20,
    "offsetof(struct kvm_run, system_event.type)": uapi.RUN_UNION,
    "offsetof(struct kvm_run, hw.hardware_exit_reason)": uapi.RUN_UNION,
    "offsetof(struct kvm_run, fail_entry.cpu)": uapi.RUN_UNION + 8,
    "offsetof(struct kvm_run, ex.error_code)": uapi.RUN_UNION + 4,
    "offsetof(struct kvm_run, internal.ndata)": uapi.RUN_UNION + 4,
    "offsetof(struct kvm_run, internal.data)": uapi.RUN_UNION + 8,
    "offsetof(struct kvm_run, riscv_sbi.function_id)": uapi.RUN_UNION + 8,
    "offsetof(struct kvm_run, arm_nisv.fault_ipa)": uapi.RUN_UNION + 8,
}
"""Of every architecture but s390x, where a processor status word stands before the union."""


def includes(machine: str) -> list[Path]:
    """Where an architecture's headers are installed, if they are."""
    triple = TRIPLES[machine]
    if machine == os.uname().machine:
        return [Path("/usr/include"), Path("/usr/include", triple)]
    return [Path("/usr", triple, "include")]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler to read the headers with")
@pytest.mark.parametrize("machine", TRIPLES)
def test_numbers_and_structures_are_those_of_the_headers(machine: str, tmp_path: Path) -> None:
    directories = includes(machine)
    header = directories[0] / "linux/kvm.h"
    if not header.exists():
        pytest.skip(f"no kernel headers of {machine} (Debian: linux-libc-dev-…-cross): {header} is not there")
    requests = uapi.Requests(machine)
    macros = MACROS | MACROS_OF.get(machine, {})
    expected = {macro: getattr(requests, name) for macro, name in macros.items()} | CONSTANTS
    expected |= CONSTANTS_OF.get(machine, {})
    if machine != "s390x":
        expected |= UNION
    defined = set(re.findall(r"#define KVM_EXIT_(\w+)\s", header.read_text()))
    named = {f"KVM_EXIT_{name}": number for number, name in uapi.EXIT_NAMES.items() if name in defined}
    assert len(named) > 30
    expected |= named
    program = [
        "#define offsetof __builtin_offsetof",
        "#include <linux/kvm.h>",
        "int printf(const char *, ...);",
        "int main(void) {",
        *(f'  printf("%llu\\n", (unsigned long long)({macro}));' for macro in expected),
        "  return 0;",
        "}",
    ]
    (tmp_path / "numbers.c").write_text("\n".join(program))
    paths = [word for directory in directories for word in ("-isystem", str(directory))]
    subprocess.run(
        [
            "cc",
            "-nostdinc",
            *paths,
            *DEFINES.get(machine, []),
            "-o",
            tmp_path / "numbers",
            tmp_path / "numbers.c",
        ],
        check=True,
    )
    printed = subprocess.run(
        [tmp_path / "numbers"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert dict(zip(expected, map(int, printed), strict=True)) == expected


@pytest.mark.parametrize(
    ("machine", "get_api_version", "set_user_memory_region", "get_sregs"),
    [
        ("x86_64", 0xAE00, 0x4020AE46, 0x8138AE83),
        ("s390x", 0xAE00, 0x4020AE46, 0x8138AE83),
        # include/asm/ioctl.h of these: _IOC_NONE is 1, _IOC_READ 2, _IOC_WRITE 4, 13 bits of size.
        ("ppc64le", 0x2000AE00, 0x8020AE46, 0x4138AE83),
        ("mips64", 0x2000AE00, 0x8020AE46, 0x4138AE83),
    ],
)
def test_the_direction_of_a_request(
    machine: str, get_api_version: int, set_user_memory_region: int, get_sregs: int
) -> None:
    requests = uapi.Requests(machine)
    assert requests.get_api_version == get_api_version
    assert requests.set_user_memory_region == set_user_memory_region
    assert requests.get_sregs == get_sregs
