"""The campaign's templates: Jinja2, sandboxed, compiled once; what fails with one record is that record's error."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchsend.errors import RecordError, UsageError
from batchsend.message.filling import Filling, filling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

MAX_SOURCE = 16 << 20
"""Octets of a template file."""

MAX_RENDERED = 64 << 20
"""Characters that one template may render to for one record."""

_MARKS = ("{{", "{%", "{#")
_SHOWN = 200
# What can yield more chunks than the source shows; without any of these their number is known before rendering.
_REPEATS = (nodes.For, nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport, nodes.Macro, nodes.CallBlock)


@dataclass(frozen=True, slots=True)
class Batch:
    """What templates see as ``batch``.

    Attributes:
        id: The run's identifier, the same after resuming.
        record: The record's number, from 1.
    """

    id: str
    record: int


class Template:
    """One compiled template.

    Attributes:
        where: What it is for, as errors name it: a campaign key, a header, a file.
        constant: Its text where it has nothing to fill in, otherwise None.
    """

    __slots__ = ("_filling", "_flat", "_template", "constant", "where")

    def __init__(
        self,
        where: str,
        template: jinja2.Template | None,
        *,
        constant: str | None,
        flat: bool,
        filling: Filling | None = None,
    ) -> None:
        self.where = where
        self.constant = constant
        self._template = template
        self._flat = flat
        self._filling = filling

    def render(self, variables: dict[str, Any]) -> str:
        """Fill it in.

        Args:
            variables: What `Templates.variables` made of the record.

        Raises:
            RecordError: It cannot be rendered with this record: a field is missing, a filter fails, it grows too large.
        """
        if self._template is None:
            return self.constant or ""
        try:
            if self._filling is not None:
                rendered = self._filling(variables)
            else:
                # Not Template.render, which copies the variables once more for each template of the record.
                chunks = self._template.root_render_func(self._template.new_context(variables, shared=True))
                rendered = "".join(chunks) if self._flat else self._bounded(chunks)
        except RecordError:
            raise
        except UsageError as error:  # of an included file, which is read when it is first met
            raise RecordError(f"{self.where}: {error.message}") from error
        except jinja2.TemplateNotFound as error:
            raise RecordError(f"{self.where}: there is no template {error.name!r} in the campaign's folder") from error
        except jinja2.TemplateSyntaxError as error:  # of an included file
            raise RecordError(f"{self.where}: {error.name}, line {error.lineno}: {error.message}") from error
        except jinja2.UndefinedError as error:
            raise RecordError(f"{self.where}: {_one_line(error.message or 'a variable is undefined')}") from error
        except Exception as error:
            # A template may call what the sandbox allows on whatever a record holds: there is no list of what fails.
            raise RecordError(f"{self.where}: {type(error).__name__}: {_one_line(str(error))}") from error
        if len(rendered) > MAX_RENDERED:
            raise self._too_large()
        return rendered

    def _bounded(self, chunks: Iterable[str]) -> str:
        kept: list[str] = []
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > MAX_RENDERED:
                raise self._too_large()
            kept.append(chunk)
        return "".join(kept)

    def _too_large(self) -> RecordError:
        return RecordError(f"{self.where}: renders to more than {MAX_RENDERED >> 20} MiB")


class Templates:
    """Compiles the templates of one campaign; all of them share the sandbox, its cache and its rules.

    HTML is escaped as it is filled in, nothing else is. An undefined variable is an error; a null value (JSON) renders
    to nothing. Templates include and extend files inside the campaign's folder only, wherever symbolic links lead.

    Args:
        directory: The campaign's folder.
    """

    def __init__(self, directory: Path) -> None:
        # Digits between control characters, unknown to whoever wrote the data: what stands between two is data.
        self._mark = f"\x1f{secrets.randbelow(10**16):016d}\x1f"
        self._text = ImmutableSandboxedEnvironment(
            loader=_FolderLoader(directory),
            undefined=jinja2.StrictUndefined,
            finalize=_null_is_nothing,
            autoescape=False,
            auto_reload=False,
            keep_trailing_newline=True,
        )
        self._html = self._text.overlay(autoescape=True)
        self._marked = self._text.overlay(finalize=_marker(self._mark))
        self._globals = {name: value for name, value in self._text.globals.items() if name != "lipsum"}

    def text(self, source: str, where: str) -> Template:
        """Compile a template whose output is used as it is.

        Raises:
            UsageError: It is not a template; the message names it and the line.
        """
        return self._compile(self._text, source, where)

    def html(self, source: str, where: str) -> Template:
        """Compile a template for HTML: what is filled in is escaped.

        Raises:
            UsageError: It is not a template; the message names it and the line.
        """
        return self._compile(self._html, source, where)

    def structured(self, source: str, where: str) -> StructuredTemplate:
        """Compile a template whose own text has a structure that data must not change, such as a list of addresses.

        Raises:
            UsageError: It is not a template; the message names it and the line.
        """
        return StructuredTemplate(self._compile(self._marked, source, where), self._mark)

    def variables(self, fields: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
        """What the templates of one record see: its fields, and ``batch``, which wins over a field of that name."""
        return {**self._globals, **fields, "batch": batch}

    def _compile(self, environment: jinja2.Environment, source: str, where: str) -> Template:
        if not any(mark in source for mark in _MARKS):
            return Template(where, None, constant=source, flat=True)
        try:
            tree = environment.parse(source)
            flat = next(tree.find_all(_REPEATS), None) is None
            template = environment.from_string(source)
            template.globals = {}  # every record's variables hold them; Jinja2 would list them anew for each rendering
            return Template(where, template, constant=None, flat=flat, filling=filling(tree, environment))
        except jinja2.TemplateSyntaxError as error:
            raise UsageError(
                f"{where}, line {error.lineno}: {error.message}", remedy="Mend the template; its language is Jinja2."
            ) from error
        except (RecursionError, SyntaxError) as error:  # Python's own limits, for what Jinja2 made of it
            raise UsageError(f"{where}: the template is nested too deeply", remedy="Flatten it.") from error


class StructuredTemplate:
    """A template that tells what it says itself from what was filled in.

    Args:
        template: The template, compiled so that what is filled in stands between marks.
        mark: The mark.
    """

    __slots__ = ("_mark", "_template", "constant", "where")

    def __init__(self, template: Template, mark: str) -> None:
        self.where = template.where
        self.constant = template.constant
        self._template = template
        self._mark = mark

    def render(self, variables: dict[str, Any]) -> list[str]:
        """Fill it in.

        Returns:
            The template's own text and the data by turns; the first and the last are the template's own, perhaps empty.

        Raises:
            RecordError: As `Template.render`.
        """
        return self._template.render(variables).split(self._mark)


class _FolderLoader(jinja2.BaseLoader):
    """Finds included templates inside one folder; a symbolic link does not lead out of it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:  # noqa: ARG002 - Jinja2's signature
        try:
            path = (self._directory / template).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise jinja2.TemplateNotFound(template) from None
        if not path.is_relative_to(self._directory) or not path.is_file():
            raise jinja2.TemplateNotFound(template)
        return read_source(path, template), str(path), lambda: True


