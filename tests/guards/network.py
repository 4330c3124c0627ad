"""The guards of what goes over the network: TLS, credentials, what a server may say and do, requests that come in."""

from __future__ import annotations

from typing import Final

from tests.guards.guard import Guard

_CONNECTOR: Final = "batchsend/delivery/connector.py"
_TLS: Final = "tests/delivery/test_opening_tls.py"
_CERTIFICATE: Final = "test_a_certificate_that_does_not_verify and "
_MINIMUM: Final = "    context.minimum_version = ssl.TLSVersion.TLSv1_2\n"
_AUTHENTICITY: Final = "tests/listen/test_webhooks.py"
_TELLING: Final = "batchsend/events/telling.py"
_WEB: Final = "batchsend/listen/web.py"
_PAGE: Final = "batchsend/page/server.py"
_BOUNCES: Final = "batchsend/listen/bounces.py"
_HOST: Final = "tests/listen/test_bounce_host.py"
_SINK: Final = "tests/sink/test_sink_dialogue.py"
_SINK_STATE: Final = "batchsend/sink/state.py"
_OWN_HTTP: Final = "batchsend/web.py"
_SIGNATURES: Final = "batchsend/listen/signatures.py"
_NOT_GENUINE: Final = 'raise RefusedError("the signature is not genuine")'

TLS: Final = (
    Guard(
        "STARTTLS stripped from what is offered",
        _CONNECTOR,
        "await _until_cancelled(client.starttls())\n",
        'await _until_cancelled(client.starttls()) if client.supports_extension("starttls") else None\n',
        f"{_TLS}::test_starttls_not_offered_ends_it_and_no_credential_is_sent",
    ),
    Guard(
        "STARTTLS refused",
        _CONNECTOR,
        "                await _until_cancelled(client.starttls())\n",
        f"                with suppress(SMTPException):\n{' ' * 20}await _until_cancelled(client.starttls())\n",
        f"{_TLS}::test_starttls_refused_ends_it",
    ),
    Guard(
        "replies injected behind the 220",
        "aiosmtplib/protocol.py",
        "            del self._buffer[:]\n\n            try:\n                tls_transport",
        "            try:\n                tls_transport",
        f"{_TLS}::test_what_was_slipped_in_behind_the_220_is_not_heard_as_encrypted",
    ),
    Guard(
        "extensions said in the clear",
        _CONNECTOR,
        "                await client.ehlo()\n                stage = Stage.STARTTLS\n",
        "                first = await client.ehlo()\n                stage = Stage.STARTTLS\n",
        f"{_TLS}::test_the_extensions_are_those_of_the_encrypted_session",
        more=(
            (
                "            extensions = await _ehlo(client)\n",
                "            extensions = Extensions.parse(first.message)\n",
            ),
        ),
    ),
    Guard(
        "an expired certificate",
        _CONNECTOR,
        _MINIMUM,
        f"{_MINIMUM}    context.verify_flags |= 0x200000  # X509_V_FLAG_NO_CHECK_TIME\n",
        _TLS,
        f"{_CERTIFICATE} expired",
    ),
    Guard(
        "a certificate for another name",
        _CONNECTOR,
        _MINIMUM,
        f"{_MINIMUM}    context.check_hostname = False\n",
        _TLS,
        f"{_CERTIFICATE} wrong",
    ),
    Guard(
        "a self-signed certificate, an unknown authority",
        _CONNECTOR,
        _MINIMUM,
        f"{_MINIMUM}    context.check_hostname = False\n    context.verify_mode = ssl.CERT_NONE\n",
        _TLS,
        f"{_CERTIFICATE} (self or unknown)",
    ),
    Guard("old versions of TLS", _CONNECTOR, _MINIMUM, "", f"{_TLS}::test_old_versions_of_tls_are_not_spoken"),
    Guard(
        "a reply cut off without a close_notify",
        "batchsend/delivery/session.py",
        '        trouble = f"the connection was lost ({exc})" if exc else "the server closed the connection"\n',
        '        self.data_received(b"\\r\\n")\n'
        '        trouble = f"the connection was lost ({exc})" if exc else "the server closed the connection"\n',
        f"{_TLS}::test_a_reply_that_was_cut_off_without_a_close_notify_is_none",
    ),
    Guard(
        "the password of a mailbox to another IMAP server",
        "batchsend/feedback/imap.py",
        "ssl_context=ssl.create_default_context()",
        "ssl_context=ssl._create_unverified_context()",
        "tests/feedback/test_imap_tls.py",
    ),
    Guard(
        "events to another endpoint",
        _TELLING,
        "timeout=within, follow_redirects=False)",
        "timeout=within, follow_redirects=False, verify=False)",
        "tests/events/test_events.py::test_nothing_is_told_to_an_endpoint_whose_certificate_does_not_verify",
    ),
    Guard(
        "events to whom an endpoint refers",
        _TELLING,
        "follow_redirects=False)",
        "follow_redirects=True)",
        "tests/events/test_events.py::test_nothing_is_told_to_whom_an_endpoint_refers",
    ),
    Guard(
        "another in the place of SNS",
        _WEB,
        "HTTPSHandler(context=ssl.create_default_context())",
        "HTTPSHandler(context=ssl._create_unverified_context())",
        f"{_AUTHENTICITY}::test_sns_is_believed_only_with_its_certificate",
    ),
    Guard(
        "another to whom SNS refers",
        _WEB,
        "        _NoRedirect(), urllib",
        "        urllib",
        f"{_AUTHENTICITY}::test_nobody_is_asked_to_whom_sns_refers",
    ),
)

