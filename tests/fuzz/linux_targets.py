"""The parsers of ``linux/``, some against what the kernel or kmod itself does with the same text."""

import gzip
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from inputs import Source, Target

from linux import (
    acl,
    apparmor,
    cgroup,
    cmdline,
    container,
    controllers,
    cpuinfo,
    cpus,
    device_node,
    hugepages,
    hypervisor,
    kconfig,
    kernel_log,
    meminfo,
    misc,
    modprobe,
    modules,
    mountinfo,
    msr,
    process,
    qemu,
    raw_cpuid,
    release,
    selection,
)
from linux.number import natural

HOSTS = Path(__file__).parents[1] / "hosts"


WANTED = frozenset({"kvm", "kvm_intel"})
"""Modules that are looked for."""


def seeds(*endings: str, more: Sequence[bytes] = ()) -> tuple[bytes, ...]:
    """Returns the first kilobytes of those files of the captured machines whose paths end so."""
    found = {
        path.read_bytes()[:2048]
        for path in HOSTS.rglob("*")
        if str(path).endswith(endings) and path.is_file()
    }
    return (*sorted(found), *more)


def text(data: bytes) -> str:
    """Returns bytes as `Host.read_text` does."""
    return data.decode("utf-8", "replace")


def read_cpuinfo(data: bytes) -> None:
    """Numbers are small, names are short, flags are words of the file; an empty line more changes nothing."""
    given = text(data)
    info = cpuinfo.parse(given)
    for number, flags in info.flags.items():
        assert 0 <= number < 1_000_000
        assert all(flag and flag in given.lower() + given for flag in flags)
    for name in (info.vendor, info.name, info.platform):
        assert len(name) <= cpuinfo.MAX_NAME
    assert cpuinfo.parse(given + "\n\n") == info
    able = info.cpus_with("vmx", "svm")
    assert able == [number for number, flags in info.flags.items() if "vmx" in flags or "svm" in flags]


def write_cpuinfo(data: bytes) -> None:
    """CPUs that are written as x86 writes them are read as they are."""
    source = Source(data)
    names = ("fpu", "vmx", "svm", "lm", "hypervisor", "vmx_vnmi", "svm_lock")
    cpus = [frozenset(name for name in names if source.below(3) == 0) for _ in range(source.below(300))]
    lines = (
        f"processor\t: {number}\nvendor_id\t: GenuineIntel\nflags\t\t: {' '.join(sorted(flags))}\n"
        for number, flags in enumerate(cpus)
    )
    assert cpuinfo.parse("\n".join(lines)).flags == dict(enumerate(cpus))


def read_misc(data: bytes) -> None:
    """Says what a regular expression says of each line that the kernel can write (``%3i %s\\n``)."""
    found = misc.parse(text(data))
    assert all(0 <= minor < 10**7 and name == name.strip() != "" for name, minor in found.items())
    for line in text(data).split("\n"):
        if match := re.fullmatch(r" {0,2}(\d{1,7}) ([!-~]+)", line, re.ASCII):
            assert match[2] in found


def read_cmdline(data: bytes) -> None:
    """Splits and unquotes as the kernel's ``next_arg`` does (lib/cmdline.c); what follows ``--`` is apart."""
    given = text(data).replace("\0", "")
    expected: tuple[dict[str, list[str]], dict[str, list[str]]] = ({}, {})
    beyond = False
    for name, value in next_args(given):
        if value is None and name == "--":
            beyond = True
        else:
            expected[beyond].setdefault(name.replace("-", "_"), []).append(value or "")
    assert cmdline.parse(given) == expected


SPACE = " \t\n\v\f\r"
"""``isspace`` of ASCII (lib/ctype.c)."""


