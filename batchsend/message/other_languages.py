"""Template languages that are not Jinja2: what of them stands in a template, and how Jinja2 has it."""

from __future__ import annotations

from typing import Final

from batchsend.patterns import late_pattern

# What is found of each language, and how it is written here, with the groups of what was found. No two parts of an
# expression can take the same blanks in turns: of two thousand blanks that would be a minute's work.
_WRITTEN: Final[dict[str, dict[str, str]]] = {
    "Handlebars": {
        r"\{\{~?\s*#\s*if\s+(?P<x>[\w.]+)\s*~?\}\}": "{{% if {x} %}} … {{% else %}} … {{% endif %}}",
        r"\{\{~?\s*#\s*unless\s+(?P<x>[\w.]+)\s*~?\}\}": "{{% if not {x} %}} … {{% endif %}}",
        r"\{\{~?\s*#\s*each\s+(?P<x>[\w.]+)[^{}]*\}\}": "{{% for one in {x} %}} {{{{ one.… }}}} {{% endfor %}}",
        r"\{\{~?\s*#\s*(?P<x>[\w.]+)[^{}]*\}\}": "{{% if {x} %}} … {{% endif %}}",
        r"\{\{\s*\^\s*(?P<x>[\w.]+)\s*\}\}": "{{% if not {x} %}} … {{% endif %}}",
        r"\{\{~?\s*else\s*~?\}\}": "{{% else %}}",
        r"\{\{~?\s*/\s*each\s*~?\}\}": "{{% endfor %}}",
        r"\{\{~?\s*/\s*[\w.]+\s*~?\}\}": "{{% endif %}}",
        r"\{\{\s*>\s*(?P<x>[\w./-]+)\s*\}\}": "{{% include '{x}' %}}",
        r"\{\{!(?:--)?(?P<x>.{0,40}?)(?:--)?\}\}": "{{# … #}}",
        r"\{\{\{\s*(?P<x>[\w.]+)\s*\}\}\}": "{{{{ {x} | safe }}}}",
    },
    "a Go template": {
        r"\{\{-?\s*(?:if|range|with|end|template|block|define)\b[^{}%]*\}\}": "{{% if … %}}, {{% for … in … %}}",
        r"\{\{-?\s*\.(?:[A-Za-z]\w*\.)*(?P<x>[A-Za-z]\w*)[^{}]*\}\}": "{{{{ {x} }}}}, or what the column is called",
    },
    "Liquid": {
        r"\{\{[^{}]*\|\s*default\s*:\s*(?P<x>\"[^\"{}]*\"|'[^'{}]*')[^{}]*\}\}": "{{{{ … | default({x}, true) }}}}",
        r"\{[{%][^{}]*\|\s*+(?P<x>\w++)\s*+:\s*+(?P<y>[^{}|]{1,40}?)\s*+(?:\||\}\}|%\})": "{{{{ … | {x}({y}) }}}}",
        r"\{%-?\s*assign\s+(?P<x>\w+)\s*=[^{}]*%\}": "{{% set {x} = … %}}",
        r"\{%-?\s*capture\s+(?P<x>\w+)\s*-?%\}": "{{% set {x} %}} … {{% endset %}}",
        r"\{%-?\s*unless\s++(?P<x>[^{}%]{1,40}?)\s*+-?%\}": "{{% if not ({x}) %}} … {{% endif %}}",
        r"\{%-?\s*elsif\b[^{}]*%\}": "{{% elif … %}}",
        r"\{%-?\s*(?:case|when)\b[^{}]*%\}": "{{% if … == … %}} … {{% elif … == … %}} … {{% endif %}}",
        r"\{%-?\s*comment\s*-?%\}": "{{# … #}}",
        r"\{%-?\s*render\s+(?P<x>['\"][^'\"]+['\"])[^{}]*%\}": "{{% include {x} %}}",
    },
    "Klaviyo's": {
        r"\{%-?\s*unsubscribe\b[^{}]*%\}": '<a href="{{{{ batch.unsubscribe_url }}}}">Unsubscribe</a>',
    },
    "Django's": {
        r"\{%\s*(?:load|trans|blocktrans|url|static|csrf_token)\b[^{}]*%\}": "",
    },
    "Twig": {
        r"\{\{\s*+(?P<x>[\w.]++)\s*+\?[?:](?P<y>[^{}]++)\}\}": "{{{{ {x} | default({y}, true) }}}}",
        r"\{\{(?P<x>[^{}?]++)\?(?P<y>[^{}:]++):(?P<z>[^{}]++)\}\}": "{{{{ {y} if {x} else {z} }}}}",
    },
    "another language's": {
        r"\{%[^{}%]*&&[^{}%]*%\}": "{{% if … and … %}}",
        r"\{%[^{}%]*\|\|[^{}%]*%\}": "{{% if … or … %}}",
    },
    "what an editor of HTML makes of it": {
        r"\{[{%][^{}]*&(?:nbsp|quot|apos|lt|gt|amp|#\d+);[^{}]*[}%]\}": "the character itself, or a blank",
        r"\{[{%][^{}]*[“”„‘’«»][^{}]*[}%]\}": "straight quotation marks",  # noqa: RUF001 - these very ones
        r"\{[{%][^{}]*\xa0[^{}]*[}%]\}": "an ordinary blank",
        r"\{[{%][^{}<]*+<[^{}>]*+>[^{}]*+(?:(?<=%)|\})\}": "the tags around the mark, not into it",
    },
}
_FOUND: Final = tuple(
    (late_pattern(pattern), language, instead)
    for language, written in _WRITTEN.items()
    for pattern, instead in written.items()
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
    here = instead.format(**{name: (value or "").strip() for name, value in match.groupdict().items()})
    return f"{mark} is {language}: " + (f"write {here}" if here else "leave it out")
