"""A Django project whose mail goes over sessions that stay open, and which sends a campaign of its own.

From the root of the repository:

    batchsend sink --port 2525 &
    python samples/django_project/manage.py sendtestemail ada@example.com
    python samples/django_project/manage.py send_campaign samples/django_project/campaign.toml
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    execute_from_command_line(sys.argv)
