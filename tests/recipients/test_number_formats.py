"""Number formats of spreadsheets: a number is shown as Excel's function TEXT shows it, blanks at its ends left out."""

from __future__ import annotations

import pickle

import pytest

from batchsend.recipients.number_formats import BUILT_IN, ShownNumber, format_of


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("0%", 0.25, "25%"),
        ("0.00%", 0.2567, "25.67%"),
        ("0.0%", 1.005, "100.5%"),
        ("0.00", 12.5, "12.50"),
        ("0.00", 2.675, "2.68"),
        ("0", 12.5, "13"),
        ("0.00", -0.001, "0.00"),
        ("0.00", -1.5, "-1.50"),
        ("#,##0.00", 1234567.891, "1,234,567.89"),
        ("#,##0", 999, "999"),
        ("#,##0", 1000, "1,000"),
        ("#,##0", 0, "0"),
        ("#,###", 0, ""),
        ("0.0#", 1.5, "1.5"),
        ("0.0##", 1.25, "1.25"),
        ("0.##", 1, "1"),
        ("0.??", 1.5, "1.5"),
        (".00", 12.5, "12.50"),
        (".##", 12, "12"),
        (".00", 0.5, ".50"),
        ("00000", 1067, "01067"),
        ("000-00-0000", 123456789, "123-45-6789"),
        ("(000) 000-0000", 5551234567, "(555) 123-4567"),
        ("+00 000 0000000", 491701234567, "+49 170 1234567"),
        ("0,000.0", 5, "0,005.0"),
        ('#,##0,"K"', 1234567, "1,235K"),
        ('0.0,,"M"', 1234567, "1.2M"),
        ("[$€-407]#,##0.00", 1234.5, "€1,234.50"),
        (r"#,##0.00\ [$€-407];[Red]\-#,##0.00\ [$€-407]", -1234.5, "-1,234.50 €"),
        ('#,##0.00 "€"', 12, "12.00 €"),
        ("[$CHF] #,##0.00", 5, "CHF 5.00"),
        ("[$-409]#,##0", 1000, "1,000"),
        ('"$"#,##0.00;[Red]("$"#,##0.00)', -5, "($5.00)"),
        ("$0", 5, "$5"),
        ('0;-0;"none"', 0, "none"),
        ('"Yes";;"No"', 1, "Yes"),
        ('"Yes";;"No"', 0, "No"),
        ("0;;", -1, ""),
        ('[>=1000]#,##0,"K";0', 5000, "5K"),
        ('[>=1000]#,##0,"K";0', 5, "5"),
        ('[<0]"minus "0;0', -5, "minus 5"),
        ("[>5]0", 3.5, "3.5"),
        ('General" kg"', 2.5, "2.5 kg"),
        ("0.00;@", 2, "2.00"),
        ("0.00", 1e300, f"{10**300}.00"),
        ("0.00", float("inf"), "inf"),
        (BUILT_IN[5], 5, "$5"),
        (BUILT_IN[8], -5, "($5.00)"),
        (BUILT_IN[37], -5, "(5)"),
        (BUILT_IN[44], 1234.5, "$1,234.50"),
        (BUILT_IN[44], 0, "$-"),
        ('_-* #,##0.00\\ "€"_-;\\-* #,##0.00\\ "€"_-;_-* "-"??\\ "€"_-;_-@_-', 12.5, "12.50 €"),
    ],
)
def test_a_number_is_shown_in_its_format(code: str, value: float, shown: str) -> None:
    show = format_of(code)
    assert show is not None
    assert show(value) == shown


@pytest.mark.parametrize(
    "code", ["General", "GENERAL", "", "@", "yyyy-mm-dd", "[h]:mm", "# ?/?", "0.00E+00", "mm/dd/yy", "0" * 300]
)
def test_what_is_shown_as_it_is(code: str) -> None:
    """And what no number is shown in: dates, fractions, powers of ten, texts."""
    assert format_of(code) is None


@pytest.mark.parametrize("code", ['"', "[", "[$", "\\", "_", "*", "0.0.0", "%%", ",", ".", ";;;;;", "0%0%", "[>1"])
def test_no_format_that_is_broken_breaks_anything(code: str) -> None:
    show = format_of(code)
    assert show is None or isinstance(show(1234.5), str)


def test_its_value_is_the_number() -> None:
    number = ShownNumber.of("1,234.50 €", 1234.5)
    for one in (number, pickle.loads(pickle.dumps(number))):
        assert one == "1,234.50 €"
        assert float(one) == 1234.5
