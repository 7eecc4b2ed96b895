"""The parsers of kernel files: what they read, and that no bytes make them fail."""

import machines
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linux import (
    cgroup,
    cmdline,
    cpuinfo,
    device_node,
    hypervisor,
    kernel_log,
    misc,
    modprobe,
    modules,
    mountinfo,
    process,
    qemu,
    raw_cpuid,
)
from linux.kernel_log import Topic

LINES = st.one_of(
    st.text(),
    st.binary().map(lambda data: data.decode("utf-8", "replace")),
    st.lists(
        st.sampled_from(
            [
                *(
                    "processor\t: 0",
                    "processor : 99999999",
                    "processor 0: x",
                    "flags : vmx",
                    "isa : rv64",
                    "isa : x",
                ),
                *(
                    "232 kvm",
                    "-1 kvm",
                    "blacklist kvm",
                    "install kvm",
                    "install kvm \\",
                    "a - b",
                    "1:2",
                    ":::",
                ),
                *(
                    "24 27 0:6 / /dev rw - devtmpfs d rw",
                    "Seccomp: -",
                    "CapEff: zz",
                    "c 10:232 rw",
                    "c",
                    "\0\0",
                ),
                *(
                    'x="',
                    '"',
                    "-- a",
                    "kvm/kvm.ko.xz: a",
                    ".ko",
                    "5:devices:/",
                    "features : sie",
                    '{"QMP": 1}',
                ),
            ]
        )
    ).map("\n".join),
)


@given(LINES)
def test_no_text_makes_a_parser_fail(text: str) -> None:
    info = cpuinfo.parse(text)
    assert all(isinstance(number, int) for number in info.flags)
    assert all(minor >= 0 for minor in misc.parse(text).values())
    assert "" not in cmdline.parse(text).listed("x")
    assert all(rule.file == "f" for rule in modprobe.forbidding("f", text, ["kvm"]))
    assert modules.named(text, frozenset({"kvm"})) <= {"kvm"}
    assert all(modules.loaded(text))
    mount = mountinfo.holding(mountinfo.parse(text), "/dev/kvm")
    assert mount is None or "/dev/kvm".startswith(mount.point.rstrip("/"))
    assert process.parse(text).seccomp is None or "Seccomp" in text
    assert cgroup.devices_path(text) in text
    assert cgroup.allows(text, 10, 232) in (True, False)
    assert "\n" not in device_node.name(0, text)
    assert all(
        message.text in text for message in kernel_log.find([text]) if len(text) < 200 and text.isascii()
    )
    assert (
        hypervisor.identify({"sys_vendor": text, "product_name": text}, log=text, sysinfo=text) is None
        or text
    )
    assert isinstance(qemu.version(text.encode()), str)
    assert qemu.complaint(text.encode())
    assert "" not in raw_cpuid.parse(text.encode("utf-8", "replace"))


def test_cpuinfo_of_x86() -> None:
    info = cpuinfo.parse(machines.x86("vmx", cpus=3))
    assert list(info.flags) == [0, 1, 2]
    assert info.cpus_with("vmx", "svm") == [0, 1, 2]
    assert (info.vendor, info.name, info.architecture) == ("GenuineIntel", "Some CPU", "x86_64")


def test_cpuinfo_matches_whole_flags() -> None:
    assert cpuinfo.parse(machines.x86("vmx_vnmi", "svm_lock")).cpus_with("vmx", "svm") == []


def test_cpuinfo_tells_cpus_apart() -> None:
    text = machines.x86("svm", cpus=1) + "\n" + "\n".join(machines.x86(cpus=2).split("\n\n")[1:])
    info = cpuinfo.parse(text)
    assert info.cpus_with("svm") == [0]
    assert len(info.flags) == 2


@pytest.mark.parametrize(
    ("text", "architecture", "flags"),
    [
        (machines.ARM, "aarch64", {"asimd"}),
        (machines.S390.format(sie=" sie"), "s390x", {"sie"}),
        (machines.POWER, "ppc64le", set()),
        (machines.RISCV.format(h="h"), "riscv64", {"h", "zicsr"}),
        ("processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nflags\t\t: fpu\n", "i686", {"fpu"}),
        ("processor\t: 0\nFeatures\t: half thumb\nCPU implementer\t: 0x41\n", "armv7l", {"thumb"}),
        (
            "processor\t\t: 0\nCPU Family\t\t: Loongson-64bit\nFeatures\t\t: cpucfg lvz\n",
            "loongarch64",
            {"lvz"},
        ),
        ("", "", set()),
    ],
)
def test_cpuinfo_of_other_architectures(text: str, architecture: str, flags: set[str]) -> None:
    info = cpuinfo.parse(text)
    assert info.architecture == architecture
    assert flags <= info.flags.get(0, frozenset())


def test_riscv_letters_are_extensions_not_words() -> None:
    assert not cpuinfo.parse(machines.RISCV.format(h="")).has("h")


