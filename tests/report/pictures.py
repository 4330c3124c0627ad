"""The pictures of the report in the README: `python -m tests.report.pictures`, which sends a campaign for some minutes.

They are PNG, and larger than they need be: `pngquant --strip --ext .png --force samples/pictures/report-*.png` helps.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args

from tests.report.browser import Scheme, browsing
from tests.report.trouble import send

FOLDER = Path(__file__).resolve().parents[2] / "samples" / "pictures"
_WIDTH = 960
_HEIGHT = 1180


def draw(log: Path, folder: Path) -> None:
    """Draw the report of a log, by day and by night."""
    page = folder / "report.html"
    subprocess.run(
        [sys.executable, "-m", "batchsend", "report", log, "--html", page], check=True, stdout=subprocess.DEVNULL
    )
    with browsing(folder / "profile") as browser:
        for scheme in get_args(Scheme):
            with browser.page() as opened:
                opened.show(page.as_uri(), width=_WIDTH, scheme=scheme)
                opened.picture(FOLDER / f"report-{scheme}.png", height=_HEIGHT)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        draw(send(Path(name), records=9000, per_second=300, delay=0.008), Path(name))
