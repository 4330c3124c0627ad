"""The bodies of a campaign's messages, text and HTML, and the files that belong to them."""

from __future__ import annotations

from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from batchsend.campaign import Attachment
from batchsend.errors import RecordError, UsageError
from batchsend.message.attachments import AttachmentFiles, check_media_type, file_part
from batchsend.message.calendars import calendar_part
from batchsend.message.encoding import EIGHT_BIT, encode_text, seven_bit
from batchsend.message.entity import Entity
from batchsend.message.mime import Files, Skeleton
from batchsend.message.naming import naming
from batchsend.message.templates import read_source
from batchsend.message.texts import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from batchsend.campaign import Message
    from batchsend.message.attachments import AttachedFile
    from batchsend.message.derived_text import HtmlAndText
    from batchsend.message.encoding import Encoded
    from batchsend.message.images import Images
    from batchsend.message.naming import KeyName
    from batchsend.message.proof import Proof
    from batchsend.message.template import TextTemplate
    from batchsend.message.templates import Templates
    from batchsend.message.texts import Rendered


class CampaignBody:
    """Text, HTML and files as the campaign file names them.

    Args:
        message: The campaign's message.
        directory: The campaign's folder.
        named_by_records: Finds the files that records name, in that folder only.
        templates: Compiles its templates.
        images: Finds the images of its HTML.
        eight_bit: Whether octets above 127 may be sent.
        called: What errors call the keys of the message.
        proof: What makes tests of the messages, or None.

    Raises:
        UsageError: A template or a file is wrong; the message names the key.
    """

    def __init__(
        self,
        message: Message,
        *,
        directory: Path,
        named_by_records: AttachmentFiles,
        templates: Templates,
        images: Images,
        eight_bit: bool,
        called: KeyName,
        proof: Proof | None = None,
    ) -> None:
        self._images = images
        html_source = _source(message.html, message.html_file, called, "html")
        text_source = _source(message.text, message.text_file, called, "text")
        if (markdown := _source(message.markdown, message.markdown_file, called, "markdown")) is not None:
            html_source, text_source = _from_markdown(*markdown, message.style_file, called), markdown
        if html_source is None and text_source is None:
            raise UsageError(
                "message: there is neither text nor HTML", remedy="Set html_file, text_file or markdown_file."
            )
        self._skeleton = Skeleton()
        compiled = partial(Text, delimiter=self._skeleton.delimiter, eight_bit=eight_bit)
        self._eight_bit = eight_bit
        self._html: Text | None = None
        self._text: Text | None = None
        self._derived: Encoded | None = None
        self._html_and_text: HtmlAndText | None = None
        if text_source is not None:
            text = templates.text(*text_source)
            with naming(called("text")):
                self._text = compiled(text, where="text", finish=None if proof is None else proof.text)
        if html_source is not None:
            inline_css = message.inline_css or markdown is not None
            with naming(called("html")):
                source, finish = _html(*html_source, templates, images.folder, inline_css=inline_css)
                html = templates.html(source, html_source[1])
                if proof is not None:
                    finish = _one_after_the_other(finish, proof.html)
                self._html = compiled(html, where="html", finish=finish)
                if self._text is None and self._html.constant is not None:
                    self._derived = self._derive(self._html.constant[0])
                elif self._text is None and finish is None:
                    structured = templates.structured_html(source, html_source[1])
                    if structured is not None:
                        from batchsend.message.derived_text import HtmlAndText  # noqa: PLC0415 - for HTML without text

                        self._html_and_text = HtmlAndText(self._html, structured, self._encoded_text)
        # What the campaign's author names may lie anywhere; what a record names may not.
        anywhere = AttachmentFiles(directory, inside=None)
        self._attachments = [
            _Attachment(one, named_by_records if "{" in one.file else anywhere, templates, images, called)
            for one in _with_options(message)
        ]
        if self._html is None and any(one.inline for one in self._attachments):
            raise UsageError(
                f"{called('attachments')}: inline is for what HTML shows, and there is none",
                remedy="Leave inline out, or add html_file.",
            )

    def render(self, variables: dict[str, Any]) -> Entity:
        """As `Body.render`."""
        html: Rendered | None = None
        encoded: Encoded | None = None
        if self._html_and_text is not None:
            html, text = self._html_and_text.render(variables)
            encoded = html[1]
        else:
            if self._html is not None:
                html = self._html.render(variables)
                encoded = html[1]
            if self._text is not None:
                text = self._text.render(variables)[1]
            else:
                text = self._derived or self._derive(html[0] if html else "")
        files = _NO_FILES if html is None and not self._attachments else self._files(html[0] if html else "", variables)
        pieces = self._skeleton.assemble(text, encoded, files)
        if text[0] is EIGHT_BIT or (encoded is not None and encoded[0] is EIGHT_BIT):
            return Entity(pieces, True, partial(self._in_seven_bits, text, encoded, files))
        return Entity(pieces, False, None)

    def _in_seven_bits(self, text: Encoded, html: Encoded | None, files: Files) -> list[bytes]:
        delimiter = self._skeleton.delimiter
        return self._skeleton.assemble(
            seven_bit(text, delimiter), None if html is None else seven_bit(html, delimiter), files
        )

    def _derive(self, html: str) -> Encoded:
        from batchsend.message.text import text_from_html  # noqa: PLC0415 - for HTML without text

        return self._encoded_text(text_from_html(html))

    def _encoded_text(self, text: str) -> Encoded:
        return encode_text(text, self._skeleton.delimiter, "text", eight_bit=self._eight_bit)

    def _files(self, html: str, variables: dict[str, Any]) -> Files:
        related = self._images.parts(html)
        if not self._attachments:
            return Files(related) if related else _NO_FILES
        calendars: list[Sequence[bytes]] = []
        attached: list[Sequence[bytes]] = []
        for attachment in self._attachments:
            file, part = attachment.render(variables)
            (related if attachment.inline else attached).append(part)
            if file.calendar is not None and not calendars and not attachment.inline:
                calendars.append(calendar_part(*file.calendar, self._skeleton.delimiter))
        return Files(related, calendars, attached)


