"""What is built from the checkout: a wheel with all of the package in it, compiled only where that is possible."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

from batchsend.version import DISTRIBUTION, with_extra

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "batchsend"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IS_NO_COMPILER = "/there/is/no/compiler"
WITHIN = 60


def build(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Build a wheel as pip does, without bringing in what the build needs."""
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=4 * WITHIN,  # compiling computes for long, and shares the cores
        check=False,
    )


def only_wheel(folder: Path) -> Path:
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_the_plain_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    built = build(tmp_path, BATCHSEND_PURE="1")
    assert built.returncode == 0, built.stderr
    wheel = only_wheel(tmp_path)
    assert wheel.name.endswith("-py3-none-any.whl")
    inside = {name for name in ZipFile(wheel).namelist() if name.startswith("batchsend/")}
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in {".pyc", ".so"}}
    assert inside == {str(path.relative_to(ROOT)) for path in files} - {"batchsend/_build.py"}
    assert "batchsend/py.typed" in inside


def test_without_a_compiler_the_wheel_is_plain_and_one_line_says_so(tmp_path: Path) -> None:
    built = build(tmp_path, CC=IS_NO_COMPILER)
    assert built.returncode == 0, built.stderr
    assert only_wheel(tmp_path).name.endswith("-py3-none-any.whl")
    said = [line for line in (built.stdout + built.stderr).splitlines() if "plain Python" in line]
    assert said == [f"batchsend is built as plain Python, which is slower: there is no C compiler ({IS_NO_COMPILER})"]


def test_what_must_be_compiled_and_cannot_is_an_error(tmp_path: Path) -> None:
    built = build(tmp_path, CC=IS_NO_COMPILER, BATCHSEND_COMPILED="1")
    assert built.returncode != 0
    assert "there is no C compiler" in built.stderr
    assert not list(tmp_path.glob("*.whl"))


@pytest.mark.slow
def test_a_compiler_that_fails_leaves_plain_python_and_nothing_in_the_checkout(tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    built = build(tmp_path, CC=str(compiler))
    assert built.returncode == 0, built.stderr
    assert only_wheel(tmp_path).name.endswith("-py3-none-any.whl")
    assert "plain Python, which is slower: " in built.stdout + built.stderr
    assert not list(PACKAGE.rglob("*.so"))


def test_an_editable_installation_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a wheel must be compiled and cannot be, an editable installation does not even look for the compiler."""
    monkeypatch.delenv("BATCHSEND_PURE", raising=False)
    monkeypatch.setenv("BATCHSEND_COMPILED", "1")
    monkeypatch.setenv("CC", IS_NO_COMPILER)
    hook = WheelBuilder(str(ROOT)).get_build_hooks(str(tmp_path))["custom"]
    with pytest.raises(Exception, match="there is no C compiler"):
        hook.initialize("standard", {})
    hook.initialize("editable", {})


def test_only_what_holds_is_claimed() -> None:
    """A session is an asyncio protocol: batchsend does not run on trio, and so is no framework of anyio's."""
    frameworks = [entry for entry in PROJECT["project"]["classifiers"] if entry.startswith("Framework")]
    assert frameworks == ["Framework :: AsyncIO"]
    assert PROJECT["project"]["scripts"] == {"batchsend": "batchsend.__main__:main"}


def test_what_is_said_to_install_is_this_distribution_and_an_extra_that_it_has() -> None:
    assert PROJECT["project"]["name"] == DISTRIBUTION
    extras = PROJECT["project"]["optional-dependencies"]
    wrong = []
    for file in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.md"), ROOT / "README.md"]:
        for said in re.finditer(r"""pip install '?([\w.-]*)\[([^]]*)]|with_extra\(["'](\w+)["']\)""", file.read_text()):
            named, extra, owned = said.groups()
            if "{" not in said[0] and (named not in (None, DISTRIBUTION) or (extra or owned) not in extras):
                wrong.append(f"{file.relative_to(ROOT)}: {said[0]}")
    assert wrong == []
    assert with_extra("web") == f"pip install '{DISTRIBUTION}[web]'"
