"""The families of words by which servers say what a refusal is about, as regular expressions over a kind's text.

The text is in lower case, its words are separated by one space, a sentence's end is a word of its own (``.``), and ids,
numbers and addresses are replaced (see `kinds`). A gap between two words is counted in words and never crosses the end
of a sentence: no expression can look at a text more often than the length of its gaps.
"""

from __future__ import annotations

from typing import Final

from batchsend.delivery.replies.family import WordFamily


def _gap(words: int) -> str:
    return rf"(?:[\w'/%@#:-]+ ){{0,{words}}}"


_MAIL: Final = (
    r"(?:e-?mails?|mails?|messages?|msgs?|recipients?|rcpts?|submissions?|transactions?|deliver(?:y|ies)|letters?)"
)
_SENDING: Final = (
    r"(?:send(?:ing|er)?|sent|relay(?:ing)?|out-?going|out-?bound|submission|smtp|mail(?:ing|er)?|messages?|messaging"
    r"|e-?mails?|accounts?|users?|customers?|client|deliver(?:y|ies)|plan|usage|transfer|rcpts?|recipients?"
    r"|credits?|tenant"
    r"|hourly|daily|monthly|weekly|24-?h(?:ou)?rs?|0-hour)"
)
_PASSED: Final = (
    r"(?:exceed(?:s|ed|ing)?|reach(?:ed|es)?|used up|exhausted|hit|passed|surpassed|depleted|over|overrun|full|finished"
    r"|exceded|exeeded|crossed|met|consumed)"
)
_PERIOD: Final = (
    r"(?:(?:\b(?:per|an?|each|every|this|in|within|last|past|previous|for) |/ ?\d*)(?:the )?(?:last |past "
    r"|previous )?(?:0 |one |24 )?"
    r"(?:hours?|hr|h|days?|months?|weeks?|24-?h(?:ours?|rs?)?|d)\b"
    r"|\b(?:hourly|daily|monthly|weekly|today|24-?h(?:ours?|rs?)?|0-hours?|0-days?|per-(?:hour|day|month))\b"
    r"|\b(?:hour|day|month)(?= (?:limit|quota)\b)|\b(?:3600|86400) ?s(?:ec(?:ond)?s?)?\b"
    r"|/(?:h|hr|hour|day|d|month)\b|\b(?:last|past|previous) 0 min(?:ute)?s\b|\w_(?:hour(?:ly)?|day|daily)\b)"
)

AGAIN: Final = WordFamily(
    r"(?:again|retry|wait|later|resend|reset|resume|back|delay(?:ed)?) (?:in|after|within|for"
    r"|at least)? ?(?:about |at least )?"
    r"(?:an?|one|0|few|some|next)? ?(?:seconds?|secs?|minutes?|mins?|m|s)\b",
    r"(?:again|retry|wait|later|resend|reset|resume|back|expires?|lifted|delay(?:ed)?|unblocked)"
    r" (?:in|after|within|for|at least|the next)? ?(?:about |at least |the next )?(?:an?|one|0|24|few|some|next)? ?"
    r"(?:0-)?(?:24-?)?(?:hours?|days?|h|hrs?|month)\b",
)
"""When to come again: not the period that a limit counts in."""

# --- about this recipient or this message only -------------------------------------------------------------------