_NO_FILES = Files()


class _Attachment:
    """One attachment of the campaign file: the same for all records, or named by each."""

    def __init__(
        self, options: Attachment, files: AttachmentFiles, templates: Templates, images: Images, called: KeyName
    ) -> None:
        self.inline = options.inline
        self._type = options.type
        self._images = images
        self._name: TextTemplate | None = None
        with naming(called("attachments")):
            if options.type is not None:
                check_media_type(options.type)
            file = templates.text(options.file, f"attachment {options.file!r}")
            if options.name is not None:
                self._name = templates.text(options.name, f"the name of attachment {options.file!r}")
            if self.inline and (self._name or file).constant is None:
                raise RecordError(f"attachment {options.file!r} is inline and has no name that the HTML can say")
            self._files = files
            self._file = file
            self._constant: tuple[AttachedFile, list[bytes]] | None = None
            if file.constant is not None and (self._name is None or self._name.constant is not None):
                self._constant = self._part(file.constant, {})

    def render(self, variables: dict[str, Any]) -> tuple[AttachedFile, list[bytes]]:
        """The file and its part.

        Raises:
            RecordError: A record names a file that may not or cannot be attached.
        """
        if self._constant is not None:
            return self._constant
        path = self._file.render(variables)
        if self._file.constant is None and ".." in PurePath(path).parts:
            # Above the folder that the template names may lie the recipients file and the results log.
            raise RecordError(f"attachment {path!r} leads upwards, and perhaps outside the campaign's folder")
        return self._part(path, variables)

    def _part(self, path: str, variables: dict[str, Any]) -> tuple[AttachedFile, list[bytes]]:
        file = self._files.read(path)
        name = file.name if self._name is None else self._name.render(variables)
        content_id = self._images.content_id(name) if self.inline else None
        return file, file_part(file, name=name, media_type=self._type, content_id=content_id)


def _html(
    source: str, where: str, templates: Templates, folder: Path, *, inline_css: bool
) -> tuple[str, Callable[[str], str] | None]:
    """The HTML's source, its style sheets inlined where that is asked for; and what inlines each record's, if need be.

    Raises:
        UsageError: It is not a template.
    """
    if not inline_css:
        return source, None
    from batchsend.message.css import inlined, inlined_source  # noqa: PLC0415 - only for campaigns that ask for it
    from batchsend.message.linked_sheets import with_linked_sheets  # noqa: PLC0415 - likewise
    from batchsend.message.marks import with_sheets_that_are_no_comments  # noqa: PLC0415 - likewise

    source = with_sheets_that_are_no_comments(with_linked_sheets(source, folder))
    templates.html(source, where)  # what is wrong with it is said of the source as it was written
    once = inlined_source(source, templates.fills_in_escaped_values)
    return (source, inlined) if once is None else (once, None)


def _one_after_the_other(first: Callable[[str], str] | None, then: Callable[[str], str]) -> Callable[[str], str]:
    return then if first is None else lambda text: then(first(text))


def _from_markdown(source: str, where: str, style_file: Path | None, called: KeyName) -> tuple[str, str]:
    """The HTML that is made of Markdown, and what errors call it.

    Raises:
        UsageError: What stands above the text is for programs, and everybody would read it.
    """
    from batchsend.message.markdown import (  # noqa: PLC0415 - only for campaigns that have any
        has_front_matter,
        html_from_markdown,
    )

    if has_front_matter(source):
        raise UsageError(
            f"{where}: it begins with front matter, which would be sent as part of the text",
            remedy="Take it out; subject, from and the like belong in [message] of the campaign file.",
        )
    style = None if style_file is None else read_source(style_file, called("style_file"))
    return html_from_markdown(source, style), where


def inline_names(message: Message) -> frozenset[str]:
    """What the HTML may refer to by ``cid:`` beside the files that are found: names of attachments, or their files'."""
    return frozenset(
        one.name or one.file.rpartition("/")[2]
        for one in _with_options(message)
        if one.inline and "{" not in (one.name or one.file)
    )


def _with_options(message: Message) -> list[Attachment]:
    return [one if isinstance(one, Attachment) else Attachment(file=one) for one in message.attachments]


def _source(source: str | None, file: Path | None, called: KeyName, key: str) -> tuple[str, str] | None:
    """A template's source, and what errors call it."""
    if source is not None:
        return source, called(key)
    if file is not None:
        return read_source(file, called(f"{key}_file")), file.name
    return None
