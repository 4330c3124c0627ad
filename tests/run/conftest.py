"""What the tests of whole runs have in common: the command line on a loop whose clock jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.run.limited import Commands

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.virtual import VirtualLoop


@pytest.fixture
def commands(
    loop: VirtualLoop, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Commands:
    return Commands(loop, tmp_path, capsys, monkeypatch)