def next_args(args: str) -> list[tuple[str, str | None]]:
    """The kernel's ``parse_args`` and ``next_arg`` (kernel/params.c, lib/cmdline.c), step for step."""
    found: list[tuple[str, str | None]] = []
    args = args.lstrip(SPACE)
    while args:
        in_quote = quoted = args[0] == '"'
        if quoted:
            args = args[1:]
        equals = at = 0
        while at < len(args):
            if args[at] in SPACE and not in_quote:
                break
            if equals == 0 and args[at] == "=":
                equals = at
            if args[at] == '"':
                in_quote = not in_quote
            at += 1
        word, args = args[:at], args[at:].lstrip(SPACE)
        name, value = (word[:equals], word[equals + 1 :]) if equals else (word, None)
        closed = at > 0 and word[-1:] == '"'
        if value is not None and value[:1] == '"':
            value = value[1:]
            if closed:
                value, closed = value[:-1], False
        if quoted and closed:
            if value is None:
                name = name[:-1]
            else:
                value = value[:-1]
        found.append((name, value))
    return found


def read_modprobe(data: bytes) -> None:
    """Finds the ``blacklist``, ``install`` and ``softdep`` lines that libkmod finds, in their order."""
    given = text(data).replace("\0", "")
    found = [(rule.verb, rule.module) for rule in modprobe.rules("f", given)]
    expected = []
    for line in kmod_lines(given):
        words = [word for word in re.split("[\t ]+", line) if word]
        if line.startswith("#") or len(words) < 2 or words[0] not in ("blacklist", "install", "softdep"):
            continue
        module = underscores(words[1])
        if module is not None and len(words) > 1 + (words[0] != "blacklist"):
            expected.append((words[0], module))
    assert found == expected
    for name in ("kvm", "kvm_intel"):
        rule = modprobe.forbidding(modprobe.rules("f", given), name, ("irqbypass",))
        assert rule is None or (rule.verb, rule.module) in expected


def underscores(name: str) -> str | None:
    """Spells a module's name as kmod does (shared/util.c): not in brackets, which must be closed."""
    done, at = "", 0
    while at < len(name):
        if name[at] == "]":
            return None
        if name[at] == "[":
            end = name.find("]", at)
            if end < 0:
                return None
            done += name[at : end + 1]
            at = end
        else:
            done += "_" if name[at] == "-" else name[at]
        at += 1
    return done


def kmod_lines(given: str) -> list[str]:
    """Lines as kmod reads them (shared/util.c, freadline_wrapped)."""
    lines, at = [""], 0
    while at < len(given):
        if given[at] == "\n":
            lines.append("")
        else:
            at += given[at] == "\\"
            lines[-1] += given[at : at + 1].strip("\n")
        at += 1
    return lines


def choose_modprobe_files(data: bytes) -> None:
    """Each name is read once, from the first directory that has it; the order is that of names."""
    source = Source(data)
    listing: dict[str, list[str]] = {}
    for directory in modprobe.DIRECTORIES:
        listing[directory] = [
            source.pick(("a.conf", "b.conf", "c", "z.conf", ".conf")) for _ in range(source.below(4))
        ]
    files = modprobe.effective_files(listing)
    names = [file.rpartition("/")[2] for file in files]
    every = {name for given in listing.values() for name in given}
    assert names == sorted(every & {"a.conf", "b.conf", "z.conf"})
    for file in files:
        directory, _, name = file.rpartition("/")
        earlier = modprobe.DIRECTORIES[: modprobe.DIRECTORIES.index(directory)]
        assert not any(name in listing[one] for one in earlier)


def read_modules(data: bytes) -> None:
    """Names are wanted ones, matched whole; one that stands on a line as depmod writes it is found."""
    given = text(data)
    found = modules.named(given, WANTED)
    needed = modules.dependencies(given, WANTED)
    assert found | set(needed) | modules.built_in_by_information(given, WANTED) <= WANTED
    path = re.compile(r"kernel/[a-z/]*/(kvm(?:[-_]intel)?)\.ko(?:\.[gx]z|\.zst)?(:.*)?", re.ASCII)
    for line in given.split("\n"):
        if match := path.fullmatch(line):
            assert match[1].replace("-", "_") in (needed if match[2] else found)
    for files in needed.values():
        assert all(file in given for file in files)
    for name in modules.loaded(given):
        assert name
        assert not re.search(r"\s", name)
    assert modules.is_signed(data) is (data[-28:] == b"~Module signature appended~\n")


