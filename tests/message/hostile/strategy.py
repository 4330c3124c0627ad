"""Hostile records as hypothesis makes them up: what nobody thought of when the lists were written."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.message.hostile import fragments, values
from tests.message.hostile.rows import FIELDS, Row, harmless

_KNOWN = st.sampled_from(
    (
        *fragments.BREAKS,
        *fragments.HEADERS,
        *fragments.COMMANDS,
        *values.ADDRESSES,
        *fragments.MIME,
        *fragments.SIGNS,
    )
)
_TEXT = st.lists(_KNOWN | st.text(max_size=6), max_size=6).map("".join)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_TEXTS = st.dictionaries(st.sampled_from(FIELDS), _TEXT, min_size=1, max_size=3)
_VALUES = st.dictionaries(st.sampled_from([name for name in FIELDS if name != "html"]), _JSON, min_size=1, max_size=3)
_COLUMNS = st.dictionaries(_TEXT.filter(lambda name: name not in FIELDS), _JSON, max_size=3)


def found_rows(count: int) -> list[Row]:
    """About so many rows, the same each time."""
    rows = [Row.of(harmless(1), frozenset())]

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_TEXTS | _VALUES, _COLUMNS)
    def collect(own: dict[str, Any], columns: dict[str, Any]) -> None:
        rows.append(Row.of(columns | harmless(len(rows) + 1) | own, frozenset(own)))

    collect()
    return rows
