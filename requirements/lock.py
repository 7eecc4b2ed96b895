"""Renews the locked requirements from pyproject.toml, with pip-tools in an environment of its own."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = [
    "--quiet",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--strip-extras",
    "--allow-unsafe",
    "--no-header",
    "--annotation-style=line",
]


def main() -> None:
    """Writes runtime.txt (what the image installs), dev.txt (that and the tests' tools) and build.txt."""
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        pip_compile = Path(directory, "bin", "pip-compile")
        subprocess.run([pip_compile.with_name("pip"), "install", "--quiet", "pip-tools"], check=True)
        for name, extra in (
            ("runtime", []),
            ("dev", ["--extra=dev"]),
            ("build", ["--build-deps-for=wheel", "--only-build-deps"]),
        ):
            output = HERE / f"{name}.txt"
            command: list[str | Path] = [
                pip_compile,
                *OPTIONS,
                *sys.argv[1:],
                *extra,
                f"--output-file={output}",
                "pyproject.toml",
            ]
            subprocess.run(command, check=True, cwd=HERE.parent)


if __name__ == "__main__":
    main()
