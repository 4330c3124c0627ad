"""The published ways out of Jinja2's sandbox: none gives a template what is not a record's.

A template is the campaign's author's, but may be copied from anywhere, and what it can do must not depend on who wrote
it. Each of these reaches for a class, a module, a file, the environment or a configuration, in a way that has worked
somewhere: the numbers are those of the vulnerabilities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from batchsend.errors import RecordError, UsageError
from batchsend.recipients import Record
from tests.message.composing import ANN, body, composer, parse

if TYPE_CHECKING:
    from pathlib import Path

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ ''|attr('__class__') }}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ().__class__.__bases__[0].__subclasses__()[40]('/etc/passwd').read() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].environ }}",
    "{{ range.__self__ }}",
    "{{ dict.__base__ }}",
    "{{ config }}",
    "{{ request.application.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ batch.__class__ }}",
    "{{ batch.__init__.__globals__ }}",
    "{{ name.__init__ }}",
    "{{ '{0.__class__}'.format(name) }}",  # CVE-2016-10745
    "{{ '{0.__class__.__init__.__globals__}'.format(batch) }}",
    "{{ '{a.__class__}'.format_map({'a': name}) }}",  # CVE-2019-10906
    "{% set f = '{0.__class__}'.format %}{{ f(name) }}",  # CVE-2024-56326
    "{{ ['{0.__class__}'.format]|map('string')|list and '{0.__class__}'|attr('format')(name) }}",  # CVE-2025-27516
    "{{ (['{0.__class__}']|map(attribute='format')|first)(name) }}",
    "{{ [name]|map(attribute='__class__')|list }}",
    "{{ [name]|map('attr', '__class__')|list }}",
    "{{ [name]|selectattr('__class__')|list }}",
    "{{ [name]|groupby('__class__') }}",
    "{{ [name]|sort(attribute='__class__') }}",
    "{{ [name]|sum(attribute='__class__') }}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__init__.__globals__ }}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ (1).real.__class__ }}",
    "{{ 1.0.as_integer_ratio.__self__ }}",
    "{{ [].append.__self__ }}",
    "{{ loop.__class__ }}",
    "{{ cycler('a').next.__func__ }}",
    "{% set x = cycler('a') %}{{ x.next.__globals__ }}",
    "{% include '/etc/passwd' %}",
    "{% include '../outside.txt' %}",
    "{% include ['/etc/passwd', '../outside.txt'] %}",
    "{% import '/etc/passwd' as m %}",
    "{% extends '/etc/passwd' %}",
    "{{ ''.__doc__ }}",
    "{{ (name|string).join.__name__ }}",
    "{% set batch.id = 'x' %}{{ batch.id }}",
    "{{ batch.update({'id': 'x'}) }}",
]

SECRETS = (
    "class '",
    "outside",
    "root:",
    "__main__",
    "builtin",
    "<function",
    "<built-in",
    "<bound",
    "PATH",
    "object at 0x",
)


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_way_out_of_the_sandbox_leads_anywhere(tmp_path: Path, escape: str) -> None:
    (tmp_path / "campaign").mkdir()
    (tmp_path / "outside.txt").write_text("outside")
    for part in ("text", "html", "subject"):
        keys: dict[str, Any] = {part: escape}
        try:
            made = composer(tmp_path / "campaign", **keys)
            parsed = parse(made.compose(Record(7, 8, {**ANN})))
        except (RecordError, UsageError):
            continue
        shown = parsed["Subject"] if part == "subject" else body(parsed, {"text": "plain", "html": "html"}[part])
        assert not any(secret in shown for secret in SECRETS), shown
