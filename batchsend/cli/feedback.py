"""``batchsend feedback``: what came back after messages were accepted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import click

from batchsend.campaign.model import feedback_path
from batchsend.cli.campaigns import tell, tell_json
from batchsend.feedback.log import FeedbackLog
from batchsend.feedback.reading import CameBack, come_back, grow_list, require_results
from batchsend.feedback.report import FeedbackKind
from batchsend.feedback.tying import require_results_log

_WORDS: Final = {
    FeedbackKind.BOUNCED: "bounced",
    FeedbackKind.DELAYED: "delayed, still being tried",
    FeedbackKind.COMPLAINED: "complaints",
    FeedbackKind.UNSUBSCRIBED: "unsubscribes",
    FeedbackKind.AUTO_REPLY: "automatic replies",
    FeedbackKind.DELIVERED: "notices of success",
    FeedbackKind.CHALLENGE: "challenges: somebody wants to be answered by a person",
    FeedbackKind.OTHER: "not understood, or no reports",
}


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="RESULTS",
    help="Tie the reports to the records of this results log, and keep them in the feedback log beside it.",
)
@click.option(
    "--move",
    metavar="FOLDER",
    help="Move what has been kept from an IMAP server to FOLDER there; otherwise it is marked as seen.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each report.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the messages themselves in DIR. Without it only what the feedback log has is kept.",
)
@click.option(
    "--suppress",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Add who must not be written to any more to the CSV file FILE, which grows over campaigns.",
)
def feedback(
    sources: tuple[str, ...],
    *,
    results: Path | None,
    move: str | None,
    as_json: bool,
    keep: Path | None,
    suppress: Path | None,
) -> None:
    """Read what came back: bounces, complaints, unsubscribes, automatic replies.

    Each SOURCE is a maildir, an mbox, a file of one message (or a folder of .eml files), imaps://USER@HOST/FOLDER (with
    the password in BATCHSEND_IMAP_PASSWORD), or "-" for standard input.

    Reading the same messages again changes nothing. The exit code is 0 whatever came back.
    """
    for option, asked in (("--suppress", suppress), ("--move", move)):
        if asked is not None:
            require_results(results, option)
    counts = _Counts()
    if results is not None:
        require_results_log(results)
    log = None if results is None else _made(results)
    for found in come_back(sources, results=results, keep=keep, move=move):
        for one in found:
            counts.note(one)
            if as_json:
                tell_json(one.to_json())
        if log is not None:
            with log:
                counts.added += log.add([one.fields() for one in found if one.is_logged])
    if suppress is not None and log is not None:
        counts.suppressed = grow_list(suppress, log.path)
    if not as_json:
        counts.show(None if results is None else feedback_path(results), suppress)


def _made(results: Path) -> FeedbackLog:
    """The feedback log, there even if nothing came back; what is wrong with it is known before mail is read."""
    with FeedbackLog(feedback_path(results)) as log:
        return log


class _Counts:
    """What was read, by kind and by what it was tied by."""

    def __init__(self) -> None:
        self.added = self.suppressed = 0
        self._kinds: Counter[FeedbackKind] = Counter()
        self._hard = 0
        self._ties: Counter[str] = Counter()

    def note(self, one: CameBack) -> None:
        """Count one report."""
        self._kinds[one.report.kind] += 1
        self._hard += one.report.hard
        if one.tie is not None and one.is_logged:
            self._ties[one.tie.by] += 1

    def show(self, log: Path | None, suppress: Path | None) -> None:
        """Say it on standard output."""
        for kind, words in _WORDS.items():
            if count := self._kinds[kind]:
                hard = f" ({self._hard:,} hard)" if kind is FeedbackKind.BOUNCED else ""
                tell(f"{count:>9,}  {words}{hard}")
        if not self._kinds:
            tell("nothing came back")
        if log is not None:
            tied = sum(count for by, count in self._ties.items() if by not in ("", "forged"))
            tell(f"{tied:>9,}  tied to their records")
            if untied := self._ties[""]:
                tell(f"{untied:>9,}  tied to none: nothing in them says which message they are about")
            if forged := self._ties["forged"]:
                tell(f"{forged:>9,}  tied to none: sent to a return path that this campaign did not sign")
            tell(f"{self.added:,} new in {log}")
        if suppress is not None:
            tell(f"{self.suppressed:,} new in {suppress}")
