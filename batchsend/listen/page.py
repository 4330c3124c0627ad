"""The pages that people see who follow an unsubscribe link: they ask, and they say that it is done."""

from __future__ import annotations

from typing import Final

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1rem }}
button {{ font: inherit; padding: .6rem 1.4rem; cursor: pointer }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""

# The form posts what mail readers post (RFC 8058 §3.1), to where the page is.
ASKS: Final = _PAGE.format(
    title="Unsubscribe",
    body="<p>Do you want no more of these messages?</p>\n"
    '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
    "<button>Unsubscribe</button></form>",
)
DONE: Final = _PAGE.format(title="You are unsubscribed", body="<p>You will get no more of these messages.</p>")
BROKEN: Final = _PAGE.format(
    title="This link is not complete",
    body="<p>Please copy all of it, or answer the message and say that you want no more.</p>",
)
FAILED: Final = _PAGE.format(
    title="This did not work", body="<p>Please try again in a few minutes: you are not unsubscribed yet.</p>"
)

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
"""What goes with every page: a link is a secret of its recipient, and goes nowhere else."""
