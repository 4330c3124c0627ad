"""The guards of what comes from files: records, templates, lists; of what is shown; of who shares the machine."""

from __future__ import annotations

from typing import Final

from tests.guards.guard import Guard

_ATTACHMENTS: Final = "batchsend/message/attachments.py"
_ATTACHED: Final = "tests/message/test_attachments.py"
_ELSEWHERE: Final = f"{_ATTACHED}::test_a_record_cannot_name_what_is_elsewhere_under_another_name_here"
_NAMED: Final = "batchsend/message/named_by_records.py"
_TEMPLATES: Final = "batchsend/message/templates.py"
_BUDGET: Final = "batchsend/message/budget.py"
_LIMITS: Final = "tests/message/test_bounds.py::test_the_error_says_which_limit_it_was"
_LINKS: Final = "tests/results/test_links.py"
_PRIVATE: Final = f"{_LINKS}::test_it_is_private_whatever_the_umask"
_FOLLOWED: Final = f"{_LINKS}::test_a_link_in_its_place_leads_nowhere"
_FIFO: Final = f"{_LINKS}::test_a_fifo_in_its_place_holds_nobody_up_and_gets_nothing"
_ESCAPES: Final = "tests/cli/test_terminal_escapes.py"

FIELDS: Final = (
    Guard(
        "a control character in an address",
        "batchsend/recipients/addresses.py",
        '        if category == "Cc":\n',
        "        if False:\n",
        "tests/message/test_addresses.py::test_what_is_refused_is_refused_for_a_stated_reason",
    ),
    Guard(
        "an address that servers take apart differently",
        "batchsend/recipients/addresses.py",
        "    if wrong := _rare(_NOT_IN_QUOTES).search(inner):\n",
        "    if False and (wrong := _rare(_NOT_IN_QUOTES).search(inner)):\n",
        "tests/message/test_addresses.py::test_what_is_refused_is_refused_for_a_stated_reason",
    ),
    Guard(
        "an address that hides another",
        "batchsend/recipients/addresses.py",
        "        if character in local:\n",
        "        if False:\n",
        "tests/message/test_addresses.py::test_what_is_refused_is_refused_for_a_stated_reason",
    ),
    Guard(
        "a command in an envelope",
        "batchsend/smtp/commands.py",
        "    if not _PATH.fullmatch(path):\n",
        "    if False:\n",
        "tests/smtp/test_commands.py",
    ),
    Guard(
        "a command in parameters",
        "batchsend/smtp/commands.py",
        "    if not parameters.isprintable():\n",
        "    if False:\n",
        "tests/smtp/test_commands.py",
    ),
    Guard(
        "a header in a header's value",
        "batchsend/message/words.py",
        "        if found := _FORBIDDEN.search(text):\n",
        "        if False and (found := _FORBIDDEN.search(text)):\n",
        "tests/message/test_headers.py::test_no_header_takes_a_control_character",
    ),
    Guard(
        "a recipient in a display name",
        "batchsend/message/template.py",
        "            return template.filling.own, template.values(template.filling, variables)\n",
        "            return (template.filling(variables),), ()\n",
        "tests/message/test_mailboxes.py::test_data_in_a_name_stays_a_name",
    ),
    Guard(
        "a command in content: dots",
        "batchsend/smtp/content.py",
        '        content = content.replace(b"\\r\\n.", b"\\r\\n..")\n',
        "        pass\n",
        "tests/smtp/test_content.py",
    ),
    Guard(
        "a command in content: bare line ends",
        "batchsend/smtp/content.py",
        '        content = _LINE_END.sub(b"\\r\\n", content)\n',
        "        pass\n",
        "tests/smtp/test_content.py",
    ),
    Guard(
        "a part in a body: the boundary",
        "batchsend/message/encoding.py",
        " and delimiter not in text:\n",
        ":\n",
        "tests/message/test_composer.py::test_a_body_that_quotes_the_boundary_adds_no_part",
    ),
    Guard(
        "a header in a file's name",
        _ATTACHMENTS,
        'clean(name, "the name of an attachment")',
        "name",
        f"{_ATTACHED}::test_a_part_has_the_name_and_type_that_it_is_given",
    ),
    Guard(
        "a parameter in a file's name",
        _ATTACHMENTS,
        "        and '\"' not in filename\n",
        "",
        f"{_ATTACHED}::test_a_file_is_read_back_under_its_name_and_type",
    ),
    Guard(
        "a template in data",
        "batchsend/message/plain_template.py",
        "        # Most values have nothing to escape",
        "        import jinja2 as language\n\n"
        '        values = [language.Template(one).render() if "{{" in one else one for one in values]\n'
        "        # Most values have nothing to escape",
        "tests/message/test_message_templates.py::test_data_is_never_a_template",
    ),
    Guard(
        "markup in data",
        "batchsend/message/plain_template.py",
        "            return [str(escape(value)) for value in values]\n",
        "            pass\n",
        "tests/message/test_message_templates.py::test_html_is_escaped_and_text_is_not",
    ),
)

