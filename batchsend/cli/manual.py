"""``batchsend manual``: the pages of ``batchsend/manual/`` on a terminal, plain in a pipe, and the page for man(1)."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import click

from batchsend.campaign.nearest import suggestion
from batchsend.errors import UsageError
from batchsend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDEX: Final = "README"  # lists the subjects; it has this name so that it is shown where the repository is browsed
_WIDEST: Final = 100

_ENTRY: Final = re.compile(r"- \[(?P<subject>[\w-]+)\]\([\w-]+\.md\): (?P<about>.+)")
_COMMENT: Final = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)
_PICTURE: Final = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n+", re.MULTILINE)
# A link to another page, or to a file of the repository; the text of the latter is the file's name.
_LINK: Final = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<page>[\w-]+\.md)?(?P<rest>[^):\s]*)\)")
_HEADING: Final = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [subject for subject in subjects() if subject.startswith(incomplete)]


@click.command()
@click.argument("subject", required=False, shell_complete=_complete)
@click.option("--man", is_flag=True, help="Print one page for man(1): batchsend manual --man | man -l -")
@click.pass_context
def manual(context: click.Context, subject: str | None, *, man: bool) -> None:
    """Show the page of the manual about SUBJECT; without one, list the subjects.

    On a terminal it is rendered and paged; in a pipe it is plain text.
    """
    if man:
        from batchsend.cli.manpage import manual_page  # noqa: PLC0415 - imports what the pages do not need

        if subject is not None:
            raise UsageError("--man is one page about everything", remedy="leave the subject out")
        click.echo(str(manual_page(context.find_root())), nl=False)
    elif subject is None:
        click.echo("\n".join(_contents()))
    else:
        _show(_page(subject))


def subjects() -> dict[str, str]:
    """What the manual has a page about: the subjects in the order of the index, with one line about each."""
    return {match["subject"]: match["about"] for match in _ENTRY.finditer(_read(_INDEX))}


def plain(page: str) -> str:
    """A page as text for a reader without a browser: no comments, no pictures, and links as names of pages."""
    return _LINK.sub(_named, _PICTURE.sub("", _COMMENT.sub("", page)))


def _read(name: str) -> str:
    return (files("batchsend") / "manual" / f"{name}.md").read_text(encoding="utf-8")


def _contents() -> Iterator[str]:
    """The index for a terminal: its headings, and a line for each subject."""
    width = max(map(len, subjects()))
    yield f"batchsend {__version__}: the manual. Read a page with: batchsend manual SUBJECT"
    for line in _read(_INDEX).splitlines():
        if match := _ENTRY.fullmatch(line):
            yield f"  {match['subject']:<{width}}  {match['about']}"
        elif line.startswith("## "):
            yield ""
            yield line.removeprefix("## ")


def _page(subject: str) -> str:
    """The page about a subject.

    Raises:
        UsageError: There is none; the remedy names the page that was probably meant.
    """
    known = subjects()
    if subject in known:
        return _read(subject)
    word = subject.lower()
    about = [name for name in known if word in _headings(name)]
    hint = (
        f"{subject} is part of: batchsend manual {about[0]}"
        if about
        else suggestion(subject, known, otherwise=f"the subjects are {', '.join(known)}")
    )
    raise UsageError(f"the manual has no page about {subject!r}", remedy=hint)


def _headings(subject: str) -> set[str]:
    """The words in the headings of a page, in lower case."""
    titles = (match["title"] for match in _HEADING.finditer(_read(subject)))
    return {word for title in titles for word in re.findall(r"[\w.-]+", title.lower())}


def _named(link: re.Match[str]) -> str:
    text, page = link["text"], (link["page"] or "").removesuffix(".md")
    if not page or page == text:
        return text
    return f"{text} (batchsend manual {page})"


def _show(page: str) -> None:
    """Print a page: rendered and by the pager on a terminal, as Markdown anywhere else."""
    if not sys.stdout.isatty():
        click.echo(plain(page), nl=False)
        return
    from batchsend.cli.markdown import rendered  # noqa: PLC0415 - rich takes long to import

    width = min(shutil.get_terminal_size().columns, _WIDEST)
    click.echo_via_pager(rendered(plain(page), width))