def read_source(path: Path, where: str) -> str:
    """Read a template file: UTF-8, with or without a byte-order mark.

    Raises:
        UsageError: It cannot be read, is not UTF-8 or is too large; the message names it.
    """
    try:
        with path.open("rb") as file:
            source = file.read(MAX_SOURCE + 1)
    except OSError as error:
        raise UsageError(
            f"{where}: cannot read {path}: {error.strerror}",
            remedy="The path is relative to the campaign file; check it and its permissions.",
        ) from error
    if len(source) > MAX_SOURCE:
        raise UsageError(
            f"{where}: {path} is larger than {MAX_SOURCE >> 20} MiB", remedy="Link to what does not fit into a message."
        )
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{where}: {path} is not UTF-8: octet 0x{source[error.start]:02x} at offset {error.start}",
            remedy="Save it as UTF-8.",
        ) from error


def _null_is_nothing(value: object) -> object:
    return "" if value is None else value


def _marker(mark: str) -> Callable[[object], str]:
    def marked(value: object) -> str:
        """One piece of data between marks; marks inside come from a macro, whose whole output is data here."""
        shown = "" if value is None else str(value)
        return f"{mark}{shown.replace(mark, '')}{mark}"

    return marked


def _one_line(text: str) -> str:
    """What an exception says, fit for one line of a log: it may quote the record's data."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