def read_kconfig(data: bytes) -> None:
    """An option is what its line says, and off without one, compressed or not; a bomb is cut."""
    options = kconfig.parse(text(data))
    assert not options or set(options) == set(kconfig.OPTIONS)
    for line in text(data).split("\n"):
        if re.fullmatch(r"CONFIG_KVM=[ym]", line):
            assert options["kvm"] in ("y", "m") or text(data).count("CONFIG_KVM=") > 1
    assert set(kconfig.parse_compressed(data)) <= set(kconfig.OPTIONS)
    assert kconfig.parse_compressed(gzip.compress(data, 1)) == options


def read_msr(data: bytes) -> None:
    """Whatever a register holds, firmware is blamed only for the bits that it sets."""
    contents = msr.value(data)
    assert (contents is None) is (len(data) < 8)
    if contents is not None:
        locked_off = contents & 1 and not contents & 4
        assert bool(msr.firmware_forbids(msr.FEATURE_CONTROL, contents)) is bool(locked_off)
        assert bool(msr.firmware_forbids(msr.VM_CR, contents)) is bool(contents & 16)
        assert not msr.firmware_forbids(0, contents)


def read_mountinfo(data: bytes) -> None:
    """Lines that are none are left out, and the mount of a path is above it."""
    mounts = mountinfo.parse(text(data))
    for path in ("/dev/kvm", "/", "/dev"):
        mount = mountinfo.holding(mounts, path)
        above = [
            one for one in mounts if one.point in ("/", "/dev", "/dev/kvm") and path.startswith(one.point)
        ]
        assert mount is not None or not above
        assert mount is None or len(mount.point) >= max((len(one.point) for one in above), default=0)
        assert mount is None or mount.point.startswith("/") or not mount.point


def write_mountinfo(data: bytes) -> None:
    """A mount point of any name comes back from the octal escapes that the kernel writes (mangle_path)."""
    source = Source(data)
    points = [
        "/"
        + text(
            source.words((b"dev", b"dev/kvm", b"a b", b"\\040", b"x\n1 2 0:3 / /dev nodev - a b c"))
        ).replace("\0", "")
        for _ in range(source.below(4) + 1)
    ]
    lines = (
        f"{number} 1 0:{number} / {escaped(point)} rw,nosuid shared:2 - tmpfs none rw\n"
        for number, point in enumerate(points)
    )
    assert [mount.point for mount in mountinfo.parse("".join(lines))] == points


def escaped(point: str) -> str:
    """Escapes as the kernel does (fs/seq_file.c, mangle_path with the characters of show_mountinfo)."""
    return "".join(f"\\{ord(one):03o}" if one in " \t\n\\" else one for one in point)


def read_kernel_log(data: bytes) -> None:
    """What is found stands in the log, is short, and is found again in itself."""
    lines = text(data).split("\n")
    messages = kernel_log.find(lines)
    for message in messages:
        assert len(message.text) <= 200
        assert any(message.text in line for line in lines)
        if len(message.text) < 200:
            assert message in kernel_log.find([message.text])
    assert len(messages) == len(set(messages))
    for topic in kernel_log.Topic:
        first = kernel_log.first(messages, topic)
        assert first == next((message.text for message in messages if message.topic is topic), "")