CREDENTIALS: Final = (
    Guard(
        "credentials without TLS to another machine",
        _CONNECTOR,
        'if server.tls == "none" and server.username is not None and not is_loopback(server.host):',
        "if False:",
        "tests/delivery/test_opening.py::test_credentials_without_tls_go_to_loopback_only",
    ),
    Guard(
        "the same, as a campaign says it",
        "batchsend/campaign/rules.py",
        'if server.username is not None and server.tls == "none" and not is_loopback(server.host):',
        "if False:",
        "tests/test_campaign_errors.py::test_credentials_in_the_clear_are_refused_except_to_loopback",
    ),
    Guard(
        "a name of this machine that leads elsewhere",
        _CONNECTOR,
        'if self._credentials and self.server.tls == "none" and not is_loopback(str(place[0])):',
        "if False:",
        "tests/delivery/test_opening.py::test_a_name_of_this_machine_that_leads_elsewhere_gets_no_credentials",
    ),
    Guard(
        "credentials in a trace: AUTH",
        "batchsend/trace.py",
        'self._shown(auth[1] + b"\\r\\n"))',
        "self._shown(line))",
        "tests/smtp/test_trace.py::test_no_secret_is_in_a_trace",
    ),
    Guard(
        "credentials in a trace: answers to a challenge",
        "batchsend/trace.py",
        '            lines += ["# the answer to the challenge is left out", "C:"]',
        "            lines.append(self._shown(line))",
        "tests/smtp/test_trace.py::test_no_secret_is_in_a_trace",
    ),
    Guard(
        "credentials in a run's output, log and trace",
        "batchsend/delivery/connector.py",
        '        smtp_log.debug("%s: a session is open", self.where)\n',
        "        import click\n\n        click.echo(self.server.password, err=True)\n",
        "tests/cli/test_what_others_may_see.py::test_a_run_shows_nobody_its_files_or_its_password",
    ),
    Guard(
        "credentials in repr()",
        "batchsend/campaign/values.py",
        "        return \"'********'\"",
        "        return str.__repr__(self)",
        "tests/test_public_names.py::test_no_secret_is_shown",
    ),
    Guard(
        "credentials in exceptions and tracebacks",
        "batchsend/campaign/values.py",
        "        return \"'********'\"",
        "        return str.__repr__(self)",
        "tests/cli/test_what_others_may_see.py::test_an_error_that_nobody_has_foreseen_does_not_tell_the_password",
    ),
    Guard(
        "credentials in the process list",
        "batchsend/run/composing.py",
        '[sys.executable, "-m", _MODULE],',
        '[sys.executable, "-m", _MODULE, os.environ.get("SECRET", "")],',
        "tests/cli/test_what_others_may_see.py::test_no_process_has_the_password_among_its_arguments",
    ),
    Guard(
        "credentials on the command line",
        "batchsend/campaign/overrides.py",
        '    if "@" in url:',
        '    if False and "@" in url:',
        "tests/cli/test_what_others_may_see.py::test_a_password_on_the_command_line_is_refused_and_not_repeated",
    ),
    Guard(
        "${NAME} outside of [server]",
        "batchsend/campaign/loader.py",
        "    tables = document.tables\n    missing",
        "    tables = document.tables\n"
        '    text = tables["message"].get("text", "")\n'
        '    tables["message"]["text"] = text.replace("${HOME}", environ.get("HOME", ""))\n    missing',
        "tests/test_campaign.py::test_a_variable_is_looked_up_for_the_server_and_for_no_template",
    ),
)

