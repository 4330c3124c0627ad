"""Templates: data is never a template, nothing outside the folder is read, every failure is the record's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.errors import RecordError, RecordErrorKind, UsageError
from batchsend.message import template as module
from batchsend.message.templates import MAX_SOURCE, TemplateBatch, Templates, read_source

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    return Templates(tmp_path)


def text(templates: Templates, source: str, **fields: Any) -> str:
    return templates.text(source, "text").render(templates.variables(fields, TemplateBatch("b1", 7)))


def html(templates: Templates, source: str, **fields: Any) -> str:
    return templates.html(source, "html").render(templates.variables(fields, TemplateBatch("b1", 7)))


@pytest.mark.parametrize("data", ["{{ 7*7 }}", "{% raw %}", "{{ x.__class__ }}", "{# x #}"])
def test_data_is_never_a_template(templates: Templates, data: str) -> None:
    assert text(templates, "{{ x }}", x=data) == data


def test_html_is_escaped_and_text_is_not(templates: Templates) -> None:
    assert html(templates, "{{ x }}", x="<b>&'\"") == "&lt;b&gt;&amp;&#39;&#34;"
    assert html(templates, "{{ x | safe }}", x="<b>") == "<b>"
    assert text(templates, "{{ x }}", x="<b>&") == "<b>&"


def test_an_included_file_is_escaped_as_the_file_that_includes_it(templates: Templates, tmp_path: Path) -> None:
    (tmp_path / "foot.txt").write_text("{{ x }}")
    assert html(templates, "{% include 'foot.txt' %}", x="<") == "&lt;"
    assert text(templates, "{% include 'foot.txt' %}", x="<") == "<"


def test_batch_is_there_and_wins_over_a_field_of_that_name(templates: Templates) -> None:
    assert text(templates, "{{ batch.id }}.{{ batch.record }}", batch={"id": "mine", "record": 1}) == "b1.7"


def test_a_null_is_nothing(templates: Templates) -> None:
    assert text(templates, "[{{ x }}]", x=None) == "[]"
    assert html(templates, "[{{ x }}]", x=None) == "[]"


def test_a_final_newline_is_kept(templates: Templates) -> None:
    assert text(templates, "{{ x }}\n", x="a") == "a\n"


def test_what_one_template_sets_the_next_does_not_see(templates: Templates) -> None:
    variables = templates.variables({"x": "1"}, TemplateBatch("b", 1))
    assert templates.text("{% set x = 2 %}{{ x }}", "a").render(variables) == "2"
    assert templates.text("{{ x }}", "b").render(variables) == "1"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% include 'nowhere.html' %}", "text, line 1: there is no file 'nowhere.html'"),
        ("\n{% if x %}{% include 'nowhere.html' %}{% endif %}", "text, line 2: there is no file 'nowhere.html'"),
        ("{% include ['nowhere.html', 'nor-here.html'] %}", "no file 'nowhere.html' or 'nor-here.html'"),
        ("{% extends 'nowhere.html' %}", "no file 'nowhere.html'"),
        ("{% import 'nowhere.html' as x %}", "no file 'nowhere.html'"),
        ("{% from 'nowhere.html' import x %}", "no file 'nowhere.html'"),
        ("{% include 'outer.html' %}", "text, outer.html, line 1: there is no file 'nowhere.html'"),
        ("{% include 'broken.html' %}", "text, broken.html, line 2: "),
        ("{% include 'filter.html' ignore missing %}", "text, filter.html, line 1: No filter named 'uper'"),
    ],
)
def test_a_fault_of_a_file_that_is_named_in_a_template_is_found_before_any_record(
    templates: Templates, tmp_path: Path, source: str, reason: str
) -> None:
    (tmp_path / "outer.html").write_text("{% include 'nowhere.html' %}{% include 'outer.html' %}")
    (tmp_path / "broken.html").write_text("\n{{ x")
    (tmp_path / "filter.html").write_text("{{ x | uper }}")
    with pytest.raises(UsageError, match=re.escape(reason)):
        templates.text(source, "text")


def test_a_named_file_may_be_missing_where_the_template_says_so(templates: Templates, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("here")
    assert text(templates, "{% include 'nowhere.html' ignore missing %}{% include ['no.txt', 'here.txt'] %}") == "here"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ x.missing }}", "no attribute 'missing'"),
        ("{{ x.__class__ }}", "unsafe"),
        ("{{ x.append(1) }}", "append|not safely callable"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ x + 'a' }}", "TypeError"),
        ("{{ range(1000000) }}", "Range too big"),
        ("{% include nowhere %}", "no template 'nowhere.html'"),
        ("{% include broken %}", "broken.html, line 2"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
        ("{{ 'a\nb' | int('\n') + [] }}", "TypeError"),
    ],
)
def test_a_failure_is_the_records_and_names_the_template(
    templates: Templates, tmp_path: Path, source: str, reason: str
) -> None:
    (tmp_path / "broken.html").write_text("\n{{ x")
    with pytest.raises(RecordError, match=rf"^text: .*({reason})") as caught:
        text(templates, source, x=[1], broken="broken.html", nowhere="nowhere.html")
    assert caught.value.message.isprintable()
    assert (caught.value.kind is RecordErrorKind.MISSING_FIELD) == source.endswith("missing }}")


@pytest.mark.parametrize(
    "name", ["../secret.txt", "/etc/hostname", "link.txt", "folder/../../secret.txt", "a\0b", "folder"]
)
def test_nothing_outside_the_folder_is_included(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "campaign"
    (inside / "folder").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(RecordError, match="there is no template"):
        text(Templates(inside), "{% include name %}", name=name)


@pytest.mark.parametrize("source", ["{{ x", "{% if %}", "{{ x | nofilter }}", "{% for a in b %}", f"{'(' * 5000}"])
def test_what_does_not_parse_is_an_error_of_the_campaign(templates: Templates, source: str) -> None:
    with pytest.raises(UsageError, match=r"^welcome"):
        templates.text(f"{{{{ a }}}}\n{{{{ {source} }}}}", "welcome.txt")


def test_an_error_in_a_template_names_its_line(templates: Templates) -> None:
    with pytest.raises(UsageError, match=r"welcome\.html, line 3"):
        templates.html("a\nb\n{{ x", "welcome.html")


def test_blocks_nested_too_deeply_are_an_error_of_the_campaign(templates: Templates) -> None:
    with pytest.raises(UsageError, match="nested too deeply"):
        templates.text("{% for a in x %}" * 30 + "{% endfor %}" * 30, "text")


@pytest.mark.interpreted
def test_output_is_bounded(templates: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RENDERED", 1000)
    looped = "{% for a in range(90000) %}{% for b in range(90000) %}x{% endfor %}{% endfor %}"
    for source in (looped, "{{ 'x' * 1001 }}"):
        with pytest.raises(RecordError, match="text: renders to more than"):
            text(templates, source)


def test_a_template_file_is_utf8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "welcome.html"
    path.write_bytes("\ufeffJörg".encode())
    assert read_source(path, "message.html_file") == "Jörg"
    path.write_bytes(b"J\xf6rg")
    with pytest.raises(UsageError, match=r"message\.html_file: .*welcome\.html is not UTF-8: octet 0xf6 at offset 1"):
        read_source(path, "message.html_file")


def test_a_template_file_that_cannot_be_read_or_is_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.html: No such file"):
        read_source(tmp_path / "missing.html", "message.html_file")
    with (tmp_path / "huge.html").open("wb") as file:
        file.truncate(MAX_SOURCE + 1)
    with pytest.raises(UsageError, match=r"huge\.html is larger than 16 MiB"):
        read_source(tmp_path / "huge.html", "message.html_file")


@pytest.mark.parametrize(
    ("source", "meant"),
    [("{{ x | uper }}", "upper"), ("{{ x | captialize }}", "capitalize"), ("{{ x is defned }}", "defined")],
)
def test_a_filter_that_there_is_not_is_an_error_before_any_record(tmp_path: Path, source: str, meant: str) -> None:
    with pytest.raises(UsageError, match=r"No (filter|test) named") as caught:
        Templates(tmp_path).text(source, "subject")
    assert caught.value.remedy == f"did you mean {meant}?"


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("{{{ name }}}", "Handlebars: write {{ name | safe }}"),
        ("{{#if vip}}x{{/if}}", "Handlebars: write {% if vip %} … {% else %} … {% endif %}"),
        ("{{#each items}}x{{/each}}", "Handlebars: write {% for one in items %}"),
        ('Hi {{ name | default: "you" }}', 'Liquid: write {{ … | default("you", true) }}'),
        ('{{ day | date: "%d.%m." | upcase }}', 'Liquid: write {{ … | date("%d.%m.") }}'),
        ("{% assign a = 1 %}", "Liquid: write {% set a = … %}"),
        ("x\n{% if a %}\n{% elsif b %}{% endif %}", "{% elsif b %} is Liquid: write {% elif … %}"),
        ("{{ .Subscriber.FirstName }}", "a Go template: write {{ FirstName }}"),
        ("{% unsubscribe 'Leave' %}", "{{ batch.unsubscribe_url }}"),
        ("{{ name ?? 'you' }}", "Twig: write {{ name | default('you', true) }}"),
        ("{{ vip ? 'a' : 'b' }}", "Twig: write {{ 'a' if vip else 'b' }}"),
        ("{% if a && b %}x{% endif %}", "write {% if … and … %}"),
        ("{{&nbsp;name }}", "write the character itself"),
        ("{{ name | default(\u201cyou\u201d) }}", "write straight quotation marks"),
        ("{{ <b>name</b> }}", "the tags around the mark"),
        ("{{ '\u201cyou\u201d' }}\n{{ name + }}", "Fix the template; its language is Jinja2."),
    ],
)
def test_what_is_another_language_is_said_as_jinja2_has_it(tmp_path: Path, source: str, meant: str) -> None:
    with pytest.raises(UsageError, match="line") as caught:
        Templates(tmp_path).text(source, "message.text")
    assert meant in (caught.value.remedy or "")
