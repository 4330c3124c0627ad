"""Workbooks as spreadsheets write them, made by hand: no more than what a reader needs."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Formatted(NamedTuple):
    """A number in a cell with a number format.

    Attributes:
        value: The number.
        code: The format, or the number of one that is built in.
        shown: What the spreadsheet shows, which an .ods file has beside the number.
    """

    value: float
    code: str | int
    shown: str


Cell = str | float | bool | dt.date | dt.timedelta | Formatted | None

_EPOCH = dt.date(1899, 12, 30)
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def xlsx(**sheets: Sequence[Sequence[Cell]]) -> bytes:
    """An Office Open XML workbook."""
    names = list(sheets)
    codes = _codes(sheets.values())
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" ContentType='
        '"application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" Type="{_RELATIONS}'
        '/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(names, 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
        + "".join(
            f'<Relationship Id="rId{n}" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in range(1, len(names) + 1)
        )
        + f'<Relationship Id="rId99" Type="{_RELATIONS}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><numFmts>'
        + "".join(
            f'<numFmt numFmtId="{164 + place}" formatCode={quoteattr(code)}/>'
            for place, code in enumerate(codes)
            if isinstance(code, str)
        )
        + '</numFmts><cellStyleXfs count="1"><xf numFmtId="44"/></cellStyleXfs><cellXfs><xf numFmtId="0"/>'
        '<xf numFmtId="14"/><xf numFmtId="46"/>'
        + "".join(
            f'<xf numFmtId="{164 + place if isinstance(code, str) else code}"/>' for place, code in enumerate(codes)
        )
        + "</cellXfs></styleSheet>",
    }
    for number, rows in enumerate(sheets.values(), 1):
        body = "".join(
            f'<row r="{r}">{"".join([_xlsx_cell(cell, codes) for cell in row])}</row>' for r, row in enumerate(rows, 1)
        )
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{_MAIN}"><sheetData>{body}</sheetData></worksheet>'
        )
    return _zipped({name: _XML + text for name, text in parts.items()})


def _codes(sheets: Iterable[Sequence[Sequence[Cell]]]) -> list[str | int]:
    """The number formats of all cells, each once."""
    cells = [cell for rows in sheets for row in rows for cell in row]
    return list(dict.fromkeys(cell.code for cell in cells if isinstance(cell, Formatted)))


def ods(**sheets: Sequence[Sequence[Cell]]) -> bytes:
    """An OpenDocument spreadsheet."""
    name = "urn:oasis:names:tc:opendocument:xmlns"
    codes = _codes(sheets.values())
    tables = "".join(
        f'<table:table table:name="{title}">'
        + "".join(
            f"<table:table-row>{''.join([_ods_cell(cell, codes) for cell in row])}</table:table-row>" for row in rows
        )
        + "</table:table>"
        for title, rows in sheets.items()
    )
    content = (
        f'{_XML}<office:document-content xmlns:office="{name}:office:1.0" xmlns:table="{name}:table:1.0" '
        f'xmlns:text="{name}:text:1.0" xmlns:style="{name}:style:1.0" xmlns:number="{name}:datastyle:1.0">'
        f"<office:automatic-styles>{''.join(map(_ods_style, range(len(codes))))}</office:automatic-styles>"
        f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>"
    )
    manifest = f'{_XML}<manifest:manifest xmlns:manifest="{name}:manifest:1.0"/>'
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    return _zipped({"mimetype": kind, "content.xml": content, "META-INF/manifest.xml": manifest})


def _zipped(parts: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # of 1980: the same octets whenever it is made
    return file.getvalue()


def _ods_style(place: int) -> str:
    return (
        f'<number:number-style style:name="N{place}"><number:number number:decimal-places="2"/></number:number-style>'
        f'<style:style style:name="ce{place}" style:family="table-cell" style:data-style-name="N{place}"/>'
    )


def _xlsx_cell(cell: Cell, codes: list[str | int]) -> str:
    if cell is None:
        return "<c/>"
    if isinstance(cell, Formatted):
        return f'<c s="{codes.index(cell.code) + 3}"><v>{cell.value!r}</v></c>'
    if isinstance(cell, bool):
        return f'<c t="b"><v>{int(cell)}</v></c>'
    if isinstance(cell, dt.datetime):
        seconds = cell.hour * 3600 + cell.minute * 60 + cell.second
        return f'<c s="1"><v>{(cell.date() - _EPOCH).days + seconds / 86400!r}</v></c>'
    if isinstance(cell, dt.date):
        return f'<c s="1"><v>{(cell - _EPOCH).days}</v></c>'
    if isinstance(cell, dt.timedelta):
        return f'<c s="2"><v>{cell / dt.timedelta(days=1)!r}</v></c>'
    if isinstance(cell, int | float):
        return f"<c><v>{cell!r}</v></c>"
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'


def _ods_cell(cell: Cell, codes: list[str | int]) -> str:
    if cell is None:
        return "<table:table-cell/>"
    if isinstance(cell, Formatted):
        return (
            f'<table:table-cell table:style-name="ce{codes.index(cell.code)}" office:value-type="float" '
            f'office:value="{cell.value!r}"><text:p>{escape(cell.shown)}</text:p></table:table-cell>'
        )
    if isinstance(cell, bool):
        kind = f'"boolean" office:boolean-value="{str(cell).lower()}"'
    elif isinstance(cell, dt.date):
        kind = f'"date" office:date-value="{cell.isoformat()}"'
    elif isinstance(cell, dt.timedelta):
        minutes, seconds = divmod(round(cell.total_seconds()), 60)
        kind = f'"time" office:time-value="PT{minutes // 60:02}H{minutes % 60:02}M{seconds:02}S"'
    elif isinstance(cell, int | float):
        kind = f'"float" office:value="{cell!r}"'
    else:
        kind = '"string"'
    return f"<table:table-cell office:value-type={kind}><text:p>{escape(str(cell))}</text:p></table:table-cell>"