SERVER: Final = (
    Guard(
        "a reply line without an end",
        "batchsend/smtp/replies.py",
        "    if len(line) > most:\n",
        "    if False:\n",
        "tests/smtp/test_replies.py",
    ),
    Guard(
        "a reply without an end",
        "batchsend/smtp/replies.py",
        "        if self._size > MAX_REPLY:\n",
        "        if False:\n",
        "tests/smtp/test_replies.py",
    ),
    Guard(
        "what is no reply",
        "batchsend/smtp/replies.py",
        '            raise _MalformedError(f"not a reply: {line[:40]!r}")',
        "            code = last = 250",
        "tests/delivery/test_session_errors.py",
    ),
    Guard(
        "one reply with two codes",
        "batchsend/smtp/replies.py",
        "        if min(code, self._code) < 400:\n",
        "        if False:\n",
        "tests/delivery/test_session_errors.py",
    ),
    Guard(
        "silence",
        "batchsend/delivery/session.py",
        "        self._timer = self._loop.call_later(seconds, self._look)\n",
        "        self._timer = self._loop.call_later(3600 + seconds, self._look)\n",
        "tests/delivery/test_session_timeouts.py::test_silence_is_ended_by_the_time_out_of_its_stage",
        "lockstep",
    ),
    Guard(
        "an octet now and then",
        "batchsend/delivery/session.py",
        "        if client.replies != replies:\n",
        "        if data:\n",
        "tests/delivery/test_session_timeouts.py::test_an_octet_now_and_then_is_silence",
    ),
    Guard(
        "a server that reads too slowly",
        "batchsend/delivery/session.py",
        "left - self._left_before > _SLOWEST * (now - self._looked)",
        "left > self._left_before",
        "tests/delivery/test_session_timeouts.py::test_a_server_that_reads_too_slowly_is_left_and_nothing_is_in_doubt",
    ),
    Guard(
        "large messages that nobody reads",
        "batchsend/delivery/backlog.py",
        " <= MOST_OCTETS\n",
        " <= 1 << 60\n",
        "tests/delivery/test_bound.py::test_what_servers_never_read_is_held_only_as_far_as_there_is_memory_for_it",
    ),
)

RETURNS: Final = (
    Guard(
        "a forged return path",
        "batchsend/message/verp.py",
        "hmac.compare_digest(_mac(key, run, record), token[3].lower())",
        "True",
        "tests/feedback/test_verp.py",
    ),
    Guard(
        "a forged return path, and the rest of the report",
        "batchsend/feedback/tying.py",
        '        return Tie(None, None, "forged") if recipient is None else Tie(record, recipient, "verp")',
        '        if recipient is not None:\n            return Tie(record, recipient, "verp")',
        "tests/feedback/test_tying.py",
    ),
    Guard(
        "an address that two records were for",
        "batchsend/feedback/tying.py",
        "                self._by_address[address] = 0\n",
        "                pass\n",
        "tests/feedback/test_tying.py",
    ),
    Guard(
        "a forged unsubscribe link",
        "batchsend/message/verp.py",
        "return record if hmac.compare_digest(_link_mac(key, run, record), match[3]) else None",
        "return record",
        "tests/listen/test_one_click.py::test_forged_and_foreign_links_unsubscribe_nobody",
    ),
    Guard(
        "bounces that nobody has signed",
        "batchsend/listen/bounces.py",
        "        recipients=takes,\n",
        "",
        "tests/listen/test_bounce_host.py",
    ),
    Guard(
        "webhooks: SendGrid, Resend, Mailgun, SNS",
        _SIGNATURES,
        f"{_NOT_GENUINE} from None",
        "pass",
        _AUTHENTICITY,
        more=((_NOT_GENUINE, "pass"),),
    ),
    Guard(
        "webhooks: passwords",
        _SIGNATURES,
        'raise RefusedError("the credentials are missing or wrong")',
        "pass",
        _AUTHENTICITY,
    ),
    Guard(
        "webhooks: Mailgun's signature once more",
        _SIGNATURES,
        "if self._used.setdefault(token, digest) != digest:",
        "if False:",
        _AUTHENTICITY,
    ),
    Guard("webhooks: another's topic", _SIGNATURES, ' or fields.get("TopicArn") != topic', "", _AUTHENTICITY),
    Guard(
        "webhooks: another's certificate",
        _SIGNATURES,
        '        parts.scheme == "https"\n',
        "        True\n",
        _AUTHENTICITY,
    ),
)