FILES: Final = (
    Guard(
        "a file outside of the campaign's folder",
        _ATTACHMENTS,
        "        if rest is None:\n",
        "        if rest is None and (rest := path) is None:\n",
        f"{_ATTACHED}::test_a_record_cannot_attach",
        more=(("FileIO(path, opener=self._opener(where))", "FileIO(path)"),),
    ),
    Guard(
        "the campaign file, its lists, keys and logs",
        _NAMED,
        "    if own.has(path) or rest",
        "    if rest",
        f"{_ATTACHED}::test_a_record_cannot_attach_what_the_campaign_is_made_of",
    ),
    Guard(
        ".env and other hidden files",
        _NAMED,
        'rest.startswith(".") or "/." in rest',
        "False",
        f"{_ATTACHED}::test_a_record_cannot_attach_what_the_campaign_is_made_of",
    ),
    Guard(
        "a hard link",
        _NAMED,
        " and status.st_nlink > 1:\n",
        " and False:\n",
        _ELSEWHERE,
    ),
    Guard(
        "a hard link: attached",
        _ATTACHMENTS,
        "partial(open_inside, self._inside) if self._linked else partial(open_named, self._inside, where)",
        "partial(open_inside, self._inside)",
        _ELSEWHERE,
    ),
    Guard(
        "a hard link: included",
        _TEMPLATES,
        "        return partial(open_named, inside, where)\n",
        "        return os.open\n",
        _ELSEWHERE,
        more=(("import secrets\n", "import os\nimport secrets\n"),),
    ),
    Guard(
        "a hard link: shown",
        "batchsend/message/images.py",
        "self._named_by_records = named_by_records or files",
        "self._named_by_records = files",
        "tests/message/test_images.py::test_a_record_shows_no_image_that_is_elsewhere_under_another_name_here",
    ),
    Guard(
        "a folder that is swapped in between",
        _ATTACHMENTS,
        "        if self._inside is None:\n            return _open\n",
        "        if True:\n            return _open\n",
        f"{_ATTACHED}::test_a_folder_that_is_swapped_after_it_was_looked_at_is_not_entered",
    ),
    Guard(
        "a folder that is swapped in between: included",
        _TEMPLATES,
        "        opener = None if template in environment.written else self._opener(path, template)\n",
        "        opener = None\n        if template not in environment.written:\n"
        "            self._opener(path, template)\n",
        f"{_ATTACHED}::test_nothing_is_included_from_a_folder_that_is_swapped_after_it_was_looked_at",
    ),
    Guard(
        "what is no regular file",
        _ATTACHMENTS,
        "                if not stat.S_ISREG(status.st_mode):\n",
        "                if False:\n",
        f"{_ATTACHED}::test_a_record_cannot_attach",
    ),
    Guard(
        "a file without an end",
        _ATTACHMENTS,
        "                if status.st_size > MAX_SIZE:\n",
        "                if False:\n",
        f"{_ATTACHED}::test_a_record_cannot_attach",
    ),
    Guard(
        "an included file outside of the folder",
        _TEMPLATES,
        "        if not path.is_relative_to(self._directory) or not path.is_file():\n",
        "        if not path.is_file():\n",
        "tests/message/test_message_templates.py::test_nothing_outside_the_folder_is_included",
    ),
    Guard(
        "an included file that is the campaign's own, or hidden",
        _TEMPLATES,
        "        require_no_secret(str(path.relative_to(self._directory)), str(path), self._own, where)\n",
        "",
        f"{_ATTACHED}::test_a_record_cannot_have_what_the_campaign_is_made_of_included",
    ),
    Guard(
        "a program that the database names",
        "batchsend/cluster/definition.py",
        '        if "token_command" in server:\n',
        "        if False:\n",
        "tests/cluster/test_stored_form.py::test_no_worker_runs_a_program_that_the_database_names",
    ),
    Guard(
        "a file that the database names outside of its folder",
        "batchsend/cluster/definition.py",
        '    if path.is_absolute() or ".." in path.parts or not path.parts or "\\0" in name:\n',
        "    if False:\n",
        "tests/cluster/test_stored_form.py::test_no_file_from_the_database_is_written_outside_its_folder",
    ),
)

