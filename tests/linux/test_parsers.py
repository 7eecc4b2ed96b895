"""The parsers of kernel files: what they read, and that no bytes make them fail."""

import gzip

import machines
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linux import (
    cgroup,
    cmdline,
    cpuinfo,
    device_node,
    hypervisor,
    kconfig,
    kernel_log,
    misc,
    modprobe,
    modules,
    mountinfo,
    msr,
    process,
    qemu,
    raw_cpuid,
)
from linux.kernel_log import Topic
from linux.modules import Modules

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


@settings(deadline=None)
@given(LINES)
def test_no_text_makes_a_parser_fail(text: str) -> None:
    info = cpuinfo.parse(text)
    assert all(isinstance(number, int) for number in info.flags)
    assert all(minor >= 0 for minor in misc.parse(text).values())
    assert "" not in cmdline.parse(text).listed("x")
    rules = modprobe.rules("f", text)
    assert all(rule.file == "f" and rule.verb in ("blacklist", "install", "softdep") for rule in rules)
    assert modprobe.forbidding(rules, "kvm", ()) in (None, *rules)
    assert modules.named(text, frozenset({"kvm"})) <= {"kvm"}
    assert modules.built_in_by_information(text, frozenset({"kvm"})) <= {"kvm"}
    assert set(modules.dependencies(text, frozenset({"kvm"}))) <= {"kvm"}
    assert set(kconfig.parse(text)) in (set(), set(kconfig.OPTIONS))
    assert kconfig.parse_compressed(text.encode()) == {}
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
    raw = raw_cpuid.parse(text.encode("utf-8", "replace"))
    assert raw is None or "" not in raw.flags
    assert hypervisor.by_signature(text) is None or text


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
    assert line.listed("module_blacklist") == ["kvm-intel", "floppy", "kvm"]


def test_cmdline_beyond_the_dashes_is_not_the_kernels() -> None:
    line = cmdline.parse("modprobe.blacklist=kvm_amd -- modprobe.blacklist=kvm_intel")
    assert line.listed("modprobe.blacklist") == ["kvm_amd"]
    assert line.anywhere("modprobe.blacklist") == ["kvm_amd", "kvm_intel"]


@pytest.mark.parametrize(
    ("text", "is_set"),
    [("nomodule", True), ("nomodule=1", True), ("nomodule=0", False), ("nomodule=off", False), ("", False)],
)
def test_cmdline_knows_a_parameter_that_is_taken_back(text: str, is_set: bool) -> None:
    assert cmdline.parse(text).is_set("nomodule") is is_set


@pytest.mark.parametrize(
    ("text", "forbids"),
    [
        ("blacklist kvm_intel", True),
        ("blacklist kvm-intel", True),
        ("  blacklist   kvm_intel # why", True),
        ("blacklist floppy kvm_intel", False),
        ("blacklist kvm", False),
        ("blacklist kvm*", False),
        ("blacklist kvm_intel\r", False),
        ("Blacklist kvm_intel", False),
        ("blacklist kvm\\\n_intel", True),
        ("# why \\\nblacklist kvm_intel", False),
        ("install kvm_intel /bin/false", True),
        ("install kvm_intel /usr/bin/true", True),
        ("install kvm_intel :", True),
        ("install kvm_intel", False),
        ("install kvm* /bin/false", True),
        ("install kvm-* /bin/false", True),
        ("install kvm /bin/false", True),
        ("install irqbypass /bin/false", True),
        ("install ccp /bin/false", False),
        ("install kvm_intel \\\n  /bin/false", True),
        ("install kvm_intel /sbin/modprobe --ignore-install kvm_intel && echo loaded", False),
        ("install kvm_intel /bin/false # not modprobe", True),
        (
            "install kvm_intel /sbin/modprobe --ignore-install kvm_intel\ninstall kvm_intel /bin/false",
            False,
        ),
        ("install kvm_intel /bin/false\ninstall kvm_intel /sbin/modprobe --ignore-install kvm_intel", True),
        ("alias kvm_intel off", False),
        ("softdep kvm_intel pre: kvm", False),
        ("softdep kvm_intel pre: msr\ninstall kvm_intel /bin/false", False),
        ("softdep kvm_intel pre:\ninstall kvm_intel /bin/false", True),
        ("softdep kvm_intel pre: msr\nblacklist kvm_intel", True),
        ("# blacklist kvm_intel", False),
        ("blacklist kvm_intel_extra", False),
        ("options kvm_intel nested=1", False),
        ("blacklist", False),
    ],
)
def test_modprobe_configuration(text: str, forbids: bool) -> None:
    rule = modprobe.forbidding(modprobe.rules("f", text), "kvm_intel", ("kvm", "irqbypass"))
    assert (rule is not None) is forbids


