"""What to put where a name, an address or a text is expected, so that a message, a header or a command comes of it."""

from __future__ import annotations

BREAKS = (
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\t",
    "\v",
    "\f",
    "\x1c",
    "\x1f",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\r\n\r\n",
    "\n\n",
)

HEADERS = (
    *(
        "\r\nBcc: victim@example.net",
        "\nBcc: victim@example.net",
        "\rBcc: victim@example.net",
        "\0Bcc: victim@example.net",
    ),
    *(
        "\r\n Bcc: victim@example.net",
        "\r\n\tvictim@example.net",
        "\r\n\r\n<script>alert(1)</script>",
        "\u2028Bcc: v@example.net",
    ),
    *(
        "=?utf-8?q?=0D=0ABcc:_victim@example.net?=",
        "=?utf-8?b?DQpCY2M6IHZAZXhhbXBsZS5uZXQ=?=",
        "=?us-ascii?q?x",
        "=?",
        "?=",
    ),
    *("%0d%0aBcc:%20victim@example.net", "\\r\\nBcc: victim@example.net", "\r\nContent-Type: text/html\r\n\r\n<b>"),
    *("\r\nContent-Transfer-Encoding: base64\r\n", "\r\nTo: victim@example.net", "\r\nReply-To: victim@example.net"),
)

COMMANDS = (
    *("\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", ".\r\n", "\r\n.", "."),
    *(
        "\r\nRCPT TO:<victim@example.net>",
        "\r\nDATA\r\n",
        "\r\nRSET\r\nMAIL FROM:<victim@example.net>\r\n",
        "\r\nQUIT\r\n",
    ),
    *("\r\n.\r\nMAIL FROM:<x@example.net>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n",),
    *(
        "\n.\nMAIL FROM:<x@example.net>\nRCPT TO:<victim@example.net>\nDATA\nx\n.\n",
        "BDAT 5 LAST\r\n",
        "\r\nBDAT 0 LAST\r\n",
    ),
)

TEMPLATES = (
    *(
        "{{7*7}}",
        "{{ 7 * 7 }}",
        "{{x.__class__}}",
        "{{ ''.__class__.__mro__ }}",
        "{% for i in range(999999999) %}x{% endfor %}",
    ),
    *(
        "{% raw %}",
        "{# comment #}",
        "{% include '/etc/passwd' %}",
        "{% import 'campaign.toml' as x %}",
        "${HOME}",
        "%s%n",
        "{0}",
    ),
    *("\x1f0000000000000000\x1f", "\x1f1234567890123456\x1f", "{{", "}}", "{%", "%}"),
)

MIME = (
    *("--", "--=_", "=_", "\n--=_\n", "\r\n--=_0123456789abcdef01234567_m\r\n", "\n--=_0123456789abcdef01234567_a--\n"),
    *(
        "\n\n--=_m\nContent-Type: text/html\n\n<b>",
        "=3D_m",
        "=\n",
        "= \n",
        "=0D=0A.=0D=0A",
        "From me",
        "\nFrom me\n",
        "begin 644 x\n",
    ),
    *(
        "<script>alert(1)</script>",
        "<!--",
        "]]>",
        "&lt;",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "</body></html>",
    ),
)

SIGNS = (
    *(
        "<",
        ">",
        ",",
        ";",
        ":",
        '"',
        "'",
        "\\",
        "(",
        ")",
        "[",
        "]",
        "@",
        ".",
        " ",
        "  ",
        "=",
        "?",
        "_",
        "%",
        "/",
        "&",
        "|",
        "`",
        "$",
    ),
    *(
        "é",
        "ß",
        "山",
        "🙂",
        "e\u0301",
        "\u0600",
        "\u202e",
        "\u200b",
        "\u200d",
        "\u00ad",
        "\ufeff",
        "\ufffd",
        "\uffff",
        "\U000e0041",
    ),
    *(
        "\uff0e",
        "\uff20",
        "\u3002",
        "\uff1c",
        "\u2024",
        "\x1b[31m",
        "\x1b]0;x\x07",
        "\b",
        "=cmd|'/c calc'!A1",
        "-1+1",
        "NaN",
        "null",
    ),
)

LONG = (
    "x" * 998,
    "x" * 999,
    "x" * 10_000,
    "é" * 5_000,
    "x " * 5_000,
    "🙂" * 2_000,
    "." * 10_000,
    "\n" * 3_000,
    "=" * 3_000,
    "," * 2_000,
)
