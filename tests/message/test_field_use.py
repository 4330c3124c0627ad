"""What a template is said to use of a record: never a field without which it renders."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import jinja2
import pytest

from batchsend.errors import RecordError, UsageError
from batchsend.message.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Pieces of templates around a field that is not there, `z`, and one that is, `n`.
PIECES: Final = (
    *("{{ z }}", "{{ n }}", "{{ row.z }}", "{{ z.a }}", "{{ -z }}", "{{ not z }}", "{{ z(1) }}", "{{ z ~ n }}"),
    *("{{ z == 1 }}", "{{ 1 < z }}", "{{ 1 in z }}", "{{ z in [] }}", "{{ n % z }}", "{{ n + z }}", "{{ n[z:] }}"),
    *("{{ n[z] is defined }}", "{{ z.a is defined }}", "{{ [z, n] | length }}", "{{ (z, 1)[1] }}", "{{ dict(a=z) }}"),
    *("{{ z or n }}", "{{ n or z }}", "{{ z if z is defined else n }}", "{{ n if n else z }}", "{{ f(z) }}"),
    *("{{ z is none }}", "{{ z is string }}", "{{ z is even }}", "{{ z is in([]) }}", "{{ z is sameas none }}"),
    *("{{ z | upper }}", "{{ z | default('-') }}", "{{ row['z'] | d('-') }}", "{{ n | default(z) }}", "{{ z | list }}"),
    *("{{ n | replace('a', z) }}", "{{ z | map('upper') }}", "{{ z | map('upper') | list }}", "{{ z | pprint }}"),
    *("{{ z | items }}", "{{ [z] | select('defined') | list }}", "{{ (z if n else n) | d(1) }}", "{{ row.get('z') }}"),
    *("{% set z = 1 %}", "{% set z = z | d('') %}", "{% set z %}q{% endset %}", "{% set y = z %}", "{% set y = n %}"),
    *("{% set y, x = z %}", "{% set s = namespace(a=z) %}", "{{ y }}", "{{ y | d(1) }}"),
    *("{% with y = z %}{{ y }}{% endwith %}", "{% with z = 2 %}{{ z }}{% endwith %}"),
    *("{% for z in [1] %}{{ z }}{% endfor %}", "{% for a in z %}{% endfor %}", "{% for a in z | d([]) %}{% endfor %}"),
    *("{% for a in [] %}{{ z }}{% else %}-{% endfor %}", "{% filter upper %}{{ z }}{% endfilter %}"),
    *("{% macro f(z) %}{{ z | d('') }}{% endmacro %}", "{% macro z() %}{% endmacro %}"),
    *("{% call f(1) %}{{ z }}{% endcall %}", "{% include 'part.txt' %}", "{% include ['gone.txt', 'part.txt'] %}"),
    *("{% import 'part.txt' as z %}", "{% from 'part.txt' import y with context %}"),
)
AROUND: Final = (
    *("{% if n %}@{% endif %}", "{% if n == 'q' %}@{% else %}-{% endif %}", "{% if z is defined %}@{% endif %}"),
    *("{% for a in [1, 2] %}@{% endfor %}", "{% with %}@{% endwith %}", "{% set w %}@{% endset %}", "@"),
    *("{% block one %}@{% endblock %}", "{% if 'z' in row %}@{% endif %}", "{% extends 'base.txt' %}@"),
)
BASE: Final = "<{% block one %}{{ z }}{% endblock %}>{% block two %}{{ z | d('') }}{% endblock %}{{ y | d('') }}"


def sources(count: int) -> Iterator[str]:
    chance = random.Random(15)
    yield from PIECES
    for _ in range(count):
        inner = "".join(chance.choices(PIECES, k=chance.randint(1, 3)))
        framed = chance.choice(AROUND).replace("@", inner)
        before = chance.choice(("", "", chance.choice(PIECES), "{% macro f(a) %}{% endmacro %}"))
        yield framed + chance.choice(PIECES) if framed.startswith("{% extends") else before + framed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "part.txt").write_text("{% set y = 1 %}{{ z | d('-') }}{{ n }}")
    (tmp_path / "base.txt").write_text(BASE)
    return tmp_path


def test_no_template_renders_without_a_field_that_it_is_said_to_use_always(folder: Path) -> None:
    said = 0
    for source in sources(200):
        templates = Templates(folder)
        try:
            template = templates.text(source, "message.text")
        except UsageError:
            continue
        if "z" not in templates.use.always:
            continue
        said += 1
        for n in ("q", ""):
            with pytest.raises(RecordError):  # pytest names the values of a failure: `source` is the template
                template.render({"n": n, "row": {"n": n}, "f": str})
    assert said > 50


def filters_and_tests() -> Iterator[str]:
    environment = jinja2.Environment()
    for arguments in ("", "([])"):
        yield from (f"z | {name}{arguments}" for name in environment.filters)
        yield from (f"z is {name}{arguments}" for name in environment.tests if name.isidentifier())


def test_no_filter_or_test_that_does_without_a_field_is_taken_for_one_that_needs_it(folder: Path) -> None:
    renders: set[str] = set()
    for expression in filters_and_tests():
        templates = Templates(folder)
        try:
            template = templates.text(f"{{% set y = {expression} %}}", "message.text")
        except UsageError:
            continue
        try:
            template.render({"row": {}})
        except RecordError:
            continue
        renders.add(expression)
        assert "z" not in templates.use.needed, expression
    assert "z | default" in renders