LISTENER: Final = (
    Guard(
        "a posted body without an end: webhooks",
        _WEB,
        "        if size > most:\n",
        "        if False:\n",
        f"{_AUTHENTICITY}::test_what_is_too_large_is_not_read_to_its_end",
    ),
    Guard(
        "a posted body without an end: unsubscribes",
        _WEB,
        "        if size > most:\n",
        "        if False:\n",
        "tests/listen/test_one_click.py::test_a_body_that_is_too_large_is_not_read_to_its_end",
    ),
    Guard(
        "more posted bodies at once than there is room for",
        _WEB,
        "            if room is not None and not room.take(len(piece)):\n",
        "            if False:\n",
        f"{_AUTHENTICITY}::test_all_bodies_that_are_held_at_once_have_a_bound",
    ),
    Guard(
        "posted bodies that take room for good",
        _WEB,
        "            room.give_back(held)\n",
        "            pass\n",
        f"{_AUTHENTICITY}::test_the_room_of_a_body_that_does_not_come_is_there_again",
    ),
    Guard(
        "a body that never comes to its end",
        _WEB,
        "            with anyio.fail_after(WITHIN):\n",
        "            with anyio.fail_after(None):\n",
        "tests/listen/test_one_click.py::test_a_body_that_does_not_come_is_not_waited_for",
    ),
    Guard(
        "unsubscribing by looking",
        _WEB,
        '    if request.method != "POST":\n',
        "    if False:\n",
        "tests/listen/test_one_click.py",
    ),
    Guard(
        "a connection that asks for nothing",
        _OWN_HTTP,
        "            self._limit = self.loop.call_later(seconds, self.transport.abort)\n",
        "            pass\n",
        "tests/listen/test_connections.py",
    ),
    Guard(
        "a header that comes octet by octet",
        _OWN_HTTP,
        "            self._wait(within)\n\n        def connection_lost",
        "            pass\n\n        def connection_lost",
        "tests/listen/test_connections.py::test_an_octet_now_and_then_does_not_keep_it_open",
    ),
    Guard(
        "an answer that nobody takes",
        _OWN_HTTP,
        "                self._wait(_TO_BE_ANSWERED * within)\n",
        "                self._limit and self._limit.cancel()\n",
        "tests/listen/test_connections.py::test_who_takes_no_answer_is_not_waited_for",
    ),
    Guard(
        "more connections than there is room for",
        _OWN_HTTP,
        "            if len(self.connections) > _TURNED_AWAY * most:\n",
        "            if False:\n",
        "tests/listen/test_connections.py::test_there_are_so_many_and_no_more",
    ),
    Guard(
        "more requests than there is room for",
        _OWN_HTTP,
        "        limit_concurrency=most,\n",
        "",
        "tests/listen/test_connections.py::test_there_are_so_many_and_no_more",
    ),
    Guard(
        "a bounce without an end",
        _BOUNCES,
        "        max_size=_MOST_OCTETS,\n",
        "",
        f"{_HOST}::test_what_is_too_large_is_refused_before_it_is_sent",
    ),
    Guard(
        "more bounces at once than there is room for",
        _BOUNCES,
        "        max_held=MOST_HELD,\n",
        "",
        f"{_HOST}::test_what_all_sessions_hold_has_a_bound",
    ),
    Guard(
        "bounces in pieces of an octet",
        _SINK_STATE,
        "octets + _OF_A_PIECE",
        "octets",
        f"{_SINK}::test_a_piece_of_a_message_takes_more_room_than_its_octets",
    ),
    Guard(
        "commands whose replies nobody reads: replies",
        "batchsend/sink/session.py",
        "            if len(state.replies) > _MOST_REPLIES and state.expected is _COMMAND:\n",
        "            if False:\n",
        f"{_SINK}::test_who_asks_for_very_much_at_once_has_to_take_it_bit_by_bit",
    ),
    Guard(
        "commands whose replies nobody reads: commands",
        "batchsend/sink/connection.py",
        "        self._waits = self.blocked\n",
        "        self._waits = False\n",
        "tests/sink/test_sink_server.py::test_what_was_read_is_answered_only_as_far_as_it_is_taken",
    ),
    Guard(
        "bounces that are given up and take room for good",
        _SINK_STATE,
        "        self.transaction = NO_TRANSACTION\n        self.content.drop()\n",
        "        self.transaction = NO_TRANSACTION\n",
        f"{_SINK}::test_what_is_given_up_needs_no_room_any_more",
    ),
    Guard(
        "more sessions of bounces than there is room for",
        _BOUNCES,
        "        max_sessions=_MOST_SESSIONS,\n",
        "",
        f"{_HOST}::test_more_sessions_than_it_has_room_for_are_told_to_come_again",
    ),
    Guard(
        "a session of bounces without an end",
        _BOUNCES,
        "        session_timeout=_LONGEST,\n",
        "",
        f"{_HOST}::test_an_octet_now_and_then_keeps_no_session_open",
    ),
    Guard(
        "a command without an end to the listener",
        "batchsend/sink/session.py",
        "        if self._overlong or end + 2 - position > limit:\n",
        "        if False:\n",
        f"{_SINK}::test_lines_have_limits_and_the_session_survives_them",
    ),
)

