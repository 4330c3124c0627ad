"""The README's pictures of the live view: ``python -m tests.tools.pictures`` draws them anew, always the same."""

from __future__ import annotations

import os
import time
from io import StringIO
from pathlib import Path
from typing import Final

from msgspec.structs import replace
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from batchsend.delivery.statistics import Slowdown
from batchsend.monitor.pace import Speed
from batchsend.monitor.view import view
from tests.monitor.samples import SLOWED, busy

FOLDER: Final = Path(__file__).resolve().parents[2] / "samples" / "pictures"
COLUMNS: Final = 88

_MARGIN: Final = 10
_CELL: Final = (12.2, 24.4)  # of a character, as `rich` draws it
_SPEED: Final = Speed(61.4, 41.2, 407.2, 214.0)
_POOL: Final = replace(SLOWED, slowdown=Slowdown(1_763_809_391.0, "454 4.7.0 Throttling failure", 1))


def _theme(background: str, foreground: str, colours: str) -> TerminalTheme:
    """A theme of colours as six hexadecimal digits; eight, and the same bright: black, red, green, … white."""

    def rgb(colour: str) -> tuple[int, int, int]:
        red, green, blue = bytes.fromhex(colour)
        return red, green, blue

    sixteen = [rgb(colour) for colour in colours.split()]
    return TerminalTheme(rgb(background), rgb(foreground), sixteen[:8], sixteen[8:])


_LIGHT: Final = _theme(
    "ffffff",
    "24292f",
    "24292f cf222e 1a7f37 9a6700 0969da 8250df 1b7c83 6e7781 d0d7de a40e26 2da44e bf8700 218bff a475f9 3192aa 8c959f",
)
_DARK: Final = _theme(
    "0d1117",
    "e6edf3",
    "484f58 ff7b72 3fb950 d29922 58a6ff bc8cff 39c5cf b1bac4 30363d ffa198 56d364 e3b341 79c0ff d2a8ff 56d4dd f0f6fc",
)
PICTURES: Final = {"live-light.svg": _LIGHT, "live-dark.svg": _DARK}

# `rich`'s own without its window and without its fonts, which would be loaded from elsewhere.
_FORMAT: Final = """<svg viewBox="-MARGIN -MARGIN WIDTH HEIGHT" xmlns="http://www.w3.org/2000/svg" role="img">
<title>batchsend sending a campaign: what has become of its records, how fast it goes, and its sessions</title>
<style>
.{unique_id}-matrix {{
  font: {char_height}px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; line-height: {line_height}px
}}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
<rect x="-MARGIN" y="-MARGIN" width="100%" height="100%" rx="6" fill="GROUND"/>
<g clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(name: str) -> str:
    """One of the pictures as SVG."""
    theme = PICTURES[name]
    os.environ["TZ"] = "UTC"
    time.tzset()
    console = Console(
        file=StringIO(), record=True, width=COLUMNS, force_terminal=True, color_system="standard", highlight=False
    )
    lines = [Text("$ batchsend send campaign.toml"), *view(busy(pool=_POOL), _SPEED, width=COLUMNS - 1, height=30)]
    for line in lines:
        console.print(line)
    values = {
        "MARGIN": str(_MARGIN),
        "WIDTH": f"{COLUMNS * _CELL[0] + 2 * _MARGIN:g}",
        "HEIGHT": f"{len(lines) * _CELL[1] + 2 * _MARGIN:g}",
        "GROUND": theme.background_color.hex,
    }
    code_format = _FORMAT
    for word, value in values.items():
        code_format = code_format.replace(word, value)
    return console.export_svg(theme=theme, code_format=code_format, unique_id=name.removesuffix(".svg"))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for picture in PICTURES:
        (FOLDER / picture).write_text(draw(picture))