def read_meminfo(data: bytes) -> None:
    """A whole number of kilobytes, or ValueError in words."""
    try:
        total = meminfo.amount(text(data), "MemTotal")
    except ValueError as error:
        assert "MemTotal" in str(error)
    else:
        assert total >= 0
        assert total % 1024 == 0
        assert str(total // 1024) in text(data)


def read_process(data: bytes) -> None:
    """Numbers are numbers or None, and only the initial user namespace's map is the identity."""
    given = text(data)
    confinement = process.parse(given)
    assert confinement.seccomp is None or "Seccomp" in given
    assert confinement.capabilities is None or "CapEff" in given
    assert process.identity_mapped(given) is (re.fullmatch(r"\s*0\s+0\s+4294967295\s*", given) is not None)


def read_cgroup(data: bytes) -> None:
    """A device is allowed exactly where a line that the kernel can write names it, or all (devices.list)."""
    given = text(data)
    assert cgroup.devices_path(given) in given
    rule = re.compile(r"(a|c) (\*|10):(\*|232) ([rwm]+)", re.ASCII)
    matches = (rule.fullmatch(line) for line in given.split("\n"))
    if any(match and "r" in match[4] and "w" in match[4] for match in matches):
        assert cgroup.allows(given, 10, 232)


def read_hypervisor(data: bytes) -> None:
    """Whatever the firmware says, the name is one of ours, and it does not depend on anything else."""
    source = Source(data)
    words = [
        word.encode()
        for word in ("QEMU", "Amazon EC2", "Microsoft Corporation", "Virtual Machine", "Xen", "z/VM")
    ]
    words += [
        b"Google Compute Engine",
        b"Hypervisor detected: KVM",
        b"xen\n",
        b"linux,dummy-virt\0",
        b"VM00 Control Program: z/VM",
    ]
    dmi = {name: text(source.words(words)) for name in hypervisor.DMI_FIELDS}
    rest = [text(source.words(words)) for _ in range(4)]
    named = hypervisor.identify(
        dmi, hypervisor_type=rest[0], log=rest[1], sysinfo=rest[2], compatible=rest[3]
    )
    known = [value for value in vars(hypervisor).values() if isinstance(value, hypervisor.Hypervisor)]
    assert named is None or named in known


def read_qemu(data: bytes) -> None:
    """A version is told only where a greeting and three answers came; a complaint is short."""
    version = qemu.version(data)
    assert not version or (data.count(b"return") >= 3 and b"QMP" in data)
    complaint = qemu.complaint(data)
    assert complaint or data
    assert len(complaint) <= 200
    feature = qemu.refused_feature(data)
    assert not feature or feature in qemu.FEATURES.values()


def read_raw_cpuid(data: bytes) -> None:
    """Flags are words of what the child printed."""
    cpu = raw_cpuid.parse(data)
    assert (cpu is None) is (not data)
    if cpu is not None:
        assert all(flag and flag in data.decode("ascii", "replace") for flag in cpu.flags)
        assert len(cpu.hypervisor) <= 12


def read_names(data: bytes) -> None:
    """The name of a number is a field of its line in the database, or the number."""
    source = Source(data)
    number = source.below(1 << 16)
    database = text(source.rest())
    name = device_node.name(number, database)
    assert "\n" not in name
    assert name == str(number) or f"{name}:" in database
    mode, owner, group = number, source.below(3), source.below(3)
    for user in range(3):
        allowed = device_node.may_read_and_write(mode, owner, group, user, frozenset({user}))
        shift = 6 if user == owner else 3 if user == group else 0
        assert allowed is (mode >> shift & 6 == 6)
    assert device_node.kind(mode)


def read_acl(data: bytes) -> None:
    """A list that is read is written back byte for byte, and decides as the rules of acl(5) decide."""
    entries = acl.parse(data)
    if not entries:
        return
    written = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    assert data == (2).to_bytes(4, "little") + written
    assert all(str(entry).count(":") == 2 for entry in entries)
    for user in range(3):
        groups = frozenset({user, entries[0].number})
        decision = acl.decide(entries, 0, 1, user, groups)
        if decision is not None:
            assert decision.entry in entries
            assert not decision.allowed or decision.entry.permissions & 6 == 6
            assert decision.mask is None or (not decision.allowed and decision.mask.permissions & 6 != 6)


def read_apparmor(data: bytes) -> None:
    """Profiles are read back as the kernel writes them; those of other programs confine none of ours."""
    found = apparmor.profiles(text(data))
    assert all(name and name in text(data) and mode in text(data) for name, mode in found.items())
    ours = apparmor.confining(found, frozenset({"libvirtd"}))
    assert all(name.endswith("libvirtd") and ours[name] == found[name] for name in ours)
    assert not set(ours.values()) & {"complain", "unconfined"}


def read_container(data: bytes) -> None:
    """Whatever the surroundings say, the runtime is one that we know; without any sign there is none."""
    source = Source(data)
    files = {
        name: text(source.words((b"podman", b"lxc", b"docker\n")))
        for name in container.FILES
        if source.below(4) == 0
    }
    environment = text(source.words((b"KUBERNETES_SERVICE_HOST=10.0.0.1", b"container=lxc", b"PATH=/")))
    rest = source.rest()
    runtime = container.identify(environment, text(rest), files)
    if runtime is None:
        assert ".dockerenv" not in files
        assert "/kubepods" not in text(rest)
    else:
        assert f"{runtime.name}{runtime.device}{runtime.group}{runtime.no_filter}".isprintable()
    assert container.identify("", "0::/\n", {}) is None


def read_controllers(data: bytes) -> None:
    """A line as the kernel writes it is read; of another one nothing is."""
    found = controllers.listed(text(data))
    for line in text(data).split("\n"):
        if match := re.fullmatch(r"([a-z_]+)\t(\d{1,9})\t\d{1,9}\t([01])", line, re.ASCII):
            assert match[1] in found
    assert all(name and not re.search(r"\s", name) for name in found)


def read_cpu_lists(data: bytes) -> None:
    """A list counts as many CPUs as it names, and what the kernel would not write counts none."""
    given = text(data)
    count = cpus.in_list(given)
    assert 0 <= count <= cpus.MAX_CPU
    if count:
        numbers: list[int] = []
        for part in given.strip().split(","):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
        assert numbers == sorted(set(numbers))
        assert len(numbers) == count
    source = Source(data)
    chosen = sorted({source.below(300) for _ in range(source.below(30))})
    assert cpus.in_list(cpu_list(chosen)) == len(chosen)
    assert cpus.in_stat(given) <= given.count("cpu")


def cpu_list(numbers: Sequence[int]) -> str:
    """Returns a list as the kernel prints it (``%*pbl``)."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts) + "\n"


def read_words(data: bytes) -> None:
    """A chosen word stood in brackets; a version's numbers stand at the start; sizes are what names say."""
    given = text(data)
    word = selection.chosen(given)
    assert not word or f"[{word}]" in given
    version = release.version(given)
    if version is not None:
        assert re.match(rf"0*{version[0]}\.0*{version[1]}(\D|$)", given, re.ASCII)
        assert re.match(r"\d", given, re.ASCII)
    size = hugepages.size(given)
    assert size is None or re.fullmatch(rf"hugepages-0*{size}kB", given)
    count = natural(given)
    assert count is None or count == int(given)
    assert count is None or hugepages.spelled(count).isprintable()


def as_text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """Returns a parser of text as one of bytes."""
    return lambda data: parse(text(data))


CPUINFO = seeds("/cpuinfo", more=(b"processor 0: x\nfeatures : sie\nisa : rv64imafdh_zicsr\n",))
CMDLINE = seeds("/cmdline", more=(b'a="b c" "d=e f" g="h"i -- j', b'module_blacklist=kvm,"x" --'))
MODPROBE = seeds(".conf", more=(b"blacklist kvm-intel\ninstall kvm \\\n /bin/false\n# x\nalias a b\n",))
MODULES = seeds(
    *("modules.dep", "modules.builtin", "/modules"),
    more=(b"kernel/arch/x86/kvm/kvm-intel.ko.xz: a\nkvm 1 0 - Live 0x0\n",),
)
MOUNTS = (b"24 27 0:6 / /dev rw,nodev shared:2 - devtmpfs udev rw\n1 0 8:1 / / rw - ext4 a rw\n",)
LOG = (b"kvm: disabled by bios\nHypervisor detected: KVM\nSVM disabled (by BIOS) in MSR_VM_CR\n",)
MEMINFO = seeds("/meminfo", more=(b"MemTotal:       32780012 kB\nMemFree: 1 kB\n",))
STATUS = (
    b"Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\nCapEff:\t000001ffffffffff\nSeccomp_filters:\t1\n",
    b"0 0 4294967295\n",
)
DEVICES = (b"a *:* rwm\n", b"c 10:232 rw\nc 1:* m\nb 8:0 r\n5:devices:/x\n0::/y\n")
QMP = (
    b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}}}\n' + 3 * b'{"return": {}}\n',
    b"qemu: invalid accelerator tcg\n",
)
ACL = bytes.fromhex(
    "02000000 01000600ffffffff 02000600e8030000 04000400ffffffff 10000600ffffffff 20000000ffffffff"
)
CGROUPS = (
    b"\1\1\1\1\0" + b"0::/kubepods.slice/kubepods-pod1.slice\n",
    b"\1\1\1\1\0" + b"12:devices:/docker/0123\n0::/system.slice/x@1.service\n",
    b"\1\1\1\1\0" + b"1:name=systemd:/user.slice/lxc.payload.a/libpod-1\n",
)

