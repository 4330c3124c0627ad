"""The words that reports have, and that replies do not: data, each with whose it is."""

from __future__ import annotations

import re
from typing import Final

from batchsend.verdict import Reason


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


IN_REPORTS: Final[tuple[tuple[re.Pattern[str], Reason], ...]] = (
    (
        _words(
            r"retry timeout exceeded",
            r"could not deliver for the last \d+ seconds",
            r"multiple retries, giving up",
            r"message will be retried",
            r"hosts have been failing for a long time",
            r"not delivered within \d+ days?",
            r"(?:message|envelope|delivery time|queue) expired|timed out|timeout",
            r"wasn't able to establish an SMTP connection",
            r"did not accept our requests to connect|host not reachable|no route to host|socket error",
        ),
        Reason.NETWORK,
    ),  # Exim, DMA, Yahoo, Gmail, qmail, Zoho, Postfix: it was tried until the time was over
    (
        _words(
            r"mail ?(?:folder|box) is full|送信先のメールボックスが一杯", r"messages in recipient's mailbox exceeded"
        ),
        Reason.MAILBOX_FULL,
    ),
    (
        _words(
            r"account (?:has been|is) (?:disabled|suspended|discontinued)",
        ),
        Reason.MAILBOX_DISABLED,
    ),
    (
        _words(
            r"no (?:mx|mail exchanger) (?:record|found)|find a mail exchanger or IP address|null mx",
            r"(?:host|domain|system) (?:does )?not accept(?:ing)? (?:network messages|(?:any )?mail)",  # RFC 7504
        ),
        Reason.NO_MAIL_DOMAIN,
    ),
    (_words(r"sender verify failed|verification failed for <"), Reason.SENDER),  # Exim asks the sender's host
    (
        _words(
            r"find any host named|host unknown|host not found|account or domain may not exist",
            r"name or service not known|illegal host",
            r"MX records point to non-existent hosts|host address lookups failed permanently",  # Exim
        ),
        Reason.UNKNOWN_DOMAIN,
    ),
    (_words(r"delivery not authorized"), Reason.POLICY),  # RFC 3463 §3.8, x.7.1
    (
        _words(
            r"recipient (?:name )?(?:is )?not (?:recognized|found)|unknown recipient",  # Exchange
            r"not listed in (?:(?:public|the) |(?:\S{1,40} ){1,3}(?:directory|address book))"
            r"|ディレクトリのリストにありません",  # Notes
            r"(?:unknown user|invalid final delivery userid)\b",  # IMail
            r"this user doesn't have a ",  # Yahoo
            r"no valid recipients for this MM",  # Verizon
            r"check if address is correct",  # InterScan
            r"unknown local part",  # Exim
        ),
        Reason.UNKNOWN_MAILBOX,
    ),
)
"""What a report says in its own words, where they are not a server's reply; the first that fits counts."""

SUMMARIES: Final = re.compile(
    r"^[ \t]*554 (?:5\.0\.0 )?(?:<[^>\n]{1,320}>\.\.\. )?Service unavailable[ \t]*$"
    r"|^[ \t]*554 <[^>\n]{1,320}>\.\.\. (?=[45]\d\d[ -])",
    re.IGNORECASE | re.MULTILINE,
)
"""What sendmail says at the end of a transcript, whatever the cause was, and what it puts before the cause itself."""

BEGINS_RETURNED: Final = re.compile(
    r"^[ \t]*(?:"
    r"-{2,}[ \t]*(?:Below this line|This is a copy of|The header of the original|Original message|Returned message"
    r"|Unsent message|Message header|Included is a copy|original mail)"
    r"|Original message (?:headers|follows)|Message headers follow|Included is a copy of the message"
    r"|-{5,} ?(?:Forwarded|Undelivered) message|Original Message:[ \t]*$"
    r"|Received: ?(?:from|by) |Return-path: <[^>\n]{0,300}>[ \t]*$"
    r")",
    re.IGNORECASE | re.MULTILINE,
)
"""Where the returned message begins in a text that holds report and message one after the other."""

BOUNCE_SENDERS: Final = _words(
    r"mailer[-_. ]?daemon",
    r"post ?master",
    r"mail delivery (?:sub)?system",
    r"mail administrator|system administrator",
    r"(?:bounce|double-bounce|ndr)(?:[-+=@ ]|$)",
    r"mail\.?deliver",
)
"""Who writes reports."""

BOUNCE_SUBJECTS: Final = _words(
    r"undeliver(?:ed|able)",
    r"(?:mail|message|delivery)[ :]+(?:has |have )?(?:delivery )?(?:fail|error)",
    r"delivery (?:has )?fail|deliver(?:y|ies) (?:status )?(?:notification|problem|report|unsuccessful)",
    r"fail(?:ed|ure)[ :]+(?:notice|delivery|mail)|failure notice|delivery notification",
    r"returned (?:mail|to sender|message)|returning message",
    r"could ?not be delivered|non[- ]?deliver|not delivered|nondeliverable|mail system error",
    r"error sending your mail|message delivery|mail failure|delayed mail|warning: (?:could not|message)",
    r"unzustellbar|nicht zugestellt|non remis|no (?:se pudo )?entregad|não entregue|mancata consegna|配信できません",
    r"メールエラー通知|не доставлено|не удалось доставить"
    r"|недоставленн|échec de (?:la )?(?:remise|distribution)",
    r"non distribu|fallo (?:en la|de) entrega|devuelto|falha na entrega|devolvid|onbestelbaar|niet (?:af|be)geleverd",
    r"nie(?:dostarczon| dostarczono)|zwrot (?:wiadomo|poczty)|nedoruč|kézbesíthetetlen|teslim edilemedi"
    r"|退信|投递失败|退回"
    r"|传递失败|无法投递|전송 ?실패|반송",
    r"are not member|user unknown|host unknown",
)
"""What reports are called."""

