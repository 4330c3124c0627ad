"""Lists in other encodings than UTF-8: the error names the one that the list is in, by words of its language."""

# ruff: noqa: RUF001 - letters of many scripts
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from batchsend.errors import UsageError
from batchsend.recipients import open_records

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("encoding", "name", "words"),
    [
        ("cp1252", "prénom", "Noël Zoé"),
        ("cp1252", "nombre", "José Núñez Begoña"),
        ("cp1252", "nome", "João Conceição"),
        ("cp1252", "navn", "Søren Åkjær"),
        ("cp1252", "nafn", "Þórður Ágústsson Guðrún"),
        ("cp1252", "Straße", "Jörg Müller"),
        ("cp1250", "imię", "Łukasz Dąbrowski Żak"),
        ("cp1250", "jméno", "Dvořák Čapek"),
        ("cp1250", "név", "Erdős Szűcs"),
        ("cp1250", "ime", "Đorđe Žižić"),
        ("cp1250", "nume", "Ştefan Măriuţa"),
        ("cp1254", "ad", "Ayşe Yılmaz Çağrı"),
        ("cp1257", "vardas", "Eglė Šimkūnas"),
        ("cp1251", "имя", "Анна Каренина"),
        ("cp1251", "имя", "анна каренина"),
        ("cp1251", "име", "Георги Петър"),
        ("cp1251", "ім'я", "Олена Їжак"),
        ("koi8_r", "имя", "Анна Каренина"),
        ("cp1253", "όνομα", "Γιώργος Παπαδόπουλος"),
        ("cp1255", "שם", "יוסי כהן מרים לוי ירושלים"),
        ("cp1256", "الاسم", "محمد فاطمة الزهراء"),
        ("cp874", "ชื่อ", "สมชาย ใจดี กนกวรรณ"),
        ("cp932", "氏名", "山田太郎 佐藤花子"),
        ("iso2022_jp", "氏名", "山田太郎 佐藤花子"),
    ],
)
def test_the_encoding_of_a_list_is_found(tmp_path: Path, encoding: str, name: str, words: str) -> None:
    rows = "".join(f"u{number}@example.com,{word}\n" for number, word in enumerate(words.split()))
    (tmp_path / "list.csv").write_bytes(f"email,{name}\n{rows}".encode(encoding))
    with pytest.raises(UsageError) as caught:
        open_records(tmp_path / "list.csv")
    assert f'encoding = "{encoding}"' in str(caught.value.remedy)
    with open_records(tmp_path / "list.csv", encoding=encoding) as reader:
        assert [(row.fields or {})[name] for row in reader.read(100)] == words.split()


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1251", "koi8-r", "mac-roman", "cp850"])
def test_a_list_in_utf8_is_read_as_nothing_else(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "list.csv").write_text("email,name\na@example.com,A\njürgen@example.com,Jürgen\n")
    with pytest.raises(UsageError, match=f"is not in {encoding}: all of it is UTF-8") as caught:
        open_records(tmp_path / "list.csv", encoding=encoding)
    assert "leave encoding out" in str(caught.value.remedy)
    (tmp_path / "list.csv").write_text("email,name\na@example.com,A\n")
    with open_records(tmp_path / "list.csv", encoding=encoding) as reader:
        assert len(reader.read(100)) == 1


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-16-be", "utf-16-le"), ("utf-16-le", "utf-16-be"), ("utf-8", "cp037")]
)
def test_a_list_that_has_addresses_in_another_encoding_only_is_refused(
    tmp_path: Path, encoding: str, said: str
) -> None:
    (tmp_path / "list.csv").write_bytes("email,name\na@example.com,A\n".encode(encoding))
    with pytest.raises(UsageError, match=f"is not in {said}: read so, it has no address"):
        open_records(tmp_path / "list.csv", encoding=said)