TEMPLATES: Final = (
    Guard(
        "Python from a template",
        "batchsend/message/bounds.py",
        "    code_generator_class = BoundedCodeGenerator\n",
        "    code_generator_class = BoundedCodeGenerator\n\n"
        "    def is_safe_attribute(self, *_: Any) -> bool:\n        return True\n\n"
        "    def is_safe_callable(self, *_: Any) -> bool:\n        return True\n\n"
        "    def wrap_str_format(self, value: Any) -> None:\n        return None\n\n"
        "    def _wrap_str_format(self, value: Any) -> None:\n        return None\n",
        "tests/message/test_sandbox_escapes.py",
        more=(
            ("    def wrap_str_format(self, value: Any) -> Callable", "    def unused(self, value: Any) -> Callable"),
        ),
    ),
    Guard(
        "a template that takes minutes to compile",
        "batchsend/message/bounds.py",
        "            if count >= MAX_PIECES:\n",
        "            if count >= 1 << 60:\n",
        "tests/message/test_hostile_templates.py::test_a_file_that_is_no_template_is_a_mistake_of_the_campaign",
        "many_marks and html",
    ),
    Guard("a rendering without an end: steps", _BUDGET, "        if steps < 0:\n", "        if False:\n", _LIMITS),
    Guard(
        "a rendering without an end: texts",
        _BUDGET,
        "        if self._characters < 0:\n",
        "        if False:\n",
        _LIMITS,
    ),
    Guard("a rendering without an end: numbers", _BUDGET, "    if bits > MAX_BITS:\n", "    if False:\n", _LIMITS),
    Guard(
        "a rendering without an end: widths",
        _BUDGET,
        "        if isinstance(value, int) and abs(value) > most:\n",
        "        if False:\n",
        _LIMITS,
    ),
    Guard(
        "a rendering without an end: time",
        _BUDGET,
        "        if not steps & 7 and time.monotonic() > self._deadline:",
        "        if False:",
        "tests/message/test_bounds.py::test_a_template_that_steps_too_slowly_is_stopped_by_the_clock",
    ),
)

LISTS: Final = (
    Guard(
        "a line without an end, unpacked: .gz",
        "batchsend/recipients/lines.py",
        "> LONGEST_LINE:\n",
        "> 1 << 60:\n",
        "tests/recipients/test_bombs.py::test_one_line_without_an_end_is_refused_long_before_all_of_it_is_unpacked",
        "gz",
    ),
    Guard(
        "a line without an end, unpacked: .zst",
        "batchsend/recipients/lines.py",
        "> LONGEST_LINE:\n",
        "> 1 << 60:\n",
        "tests/recipients/test_bombs.py::test_one_line_without_an_end_is_refused_long_before_all_of_it_is_unpacked",
        "zst",
    ),
    Guard(
        "a window of .zst that would fill memory",
        "batchsend/recipients/source.py",
        '    return zstd.ZstdFile(raw, "rb"), ',
        '    return zstd.ZstdFile(raw, "rb", options={zstd.DecompressionParameter.window_log_max: 31}), ',
        "tests/recipients/test_bombs.py::test_a_window_of_zstd_that_would_fill_memory_is_refused",
    ),
    Guard(
        "a workbook that would fill memory",
        "batchsend/recipients/workbook.py",
        "    if size > LARGEST:\n",
        "    if False:\n",
        "tests/recipients/test_workbook.py::test_a_workbook_that_would_not_fit_into_memory",
    ),
    Guard(
        "a workbook that says it is smaller than it is",
        "batchsend/recipients/workbook_size.py",
        "    if len(content) != item.file_size:\n",
        "    if False:\n",
        "tests/recipients/test_bombs.py::test_a_workbook_that_says_it_is_smaller_than_it_is_does_not_fill_memory",
    ),
    Guard(
        "a workbook whose cells would fill memory",
        "batchsend/recipients/workbook.py",
        " or found.octets > LARGEST:",
        ":",
        "tests/recipients/test_bombs.py::test_a_workbook_whose_cells_would_fill_memory_is_refused_before_they_do",
        "one",
    ),
    Guard(
        "texts that take the square of their length",
        "batchsend/message/words.py",
        '_CHUNK = re.compile("(?<! ) *+[^ ]++")',
        '_CHUNK = re.compile(" *[^ ]+")',
        "tests/test_linear_time.py",
        "unstructured",
    ),
)