def test_cpuinfo_of_power_names_the_platform() -> None:
    assert cpuinfo.parse(machines.POWER).platform == "pSeries"


def test_4096_cpus() -> None:
    info = cpuinfo.parse(machines.x86("vmx", cpus=4096))
    assert len(info.flags) == 4096
    assert len({id(flags) for flags in info.flags.values()}) == 1


def test_misc_names_are_matched_whole() -> None:
    assert misc.parse("10 kvm_intel\n232 kvm\nnonsense\n") == {"kvm_intel": 10, "kvm": 232}


@pytest.mark.parametrize(
    ("text", "name", "last"),
    [
        ("quiet kvm-arm.mode=none\n", "kvm-arm.mode", "none"),
        ("kvm_arm.mode=none", "kvm-arm.mode", "none"),
        ("a=1 a=2", "a", "2"),
        ('dyndbg="file a +p" b', "dyndbg", "file a +p"),
        ('"name=with space" b', "name", "with space"),
        ("quiet", "quiet", ""),
        ("quiet", "loud", None),
        ("a -- nomodule", "nomodule", None),
    ],
)
def test_cmdline(text: str, name: str, last: str | None) -> None:
    assert cmdline.parse(text).last(name) == last


def test_cmdline_lists_words_of_every_value() -> None:
    line = cmdline.parse("module_blacklist=kvm-intel,floppy module_blacklist=kvm")
    assert line.listed("module_blacklist") == ["kvm_intel", "floppy", "kvm"]


@pytest.mark.parametrize(
    ("line", "forbids"),
    [
        ("blacklist kvm_intel", True),
        ("blacklist kvm-intel", True),
        ("  blacklist   kvm_intel # why", True),
        ("install kvm_intel /bin/false", True),
        ("install kvm_intel /usr/bin/true", True),
        ("install kvm_intel \\\n  /bin/false", True),
        ("install kvm_intel /sbin/modprobe --ignore-install kvm_intel && echo loaded", False),
        ("# blacklist kvm_intel", False),
        ("blacklist kvm_intel_extra", False),
        ("options kvm_intel nested=1", False),
        ("blacklist", False),
    ],
)
def test_modprobe_configuration(line: str, forbids: bool) -> None:
    assert bool(modprobe.forbidding("f", line, ["kvm_intel"])) is forbids


def test_a_file_hides_those_of_the_same_name_in_later_directories() -> None:
    assert modprobe.effective_files(
        {"/etc/modprobe.d": ["b.conf", "README"], "/lib/modprobe.d": ["b.conf", "a.conf"]}
    ) == ["/lib/modprobe.d/a.conf", "/etc/modprobe.d/b.conf"]


@pytest.mark.parametrize("suffix", ["", ".xz", ".zst", ".gz"])
def test_modules_on_disk(suffix: str) -> None:
    text = f"kernel/arch/x86/kvm/kvm-intel.ko{suffix}: kernel/arch/x86/kvm/kvm.ko{suffix}\n"
    assert modules.named(text, frozenset({"kvm_intel", "kvm"})) == {"kvm_intel"}


def test_modules_built_in() -> None:
    assert modules.named("kernel/arch/x86/kvm/kvm.ko\n", frozenset({"kvm_intel", "kvm"})) == {"kvm"}


def test_modules_loaded_are_matched_whole() -> None:
    assert modules.loaded("kvm_intel 401408 0 - Live 0x0\n") == {"kvm_intel"}


def test_mount_of_a_path() -> None:
    mounts = mountinfo.parse(
        "1 0 0:1 / / rw - ext4 /dev/vda rw\n"
        "2 1 0:2 / /dev rw,nosuid shared:2 - devtmpfs udev rw\n"
        "3 2 0:3 / /dev/kvm\\040x rw,nodev - tmpfs tmpfs rw\n"
        "4 2 0:4 / /dev rw,nodev - tmpfs again rw\n"
        "nonsense\n"
    )
    mount = mountinfo.holding(mounts, "/dev/kvm")
    assert mount is not None
    assert (mount.point, mount.kind, "nodev" in mount.options) == ("/dev", "tmpfs", True)
    assert mounts[2].point == "/dev/kvm x"


@pytest.mark.parametrize(
    ("line", "topic"),
    [
        ("x86/cpu: VMX (outside TXT) disabled by BIOS", Topic.FIRMWARE),
        ("kvm: disabled by bios", Topic.FIRMWARE),
        ("kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 0", Topic.FIRMWARE),
        ("kvm_intel: VMX not enabled (by BIOS) in MSR_IA32_FEAT_CTL on CPU 3", Topic.FIRMWARE),
        ("kvm_amd: KVM is unsupported when running as an SEV guest", Topic.CONFIDENTIAL),
        ("Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP", Topic.CONFIDENTIAL),
        ("Memory Encryption Features active: Intel TDX", Topic.CONFIDENTIAL),
        ("tdx: Guest detected", Topic.CONFIDENTIAL),
        ("kvm [1]: HYP mode not available", Topic.NO_HYPERVISOR_MODE),
        ("kvm [1]: KVM disabled from command line", Topic.PARAMETER),
        ("kvm-hv: Parent hypervisor does not support nesting (rc=-2)", Topic.NO_NESTING),
        ("has_svm: svm not available", Topic.NOT_SUPPORTED),
        ("Hypervisor detected: KVM", Topic.HYPERVISOR),
        ("Lockdown: modprobe: unsigned module loading is restricted; see man", Topic.SIGNATURE),
    ],
)
def test_kernel_log(line: str, topic: Topic) -> None:
    assert [message.topic for message in kernel_log.find([line])] == [topic]