ONE_RECIPIENT_RATE: Final = WordFamily(
    rf"(?:receiving|receives|gets|getting) {_gap(3)}(?:at a rate|too (?:quickly|fast|many|much|often)|messages? too)",
    r"recipient(?:'?s)? domain(?:'s)? (?:daily |hourly )?(?:quota|limit)|address rejected recipient quota",
    r"mailbox does not exist (?:. )?domains? (?:daily |hourly )?quota",
    r"recipient(?:'s)? (?:@:? )?(?:has |have |is |was )?(?:been )?(?:exceed|over|receiv|reached|thread limit|rate"
    r"|per hour|hourly|daily)",
    rf"recipient(?:'s)? (?:message|mail|receiv\w+|e-?mail|inbound) {_gap(2)}(?:rate|limit)",
    rf"(?:too many|too much|excessive) {_gap(3)}{_MAIL} {_gap(3)}(?:to|for|of|by|in|into|at) (?:this|the|that|one|same)"
    rf" {_gap(1)}(?:recipient|user|mailbox|address|account|person|inbox|alias|domain)",
    rf"^@:? {_gap(2)}too many (?:recent )?{_MAIL}",
    rf"(?:mailbox|inbox|addressee?) {_gap(2)}(?:is receiving|receives|has received|received|gets"
    rf"|is getting) {_gap(1)}too",
    rf"(?:mailbox|inbox|recipient|addressee) {_gap(3)}(?:rate|per-?hour|hourly|daily|receive|receiving) {_gap(2)}limit",
    rf"(?:rate|limit) {_gap(3)}(?:for|of|to) (?:this|the|that) (?:recipient|mailbox|inbox|user|address)",
    r"receiv(?:e|ing) (?:rate |message |mail )?limit",
    r"(?:can|may) receive\b|(?:limit|quota|maximum) (?:of|on|for) (?:incoming|inbound|received) ",
    r"(?:quota|limits?) (?:\w+ ){0,2}(?:for|of) (?:the |this |that )?(?:recipient|destination)\b",
    r"user (?:has |is )?(?:received|receiving) ",
)
"""Too much mail for one recipient, whoever sends it."""
RECIPIENTS_ROOM: Final = WordFamily(
    r"\b(?:storage|disk|disc|capacity|size|space|megabytes?|gigabytes?|bytes|octets|[kmg]b)\b"
)
"""Words of how much something may hold."""
RECIPIENTS_QUOTA: Final = WordFamily(
    r"\brecipient(?:'s)? (?:has |have |is |was )?(?:been )?(?:exceed\w*|over|reached) (?:its |his |her |the |their "
    r"|allowed |assigned |mail |e-?mail |mail ?box |inbox ){0,3}(?:quota|allocation|allotment)\b",
    r"\b(?:mail ?box|inbox)(?:'s)? (?:limits?|quota|maximum)\b",
)
"""A recipient's quota, of which it is not said that it is one of messages."""
IN_A_TIME: Final = WordFamily(
    _PERIOD,
    r"\brates?\b|ratelimit|\btoo (?:quick|fast|often|frequent|many|much)|\brecent\b|receiv(?:e|ing) (?:\w+ )?limit"
    r"|\b(?:incoming|inbound)\b|throttl|\bthreads?\b",
)
"""Words of how much comes in a time."""
USERS_MESSAGES: Final = WordFamily(
    r"(?:@:? )?(?:the )?(?:user|account)(?:'s)? (?:@:? )?(?:(?:has |have |is |was )?(?:been )?(?:exceed(?:ed|s)"
    r"|reached|over|at|hit) (?:its |his |her |their |the )?(?:maximum |max )?(?:number of )?(?:messages?|mails?"
    r"|e-?mails?)(?: (?:limits?|quota|count|allowance))?|(?:messages?|mails?|e-?mails?) (?:limits?|quota) (?:has been "
    r"|is |was )?(?:exceeded|reached))(?: \.)?(?: (?:please )?(?:try|retry) (?:again )?later)?(?: \.)?"
)
"""All that is said. Whose account it is, is not said: where an address is answered, it may be the recipient's."""

ABOUT_ONE: Final = WordFamily(
    rf"(?:too many|number of|maximum|max|limit on|exceeds?) {_gap(2)}(?:attachments?|hops?|bounces?"
    rf"|received (?:headers?|lines?)|headers?|parts?|forwards?"
    r"|redirects?|links?|urls?|images?|levels?|loops?|aliases|addresses|(?:invalid|unknown|bad|wrong|nonexistent"
    r"|undeliverable"
    r"|bounced|failed|inactive|unresolvable) (?:recipients?|users?|addresses|rcpts?)|errors?|mime|lines?|characters?"
    r"|bytes|octets|kb|mb|spams?|complaints?|words|subjects?|cc|bcc|nested|nesting|failures?|auth\w*|syntax|unknown)",
    r"\bthis (?:mailbox|recipient|inbox|alias|message|user's|address|user|person|mailing|list|group|letter|subject)\b",
    r"recipients? (?:in|of|on|for|per) (?:this|the|one|a|each|your|single)? ?(?:message|mail|e-?mail|transaction"
    r"|envelope)",
    r"(?:mailbox|inbox|disk|storage|mail ?box|attachments?|message size|size|header|line|body|file|subject"
    r"|folder|maildir)"
    rf" {_gap(3)}(?:quota|limits?|exceed\w*|full|too)",
    rf"{_PASSED} {_gap(4)}(?:size|storage|attachments?|disk|mailbox|space|mb|kb|bytes)\b",
    r"(?:recipient|user|account) (?:is |has |was )?(?:temporarily )?(?:over ?quota|out of (?:space|storage)|full"
    r"|exceeded (?:its |his |the |their )?"
    r"(?:disk |mailbox |storage |mail )?quota)",
    r"(?:user|mailbox|recipient|inbox) has too many (?:messages|e-?mails|mails)\b|mail ?loop|hop count",
)
"""Words in a reply about this recipient or this message: limits in them are nobody else's."""

