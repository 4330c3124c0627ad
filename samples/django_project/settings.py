"""The settings that mail needs; a project has more."""

from __future__ import annotations

import os

SECRET_KEY = "only a sample"  # noqa: S105 - nothing is signed with it
USE_TZ = True

INSTALLED_APPS = ["batchsend.django"]  # for the command send_campaign

EMAIL_BACKEND = "batchsend.django.EmailBackend"
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("SMTP_PORT", "2525"))
DEFAULT_FROM_EMAIL = "shop@example.com"
BATCHSEND = {"max_connections": 10, "rate": "100/s"}
