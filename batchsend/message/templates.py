"""The campaign's templates: Jinja2, sandboxed, compiled once."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from markupsafe import Markup
from msgspec import Struct

from batchsend.campaign.nearest import suggestion
from batchsend.campaign.own import NO_FILES, OwnFiles
from batchsend.errors import RecordError, UsageError
from batchsend.message.bounds import BoundedEnvironment, TooManyPiecesError
from batchsend.message.field_use import FieldUse
from batchsend.message.files_read import note
from batchsend.message.images import FILTER, Images
from batchsend.message.included import names_written_in, shows_as_it_goes, source_of
from batchsend.message.marks import with_sheets_that_are_no_comments
from batchsend.message.named_by_records import open_named, require_no_secret
from batchsend.message.plain_template import OF_BATCH, filling
from batchsend.message.template import StructuredTemplate, TextTemplate
from batchsend.message.verp import Verp, throwaway_key
from batchsend.patterns import late_pattern
from batchsend.recipients.columns import template_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_SOURCE = 16 << 20
"""Octets of a template file."""

_UNKNOWN = late_pattern(r"No (filter|test) named '(\w+)'")
_MARKS = ("{{", "{%", "{#")
# What Jinja2 calls a template that comes from no file.
_NO_FILE = (None, "<unknown>", "<template>", "<introspection>")
# What can yield more chunks than the source shows; without any of these their number is known before rendering.
_REPEATS = (nodes.For, nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport, nodes.Macro, nodes.CallBlock)


# What may put markup into HTML: other templates, calls, blocks whose output is a value, escaping that is turned off.
_BRINGS_ELEMENTS = (
    *(nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport, nodes.Macro, nodes.CallBlock, nodes.FilterBlock),
    *(nodes.AssignBlock, nodes.Block, nodes.Call, nodes.ScopedEvalContextModifier, nodes.EvalContextModifier),
)
# Filters whose result is a plain value, which is escaped, or escaped already.
_ESCAPED_FILTERS = frozenset(
    {*("abs", "capitalize", "center", "d", "default", "e", "escape", "first", "float", "format", "int", "join", "last")}
    | {*("length", "count", "lower", "replace", "round", "sort", "string", "sum", "title", "trim", "truncate", "upper")}
    | {*("urlencode", "wordcount", "filesizeformat", "dictsort", "unique", "list", "min", "max", "reverse")}
)


class TemplateBatch(Struct, frozen=True):
    """What templates see as ``batch``.

    Attributes:
        id: The run's identifier, the same after resuming.
        record: The record's number, from 1.
    """

    id: str
    record: int
    # A template does not get at a name that begins with an underscore (jinja2.sandbox).
    _verp: Verp | None = None
    _unsubscribe: str | None = None

    def __repr__(self) -> str:
        """As a template shows it that fills in ``batch`` itself: without what signs."""
        return f"Batch(id={self.id!r}, record={self.record})"

    @property
    def verp(self) -> str:
        """What signs a return path: see `verp`. A message that is only looked at gets one that is worth nothing."""
        verp = Verp(self.id, throwaway_key) if self._verp is None else self._verp
        return verp.token(self.record)

    @property
    def unsubscribe_url(self) -> str:
        """The link by which this record's recipient wants no more: `Message.unsubscribe`, and a token behind it.

        A message that is only looked at gets one that is worth nothing.

        Raises:
            RecordError: The campaign does not say where its links lead.
        """
        if self._unsubscribe is None:
            raise RecordError('batch.unsubscribe_url needs unsubscribe = "https://…" in [message]')
        verp = Verp(self.id, throwaway_key) if self._verp is None else self._verp
        return f"{self._unsubscribe.rstrip('/')}/{verp.link(self.record)}"


class Templates:
    """Compiles the templates of one campaign; all of them share the sandbox, its cache and its rules.

    HTML is escaped as it is filled in, nothing else is. An undefined variable is an error; a null value (JSON) renders
    to nothing. Templates include and extend files inside the campaign's folder only, wherever symbolic links lead; and
    none of the campaign's own, or hidden, unless the name stands in a template in so many words.

    Args:
        directory: The campaign's folder.
        images: What finds the images of the HTML; None where there are none to be found.
        own: The campaign's own files, which no record may name.

    Attributes:
        use: Which of a record's fields the templates use.
    """

    def __init__(self, directory: Path, images: Images | None = None, *, own: OwnFiles = NO_FILES) -> None:
        # Digits between control characters, unknown to whoever wrote the data: what stands between two is data.
        self._mark = f"\x1f{secrets.randbelow(10**16):016d}\x1f"
        self._text = BoundedEnvironment(
            loader=_FolderLoader(directory, own),
            undefined=jinja2.StrictUndefined,
            autoescape=False,
            auto_reload=False,
            keep_trailing_newline=True,
        )
        self._text.finalize = self._shown
        self._html = self._text.overlay(autoescape=True, extensions=[_html_source(images)])
        self._marked = self._text.overlay(finalize=self._marked_data)
        self._marked_html = self._html.overlay(finalize=self._marked_html_data)
        self._globals = self._text.globals
        self._beyond_fields = False
        self._all_named = True
        self._names: set[str] = set()
        self.use = FieldUse()

    def text(self, source: str, where: str) -> TextTemplate:
        """Compile a template whose output is used as it is.

        Raises:
            UsageError: It is not a template; the message names it and the line.
        """
        return self._compile(self._text, source, where)

    def html(self, source: str, where: str) -> TextTemplate:
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

    def structured_html(self, source: str, where: str) -> StructuredTemplate | None:
        """Compile a template for HTML whose own texts are to be told from what is filled in.

        Returns:
            None where what is filled in is worked with: marks around it would change what comes of that.

        Raises:
            UsageError: It is not a template; the message names it and the line.
        """
        template = self._compile(self._marked_html, source, where)
        if template.filling is None and not shows_as_it_goes(self._html.parse(source), self._html):
            return None
        return StructuredTemplate(template, self._mark)

    def fills_in_escaped_values(self, source: str) -> bool:
        """Whether an HTML template has conditions, loops and escaped values, and nothing that could bring elements.

        Raises:
            jinja2.TemplateSyntaxError: It is not a template.
        """
        tree = self._text.overlay(autoescape=True).parse(source)
        return next(tree.find_all(_BRINGS_ELEMENTS), None) is None and not any(
            filtered.name not in _ESCAPED_FILTERS for filtered in tree.find_all(nodes.Filter)
        )

    def may_be_variables(self, fields: Mapping[str, Any]) -> bool:
        """Whether templates may see the fields of a record as they are.

        The records of most lists have all fields that the templates use, by the names that they have. So no record is
        looked at for that until `lacks_variables` has been told of one that has not.
        """
        if self._beyond_fields or not isinstance(fields, dict):
            return False
        return self._all_named or self._names <= fields.keys()

    def lacks_variables(self, fields: Mapping[str, Any]) -> bool:
        """Whether fields that templates have seen as they are lack a name that is used: it may be an alias."""
        if self._names <= fields.keys():
            return False
        self._all_named = False
        return True

    def variables(self, fields: Mapping[str, Any], batch: TemplateBatch) -> dict[str, Any]:
        """What the templates of one record see: its fields, and ``batch``, which wins over a field of that name.

        A field whose name is no variable's has another one, and ``row`` is all of them: `template_variables`.
        Where `may_be_variables` says so, there is no need of it.
        """
        variables = template_variables(fields, self._globals)
        variables["batch"] = batch
        return variables

    def _compile(self, environment: BoundedEnvironment, source: str, where: str) -> TextTemplate:
        budget = environment.budget
        try:
            constant = environment.preprocess(source)
            if not any(mark in constant for mark in _MARKS):
                return TextTemplate(where, None, constant=constant, budget=budget)
            budget.renew()
            tree = environment.parse(source)
            flat = next(tree.find_all(_REPEATS), None) is None
            _require_named_files(tree, environment, where, set())
            self.use.add(tree, where)
            template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            remedy = remedy_for(error.message or "", environment, otherwise=_other_language(error, source))
            place = where if error.name in _NO_FILE else f"{where}, {error.name}"
            raise UsageError(f"{place}, line {error.lineno}: {error.message}", remedy=remedy) from error
        except (RecursionError, SyntaxError) as error:  # Python's own limits, for what Jinja2 made of it
            raise UsageError(f"{where}: the template is nested too deeply", remedy="Flatten it.") from error
        template.globals = {}  # every record's variables hold them; Jinja2 would list them anew for each rendering
        short = filling(tree, escaped=bool(environment.autoescape))
        if short is None or not {"batch", *OF_BATCH, *self._globals}.isdisjoint(short.names):
            self._beyond_fields = True
        else:
            self._names.update(short.names)
        return TextTemplate(where, template, budget=budget, flat=flat, filling=short)

    def _shown(self, value: Any) -> Any:
        """A value as it is shown: null is nothing."""
        if isinstance(value, str | int | float):
            return value
        return "" if value is None else self._text.shown(value)

    def _marked_data(self, value: Any) -> str:
        """One piece of data between marks; marks inside come from a macro, whose whole output is data here."""
        return f"{self._mark}{str(self._shown(value)).replace(self._mark, '')}{self._mark}"

    def _marked_html_data(self, value: Any) -> str:
        """The same in HTML, where what is markup stays so; what a macro or a block shows has its marks already."""
        if not hasattr(value, "__html__"):
            return self._marked_data(value)
        return value if self._mark in value else Markup(self._marked_data(value))  # noqa: S704 - it was markup


def _other_language(error: jinja2.TemplateSyntaxError, source: str) -> str:
    if isinstance(error, TooManyPiecesError):
        return "Write what repeats once, in a loop over a list of the record."
    from batchsend.message.other_languages import in_jinja2  # noqa: PLC0415 - only for templates that are none

    return in_jinja2(error.source or source, error.lineno) or "Fix the template; its language is Jinja2."


def _require_named_files(tree: nodes.Template, environment: BoundedEnvironment, where: str, seen: set[str]) -> None:
    """Compile the files that a template includes, extends or imports by a name that is written in it.

    Rendering would find what is wrong with one of them too, but once for each record. What is named by an expression
    is left to rendering.

    Args:
        tree: The template.
        environment: The environment that compiles it.
        where: What it is for, as errors name it.
        seen: The names that have been compiled already; those that are compiled now are added.

    Raises:
        UsageError: There is no such file in the campaign's folder, or it cannot be read.
        jinja2.TemplateSyntaxError: One of them is not a template.
    """
    for node in tree.find_all(nodes.Stmt):
        names = names_written_in(node)
        if not names or seen.issuperset(names):
            continue
        seen.update(names)
        try:
            name = environment.select_template(names).name or names[0]
        except jinja2.TemplateNotFound as error:
            if isinstance(node, nodes.Include) and node.ignore_missing:
                continue
            missing = " or ".join(map(repr, names))
            raise UsageError(
                f"{where}, line {node.lineno}: there is no file {missing} in the campaign's folder",
                remedy="The name is relative to the campaign's folder; check it.",
            ) from error
        inner = environment.parse(source_of(environment, name), name)
        _require_named_files(inner, environment, f"{where}, {name}", seen)


class _FolderLoader(jinja2.BaseLoader):
    """Finds included templates inside one folder; a symbolic link does not lead out of it.

    Where a record may say which file is included, it could name the list or a file of passwords.
    """

    def __init__(self, directory: Path, own: OwnFiles) -> None:
        self._directory = directory.resolve()
        self._own = own

    def get_source(self, environment: jinja2.Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        try:
            path = (self._directory / template).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            raise jinja2.TemplateNotFound(template) from None
        if not path.is_relative_to(self._directory) or not path.is_file():
            raise jinja2.TemplateNotFound(template)
        assert isinstance(environment, BoundedEnvironment)  # noqa: S101 - Templates has no others
        opener = None if template in environment.written else self._opener(path, template)
        return read_source(path, template, opener=opener), str(path), lambda: True

    def _opener(self, path: Path, template: str) -> Callable[[str, int], int]:
        """What opens a file that a record has named.

        Raises:
            RecordError: It is none that a record may name.
        """
        inside, where = str(self._directory), f"template {template!r}"
        require_no_secret(str(path.relative_to(self._directory)), str(path), self._own, where)
        return partial(open_named, inside, where)


def read_source(path: Path, where: str, *, opener: Callable[[str, int], int] | None = None) -> str:
    """Read a template file: UTF-8, with or without a byte-order mark.

    Args:
        path: The file.
        where: What it is for, as errors name it.
        opener: What opens it, as `open` takes it; None for the system.

    Raises:
        UsageError: It cannot be read, is not UTF-8 or is too large; the message names it.
    """
    note(path)
    try:
        with open(path, "rb", opener=opener) as file:
            source = file.read(MAX_SOURCE + 1)
    except OSError as error:
        raise UsageError(
            f"{where}: cannot read {path}: {error.strerror}",
            remedy="Check the path and its permissions.",
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


def remedy_for(message: str, environment: jinja2.Environment, *, otherwise: str) -> str:
    """What to do about a fault of a template; of a filter or a test that there is not, which one was meant.

    Args:
        message: What Jinja2 says.
        environment: Where the filters and tests are that there are.
        otherwise: What to do about any other fault.
    """
    unknown = _UNKNOWN.match(message)
    if unknown is None:
        return otherwise
    return suggestion(
        unknown[2], environment.filters if unknown[1] == "filter" else environment.tests, otherwise=otherwise
    )


def _html_source(images: Images | None) -> type[Extension]:
    """What prepares the source of every HTML template, those that are included as well."""

    class HtmlSource(Extension):
        """Jinja2's hook for the source of templates."""

        def __init__(self, environment: jinja2.Environment) -> None:
            super().__init__(environment)
            if images is not None:
                environment.filters[FILTER] = images.reference

        def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002 - Jinja2's signature
            source = with_sheets_that_are_no_comments(source)
            return source if images is None else images.rewrite(source, self._is_template)

        def _is_template(self, text: str) -> bool:
            try:
                self.environment.parse(text)
            except jinja2.TemplateSyntaxError:
                return False
            return True

    return HtmlSource