OURS: Final = WordFamily(
    rf"\byour {_gap(4)}(?:(?:sending|send|relay|outgoing|outbound|smtp|submission|daily|hourly|monthly|mail"
    rf"|e-?mail|message|messaging"
    r"|account|plan|rate|24-?hour|0-hour) )+(?:limits?|quotas?|allowance|credits|rate)\b",
    rf"\b(?:you|you've|you have|we've|your account|your domain|your ip|your server"
    rf"|your host) {_gap(3)}(?:exceeded|reached|sent|sending|used) {_gap(3)}"
    r"(?:limit|quota|allowance|too many (?:e-?mails|mails|messages|recipients))",
    r"(?:relay|sending|outgoing|outbound|submission|smtp|send) (?:quota|limits?|rates?)\b",
    rf"(?:quota|limits?) {_gap(1)}(?:of|for) (?:this )?(?:sender|account|client|your|sending)",
    r"\bratelimit|defers and failures|\b(?:hourly|daily|monthly|weekly|24-?hour|0-hour) (?:\S+ )?(?:quota"
    r"|limits?|allowance|cap)\b",
    r"\b(?:concurrent|simultaneous) |\b(?:connections|sessions) (?:for|from|of|by) this (?:user|account|client)",
    r"this (?:ip|ip address|account|sender|client|host|server|session|connection)\b",
    r"\bper (?:session|connection)\b",
    r"\b(?:user|account|sender|client|customer|mailbox) (?:may|can|has already|has) (?:only |at most )?sen[dt]\b",
    r"\b(?:hourly|daily|monthly|24-?hour) (?:user |smtp |account )?(?:sending|send|relay|sent)",
)
"""Words that say that a limit is the sender's, whatever else the reply speaks of."""

# --- about the session, the sessions, the relay --------------------------------------------------------------------

SESSION_FULL: Final = WordFamily(
    r"(?:connection|session) limit of 0 (?:messages|mails|e-?mails)",
    rf"(?:no more|too many|max(?:imum)?|limit|count|number|exceed\w*|only|allowed|reached|more than 0|0) {_gap(5)}"
    rf"(?:per|in|for|on|over|during|by|via|to) "
    rf"(?:this |a |an |one |each |every |single |the |same |smtp |tcp |your |current |given ){{0,4}}(?:connection"
    rf"|session)\b",
    rf"per[- ](?:connection|session) {_gap(3)}(?:limit|maximum|quota|exceed)",
    rf"(?:connection|session)(?:'s)? (?:message|mail|transaction|e-?mail|recipient|rcpt)s? {_gap(2)}(?:limit"
    rf"|count|quota|maximum|exceed|reach)",
    r"(?:connection|session) (?:has |is )?(?:already )?(?:sent|carried|handled|transferred|delivered|used up"
    r"|exhausted|full"
    r"|reached (?:its|the) (?:message|mail|limit|max))",
    r"\bmi:dmc\b|\brp:drc\b",
    rf"(?:open|start|use|begin|establish) a new (?:session|connection)|\breconnect\b {_gap(3)}(?:to send|for more|and)",
    rf"too many {_MAIL} {_gap(2)}(?:sent )?(?:already )?(?:this|same) (?:connection|session)",
)

