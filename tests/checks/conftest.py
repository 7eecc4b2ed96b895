"""A host root that every user may look into: files of this machine, and a ``dev`` of its own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

COPIED = ("proc/misc", "proc/cpuinfo", "proc/meminfo", "proc/sys/kernel/osrelease", "sys/class/misc/kvm/dev")


@pytest.fixture
def root() -> Iterator[Path]:
    """Links below a root stay below it, so that files are copied."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        made = Path(directory)
        made.chmod(0o755)
        (made / "dev/net").mkdir(parents=True)
        for path in COPIED:
            if Path("/", path).exists():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_bytes(Path("/", path).read_bytes())
        (made / "sys/dev/char/1:3").mkdir(parents=True)
        (made / "etc").mkdir()
        (made / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:4000:4000::/:/bin/sh\n")
        (made / "etc/group").write_text("root:x:0:\nkvm:x:107:\n")
        yield made