def test_a_file_hides_those_of_the_same_name_in_later_directories() -> None:
    assert modprobe.effective_files(
        {"/etc/modprobe.d": ["b.conf", "README", ".c.conf"], "/lib/modprobe.d": ["b.conf", "a.conf"]}
    ) == ["/lib/modprobe.d/a.conf", "/etc/modprobe.d/b.conf"]


@pytest.mark.parametrize("suffix", ["", ".xz", ".zst", ".gz"])
@pytest.mark.parametrize("folder", ["kernel/arch/x86/kvm", "updates", "extra/kvm", "/srv/modules"])
def test_modules_on_disk(folder: str, suffix: str) -> None:
    own, needed = f"{folder}/kvm-intel.ko{suffix}", f"kernel/arch/x86/kvm/kvm.ko{suffix}"
    found = modules.dependencies(f"{own}: {needed}\n{needed}:\n", frozenset({"kvm_intel", "kvm_amd"}))
    assert found == {"kvm_intel": (own, needed)}
    assert Modules(on_disk=found).needs("kvm_intel") == ("kvm",)


def test_modules_built_in_by_information() -> None:
    text = "kvm.license=GPL\0kvm.file=arch/x86/kvm/kvm\0kvm-intel.license=GPL\0floppy.alias=x\0"
    wanted = frozenset({"kvm", "kvm_intel", "kvm_amd"})
    assert modules.built_in_by_information(text, wanted) == {"kvm", "kvm_intel"}


def test_modules_are_signed_at_their_end() -> None:
    assert modules.is_signed(b"\0\x02\x99~Module signature appended~\n")
    assert not modules.is_signed(b"\x7fELF")


CONFIG = "#\n# Linux/x86 6.12.0 Kernel Configuration\n#\nCONFIG_KVM=m\nCONFIG_KVM_INTEL=y\nCONFIG_MODULES=y\n"


def test_kernel_configuration() -> None:
    options = kconfig.parse(CONFIG + "# CONFIG_KVM_AMD is not set\n")
    assert (options["kvm"], options["kvm_intel"], options["kvm_amd"]) == ("m", "y", "n")
    assert kconfig.parse_compressed(gzip.compress(CONFIG.encode()))["kvm_intel"] == "y"
    assert kconfig.parse("nonsense") == {}


@pytest.mark.parametrize(
    ("register", "contents", "forbids"),
    [
        (msr.FEATURE_CONTROL, 0x1, True),
        (msr.FEATURE_CONTROL, 0x3, True),
        (msr.FEATURE_CONTROL, 0x0, False),
        (msr.FEATURE_CONTROL, 0x5, False),
        (msr.VM_CR, 0x18, True),
        (msr.VM_CR, 0x8, False),
    ],
)
def test_registers_that_firmware_sets(register: int, contents: int, forbids: bool) -> None:
    assert bool(msr.firmware_forbids(register, contents)) is forbids


def test_a_register_has_eight_bytes() -> None:
    assert msr.value(b"\x05" + bytes(7)) == 5
    assert msr.value(b"\x05") is None