ERRORS_OF_SESSION: Final = WordFamily(
    r"too many (?:\w+ )?(?:errors?|failures|commands)\b",
    r"too many (?:invalid|unknown|unrecogni[sz]ed|bad|failed|wrong|rejected) ",
)
"""What a session was ended for is not how many messages it carried."""

CONNECTIONS: Final = WordFamily(
    r"concurrency|(?:no more than|only) 0 (?:connections|sessions)|0 (?:connections|sessions) per\b",
    rf"(?:too many|too much|max(?:imum)?|limit|number|exceed\w*|many) {_gap(5)}(?:connections?|sessions?"
    rf"|channels?|threads|logins? at once|clients)\b"
    rf"(?! (?:rate|time|count of messages))",
    rf"(?:connections?|sessions?|channels?|threads?) {_gap(3)}(?:limit|limits|limited|quota|exceed\w*|maximum"
    rf"|reached|count exceeded|too many)\b",
    rf"(?:concurrent|simultaneous|parallel|open) {_gap(2)}(?:connections?|sessions?|deliver\w*|threads?|logins?"
    rf"|transfers?)",
    r"connection frequency|connections? from (?:your|this|the same) {}".format(
        rf"{_gap(2)}(?:exceed|limit|too many|at once)"
    ),
    r"(?:close|drop|reduce|lower|fewer) (?:some |the |your |number of ){0,3}(?:of )?(?:the "
    r"|your )?(?:other )?(?:connections|sessions)",
    rf"already {_gap(3)}(?:connections|sessions)",
    r"all (?:\w+ )?(?:connections|sessions|slots) (?:are )?(?:in use|busy|taken)",
    r"connections? slots?|no (?:more |free )?(?:connections|sessions|slots)",
    r"trop de (?:connexions|sessions)|zu viele (?:gleichzeitige )?verbindungen|demasiadas conexiones|troppe connessioni"
    r"|te veel verbindingen|muitas conex|zbyt wiele po",
    r"\bhl:icc\b|\bhost:icc\b",
)

TOO_MANY_LOGINS: Final = WordFamily(
    rf"too many (?!concurrent|simultaneous|parallel){_gap(2)}(?:log-?ins?|auth\w*)(?: attempts?)?(?! fail)",
    rf"(?:login|auth\w*) (?:rate|frequency|attempts?) {_gap(2)}(?:limit|exceed)",
    r"too much fail authentication",
)

PACE: Final = WordFamily(
    r"throttl"
    r"|slow(?:ing|er)?(?:-| )?down|\bslower\b|\bslow (?:your|the)\b|\bfaster than\b|too (?:fast|quick|quickly|frequent"
    r"|frequently|rapid|rapidly"
    r"|often)\b",
    r"\brates?[- ]?limit|limits? (?:on )?(?:the )?rate|\bratelimit",
    r"(?:send(?:ing)?|messages?|mail(?:ing)?|e-?mails?|delivery|send|submission|connection|transmission|arrival"
    r"|unusual|high|excessive|maximum|request"
    r"|allowed|acceptable|your|the|this|a|data|smtp|traffic|rcpt|recipient) rates?\b(?! of (?:bounce|spam"
    r"|complaint|invalid|unknown))",
    rf"\brates? {_gap(1)}(?:exceed\w*|limit\w*|control|overlimit|too|violat\w*|policy|restrict\w*)",
    r"too much (?:mail|e-?mail|traffic|load|volume)\b(?! data)",
    rf"frequency {_gap(1)}(?:limit\w*|exceed\w*|too)|频率|频繁|\bsfq\b|mi:sfq|mi:stc|hl:ifc",
    r"(?:per|a|each|every|in|in one|/) ?(?:0 )?(?:sec(?:ond)?s?|min(?:ute)?s?)\b",
    rf"too many {_gap(1)}(?:recipients|rcpts) (?:received )?(?:from|by)\b",
    r"too many requests|too many (?:\S+ )?(?:in|within) (?:a |too )?short",
    rf"(?:unusual|unexpected|high|excessive|large|heavy|increased|abnormal) {_gap(1)}(?:amount|volume|number"
    rf"|traffic|rate|level|load) ?{_gap(1)}(?:of )?{_gap(1)}",
    r"temporarily deferred due to (?:unexpected|excessive|user|volume|complaints?)|\btss0[1-8]\b",
    r"\bburst\b|\bpeak\b|back(?:ing)? off|reduce (?:your |the )?(?:sending |message |mail )?(?:rate|speed|volume)",
    rf"(?:volume|speed|rate|traffic) {_gap(4)}too (?:high|great)",
    r"wait (?:before|to) send|sending (?:mail |e-?mails? |messages? )?too|spacing|pacing",
    r"server (?:is )?(?:too )?busy . (?:please )?(?:try|retry) again later from",
    rf"more than \S+ {_MAIL} (?:for|per|in|within|every) (?:\S+ )?\d*(?:s|sec(?:ond)?s?|m|min(?:ute)?s?)\b",
    rf"too many {_MAIL} {_gap(1)}from {_gap(4)}(?:ip|host|client|server)\b",
    rf"limit {_gap(3)}requests? from (?:your|this)|(?:message|mail|e-?mail|sending|traffic|rate|volume) threshold"
    rf" {_gap(1)}(?:exceed|reach)",
    r"zu schnell|trop vite|trop rapide|demasiado r|troppo veloc|te snel",
)

