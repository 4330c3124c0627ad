"""Template languages that are not Jinja2: what of them stands in a template, and how Jinja2 has it."""

from __future__ import annotations

from typing import Final

from batchsend.patterns import late_pattern

_HANDLEBARS: Final = "Handlebars"
_LIQUID: Final = "Liquid"
_GO: Final = "a Go template"
_TWIG: Final = "Twig"
_EDITOR: Final = "what an editor of HTML makes of it"

# What is found, where it comes from, and how it is written here (with the groups of what was found).
_FOUND: Final = tuple(
    (late_pattern(pattern), language, instead)
    for pattern, language, instead in (
        (r"\{\{~?\s*#\s*if\s+(?P<x>[\w.]+)\s*~?\}\}", _HANDLEBARS, "{{% if {x} %}} … {{% else %}} … {{% endif %}}"),
        (r"\{\{~?\s*#\s*unless\s+(?P<x>[\w.]+)\s*~?\}\}", _HANDLEBARS, "{{% if not {x} %}} … {{% endif %}}"),
        (
            r"\{\{~?\s*#\s*each\s+(?P<x>[\w.]+)[^{}]*\}\}",
            _HANDLEBARS,
            "{{% for one in {x} %}} {{{{ one.… }}}} {{% endfor %}}",
        ),
        (r"\{\{~?\s*#\s*(?P<x>[\w.]+)[^{}]*\}\}", _HANDLEBARS, "{{% if {x} %}} … {{% endif %}}"),
        (r"\{\{\s*\^\s*(?P<x>[\w.]+)\s*\}\}", _HANDLEBARS, "{{% if not {x} %}} … {{% endif %}}"),
        (r"\{\{~?\s*else\s*~?\}\}", _HANDLEBARS, "{{% else %}}"),
        (r"\{\{~?\s*/\s*each\s*~?\}\}", _HANDLEBARS, "{{% endfor %}}"),
        (r"\{\{~?\s*/\s*[\w.]+\s*~?\}\}", _HANDLEBARS, "{{% endif %}}"),
        (r"\{\{\s*>\s*(?P<x>[\w./-]+)\s*\}\}", _HANDLEBARS, "{{% include '{x}' %}}"),
        (r"\{\{!(?:--)?(?P<x>.{0,40}?)(?:--)?\}\}", _HANDLEBARS, "{{# … #}}"),
        (r"\{\{\{\s*(?P<x>[\w.]+)\s*\}\}\}", _HANDLEBARS, "{{{{ {x} | safe }}}}"),
        (r"\{\{-?\s*(?:if|range|with|end|template|block|define)\b[^{}%]*\}\}", _GO, "{{% if … %}}, {{% for … in … %}}"),
        (
            r"\{\{-?\s*\.(?:[A-Za-z]\w*\.)*(?P<x>[A-Za-z]\w*)[^{}]*\}\}",
            _GO,
            "{{{{ {x} }}}}, or what the column is called",
        ),
        (
            r"\{\{[^{}]*\|\s*default\s*:\s*(?P<x>\"[^\"{}]*\"|'[^'{}]*')[^{}]*\}\}",
            _LIQUID,
            "{{{{ … | default({x}, true) }}}}",
        ),
        (
            r"\{[{%][^{}]*\|\s*(?P<x>\w+)\s*:\s*(?P<y>[^{}|]{1,40}?)\s*(?:\||\}\}|%\})",
            _LIQUID,
            "{{{{ … | {x}({y}) }}}}",
        ),
        (r"\{%-?\s*assign\s+(?P<x>\w+)\s*=[^{}]*%\}", _LIQUID, "{{% set {x} = … %}}"),
        (r"\{%-?\s*capture\s+(?P<x>\w+)\s*-?%\}", _LIQUID, "{{% set {x} %}} … {{% endset %}}"),
        (r"\{%-?\s*unless\s+(?P<x>[^{}%]{1,40}?)\s*-?%\}", _LIQUID, "{{% if not ({x}) %}} … {{% endif %}}"),
        (r"\{%-?\s*elsif\b[^{}]*%\}", _LIQUID, "{{% elif … %}}"),
        (r"\{%-?\s*(?:case|when)\b[^{}]*%\}", _LIQUID, "{{% if … == … %}} … {{% elif … == … %}} … {{% endif %}}"),
        (r"\{%-?\s*comment\s*-?%\}", _LIQUID, "{{# … #}}"),
        (r"\{%-?\s*render\s+(?P<x>['\"][^'\"]+['\"])[^{}]*%\}", _LIQUID, "{{% include {x} %}}"),
        (r"\{%-?\s*unsubscribe\b[^{}]*%\}", "Klaviyo's", '<a href="{{{{ batch.unsubscribe_url }}}}">Unsubscribe</a>'),
        (r"\{%\s*(?:load|trans|blocktrans|url|static|csrf_token)\b[^{}]*%\}", "Django's", ""),
        (r"\{\{\s*(?P<x>[\w.]+)\s*\?[?:]\s*(?P<y>[^{}]+?)\s*\}\}", _TWIG, "{{{{ {x} | default({y}, true) }}}}"),
        (
            r"\{\{\s*(?P<x>[^{}?]+?)\s*\?\s*(?P<y>[^{}:]+?)\s*:\s*(?P<z>[^{}]+?)\s*\}\}",
            _TWIG,
            "{{{{ {y} if {x} else {z} }}}}",
        ),
        (r"\{%[^{}%]*&&[^{}%]*%\}", "another language's", "{{% if … and … %}}"),
        (r"\{%[^{}%]*\|\|[^{}%]*%\}", "another language's", "{{% if … or … %}}"),
        (r"\{[{%][^{}]*&(?:nbsp|quot|apos|lt|gt|amp|#\d+);[^{}]*[}%]\}", _EDITOR, "the character itself, or a blank"),
        (r"\{[{%][^{}]*[“”„‘’«»][^{}]*[}%]\}", _EDITOR, "straight quotation marks"),  # noqa: RUF001 - these very ones
        (r"\{[{%][^{}]*\xa0[^{}]*[}%]\}", _EDITOR, "an ordinary blank"),
        (r"\{[{%][^{}]*<[^{}]*>[^{}]*[}%]\}", _EDITOR, "the tags around the mark, not into it"),
    )
)
_LONGEST: Final = 2_000
"""Characters around the fault that are looked at."""


def in_jinja2(source: str, line: int) -> str | None:
    """What to write instead of something of another template language; None where nothing of one is there.

    Args:
        source: The template.
        line: Where Jinja2 found the fault, from 1.
    """
    begun = source.split("\n")[max(line - 1, 0) :]
    text = "\n".join(begun)[:_LONGEST]
    found = [
        (match.start(), place, match, language, instead)
        for place, (pattern, language, instead) in enumerate(_FOUND)
        if (match := pattern.search(text)) is not None and match.start() <= len(begun[0])
    ]
    if not found:
        return None
    _, _, match, language, instead = min(found, key=lambda one: one[:2])
    mark = " ".join(match[0].split())[:80]
    here = instead.format(**{name: value or "" for name, value in match.groupdict().items()})
    return f"{mark} is {language}: " + (f"write {here}" if here else "leave it out")