PAGE: Final = (
    Guard(
        "a page without its token",
        _PAGE,
        "hmac.compare_digest(token, self._token) and ",
        "",
        "tests/page/test_live_page.py::test_it_is_for_who_knows_the_token_at_its_own_name",
    ),
    Guard(
        "DNS rebinding",
        _PAGE,
        ' and request.headers.get("host") in self._hosts',
        "",
        "tests/page/test_live_page.py::test_it_is_for_who_knows_the_token_at_its_own_name",
    ),
    Guard(
        "requests of other sites: Origin",
        _PAGE,
        '        headers.get("origin") == f"http://{headers.get(\'host\')}"\n        and headers',
        "        headers",
        "tests/page/test_live_page.py::test_nothing_changes_but_by_the_page_itself",
    ),
    Guard(
        "requests of other sites: forms",
        _PAGE,
        '        and headers.get("content-type") == "application/json"\n',
        "",
        "tests/page/test_live_page.py::test_nothing_changes_but_by_the_page_itself",
    ),
    Guard(
        "requests of other sites: Sec-Fetch-Site",
        _PAGE,
        '        and headers.get("sec-fetch-site") in _OWN_REQUESTS\n',
        "",
        "tests/page/test_live_page.py::test_nothing_changes_but_by_the_page_itself",
    ),
    Guard(
        "a page in another's frame",
        _PAGE,
        "; frame-ancestors 'none'",
        "",
        "tests/page/test_live_page.py::test_its_headers_let_nobody_frame_keep_or_extend_it",
    ),
    Guard(
        "a request without an end to the page",
        _PAGE,
        "        if len(body) > MAX_REQUEST:\n",
        "        if False:\n",
        "tests/page/test_live_page.py::test_nothing_changes_but_by_the_page_itself",
    ),
    Guard(
        "a script in the live page",
        _PAGE,
        "jinja2.Environment(autoescape=True,",
        "jinja2.Environment(autoescape=False,",
        "tests/page/test_live_page_in_browser.py::test_what_others_have_written_is_text",
    ),
    Guard(
        "a script in a report",
        "batchsend/report/html.py",
        "        autoescape=True,\n",
        "        autoescape=False,\n",
        "tests/report/test_page_in_browser.py::test_what_others_have_written_does_not_run_and_asks_for_nothing",
    ),
    Guard(
        "a script in a page of measurements",
        "batchsend/bench/page.py",
        "        autoescape=True,\n",
        "        autoescape=False,\n",
        "tests/cli/test_cli_bench.py::test_the_page_has_the_curves_and_what_a_server_says_is_text_in_it",
    ),
    Guard(
        "a script in a preview",
        "batchsend/preview/page.py",
        'f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"',
        'f"<dt>{name}</dt><dd>{value}</dd>"',
        "tests/preview/test_shown.py::test_a_page_runs_nothing_and_believes_nothing",
    ),
    Guard(
        "a script of the message in a preview",
        "batchsend/preview/page.py",
        '_SANDBOX: Final = "allow-popups',
        '_SANDBOX: Final = "allow-scripts allow-popups',
        "tests/preview/test_shown.py::test_a_page_runs_nothing_and_believes_nothing",
    ),
    Guard(
        "a formula in a spreadsheet",
        "batchsend/report/spreadsheet.py",
        '    return f"\'{marked}" if _SIGN.match(marked) else marked\n',
        "    return marked\n",
        "tests/report/test_spreadsheet.py",
    ),
)