TERMINAL: Final = (
    Guard(
        "escapes in a line",
        "batchsend/display.py",
        "    if text.isprintable():\n        return text\n",
        "    return text\n",
        _ESCAPES,
    ),
    Guard(
        "escapes in several lines",
        "batchsend/display.py",
        '    return _DANGEROUS.sub(lambda found: _escape(found[0]), text.replace("\\r\\n", "\\n"))\n',
        "    return text\n",
        "tests/preview/test_shown.py::test_nothing_that_a_terminal_would_obey_gets_through",
    ),
    Guard(
        "escapes in JSON",
        "batchsend/display.py",
        '    return _DANGEROUS.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)\n',
        "    return text\n",
        f"{_ESCAPES}::test_nothing_that_a_terminal_would_obey_is_printed",
        "json",
    ),
    Guard(
        "escapes in errors and notices",
        "batchsend/cli/console.py",
        "                self._print(printable(line))\n",
        "                click.echo(line, err=True)\n",
        f"{_ESCAPES}::test_nothing_that_a_terminal_would_obey_is_printed",
    ),
    Guard(
        "escapes in what a command tells",
        "batchsend/cli/campaigns.py",
        "    click.echo(printable(line))\n",
        "    click.echo(line)\n",
        f"{_ESCAPES}::test_nothing_that_a_terminal_would_obey_is_printed",
        "init or explain or feedback",
    ),
    Guard(
        "escapes in a list, as check shows it",
        "batchsend/cli/findings.py",
        "textwrap.wrap(printable(text),",
        "textwrap.wrap(text,",
        "tests/cli/test_cli_check.py",
        "terminal or obey or escape",
    ),
    Guard(
        "escapes in a report",
        "batchsend/display.py",
        '    return printable(text.replace("\\n", " "))\n',
        '    return text.replace("\\n", " ")\n',
        f"{_ESCAPES}::test_nothing_that_a_terminal_would_obey_is_printed",
        "report",
    ),
    Guard(
        "escapes in what a server says",
        "batchsend/smtp/replies.py",
        '        return text if text.isprintable() else printable(text, keep="\\n")\n',
        "        return text\n",
        "tests/delivery/test_session_errors.py::test_text_of_the_server_is_data",
    ),
    Guard(
        "escapes in what comes back",
        "batchsend/feedback/understanding.py",
        'one_line(_SPACE.sub(" ", report.said).strip())',
        '_SPACE.sub(" ", report.said).strip()',
        "tests/feedback/test_hostile_reports.py::test_what_a_terminal_would_obey_is_escaped",
    ),
)

