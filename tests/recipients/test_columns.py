"""Which column holds the addresses, and what templates call the others."""

from __future__ import annotations

import pytest
from jinja2.sandbox import SandboxedEnvironment

from batchsend.errors import RecordError
from batchsend.recipients.columns import (
    AmbiguousColumnsError,
    address_column,
    aliases,
    find_address_column,
    template_variables,
    variable,
)


@pytest.mark.parametrize(
    "name",
    [
        *("email", "Email", "EMAIL", "E-Mail", "e_mail", "eMail", "mail", "Mail", "Email Address", "EmailAddress"),
        *("Primary Email", "Email (primary)", "Contact e-mail", "Subscriber Email", "E-Mail-Adresse", "Adresse e-mail"),
        *(
            "Courriel",
            "Correo electrónico",
            "メールアドレス",
            "電子メールアドレス",
            "이메일",
            "Электронная почта",
            "Адрес электронной почты",
            "E-mailová adresa",
            "E-mailadres",
            "E-postadress",
            "E-mail 1 - Value",
            "email_1",
            "To",
            "address",
        ),
    ],
)
def test_a_column_is_taken_by_what_its_name_means(name: str) -> None:
    assert find_address_column(("Name", "Email Domain", "Accepts Email Marketing", "Mailing City", name)) == name


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("E-Mail", "email"), "email"),
        (("EMAIL", "Email"), "EMAIL"),
        (("Email", "to"), "to"),
        (("Address", "Email Address"), "Email Address"),
        (("E-mail 2 - Value", "E-mail 1 - Value"), "E-mail 1 - Value"),
        (("Email", "Additional Email", "Secondary email"), "Email"),
        (("Other Email", "Phone"), "Other Email"),
        (("Email Address", "Email"), "Email"),
        (("useremail", "Mailing City"), "useremail"),
        (("Email client", "Email Address"), "Email Address"),
        (("Name", "Client email"), "Client email"),
    ],
)
def test_of_several_names_the_plainer_is_meant(names: tuple[str, ...], taken: str) -> None:
    assert find_address_column(names) == taken


@pytest.mark.parametrize("names", [("Work Email", "Personal Email"), ("E-Mail", "Mail"), ("email1", "Email (1)")])
def test_names_that_mean_the_same_are_refused_with_all_of_them(names: tuple[str, ...]) -> None:
    with pytest.raises(AmbiguousColumnsError, match="several columns can hold the recipient") as caught:
        find_address_column(("Name", *names))
    assert caught.value.candidates == names


@pytest.mark.parametrize("names", [("name",), ("Email Domain", "Email Opt Out"), ("Mailing Street",), ("Tomail",), ()])
def test_other_columns_are_not_taken(names: tuple[str, ...]) -> None:
    with pytest.raises(RecordError, match="the record has no recipient"):
        find_address_column(names)


def test_the_field_that_the_campaign_names_is_the_only_one() -> None:
    assert address_column({"email": 1, "post": 2}, "post") == "post"
    with pytest.raises(RecordError, match="the record has no field 'Post'"):
        address_column({"email": 1, "post": 2}, "Post")


def test_every_column_has_a_name_that_a_template_can_write() -> None:
    names = ("First Name", "plan", "2nd choice", "é-b", "a b", "a-b", "x y", "x_y", "batch", 'say "hi"', "%")
    assert aliases(names) == {
        "First_Name": "First Name",
        "_2nd_choice": "2nd choice",
        "é_b": "é-b",
        "say_hi": 'say "hi"',
    }
    assert [variable(name, names) for name in names] == [
        *("First_Name", "plan", "_2nd_choice", "é_b", 'row["a b"]', 'row["a-b"]', 'row["x y"]', "x_y"),
        *('row["batch"]', "say_hi", 'row["%"]'),
    ]


def test_a_field_wins_over_what_another_is_called() -> None:
    fields = {"row": "7", "First Name": "Ann", "First_Name": "Bob"}
    assert template_variables(fields) == fields


def test_a_column_called_row_hides_no_other() -> None:
    variables = template_variables({"row": "7", "%": "5", "First Name": "Ann"})
    template = SandboxedEnvironment(autoescape=True).from_string(
        "{{ row }} {{ row['%'] }} {{ row['First Name'] }} {{ row.get('%') }} {{ row.get('x', 'none') }} {{ row[0] }}"
    )
    assert template.render(variables) == "7 5 Ann 5 none 7"
