"""The build hook: a wheel's hot path is compiled by mypyc where a C compiler is there, and is plain Python elsewhere.

Hatchling runs this file when a wheel is built, as by ``pip install .``; it is not part of the wheel. The environment
decides between the two kinds: ``BATCHSEND_PURE=1`` asks for plain Python, ``BATCHSEND_COMPILED=1`` makes it an error
that nothing could be compiled; without either, what cannot be compiled is left as it is, and one line says so. An
editable installation is never compiled: its source is what runs.

What is compiled is listed in pyproject.toml, below ``[tool.hatch.build.targets.wheel.hooks.custom]``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGE = "batchsend"

# setuptools wants a program of its own for what mypyc makes.
_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup
setup(name="batchsend", packages=[], py_modules=[], ext_modules=mypycify(sys.argv[1:], opt_level="3", target_dir="c"),
      script_args=["build_ext", "--inplace", "--build-temp", "objects"])
"""


class CannotCompileError(Exception):
    """Nothing can be compiled here; the text says why."""


class CompiledHotPath(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel, beside the files that they were made from."""

    _folder: TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """Return what compiling needs: the run-time dependencies too, for mypyc checks every type first."""
        if self.target_name != "wheel" or _asked("BATCHSEND_PURE") or _no_compiler() is not None:
            return []
        return ["mypy>=1.13", "setuptools>=65", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together.

        Raises:
            CannotCompileError: Nothing can be compiled here, and ``BATCHSEND_COMPILED=1`` says that it must be.
        """
        if self.target_name != "wheel" or version == "editable" or _asked("BATCHSEND_PURE"):
            return
        try:
            modules = self._compile()
        except CannotCompileError as error:
            if _asked("BATCHSEND_COMPILED"):
                raise
            reason = str(error).strip().splitlines()[-1]
            self.app.display_warning(f"batchsend is built as plain Python, which is slower: {reason}")
            return
        build_data["infer_tag"] = True
        build_data["pure_python"] = False
        build_data["force_include"].update(modules)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's signature
        """Remove what the compiler made, once the wheel has it."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _compile(self) -> dict[str, str]:
        """Compile a copy of the package, so that the checkout never holds a module that hides its source.

        Returns:
            Each compiled file, and its place in the wheel.

        Raises:
            CannotCompileError: There is no compiler, or it failed; with all that it said.
        """
        why_not = _no_compiler()
        if why_not is not None:
            raise CannotCompileError(why_not)
        self._folder = TemporaryDirectory(prefix="batchsend-build-")
        folder = Path(self._folder.name).resolve()
        left_out = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(Path(self.root, _PACKAGE), folder / _PACKAGE, ignore=left_out)
        sources = [str(source.relative_to(folder)) for source in self._sources(folder)]
        # What the extras bring is not there while the package is built, and nothing compiled looks into it.
        command = [sys.executable, "-c", _SETUP, "--ignore-missing-imports", *sources]
        ran = subprocess.run(  # noqa: S603 - ourselves
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if ran.returncode:
            raise CannotCompileError(f"the compiler failed:\n{ran.stdout}")
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        found = [*folder.glob(f"*{suffix}"), *folder.glob(f"{_PACKAGE}/**/*{suffix}")]
        return {str(module): str(module.relative_to(folder)) for module in found}

    def _sources(self, folder: Path) -> list[Path]:
        chosen = {source for pattern in self.config["include"] for source in folder.glob(pattern)}
        return sorted(source for source in chosen if source.name != "__init__.py")


def _asked(variable: str) -> bool:
    return os.environ.get(variable) == "1"


def _no_compiler() -> str | None:
    """Why nothing can be compiled here; None where a C compiler and Python's headers are there."""
    if sys.implementation.name != "cpython":
        return f"mypyc compiles for CPython, and this is {sys.implementation.name}"
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(command[0]) is None:
        return f"there is no C compiler ({command[0]})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers (Python.h) are not installed"
    return None