OTHERS: Final = (
    Guard("others read the results log", "batchsend/results/lock.py", "0o600", "0o666", _PRIVATE),
    Guard("others read files beside the log", "batchsend/results/beside.py", "0o600", "0o666", _PRIVATE),
    Guard("others read the list of messages", "batchsend/results/messages.py", "0o600", "0o666", _PRIVATE),
    Guard("others read the feedback log", "batchsend/feedback/log.py", "0o600", "0o666", _PRIVATE),
    Guard(
        "others read the list that grows",
        "batchsend/feedback/reading.py",
        "flags | made, 0o600",
        "flags | made, 0o666",
        _PRIVATE,
    ),
    Guard("others read the key", "batchsend/message/verp.py", "0o600", "0o666", _PRIVATE),
    Guard("others read a trace", "batchsend/trace.py", "0o600", "0o666", _PRIVATE),
    Guard(
        "others read a log that is put back",
        "batchsend/results/log.py",
        "0o600",
        "0o666",
        "tests/results/test_ledger.py::test_a_log_that_was_removed_is_written_anew",
    ),
    Guard(
        "others read a report",
        "batchsend/report/output.py",
        "stat.S_IMODE(self._log.stat().st_mode)",
        "0o666",
        "tests/report/test_output.py::test_a_file_is_as_private_as_the_log",
    ),
    Guard(
        "others read a letter that the browser shows",
        "batchsend/cli/preview.py",
        '            file.write(page(message).encode("utf-8", "replace"))\n',
        '            file.write(page(message).encode("utf-8", "replace"))\n            Path(file.name).chmod(0o644)\n',
        "tests/cli/test_preview_keys.py::test_open_writes_a_page_and_starts_the_browser",
    ),
    Guard(
        "others use the control socket",
        "batchsend/control/place.py",
        "        os.fchmod(listener.fileno(), 0o600)\n",
        "",
        "tests/control/test_control_socket.py",
    ),
    Guard(
        "others are heard at the control socket",
        "batchsend/control/server.py",
        "                if peer(connection) not in {os.geteuid(), 0}:\n",
        "                if False:\n",
        "tests/control/test_control_socket.py::test_another_user_is_not_heard_even_where_the_file_would_let_him",
    ),
    Guard(
        "others pass for the run",
        "batchsend/control/place.py",
        "        if peer(connection) not in {os.geteuid(), 0, log.stat().st_uid}:\n",
        "        if False:\n",
        "tests/control/test_control_socket.py::test_a_socket_that_another_user_has_put_there_is_told_nothing",
    ),
    Guard(
        "a link in the log's place",
        "batchsend/results/lock.py",
        "flags | os.O_CREAT | os.O_EXCL, 0o600)",
        "flags | os.O_CREAT, 0o600)",
        _FOLLOWED,
    ),
    Guard(
        "a link in the place of a file beside the log",
        "batchsend/results/beside.py",
        "os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW",
        "os.O_CREAT | os.O_TRUNC",
        _FOLLOWED,
    ),
    Guard("a link in the feedback log's place", "batchsend/feedback/log.py", " | os.O_NOFOLLOW", "", _FOLLOWED),
    Guard(
        "a link in the place of the list of messages",
        "batchsend/results/messages.py",
        " | os.O_NOFOLLOW",
        "",
        _FOLLOWED,
    ),
    Guard(
        "a link in the key's place", "batchsend/message/verp.py", "os.O_EXCL | os.O_NOFOLLOW", "os.O_TRUNC", _FOLLOWED
    ),
    Guard("a link in the place of the events' lock", "batchsend/events/cursor.py", " | os.O_NOFOLLOW", "", _FOLLOWED),
    Guard(
        "a link in the place of the events' cursor",
        "batchsend/events/cursor.py",
        "        file = make_anew(beside)\n",
        "        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)\n",
        _FOLLOWED,
    ),
    Guard(
        "a link in the place of a list",
        "batchsend/feedback/reading.py",
        "os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW\n",
        "os.O_CREAT\n",
        _FOLLOWED,
    ),
    Guard("a link in a trace's place", "batchsend/trace.py", '"w" if device else "x"', '"w"', _FOLLOWED),
    Guard(
        "a FIFO in the log's place",
        "batchsend/results/lock.py",
        "    if not stat.S_ISREG(os.fstat(file).st_mode):\n",
        "    if False:\n",
        "tests/results/test_lock.py::test_what_cannot_be_read_back_is_no_log",
    ),
    Guard(
        "a FIFO in the log's place, as it is read",
        "batchsend/results/format.py",
        "        if not stat.S_ISREG(mode):\n",
        "        if False:\n",
        f"{_LINKS}::test_a_fifo_is_read_by_nobody",
    ),
    Guard(
        "a FIFO in the key's place",
        "batchsend/message/verp.py",
        "os.open(name, flags | os.O_NONBLOCK)",
        "os.open(name, flags)",
        _FIFO,
        "key",
    ),
    Guard(
        "a FIFO in the place of a key for DKIM",
        "batchsend/message/dkim_key.py",
        "            if not stat.S_ISREG(status.st_mode):\n",
        "            if False:\n",
        "tests/message/test_dkim_key.py::test_what_is_no_file_is_refused",
    ),
)