BOUNCE_WORDS: Final = _words(
    r"could not be delivered|wasn't able to deliver|unable to deliver|was not able to be\s+delivered",
    r"(?:has|have|had) (?:delivery problems|permanent fatal errors|fatal errors)|did not reach the following",
    r"deliver(?:y|ing) .{0,80}?(?:fail|has been delayed)|failed permanently|returned message|cannot be delivered",
    r"rejected recipient|was not delivered|error (?:occurred|delivering)|had trouble delivering",
    r"transcript of session follows|送信できませんでした|送信に失敗しました|not a member of this mailing list",
    r"automatically generated delivery status notification|postmaster notify",
    r"nicht zugestellt werden|konnte nicht (?:ausgeliefert|übermittelt)|n'a pas pu être (?:remis|distribu|délivr)",
    r"no (?:se pudo|ha podido ser|pudo ser) (?:entreg|envi)|não (?:pôde|foi possível) (?:ser )?(?:entreg)",
    r"non (?:è stato possibile|può essere) (?:consegn|recapit)|kon niet worden (?:afgeleverd|bezorgd)"
    r"|не было доставлено",
    r"не может быть доставлено|не удалось доставить|nie (?:mogła|została) .{0,20}dostarczon|无法(?:投递|送达|传递)",
)
"""What reports say."""

SUCCESS_SUBJECTS: Final = _words(r"success(?:ful(?:ly)?)?\b.{0,40}deliver|deliver.{0,40}\bsuccess")
"""What notices of success are called, which look like bounces otherwise."""

ANSWER_SUBJECTS: Final = _words(r"^\s*(?:re|aw|sv|antw|fwd?|wg|tr)(?:\[\d+\])?\s*:")
"""What people write before the subject of what they answer or pass on; programs that report do not."""

NOT_A_MEMBER: Final = _words(r"are not member")
"""What mailing lists call their refusals, which have nothing of a report besides."""

DELAYED_WORDS: Final = _words(
    r"warning message only|warning only",
    r"do not need to resend",
    r"has been delayed|will be retried|still being (?:re)?tried|continue(?:s)? to (?:try|retry|be attempted)",
    r"delivery status notification \(delay\)|delayed mail|noch nicht zugestellt|zustellung verzögert",
    r"remise (?:différée|retardée)|entrega retrasada|entrega atrasada|consegna ritardata|vertraagde bezorging",
)
"""What reports say of messages that are still being tried."""

GIVEN_UP: Final = _words(r"envelope expired", r"retry timeout exceeded", r"multiple retries, giving up")
"""With these words nobody tries any more, whatever the report calls itself: older releases of OpenSMTPD call the end of
a message's time a delay of 0 seconds."""

AUTO_REPLY_SUBJECTS: Final = _words(
    r"^\W*auto(?:matic|matische|matisch)?[- :]*(?:repl(?:y|ies)|response|responder|antwort|svar|risposta)",
    r"out[- ]of[- ](?:the[- ])?office|\bOOO\b|vacation|on (?:holiday|leave|annual leave)",
    r"away from (?:my|the) (?:office|mail)|abwesen(?:d|heit)|autoreply|absence|fuori ufficio|réponse automatique",
    r"respuesta automática|resposta automática|nieobecno|自動応答|自動返信|不在|自动回复|自動回覆"
    r"|자동 ?(?:회신|응답)|автоответ",
    r"autosvar|(?:automatyczna|automatická|automatisk|automaattinen|automatikus|otomatik|automatski|avtomatski)\b"
    r".{0,3}(?:odpowied|odpov|svar|vastaus|v[aá]lasz|yan.t|odgovor)|risposta automatica|автоматический ответ",
)
"""What automatic replies are called."""

CHALLENGES: Final = _words(
    r"(?:confirm|verify|prove) (?:that )?you are (?:a )?(?:human|person|real)",
    r"(?:confirm|verify) your (?:e-?mail|message|address|identity)",
    r"spam ?arrest|boxbe|challenge[- /]response|sender verification|tmda|bluebottle|mailblocks|qurb",
    r"(?:click|reply|follow) .{0,60}(?:so that|to (?:have|get|let)) your (?:message|e-?mail)",
    r"(?:please )?(?:confirm|authenticate) your (?:message|mail|email) to ",
)
"""What asks the sender to show that a person has written."""

UNSUBSCRIBES: Final = re.compile(
    r"\W{0,3}(?:(?:re|aw|fwd?): )?(?:please )?(?:list[- ])?(?:unsubscri(?:be|ption)|opt[- ]?out|remove(?: me)?|abmelden"
    r"|abmeldung|désabonne(?:r|ment)|desinscrire|baja|cancelar suscripción|disiscri\w+|afmelden|signoff)\b.{0,200}",
    re.IGNORECASE | re.DOTALL,
)
"""The subject, or the only words, of who wants no more."""

COMPLAINTS: Final = _words(r"^\s*complaint about message from|(?:abuse|spam) (?:report|complaint)|feedback[- ]?loop")
"""The subjects of complaints that are not in ARF: Microsoft's Junk Mail Reporting Program."""
