"""What tests need from the machine; without it they are skipped, or fail where everything must be there.

``make test-all`` says that everything must be there, by the variable ``BATCHSEND_TEST_EVERYTHING``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

EVERYTHING_IS_HERE = os.environ.get("BATCHSEND_TEST_EVERYTHING") == "1"

# The one reason to skip a test that says nothing about what the machine lacks.
ROOT_MAY_EVERYTHING = "root may read and write everything"
NO_MAILERS = "this Django has no MAILERS"
"""Django 6.1 is the first one that has them, and needs Python 3.12."""
NO_OTHER_DJANGO = "no other Django in an environment of its own is there: bash .ci/django"
"""Django 6 needs Python 3.12, which a machine whose Python is 3.11 may not have besides."""

_SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def unpacked() -> Path:
    """Return the directory into which ``.ci/servers`` unpacks the servers that cannot be installed side by side."""
    named = os.environ.get("BATCHSEND_SERVERS")
    if named:
        return Path(named)
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache_home) / "batchsend-tests"


def missing(what: str) -> NoReturn:
    """Skip the test for want of something; where everything must be there, `tests/conftest.py` makes it a failure."""
    pytest.skip(f"{what}; `bash .ci/servers` installs what the tests need")


def program(name: str) -> Path:
    """Return the path of a server's program: installed, or unpacked by ``.ci/servers``."""
    search = [*os.environ.get("PATH", "").split(os.pathsep), *_SYSTEM_DIRECTORIES, str(unpacked() / "usr/sbin")]
    found = shutil.which(name, path=os.pathsep.join(search))
    if found is None:
        missing(f"{name} is not on this machine")
    return Path(found)


@cache
def _namespaces_work() -> bool:
    command = ["unshare", "--mount", "--pid", "--fork", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


def namespaces() -> None:
    """Require mount and PID namespaces, in which the servers are run: root has them, most containers do not."""
    if os.geteuid() != 0 or not _namespaces_work():
        missing("mail servers are run in namespaces of their own, which needs root")
