"""Whatever a template says, its rendering ends, soon and in little memory, with an error that names it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from batchsend.errors import RecordError
from batchsend.message import budget
from batchsend.message.templates import TemplateBatch, Templates

if TYPE_CHECKING:
    from pathlib import Path

MACRO = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
NAMESPACE = "{% set n = namespace(x=x) %}"
ENDLESS = [
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "{% for i in range(99999) %}{% set y = range(99999) | map('string') | list %}{% endfor %}",
    "{% for i in [0] recursive %}{{ loop([0, 0]) }}{% endfor %}",
    "{% for i in many recursive %}{% for j in range(99999) %}{{ loop([]) }}{% endfor %}{{ loop(many) }}{% endfor %}",
    MACRO + "{{ f(60) }}",
    "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "{% macro f() %}{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}{% endmacro %}{{ f() }}",
    "{% set x %}{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}{% endset %}{{ x | length }}",
    "{% include 'itself.txt' %}",
    "{% include 'twice.txt' %}",
    "{{ 'x' * 10**9 }}",
    "{{ 10**9 * 'x' }}",
    "{{ ([1] * 10**9) | length }}",
    "{{ [[1] * 1000] * 1000 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ '%((a))99999999d' % {'(a)': 5} }}",
    "{{ 2 ** (10 ** 9) }}",
    NAMESPACE + "{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x | length }}",
    NAMESPACE + "{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x | length }}",
    NAMESPACE + "{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
    NAMESPACE + "{% for i in range(60) %}{% set n.x = {'a': n.x, 'b': n.x} %}{% endfor %}{{ n.x | tojson }}",
    NAMESPACE + "{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ '%s' | format(n.x) }}",
    NAMESPACE + "{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ '{}'.format(n.x) }}",
    NAMESPACE + "{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ '' ~ n.x }}",
    "{% set n = namespace(x=3) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x % 7 }}",
    "{{ x | center(10**9) }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ x.center(10**9) }}",
    "{{ x.ljust(width=10**9) }}",
    "{{ x.zfill(10**9) }}",
    "{{ x.encode().rjust(10**9) }}",
    "{{ '\t'.expandtabs(10**9) }}",
    "{{ (1).to_bytes(10**9, 'big') }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '%.1000000000f' | format(1.5) }}",
    "{{ '%*d' | format(10**9, 1) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ ('%(x)9999s' * 99999) | format(x=x) }}",
    "{{ ('{0:9999}' * 99999).format(x) }}",
    "{{ ('x' * 9999999) | list | length }}",
    "{{ ('x' * 9999999) | batch(1) | list | length }}",
    "{{ '{:{}}'.format(1, 10**9) }}",
    "{{ '{x:1000000000}'.format_map({'x': 1}) }}",
    "{{ (x * 60000).replace('', 'y' * 60000) }}",
    "{{ (x * 60000) | replace('x', 'y' * 60000) }}",
    "{{ ('y' * 60000).join(['x'] * 60000) }}",
    "{{ (['x'] * 60000) | join('y' * 60000) }}",
    "{{ ('\n' * 60000) | indent(999999999) }}",
    "{{ ('\n' * 60000) | indent('y' * 60000) }}",
    "{{ [1] | batch(10**9, 'x') | list | length }}",
    "{{ [1] | slice(10**9) | list | length }}",
    "{{ 1.5 | round(10**9, 'ceil') }}",
    "{{ [[1]] | tojson(indent=10**9) }}",
    "{{ ([[1]] * 100000) | sum(start=[]) | length }}",
    "{{ ('<>' * 5000000) | striptags }}",
    "{{ 'aaaa'.translate({97: 'x' * 10**7}) }}",
    "{% for i in range(99999) %}{% set y = ('x' * 10**7) | upper | lower %}{% endfor %}",
]


def render(directory: Path, source: str, **fields: Any) -> str:
    templates = Templates(directory)
    template = templates.html(source, "message.html")
    return template.render(templates.variables(fields, TemplateBatch("b1", 7)))


@pytest.mark.parametrize("source", ENDLESS)
def test_what_goes_on_or_grows_without_end_is_stopped_and_named(tmp_path: Path, source: str) -> None:
    (tmp_path / "itself.txt").write_text("{% include 'itself.txt' %}")
    (tmp_path / "twice.txt").write_text("{% if x %}{% include 'twice.txt' %}{% include 'twice.txt' %}{% endif %}")
    with pytest.raises(RecordError, match=r"^message\.html: ") as caught:
        render(tmp_path, source, x="x", many=[1, 2])
    assert len(caught.value.message) < 300


def test_a_template_that_steps_too_slowly_is_stopped_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    with pytest.raises(RecordError, match=r"message\.html: the template takes longer than 5 s"):
        render(tmp_path, "{% for i in range(99) %}{{ i }}{% endfor %}")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{% for i in range(9) %}{% endfor %}", "takes more than 5 steps"),
        ("{{ 'x' * 2000000 }}", "makes texts of more than 1 MiB"),
        ("{{ [1, 2] * 9 }}", "makes lists of more than 10 values"),
        ("{{ 2 ** 200 }}", "makes a number of more than 100 bits"),
        ("{{ 'x' | center(20000) }}", "asks for a width or a precision of more than 10,000"),
    ],
)
def test_the_error_says_which_limit_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    for module in ("budget", "bounds"):
        for name, value in {"MAX_STEPS": 5, "MAX_CHARACTERS": 1 << 20, "MAX_ITEMS": 10, "MAX_BITS": 100}.items():
            monkeypatch.setattr(f"batchsend.message.{module}.{name}", value, raising=False)
    with pytest.raises(RecordError, match=said):
        render(tmp_path, source)


def test_each_rendering_has_a_budget_of_its_own(tmp_path: Path) -> None:
    templates = Templates(tmp_path)
    template = templates.html("{% for i in range(60000) %}{% endfor %}{{ x }}", "message.html")
    variables = templates.variables({"x": 1}, TemplateBatch("b1", 7))
    assert budget.MAX_STEPS < 60_000 * 4
    assert {template.render(variables) for _ in range(4)} == {"1"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for i in x %}{{ loop.index }}/{{ loop.length }}{{ i }} {% endfor %}", "1/2a 2/2b "),
        ("{% for i in x if i == 'b' %}{{ i }}{% else %}none{% endfor %}", "b"),
        ("{% for i in [] %}{{ i }}{% else %}none{% endfor %}", "none"),
        ("{% for i in x | map('upper') %}{{ i }}{{ loop.last }}{% endfor %}", "AFalseBTrue"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "a1"),
        ("{% for i in [1, [2, [3]]] recursive %}{{ loop(i) if i is iterable else i }}{% endfor %}", "123"),
        ("{{ '%05.1f' | format(2.25) }} {{ '%s-%s' % (1, 'b') }} {{ '%(a)s' | format(a=1) }}", "002.2 1-b 1"),
        ("{{ '{:>4}{a!r}'.format(1, a=2) }}", "   12"),
        ("{{ x | join(', ') }} {{ ','.join(x) }} {{ 'a-b' | replace('-', '+') }}", "a, b a,b a+b"),
        ("{{ 'x' | center(5) }}|{{ 3 * 2 }}|{{ 2 ** 8 }}|{{ 'ab' * 2 }}|{{ [1] + [2] }}", "  x  |6|256|abab|[1, 2]"),
        ("{{ 1 ~ '<' ~ x }}", "1&lt;[&#39;a&#39;, &#39;b&#39;]"),
        ("{{ x[0] | safe ~ '<' }}", "a&lt;"),
        ("{{ 10 % 3 }} {{ 7.5 | round(1) }} {{ x | sum(start=0) if false else 0 }}", "1 7.5 0"),
        ("{{ x | tojson(indent=1) }}", '[\n "a",\n "b"\n]'),
        ("{% set n = namespace(a=1) %}{% set n.a = 2 %}{{ n.a }}{{ n }}", "2&lt;namespace&gt;"),
        ("{% filter upper %}a{% endfilter %}{% call(y) m() %}{{ y }}{% endcall %}", "A<1>"),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
        ("{{ range(3) | batch(2, 0) | list }}", "[[0, 1], [2, 0]]"),
    ],
)
def test_what_templates_ordinarily_do_is_as_it_was(tmp_path: Path, source: str, expected: str) -> None:
    macro = "{% macro m() %}<{{ caller(1) }}>{% endmacro %}" if "call(y)" in source else ""
    assert render(tmp_path, macro + source, x=["a", "b"]) == expected


@pytest.mark.slow
def test_the_bounds_hold_for_memory_and_time_as_the_machine_sees_them(tmp_path: Path) -> None:
    """All of them one after the other in a process that may have a gigabyte and a minute of processor time, no more."""
    program = f"""
import resource
from pathlib import Path
from batchsend.errors import RecordError
from batchsend.message.templates import TemplateBatch, Templates
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
templates = Templates(Path({str(tmp_path)!r}))
for source in {[source for source in ENDLESS if "include" not in source]!r}:
    template = templates.text(source, "text")
    try:
        template.render(templates.variables({{"x": "x", "many": [1, 2]}}, TemplateBatch("b1", 1)))
    except RecordError as error:
        assert "MemoryError" not in error.message, source
        continue
    raise SystemExit(source)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
