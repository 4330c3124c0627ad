"""What programs are told of the library's types: mypy and pyright read the same program, and neither objects."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import batchsend
from tests.servers.requirements import EVERYTHING_IS_HERE

PROGRAM = Path(__file__).with_name("program.py")
ROOT = Path(__file__).parents[2]


def test_the_program_uses_every_public_name() -> None:
    used = {node.id for node in ast.walk(ast.parse(PROGRAM.read_text())) if isinstance(node, ast.Name)}
    assert set(batchsend.__all__) - used == set()


def test_the_program_uses_every_public_method_and_attribute() -> None:
    """Those that a class defines or documents; the fields of a struct have their types where they stand."""
    used = {node.attr for node in ast.walk(ast.parse(PROGRAM.read_text())) if isinstance(node, ast.Attribute)}
    missing = {}
    for name in batchsend.__all__:
        if inspect.isclass(kind := getattr(batchsend, name)):
            defined = {
                called
                for called, member in vars(kind).items()
                if isinstance(member, property) or inspect.isfunction(getattr(member, "__func__", member))
            }
            told = re.search(r"Attributes:\n((?:    .*\n|\n)+)", f"{inspect.getdoc(kind)}\n")
            attributes = set(re.findall(r"^    (\w+):", told[1], re.MULTILINE)) if told else set()
            public = {one for one in defined | attributes - set(inspect.get_annotations(kind)) if one[0] != "_"}
            if public - used:
                missing[name] = sorted(public - used)
    assert missing == {}


@pytest.mark.slow
def test_mypy_agrees() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file", os.devnull, str(PROGRAM)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.slow
def test_pyright_agrees() -> None:
    found = shutil.which("pyright", path=str(Path(sys.executable).parent))
    if found is None and not EVERYTHING_IS_HERE:
        pytest.skip("pyright is not installed")
    assert found is not None, "pyright is not installed"
    command = [found, "--outputjson", "--pythonpath", sys.executable, str(PROGRAM)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    told = json.loads(ran.stdout)
    assert [one["message"] for one in told["generalDiagnostics"]] == []
    assert told["summary"]["filesAnalyzed"] == 1