def test_raw_cpuid() -> None:
    assert raw_cpuid.parse(b"hypervisor vmx\nKVMKVMKVM\0\0\0\n") == ({"hypervisor", "vmx"}, "KVMKVMKVM")
    assert raw_cpuid.parse(b"\n") == (frozenset(), "")
    assert raw_cpuid.parse(b"") is None


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
        ("x86/cpu: VMX (inside TXT) disabled by BIOS", Topic.FIRMWARE),
        ("kvm: disabled by bios", Topic.FIRMWARE),
        ("kvm: support for 'kvm_intel' disabled by bios", Topic.FIRMWARE),
        ("SVM disabled (by BIOS) in MSR_VM_CR", Topic.FIRMWARE),
        ("kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 0", Topic.FIRMWARE),
        ("kvm_intel: VMX not enabled (by BIOS) in MSR_IA32_FEAT_CTL on CPU 3", Topic.FIRMWARE),
        ("[    0.512] kvm: disabled by bios", Topic.FIRMWARE),
        ("kvm_amd: KVM is unsupported when running as an SEV guest", Topic.CONFIDENTIAL),
        ("AMD Memory Encryption Features active: SEV SEV-ES", Topic.CONFIDENTIAL),
        ("Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP", Topic.CONFIDENTIAL),
        ("Memory Encryption Features active: Intel TDX", Topic.CONFIDENTIAL),
        ("tdx: Guest detected", Topic.CONFIDENTIAL),
        ("RME: Using RSI version 1.0", Topic.CONFIDENTIAL),
        ("kvm [1]: HYP mode not available", Topic.NO_HYPERVISOR_MODE),
        ("CPU: All CPU(s) started at EL1", Topic.NO_HYPERVISOR_MODE),
        ("CPU: CPUs started in inconsistent modes", Topic.NO_HYPERVISOR_MODE),
        ("KVM is not available. Ignoring kvm-arm.mode", Topic.NO_HYPERVISOR_MODE),
        ("kvm [1]: hypervisor extension not available", Topic.NO_HYPERVISOR_MODE),
        ("kvm [1]: require SBI v0.2 or higher", Topic.NO_HYPERVISOR_MODE),
        ("kvm [1]: Hardware virtualization not available", Topic.NO_HYPERVISOR_MODE),
        ("kvm-s390: SIE is not available", Topic.NO_HYPERVISOR_MODE),
        ("kvm [1]: KVM disabled from command line", Topic.PARAMETER),
        ("Clearing CPUID bits: svm", Topic.CLEARED),
        ("kvm-hv: Parent hypervisor does not support nesting (rc=-2)", Topic.NO_NESTING),
        ("has_svm: svm not available", Topic.NOT_SUPPORTED),
        ("kvm: no hardware support", Topic.NOT_SUPPORTED),
        ("kvm: no hardware support for 'kvm_amd'", Topic.NOT_SUPPORTED),
        ("kvm_amd: SVM not supported by CPU 1", Topic.NOT_SUPPORTED),
        ("kvm_intel: VMX not supported by CPU 0", Topic.NOT_SUPPORTED),
        ("kvm_intel: CPU 1 feature inconsistency!", Topic.NOT_SUPPORTED),
        ("kvm: RT requires X86_FEATURE_CONSTANT_TSC", Topic.NOT_SUPPORTED),
        ("kvm [1]: error initializing Hyp mode: -22", Topic.NOT_SUPPORTED),
        ("kvm: enabling virtualization on CPU0 failed", Topic.NOT_ENABLED),
        ("Module kvm_amd is blacklisted", Topic.MODULE),
        ("kvm_amd: Unknown symbol kvm_x86_vendor_init (err -2)", Topic.MODULE),
        ("kvm: version magic '6.1.0 SMP' should be '6.1.1 SMP'", Topic.MODULE),
        ("kvm_intel: disagrees about version of symbol kvm_init", Topic.MODULE),
        ("Hypervisor detected: KVM", Topic.HYPERVISOR),
        (
            "smccc: KVM: hypervisor services detected (0x00000000 0x00000000 0x00000000 0x00000003)",
            Topic.HYPERVISOR,
        ),
        ("Lockdown: modprobe: unsigned module loading is restricted; see man", Topic.SIGNATURE),
        ("Loading of unsigned module is rejected", Topic.SIGNATURE),
        ("Loading of module with unavailable key is rejected", Topic.SIGNATURE),
        ("Loading of module with unsupported crypto is rejected", Topic.SIGNATURE),
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
        "kvm_amd: SEV enabled (ASIDs 100 - 509)",
        "kvm [1]: VHE mode initialized successfully",
        "CPU: All CPU(s) started at EL2",
        "x86/cpu: SGX disabled by BIOS.",
        "Clearing CPUID bits: avx2",
        "nvidia: Unknown symbol x (err -2)",
        "kvm-pvm: INTERNAL_ERROR in batch emul: rip=0x0",
        "kvm [4711]: Unsupported guest access at: ffff800010",
        "kvm [4711]: vcpu0, guest rIP: 0xffffffff81 unhandled rdmsr: 0x140",
    ],
)
def test_kernel_log_says_nothing(line: str) -> None:
    assert kernel_log.find([line]) == []


