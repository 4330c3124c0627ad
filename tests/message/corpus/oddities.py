"""Bodies, header texts and file names that encodings stumble over."""

from __future__ import annotations

TEXTS = (
    *("", "\n", ".", "..\n", ".\n.\n..\n", "x", "no final line end", "two\n\n\nempty lines\n\n"),
    *("trailing space \nand tab\t\nand none\n", "\ttab ", "From the start\nFrom the middle\n", "-- \nsignature\n"),
    *("=3D=\n=20\n=", "a = b\n", "--=_boundary--\n--\n", "é=\n", "é \n\té\n", "ends in a soft break =é"),
    *("x" * 76, "x" * 77, "x" * 998, "x" * 999, "x " * 5_000, "é" * 998, "." * 2_000, "é" + "." * 2_000),
    *("one\r\ntwo\nthree\rfour", "form\ffeed and vertical\vtab\n", "bell\a escape\x1b delete\x7f\n", "NUL\0 within\n"),
    *(
        "\ufeffa byte-order mark first\n",
        "next\u0085line \u2028 paragraph\u2029\n",
        "soft\u00adhyphen\u200bzero\u2060width\n",
    ),
    *(
        "\ufffd replaced, \ue000 private, \U0010fffd last plane\n",
        "&amp; <b>\"quoted\"</b> 'single'\n",
        "{{ 7 * 7 }} {% raw %}\n",
    ),
    *("UTF-7: +ADw-script+AD4-\n", "=?utf-8?q?not_a_header?=\n", "begin 644 file\nend\n", "\x00\x01\x02\x03"),
)

HEADER_TEXTS = (
    *(
        "x",
        "Smith, John",
        '"Quoted" Queen',
        "back\\slash",
        "O'Brien; Pat",
        "a: b, c;",
        "(a comment)",
        "<not@example.net>",
    ),
    *(
        "A <b@example.net>",
        "me@example.net",
        "=?utf-8?q?=42cc?=",
        "=?utf-8?b?QmNj?= =?",
        "?=",
        ".",
        "-",
        "_under_score_",
    ),
    *("Tom & <Jerry>", "{{ 7 * 7 }} {% raw %}", "%s {0} ${HOME}", "a  b   c", "é  é", "x" * 75, "x" * 300, "Ω" * 120),
    *("🙂" * 60, "words that fold more than once, in plain ASCII " * 5 + "end", "Grüße und " * 20 + "Ende", "née" * 30),
    *("a é b é c é", "é a", "a é", "é", "a_é?=b", "x" * 70 + "é", "é" + "x" * 400, "tab\tbetween", "1 < 2 > 1 @ 3"),
)

FILENAMES = (
    *("plain.txt", "two words.pdf", 'quo"ted".pdf', "back\\slash.pdf", "semi;colon.pdf", "com,ma.pdf", "a'b.pdf"),
    *(
        "utf-8''x.pdf",
        "50%25.pdf",
        "100% é.pdf",
        "=?utf-8?q?x?=.txt",
        "not.hidden.",
        "no-suffix",
        "a=b*0.pdf",
        "(1).pdf",
    ),
    *("x" * 200 + ".pdf", "é" * 100 + ".pdf", "name.tar.gz", "mail.eml", "page.html", "style.css", "notes.txt"),
)
