"""The short way gives what Jinja2 gives, for every template that it takes."""

from __future__ import annotations

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchsend.message.plain_template import filling
from batchsend.message.templates import TemplateBatch

TEXTS = st.text(st.characters(exclude_characters="{}%#"), max_size=20)
NAMES = st.sampled_from(["a", "b", "name"])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text(), max_size=2))


def environment(*, autoescape: bool) -> jinja2.Environment:
    return jinja2.Environment(
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: "" if value is None else value,
        keep_trailing_newline=True,
    )


@pytest.mark.parametrize("autoescape", [False, True])
@given(
    pieces=st.lists(st.one_of(TEXTS, NAMES.map(lambda name: f"{{{{ {name} }}}}")), max_size=6),
    variables=st.fixed_dictionaries({"a": VALUES, "b": VALUES, "name": VALUES}),
)
def test_it_renders_what_the_template_renders(
    autoescape: bool, pieces: list[str], variables: dict[str, object]
) -> None:
    where = environment(autoescape=autoescape)
    source = "".join(pieces)
    short = filling(where.parse(source), escaped=bool(where.autoescape))
    assert short is not None
    assert short(variables) == where.from_string(source).render(variables)


@pytest.mark.parametrize("autoescape", [False, True])
def test_a_missing_variable_is_told_in_the_same_words(autoescape: bool) -> None:
    where = environment(autoescape=autoescape)
    short = filling(where.parse("Hello {{ name }}"), escaped=autoescape)
    assert short is not None
    with pytest.raises(jinja2.UndefinedError) as said:
        short({})
    with pytest.raises(jinja2.UndefinedError) as told:
        where.from_string("Hello {{ name }}").render()
    assert str(said.value) == str(told.value)


@pytest.mark.parametrize(
    "source",
    [
        "{{ a.b }}",
        "{{ batch.a }}",
        "{{ batch.id.a }}",
        "{{ a|upper }}",
        "{% if a %}b{% endif %}",
        "{{ a + b }}",
        "{{ self }}",
        "{{ 'a' }}",
        "{{ a() }}",
    ],
)
def test_it_leaves_everything_else_to_jinja(source: str) -> None:
    where = environment(autoescape=True)
    assert filling(where.parse(source), escaped=bool(where.autoescape)) is None


@pytest.mark.parametrize("source", ["bounce+{{ batch.record }}@example.com", "{{ batch.id }}{{ a }}{{ batch.record }}"])
def test_it_knows_what_the_batch_is(source: str) -> None:
    where = environment(autoescape=True)
    short = filling(where.parse(source), escaped=True)
    assert short is not None
    variables = {"batch": TemplateBatch("<b>", 7), "a": "<a>"}
    assert short(variables) == where.from_string(source).render(variables)