@pytest.mark.parametrize(
    ("vendor", "product", "named"),
    [
        ("QEMU", "Standard PC (Q35 + ICH9, 2009)", hypervisor.KVM),
        ("Red Hat", "KVM", hypervisor.KVM),
        ("Red Hat", "RHEL", hypervisor.KVM),
        ("KubeVirt", "None", hypervisor.KVM),
        ("oVirt", "RHEL", hypervisor.KVM),
        ("OpenStack Foundation", "OpenStack Nova", hypervisor.OPENSTACK),
        ("DigitalOcean", "Droplet", hypervisor.DIGITAL_OCEAN),
        ("Hetzner", "vServer", hypervisor.HETZNER),
        ("Alibaba Cloud", "Alibaba Cloud ECS", hypervisor.ALIBABA),
        ("Tencent Cloud", "CVM", hypervisor.TENCENT),
        ("Scaleway", "SCW-PLAY2-PICO", hypervisor.SCALEWAY),
        ("Vultr", "VC2", hypervisor.PROVIDER),
        ("Nutanix", "AHV", hypervisor.NUTANIX),
        ("Apple Inc.", "Apple Virtualization Generic Platform", hypervisor.APPLE),
        ("Apple Inc.", "MacBookPro16,1", None),
        ("FreeBSD", "BHYVE", hypervisor.BHYVE),
        ("Cloud Hypervisor", "cloud-hypervisor", hypervisor.CLOUD_HYPERVISOR),
        ("Parallels International GmbH.", "Parallels ARM Virtual Machine", hypervisor.PARALLELS),
        ("VMware, Inc.", "VMware Virtual Platform", hypervisor.VMWARE),
        ("Microsoft Corporation", "Virtual Machine", hypervisor.HYPER_V),
        ("Microsoft Corporation", "Surface Pro", None),
        ("Google", "Google Compute Engine", hypervisor.GOOGLE),
        ("Google", "Reks", None),
        ("Amazon EC2", "m6i.large", hypervisor.AMAZON),
        ("Amazon EC2", "m6i.metal", None),
        ("Amazon EC2", "c7i.metal-24xl", None),
        ("innotek GmbH", "VirtualBox", hypervisor.VIRTUAL_BOX),
        ("Xen", "HVM domU", hypervisor.XEN),
        ("Oracle Corporation", "ORACLE SERVER X9-2c", None),
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
    old_amazon = {"sys_vendor": "Xen", "product_name": "HVM domU", "bios_version": "4.11.amazon"}
    assert hypervisor.identify(old_amazon) is hypervisor.AMAZON
    oracle = {"sys_vendor": "QEMU", "chassis_asset_tag": "OracleCloud.com"}
    assert hypervisor.identify(oracle) is hypervisor.ORACLE
    assert hypervisor.identify({}, hypervisor_type="xen\n") is hypervisor.XEN
    dell = {"sys_vendor": "Dell Inc.", "product_name": "PowerEdge R650"}
    assert (
        hypervisor.identify(dell, xen_capabilities="control_d\n", hypervisor_type="xen")
        is hypervisor.XEN_DOM0
    )
    assert hypervisor.identify({}, hypervisor_node="xen,xen-4.19\0xen,xen\0") is hypervisor.XEN
    assert hypervisor.identify({}, hypervisor_node="linux,kvm\0") is hypervisor.KVM
    assert hypervisor.identify({}, log="KVM: hypervisor services detected (0x0)") is hypervisor.KVM
    assert hypervisor.identify({}, sysinfo="VM00 Control Program: z/VM    7.2.0\n") is hypervisor.Z_VM
    assert hypervisor.identify({}, compatible="linux,dummy-virt\0") is hypervisor.KVM
    assert hypervisor.identify({}, log="Hypervisor detected: Microsoft Hyper-V") is hypervisor.HYPER_V
    assert hypervisor.identify({}, clocks="kvm-clock tsc acpi_pm \n") is hypervisor.KVM
    assert hypervisor.identify({}, clocks="hyperv_clocksource_tsc_page acpi_pm\n") is hypervisor.HYPER_V
    assert hypervisor.identify({}, clocks="tsc hpet acpi_pm \n") is None


@pytest.mark.parametrize(
    ("signature", "named"),
    [
        ("KVMKVMKVM", hypervisor.KVM),
        ("TCGTCGTCGTCG", hypervisor.QEMU_TCG),
        ("Microsoft Hv", hypervisor.HYPER_V),
        (" lrpepyh  vr", hypervisor.PARALLELS),
        ("bhyve bhyve ", hypervisor.BHYVE),
        ("SomethingNew", None),
        ("", None),
    ],
)
def test_hypervisor_by_signature(signature: str, named: hypervisor.Hypervisor | None) -> None:
    assert hypervisor.by_signature(signature) is named


def test_hints_fit_the_architecture() -> None:
    assert "FEAT_NV2" in hypervisor.KVM.hint_on("aarch64")
    assert "kvm nested=1" in hypervisor.KVM.hint_on("s390x")
    assert "kvm_{intel,amd}" in hypervisor.KVM.hint_on("x86_64")
    assert "--enable-nested-virtualization" not in hypervisor.GOOGLE.hint_on("aarch64")


def test_process_status() -> None:
    own = process.parse("Seccomp:\t2\nSeccomp_filters:\t3\nCapEff:\t000001ffffffffff\n")
    assert own == (2, 0x1FFFFFFFFFF, 3)
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
