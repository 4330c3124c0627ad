"""The tag=value lists that DKIM keys and DMARC policies are written in (RFC 6376 §3.2)."""

from __future__ import annotations


def read_tags(text: str) -> dict[str, str] | None:
    """The tags and their values, in order; None where it is no such list, or a tag stands in it twice.

    White space around names and values is taken off; a name is kept as it is, because case counts.
    """
    tags: dict[str, str] = {}
    for part in text.rstrip().removesuffix(";").split(";"):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or name in tags:
            return None
        tags[name] = value.strip()
    return tags