QUOTA: Final = WordFamily(
    rf"\b{_SENDING} (?:{_SENDING} |count |rate |number |volume |per |/ |(?:hour|day|month) ){{0,3}}(?:limits?"
    rf"|limitations?|quotas?|allowances?|allotment|credits?|cap|maximum)"
    rf" {_gap(5)}{_PASSED}\b",
    rf"\b(?:{_PASSED}|out of|above|beyond|no more|over|insufficient|exceeding|used"
    rf"|take you over) {_gap(4)}{_SENDING} (?:{_SENDING} |count |number |volume |per |(?:hour|day|month) ){{0,3}}"
    rf"(?:limits?|limitations?|quotas?|allowances?|allotment|credits?|cap|maximum|maximums)\b",
    r"(?:sending|send|relay|outgoing|outbound|submission|messaging|mailing|smtp) (?:\S+ )?(?:quota|limits?"
    r"|allowance)\b",
    r"submissionquota|sendquota|send quota|messagequota|maximum credits|credits? exceeded|credit limit",
    rf"(?:sent|sending|send|sends) {_gap(1)}too (?:many|much) {_MAIL}",
    r"\btoo many (?:out-?going |out-?bound |sent |same size |similar |identical )?(?:e-?mails|mails|messages)\b",
    rf"\byou(?:'ve| have)? {_gap(1)}(?:exceeded|reached|used up|hit) {_gap(3)}(?:quota|limits?|allowance)\b",
    rf"policy rejection(?:-| .)? quota exceeded"
    rf"|policy rejection . (?:message|recipient) count exceeded|\b(?:message|mail|e-?mail) count {_gap(1)}exceed",
    rf"(?:limit|quota|maximum) of 0 (?:\w+ )?(?:e-?mails?|mails?|messages?) {_gap(2)}{_PASSED}\b",
    rf"maximum number of {_MAIL} {_gap(3)}period|quota (?:will )?resets?\b",
    r"too many recipients for #",
    rf"\b(?:out of|no more|no|insufficient|not enough) credits?\b(?! cards?\b)|\bsent 0 of (?:your )?0 {_MAIL}\b",
    rf"too many {_gap(1)}recipients {_gap(2)}(?:this|per|in an|in the|today|within)",
    r"rate_msg|(?:limit|quota) (?:of|on|for) (?:the )?(?:number of )?(?:allowed )?(?:your )?(?:out-?going|sent"
    r"|sending|out-?bound)",
    r"(?:cannot|can't|may not|not allowed to|unable to|can not) send (?:any )?more (?:e-?mails|mails|messages|than)",
    r"送信[^ ]{0,4}(?:上限|制限)|(?:发送|发信)[^ ]{0,6}(?:上限|超|限制)|超过[^ ]{0,6}(?:发送|发信)",
    r"лимит\S{0,2} (?:на )?(?:отправ|писем|сообщ)|(?:отправ|писем|сообщ)\S{0,8} превыш",
    r"(?:sende|versand)(?:limit|kontingent|quota)|tageslimit|stundenlimit|kontingent|zu viele (?:e-?mails|mails"
    r"|nachrichten|empf)",
    r"quota d'envoi|limite (?:\S+ )?d'envoi",
    r"trop d(?:e |')(?:messages|e-?mails|mails|envois|destinataires)|nombre maxim",
    r"l.{1,2}mites? (?:de env|diari|por hora|de corre|di invi|orari|giornalier)|demasiados (?:mensajes|correos)"
    r"|troppi (?:messaggi|invii|destinatari)"
    r"|superato il limite|cuota de env",
    r"muitas mensagens|muitos e-?mails|verzendlimiet|te veel (?:berichten|e-?mails)|limit (?:wys|wiadomo|dzienn)"
    r"|przekroczon\w* limit|denni limit|(?:dagelijkse|dag|uur|maand)\S* ?limiet (?:is )?bereikt"
    r"|gonderim limit\S+ (?:doldu|as)",
)
"""Limits of what an account may send, with or without the period that they count in."""

