"""How many histories a property is tried on.

`make test` tries few, and twenty times as many are tried by
``VM_PREFLIGHT_EXAMPLES=20 .venv/bin/python -m pytest --timeout=0 tests/controller``.
"""

import os

FACTOR = int(os.environ.get("VM_PREFLIGHT_EXAMPLES", "1"))


def examples(few: int) -> int:
    """Returns how many examples to try where ``few`` are tried otherwise."""
    return few * FACTOR
