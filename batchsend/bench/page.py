"""Writes what a bench has found as one HTML page that contains no script and needs no network."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from batchsend import figures
from batchsend.bench import curves
from batchsend.bench.findings import per_second
from batchsend.bench.load import LATENCIES, name_of
from batchsend.bench.measurement import PERCENTILES
from batchsend.display import one_line


def render(found: dict[str, Any], *, version: str) -> str:
    """The page. What the server has said is text in it, whatever it looks like.

    Args:
        found: What ``batchsend bench --json`` prints.
        version: The version of batchsend, which the page names as its maker.
    """
    # The look of the report, and what only curves need.
    style = "".join(
        files(package).joinpath(folder, name).read_text(encoding="utf-8")
        for package, folder, name in (
            ("batchsend.report", "page", "page.css"),
            ("batchsend.bench", "templates", "curves.css"),
        )
    )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("batchsend.bench", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: one_line(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    ladder = found["kind"] == "ladder"
    return environment.get_template("bench.html").render(
        found=found,
        ladder=ladder,
        charts=curves.of_ladder(found) if ladder else curves.of_load(found),
        sentences=(found["advice"] or {}).get("sentences", []) if ladder else found["sentences"],
        percentiles=[(f"p{percent:g}", name_of(percent)) for percent in (PERCENTILES if ladder else LATENCIES)],
        figures=figures,
        per_second=per_second,
        style=Markup(style),  # noqa: S704 - files of this package
        # CSP Level 3 §2.3.1: of all styles, this one is allowed.
        style_hash=b64encode(sha256(style.encode()).digest()).decode("ascii"),
        version=version,
    )