MUCH_SENT: Final = WordFamily(
    r"excessive volume|rate overlimit|\byou(?:'ve| have) sent too (?:much|many) (?:e-?mails?|mails?|messages?)\b"
)
RECIPIENTS_OWN: Final = WordFamily(
    r"limits? of \w+ to this (?:mailbox|recipient|inbox)\b",
    r"recipient(?:'?s)? domain(?:'s)? (?:daily |hourly )?(?:quota|limit)|address rejected recipient quota",
    r"mailbox does not exist (?:. )?domains? (?:daily |hourly )?quota",
    r"recipient(?:'s)? (?:@:? )?(?:has |have |is )?(?:exceed|over|receiv)",
    r"receiv(?:e|ing) (?:rate |message |mail )?limit",
    r"(?:can|may) receive\b|(?:limit|quota|maximum) (?:of|on|for) (?:incoming|inbound|received) ",
    r"(?:quota|limits?) (?:\w+ ){0,2}(?:for|of) (?:the |this |that )?(?:recipient|destination)\b",
)
CLOSING: Final = WordFamily(
    r"clos(?:e|es|ed|ing) (?:the |this |transmission |your )*(?:connection|channel|session)"
    r"|(?:connection|session|channel) (?:is |will be |was )?(?:now )?clos(?:ed|ing)(?: by server)?"
)
USERS_QUOTA: Final = WordFamily(
    r"(?:@:? )?user(?:'s)? (?:has )?quota (?:is |was )?exceeded(?: usersearch)?(?: \.)?",
    r"(?:@:? )?(?:the )?recipient(?:'s)? (?:@:? )?(?:(?:e-?mail|mail|storage|disk) )?quota (?:is |was |has been )?"
    r"(?:exceeded|full)(?: \.)?",
)
"""All that is said: of a user's room, where an address is answered, and not of what may be sent."""
RECIPIENTS_OWN_QUOTA: Final = WordFamily(
    r"\brecipient's (?:(?:e-?mail|mail|storage|disk) )?quota (?:is |was |has been )?(?:exceeded|full)\b"
)
"""A recipient's quota, whatever else is said: the recipients of a sender in a day are not one recipient's."""

ABOUT_ONE_ONLY: Final = WordFamily(
    r"same message-id|duplicate|(?:message|mail|e-?mail|transaction) (?:has|have|had|contains|with) too many"
)