@pytest.mark.parametrize(
    "line",
    [
        "sgx: disabled by BIOS",
        "Memory Encryption Features active: AMD SME",
        "kvm_intel: Using Hyper-V Enlightened VMCS",
        "kvm: Nested Virtualization enabled",
    ],
)
def test_kernel_log_says_nothing(line: str) -> None:
    assert kernel_log.find([line]) == []


@pytest.mark.parametrize(
    ("vendor", "product", "named"),
    [
        ("QEMU", "Standard PC (Q35 + ICH9, 2009)", hypervisor.KVM),
        ("Red Hat", "KVM", hypervisor.KVM),
        ("VMware, Inc.", "VMware Virtual Platform", hypervisor.VMWARE),
        ("Microsoft Corporation", "Virtual Machine", hypervisor.HYPER_V),
        ("Microsoft Corporation", "Surface Pro", None),
        ("Google", "Google Compute Engine", hypervisor.GOOGLE),
        ("Google", "Reks", None),
        ("Amazon EC2", "m6i.large", hypervisor.AMAZON),
        ("Amazon EC2", "m6i.metal", None),
        ("innotek GmbH", "VirtualBox", hypervisor.VIRTUAL_BOX),
        ("Xen", "HVM domU", hypervisor.XEN),
        ("Dell Inc.", "PowerEdge R650", None),
        ("", "", None),
    ],
)
def test_hypervisor_by_dmi(vendor: str, product: str, named: hypervisor.Hypervisor | None) -> None:
    assert hypervisor.identify({"sys_vendor": vendor, "product_name": product}) is named


def test_hypervisor_by_other_signs() -> None:
    azure = {"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine"}
    azure["chassis_asset_tag"] = "7783-7084-3265-9085-8269-3286-77"
    assert hypervisor.identify(azure) is hypervisor.AZURE
    assert hypervisor.identify({}, hypervisor_type="xen\n") is hypervisor.XEN
    assert hypervisor.identify({}, sysinfo="VM00 Control Program: z/VM    7.2.0\n") is hypervisor.Z_VM
    assert hypervisor.identify({}, compatible="linux,dummy-virt\0") is hypervisor.KVM
    assert hypervisor.identify({}, log="Hypervisor detected: Microsoft Hyper-V") is hypervisor.HYPER_V


def test_process_status() -> None:
    own = process.parse("Seccomp:\t2\nSeccomp_filters:\t3\nNoNewPrivs:\t1\nCapEff:\t000001ffffffffff\n")
    assert own == (2, True, 0x1FFFFFFFFFF, 3)
    assert own.overrides_modes
    assert process.parse("CapEff:\t0000000000000001\n").overrides_modes is False
    assert process.parse("").overrides_modes is None


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("a *:* rwm\n", True),
        ("c 10:232 rwm\n", True),
        ("c 10:* rw\n", True),
        ("c 10:232 r\n", False),
        ("b 10:232 rwm\n", False),
        ("c 1:3 rwm\n", False),
        ("", False),
    ],
)
def test_device_cgroup(text: str, allowed: bool) -> None:
    assert cgroup.allows(text, 10, 232) is allowed


@pytest.mark.parametrize(
    ("mode", "user", "groups", "allowed"),
    [
        (0o600, 0, set(), True),
        (0o660, 1000, {107}, True),
        (0o660, 1000, {100}, False),
        (0o666, 1000, set(), True),
        (0o640, 1000, {107}, False),
        (0o066, 0, {107}, False),
    ],
)
def test_mode(mode: int, user: int, groups: set[int], allowed: bool) -> None:
    assert device_node.may_read_and_write(mode, 0, 107, user, frozenset(groups)) is allowed


GREETING = b'{"QMP": {"version": {"qemu": {"micro": 17, "minor": 2, "major": 7}, "package": ""}}}\r\n'
ANSWER = b'{"return": {}}\r\n'


def test_qemu_answers() -> None:
    assert qemu.version(GREETING + 3 * ANSWER) == "7.2.17"
    assert qemu.version(GREETING + ANSWER) == ""
    assert qemu.version(b"qemu: no tcg\n") == ""
    assert qemu.complaint(b"qemu: invalid accelerator tcg\n") == "qemu: invalid accelerator tcg"
