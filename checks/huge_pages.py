"""Which huge pages are reserved on the node?

Reads ``/sys/kernel/mm/hugepages``, and how they are spread over NUMA nodes (kernel:
Documentation/admin-guide/mm/hugetlbpage.rst). A virtual machine that asks for huge pages needs reserved ones;
others do without, so none is an answer like any other.
"""

from linux import hugepages, selection
from linux.errors import words
from linux.number import natural
from linux.reader import text
from preflight.check import ADVISORY, Run, Setting, check
from preflight.host import Host
from preflight.result import Finding, failing, passing, skipping, unknown

ROOT = "/sys/kernel/mm/hugepages"
NODES = "/sys/devices/system/node"
TRANSPARENT = "/sys/kernel/mm/transparent_hugepage/enabled"

MINIMUM = Setting(
    "minimum_bytes",
    0,
    "Bytes of huge pages, of all sizes together, that the node must have reserved.",
    minimum=0,
)

RESERVED = passing("Reserved")
NONE_RESERVED = passing("NoneReserved")
TOO_FEW = failing(
    "TooFew",
    hint="sysctl -w vm.nr_hugepages=N; for good, and for pages of 1 GiB: hugepagesz=1G hugepages=N on the "
    "kernel command line; then systemctl restart kubelet",
)
NOT_SUPPORTED = skipping("NotSupported")
UNREADABLE = unknown("Unreadable", hint=f"grep . {ROOT}/*/*_hugepages; in a container, mount the host's /sys")


@check(
    "HugePages",
    question="Which huge pages are reserved on the node?",
    weight=ADVISORY,
    outcomes=(RESERVED, NONE_RESERVED, TOO_FEW, NOT_SUPPORTED, UNREADABLE),
    reads=(
        f"{ROOT}/hugepages-*/{{nr,free}}_hugepages",
        f"{NODES}/node*/hugepages/hugepages-*/nr_hugepages",
        TRANSPARENT,
    ),
    source="kernel: Documentation/admin-guide/mm/hugetlbpage.rst",
    settings=(MINIMUM,),
)
def huge_pages(host: Host, run: Run) -> Finding:
    """Counts the pages of each size."""
    minimum = run.number(MINIMUM)
    evidence: dict[str, str] = {}
    told, total = [], 0
    try:
        sizes = _sizes(host)
        for name, kibibytes in sizes:
            number, free = (_count(host, f"{ROOT}/{name}/{kind}_hugepages") for kind in ("nr", "free"))
            evidence[f"{ROOT}/{name}/nr_hugepages"] = str(number)
            total += number * kibibytes * 1024
            if number:
                told.append(f"{number} of {hugepages.spelled(kibibytes)} ({free} free{_spread(host, name)})")
    except OSError as error:
        return UNREADABLE(f"reading {error.filename}: {words(error.errno or 0)}", evidence=evidence)
    except ValueError as error:
        return UNREADABLE(str(error), evidence=evidence)
    there = ", ".join(told) or "no huge page is reserved"
    if total < minimum:
        return TOO_FEW(f"{there}; {hugepages.spelled(minimum // 1024)} are asked for", evidence=evidence)
    if not sizes:
        return NOT_SUPPORTED("this kernel has no huge pages (hugetlb)")
    transparent = selection.chosen(text(host, TRANSPARENT))
    if transparent:
        evidence[TRANSPARENT] = transparent
        there += f"; transparent huge pages: {transparent}"
    return (RESERVED if total else NONE_RESERVED)(there, evidence=evidence)


def _sizes(host: Host) -> list[tuple[str, int]]:
    """Returns directory and kibibytes of each size, none where the kernel was built without.

    Raises:
        OSError: The kernel's answer.
        ValueError: Something else is there.
    """
    try:
        names = host.listdir(ROOT)
    except FileNotFoundError:
        host.stat("/sys/kernel/mm")  # where that is not there either, sysfs is not
        return []
    sizes = [(name, kibibytes) for name in names if (kibibytes := hugepages.size(name))]
    if len(sizes) < len(names):
        raise ValueError(f"{ROOT} holds something that is no size of a page")
    return sorted(sizes, key=lambda pair: pair[1])


def _count(host: Host, path: str) -> int:
    number = natural(host.read_text(path).strip())
    if number is None:
        raise ValueError(f"{path} holds no number")
    return number


def _spread(host: Host, name: str) -> str:
    """Says how many pages each NUMA node has, where there is more than one."""
    try:
        nodes = [node for node in host.listdir(NODES) if node.startswith("node") and node[4:].isdigit()]
    except OSError:
        return ""
    if len(nodes) < 2:
        return ""
    nodes.sort(key=lambda node: (len(node), node))
    counts = (text(host, f"{NODES}/{node}/hugepages/{name}/nr_hugepages").strip() for node in nodes)
    return "; " + ", ".join(f"{node} {number}" for node, number in zip(nodes, counts, strict=True) if number)