LIMITING: Final = WordFamily(
    r"limit|quota|allowance|exceed|exceded|too many|too much|maximum|\bmax\b|threshold|reached|only [0#]|used up"
    r"|allowed|\ballows\b|already sent|sent 0 of 0|no more than|at most|\bcap\b|more than|\bover 0\b"
    r"|can only|only send|may send"
)
COUNTED_IN: Final = WordFamily(_PERIOD)
OF_MAIL: Final = WordFamily(
    rf"\b{_MAIL}\b|\bsen[dt](?:ing|er|s)?\b|\brelay\b|\bsmtp\b|\bquota\b|\brate\b|\baccount\b|\bcredits?\b"
    rf"|\bper\b|hourly|daily|monthly|24-?h|ratelimit|\b(?:hour|day|month) (?:limit|quota)\b"
)
OF_SENDING: Final = WordFamily(
    r"\b(?:send(?:ing|er)?|sent|relay|outgoing|outbound|submission|submissionquota|smtp|daily|hourly|monthly"
    r"|24-?hour|credits?)\b|per (?:hour|day)|sendquota"
)
BARE_QUOTA: Final = WordFamily(
    r"(?:quota|limits?) {0}(?:exceeded|reached|exhausted)|(?:exceeded|reached) {0}(?:quota|limits?)\b".format(_gap(2))
)
BARE_LIMIT: Final = WordFamily(
    *BARE_QUOTA.alternatives,
    rf"(?<!spam )(?<!score )\b(?:quota|limits?|limitation|maximum|max|threshold|cap|limite|limiet|cuota|cota|grenze"
    rf"|hochstgrenze|obergrenze) {_gap(2)}(?:{_PASSED}|spent"
    r"|uberschritten|ueberschritten|erreicht|erschopft|ausgeschopft|depasse\w*|atteinte?s?|epuise\w*|exced\w+"
    r"|superad\w|alcanzad\w|agotad\w|superat\w|raggiunt\w|esaurit\w|atingid\w|esgotad\w|ultrapassad\w"
    r"|overschreden|bereikt)\b",
    rf"\b(?:{_PASSED}|above|beyond) {_gap(2)}(?:quota|limits?|limitation|maximum)\b|\b(?:no|out of) quota\b",
    r"\b(?:atteint|depasse|superado|excedido|alcanzado|superato|raggiunto) (?:la |votre |el |su |il )?(?:limite|cuota"
    r"|quota)\b|\blimit przekroczony\b",
    r"超出[^ ]{0,4}(?:限制|限额|上限|配额)|超过[^ ]{0,4}(?:限制|限额|上限|配额)|(?:达到|已达)[^ ]{0,4}(?:上限|限制)"
    r"|(?:配额|限额)[^ ]{0,4}(?:用完|用尽|不足)|超限|上限[にを](?:達|超)|制限を超|превышен лимит"
    r"|лимит (?:превышен|исчерпан)",
)
"""A limit is passed, and it is not said whose it is."""
OF_OTHER_THINGS: Final = WordFamily(
    r"\b(?:spam|junk|scored?|scores|points|bayes\w*|probability|reputation|complaints?|bounces?|abuse|penalty|reject"
    r"|rejection|policy threshold|recursion|nesting|depth|urls?|links?|idle|inactiv\w+)\b",
    r"\b(?:postfach|boite|casella|buzon|caixa postal)\b|邮箱|信箱|メールボックス|ящик",
)
"""Limits of these are none of what is sent: of what a message is worth, how it is made, or of a mailbox."""
ALLOWANCE: Final = WordFamily(
    rf"(?<!mailbox )(?<!storage )(?<!disk )(?<!inbox )(?<!space )\b(?:allowances?|allotments?) {_gap(3)}(?:{_PASSED}"
    r"|spent|run out|ran out)\b",
    rf"\b(?:plan|package|free tier|budget|prepaid volume) {_gap(1)}(?:used up|exhausted|depleted|consumed|spent)\b",
    rf"\b(?:{_PASSED}|no|zero|no more|out of|insufficient|not enough) {_gap(1)}(?:allowances?|allotments?)\b",
    r"\bguthaben (?:ist |wurde )?(?:aufgebraucht|erschopft|verbraucht)|\bcredits? (?:epuise|agotad|esaurit)\w"
    r"|\bcreditos? agotados?\b|余额不足|额度[^ ]{0,4}(?:用完|用尽|不足)",
)
"""What somebody was given to send is used up."""
ERRORS_COUNTED: Final = WordFamily(
    rf"\b(?:limit|limits|limited|maximum|max|more than|exceed\w*) {_gap(3)}(?:errors?|failures|mistakes"
    r"|(?:bad|invalid|unknown) (?:recipients?|users?|rcpts?))\b",
    rf"\berrors? {_gap(2)}(?:limit|limited|per|an|each|every|this|exceed\w*|allowed)\b",
)
"""A limit of errors: of the recipients that were not there, and of none who is."""
CONNECTION_RATE: Final = WordFamily(
    r"(?:connection|session)s? (?:\w+ )?rate|rate of connection|connections? (?:per|in|within) (?:a |an |0 "
    r"|the )?(?:sec|min|hour)"
)
