"""What the figures were measured on: enough to judge them by, nothing that names the machine."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version

from batchsend.version import __version__, compiled
from benchmarks.contestants import nodemailer_folder

_PACKAGES = ("aiosmtplib", "uvloop", "orjson", "jinja2", "aiohttp", "httpx")
_PHPMAILER_VERSION = (
    'require "/usr/share/php/libphp-phpmailer/src/PHPMailer.php"; echo PHPMailer\\PHPMailer\\PHPMailer::VERSION;'
)
_PROGRAMS = {
    "node": ("node", "--version"),
    "php": ("php", "-r", "echo PHP_VERSION;"),
    "phpmailer": ("php", "-r", _PHPMAILER_VERSION),
    "nginx": ("/usr/sbin/nginx", "-v"),
    "postfix": ("/usr/sbin/postconf", "-hd", "mail_version"),
}
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


def machine() -> dict[str, str | int]:
    """Cores and operating system, and whether batchsend is compiled."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "compiled": compiled(),
    }


def versions() -> dict[str, str]:
    """The version of everything that takes part and is installed."""
    found = {"batchsend": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    manifest = nodemailer_folder() / "package.json"
    if manifest.exists():
        found["nodemailer"] = str(json.loads(manifest.read_text())["version"])
    for name, command in _PROGRAMS.items():
        if (said := _said(command)) is not None:
            found[name] = said
    return found


def _said(command: tuple[str, ...]) -> str | None:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    number = _NUMBER.search(ran.stdout + ran.stderr)
    return number[0] if number is not None and ran.returncode == 0 else None
