"""``vm-preflight version``: which program this is."""

from collections.abc import Sequence

from cli.options import Parser


def main(program: str, words: Sequence[str]) -> int:
    """Prints the version of this program and of the Python that runs it."""
    import platform

    from preflight.version import version

    Parser(program, "Prints the version.").parse_args(words)
    print(f"vm-preflight {version()} (Python {platform.python_version()})")
    return 0
