"""modprobe's configuration as we read it, against modprobe itself, on modules that were made for it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kofile import module

from linux import modprobe, modules

RELEASE = "9.9.9"
VENDOR, CORE, LEAF = "vm_vendor", "vm_core", "vm_leaf"
ALIAS = "cpu:type:x86,ven0002fam0019:feature:,00C2,"
LOADS = "/sbin/modprobe --ignore-install"

pytestmark = pytest.mark.skipif(
    not (shutil.which("modprobe") and shutil.which("depmod")), reason="needs modprobe and depmod (kmod)"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with three modules, of which the first needs the others, as kvm_amd does."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "lib/modules" / RELEASE
    folder.mkdir(parents=True)
    (folder / "vm-leaf.ko").write_bytes(module(LEAF, exports=["leaf_init"]))
    (folder / "vm-core.ko").write_bytes(module(CORE, exports=["core_init"], needs=["leaf_init"]))
    (folder / "vm-vendor.ko").write_bytes(
        module(VENDOR, alias="cpu:type:x86,ven*fam*:feature:*00C2*", needs=["core_init"])
    )
    subprocess.run(["depmod", "-b", root, RELEASE], check=True)
    return root


def dependencies(root: Path) -> dict[str, tuple[str, ...]]:
    text = (root / "lib/modules" / RELEASE / "modules.dep").read_text()
    return modules.dependencies(text, frozenset({VENDOR, CORE, LEAF}))


def test_depmods_list_is_read(root: Path) -> None:
    assert dependencies(root)[VENDOR] == ("vm-vendor.ko", "vm-core.ko", "vm-leaf.ko")


def truly_loads(root: Path, directories: list[Path]) -> bool:
    """Whether modprobe, asked for the alias as udev asks, would load the module and all that it needs."""
    configuration = [word for directory in directories for word in ("-C", str(directory))]
    run = subprocess.run(
        ["modprobe", "-n", "-v", "-b", "-d", root, "-S", RELEASE, *configuration, ALIAS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    done = run.stdout.decode().splitlines()
    if any(line.startswith("install") and LOADS not in line for line in done):
        return False
    return any("vm-vendor.ko" in line or f"{LOADS} {VENDOR}" in line for line in done)


def as_we_read(root: Path, directories: list[Path]) -> bool:
    listing = {str(directory): [path.name for path in directory.iterdir()] for directory in directories}
    every = [
        rule
        for file in modprobe.effective_files(listing)
        for rule in modprobe.rules(file, Path(file).read_bytes().decode())
    ]
    return (
        modprobe.forbidding(every, VENDOR, modules.Modules(on_disk=dependencies(root)).needs(VENDOR)) is None
    )


NAMES = st.sampled_from(
    [VENDOR, "vm-vendor", CORE, "vm-core", LEAF, "vm_vend", "vm_vendor2", "vm*", "vm[_]vendor"]
)
COMMANDS = st.sampled_from(["/bin/false", "/bin/true", "", ":", "exit 0"])
LINES = st.one_of(
    st.builds("blacklist {}".format, NAMES),
    st.builds("install {} {}".format, NAMES, COMMANDS),
    st.sampled_from([VENDOR, CORE]).map(lambda name: f"install {name} {LOADS} {name}"),
    st.builds("# blacklist {}".format, NAMES),
    st.builds(" \tblacklist\t {} # why".format, NAMES),
    st.builds(
        "blacklist {}\\\n{}".format,
        st.sampled_from(["vm_", "vm_vendor", "vm"]),
        st.sampled_from(["", "vendor"]),
    ),
    st.builds("options {} nested=1".format, NAMES),
    st.builds(
        "softdep {} {}".format, NAMES, st.sampled_from(["pre: vm_leaf", "post: vm_leaf", "pre:", "vm_leaf"])
    ),
    st.sampled_from(
        ["", "\\", "blacklist", "install", "Blacklist vm_vendor", "blacklist vm_vendor\r", "# \\"]
    ),
)
FILES = st.dictionaries(
    st.sampled_from(["a.conf", "b.conf", ".c.conf", "d.txt"]),
    st.lists(LINES, max_size=4).map("\n".join),
    max_size=3,
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [tmp_path_factory.mktemp(name) for name in ("etc", "run", "lib")]


@settings(max_examples=150, deadline=None)
@given(st.lists(FILES, min_size=1, max_size=3))
def test_we_read_what_modprobe_reads(root: Path, places: list[Path], files: list[dict[str, str]]) -> None:
    directories = places[: len(files)]
    for directory, contents in zip(directories, files, strict=True):
        for old in directory.iterdir():
            old.unlink()
        for name, text in contents.items():
            (directory / name).write_text(text)
    assert as_we_read(root, directories) is truly_loads(root, directories)
