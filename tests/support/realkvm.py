"""Whether this machine has a KVM to test with, and whether tests may make device nodes and mounts."""

import os
import subprocess

import pytest


def _kvm_error() -> str:
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    return ""


def _root_error() -> str:
    if os.geteuid() != 0:
        return "not root: no device node or mount can be made"
    try:
        subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no mount namespace can be made: {error}"
    return ""


needs_kvm = pytest.mark.skipif(bool(_kvm_error()), reason=_kvm_error() or "it opens")
needs_root = pytest.mark.skipif(bool(_root_error()), reason=_root_error() or "root")