TARGETS = (
    Target("cpuinfo", read_cpuinfo, CPUINFO, as_text(cpuinfo.parse)),
    Target("cpuinfo-written", write_cpuinfo),
    Target("misc", read_misc, seeds("/proc/misc", more=(b"232 kvm\n 10 rtc\n",)), as_text(misc.parse)),
    Target("cmdline", read_cmdline, CMDLINE, as_text(cmdline.parse)),
    Target(
        "modprobe",
        read_modprobe,
        MODPROBE,
        as_text(lambda given: modprobe.forbidding(modprobe.rules("f", given), "kvm", ())),
    ),
    Target("modprobe-files", choose_modprobe_files),
    Target(
        "modules",
        read_modules,
        MODULES,
        as_text(
            lambda given: (
                modules.named(given, WANTED),
                modules.dependencies(given, WANTED),
                modules.loaded(given),
            )
        ),
    ),
    Target(
        "mountinfo",
        read_mountinfo,
        MOUNTS,
        as_text(lambda given: mountinfo.holding(mountinfo.parse(given), "/dev/kvm")),
    ),
    Target("mountinfo-written", write_mountinfo),
    Target(
        "kernel-log",
        read_kernel_log,
        seeds("/kmsg", more=LOG),
        as_text(lambda given: kernel_log.find(given.split("\n"))),
    ),
    Target("meminfo", read_meminfo, MEMINFO),
    Target("process", read_process, STATUS, as_text(process.parse)),
    Target(
        "cgroup",
        read_cgroup,
        DEVICES,
        as_text(lambda given: (cgroup.devices_path(given), cgroup.allows(given, 10, 232))),
    ),
    Target(
        "hypervisor",
        read_hypervisor,
        (),
        as_text(lambda given: hypervisor.identify({}, sysinfo=given, log=given)),
    ),
    Target("qemu", read_qemu, QMP, lambda data: (qemu.version(data), qemu.complaint(data))),
    Target(
        "kconfig",
        read_kconfig,
        (b"CONFIG_KVM=m\nCONFIG_MODULES=y\n# CONFIG_KVM_AMD is not set\n",),
        as_text(kconfig.parse),
    ),
    Target("msr", read_msr, (b"\5" + bytes(7), b"\x10" + bytes(7))),
    Target("raw-cpuid", read_raw_cpuid, (b"svm vmx\n",), raw_cpuid.parse),
    Target(
        "names",
        read_names,
        (b"\0\0root:x:0:0::/root:/bin/sh\nkvm:x:107:\n",),
        as_text(lambda given: device_node.name(7, given)),
    ),
    Target("acl", read_acl, (ACL,), acl.parse),
    Target(
        "apparmor",
        read_apparmor,
        (b"/usr/sbin/libvirtd (enforce)\nlibvirtd//qemu_bridge_helper (complain)\n",),
        as_text(apparmor.profiles),
    ),
    Target("container", read_container, CGROUPS, as_text(lambda given: container.identify(given, given, {}))),
    Target(
        "controllers",
        read_controllers,
        (b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t12\t1\n",),
        as_text(controllers.listed),
    ),
    Target(
        "cpu-lists",
        read_cpu_lists,
        (b"0-3,8,10-11\n", b"cpu  1\ncpu0 1\ncpu12 2\n"),
        as_text(lambda given: (cpus.in_list(given), cpus.in_stat(given))),
    ),
    Target(
        "words",
        read_words,
        (b"always [madvise] never", b"6.1.0-18-cloud-amd64", b"hugepages-2048kB", b"12\n"),
        as_text(selection.chosen),
    ),
)
"""Each parser, and for some what they read back of what the kernel would write."""
