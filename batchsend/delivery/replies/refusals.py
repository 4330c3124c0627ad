"""The families of words that refuse a relay, a sender, a message or a mailbox, written as in `phrases`."""

from __future__ import annotations

from typing import Final

from batchsend.delivery.replies.family import WordFamily


def _gap(words: int) -> str:
    return rf"(?:[\w'/%@#:-]+ ){{0,{words}}}"


# --- not yet ------------------------------------------------------------------------------------------------------

GREYLISTED: Final = WordFamily(
    r"\bfirst[- ]time (?:sender|contact)|^(?:defer )?new sender",
    r"gr[ea]y-?.?list",
    rf"(?:first[- ]time|new|unknown|unrecogni[sz]ed|unseen) (?:sender|triplet|contact|sending host|client|host"
    rf"|sender/recipient)\b"
    rf" {_gap(6)}(?:again|later|retry|delay|defer|wait)",
    rf"temporar(?:y|ily) {_gap(3)}(?:white-?list|anti-?spam|spam protection|unknown sender)",
    r"not (?:yet )?authori[sz]ed to deliver",
    rf"tarpit|first contact|retry {_gap(4)}(?:to be |will be )?accepted|intentional(?:ly)? (?:delay|defer"
    rf"|temporary|temporarily)",
)

DELAYED: Final = WordFamily(r"(?:deferred|delayed|rejected|refused|blocked) for 0 (?:sec|min)")
"""Of greylisting, where no limit is spoken of."""

# --- the message ---------------------------------------------------------------------------------------------------

AUTHENTICATION: Final = WordFamily(
    r"(?<!from your )\b(?:spf|dkim|dmarc)\b|sender policy framework|domainkeys",
    r"unauthenticated (?:e-?mails?|mail|messages?)\b(?! not allowed from)",
    r"(?:sender|message|mail|e-?mail|it) is (?:un|not )authenticated",
    r"pass(?:es|ing)? authentication|authentication (?:checks?|information|results?|fail\w* for message)"
    r"|anti-?spoof|spoofed|spoofing",
)

CONTENT: Final = WordFamily(
    r"\bspam(?: \.)?$",
    r"\bvirus|\bviral|malware|phish|infected|gtube|trojan|worm\b|\beicar|ransom",
    rf"(?:message|mail|e-?mail|content|letter|body|it) {_gap(8)}(?:spam|ube|unsolicited|bulk|junk|unwanted|scam)\b",
    rf"\bspam {_gap(3)}(?:message|mail|e-?mail|content|detected|score|refused|rejected|not accepted|filter|check"
    rf"|pattern|suspect\w*|words|url|is embedded)",
    rf"(?:identified|classified|detected|marked|considered|suspected|tagged|looks|rejected|judged|scored"
    rf"|flagged) {_gap(2)}(?:as |like |to be )?(?:\w+ )?(?:spam|ube|junk|bulk|unsolicited)\b",
    r"no spam|spam(?:assassin)? score|anti-?spam|suspected spam(?! ip)|unsolicited (?:mail|e-?mail|message|bulk"
    r"|content)|\bdt:spm\b|\bube\b",
    r"attachments?|executable|\bmime\b|^(?:mime|header)_|file (?:type|extension)|\.exe\b|\bzip\b",
    r"(?:message|mail|e-?mail|body) {0}content|content {0}(?:reject|den|refus|not accept|filter|policy|block"
    r"|unaccept|restrict|judged|viola|not allowed|guideline|prohibit|examination)".format(_gap(4)),
    rf"urls?\b {_gap(6)}(?:listed|blocked|blacklist|in (?:this|the|your))|blacklisted url|\burl (?:in|listed)"
    rf"|uribl|surbl|spamhaus dbl|\bdbl\b|links? (?:in|within|to)",
    r"must be rfc",
    r"rfc-?(?:5322|2822|822)|header|message-id|(?:bare|lone) (?:lf|line|cr)|nul characters|line (?:too|is too"
    r"|length|limit)|too many hops"
    r"|malformed (?:message|mail|mime)|date:|subject"
    rf"|(?:blank|missing|invalid|multiple|empty) {_gap(3)}(?<!mail )from(?:: | )(?:header|address|addresses)?",
    r"(?:message|mail|e-?mail) (?:\w+ )?(?:looks|appears|seems|matches|contains|is suspicious|is likely)",
    r"reputation of (?:the|your) sending domain",
    r"message filtered|security issue|security polic|encoded-word|unicode character|advertis|keyword|profanity"
    r"|banned content|bad content|offensive",
)

TOO_LARGE: Final = WordFamily(
    rf"(?:message|mail|e-?mail|attachments?|body|header|it|content|file|transaction) {_gap(4)}(?:too (?:large|big|long"
    rf"|much data)|exceeds? {_gap(4)}(?:size|limit|maximum|bytes|mb|kb)|larger than)",
    r"(?<!policy )size {0}(?:exceed|limit|too|over|larger|violat)|exceed\w* {0}(?:size|storage of message)|too (?:large"
    r"|big)\b|maximum (?:message |mail |e-?mail )?size".format(_gap(5)),
)

# --- the sender ----------------------------------------------------------------------------------------------------

SENDER: Final = WordFamily(
    rf"send ?as ?denied|send-?as|sendas|not owned by|sender {_gap(5)}(?:reject|refus|den(?:ied|y)|not (?:allow"
    rf"|permit|verif|valid|accept|found|exist|authori[sz]ed|local|registered|belong)|invalid|unknown|mismatch"
    rf"|blocked|disabled|must|does not|doesn't|has no|is not|isn't)",
    r"(?:rejected|refused|denied|invalid|unknown|unverified|bad|bogus|unauthori[sz]ed|fake|illegal|blacklisted"
    r"|unresolvable|wrong|unroutable|unregistered) (?:envelope |mail |e-?mail )?(?:sender|from|return-?path"
    r"|reverse-?path|originator|mail from)\b",
    rf"(?:not|isn't|aren't|cannot|can't|never) (?:\w+ )?(?:allowed|authori[sz]ed|permitted|authori[sz]ed|able"
    rf"|entitled|verified) to send {_gap(5)}(?:as|from|with|on behalf|using|for)\b",
    rf"(?:from|sender|return-?path|mail from|envelope|identity|identities|sending) {_gap(3)}(?:address|domain|header"
    rf"|e-?mail|identity)? ?{_gap(3)}(?:not|isn't|un|does not|doesn't|must) ?(?:be )?(?:been )?(?:verified|match"
    r"|confirmed|registered|validated|exist|resolve|trusted|belong|own|authenticated|configured|added)",
    r"(?:e-?mail address|domain|identity|signature|address) (?:is |are |has |has been |was )?(?:not|never"
    r"|un) ?(?:been )?(?:verified|confirmed|validated)",
    rf"(?:domain|host) of sender|sender verif|sender domain|sender(?:'s)? (?:address|e-?mail)"
    rf"|mail from {_gap(4)}(?:reject|den(?:ied|y)|refus|not|must|is invalid)|from domain not|from address",
    rf"relaying (?:disallowed|denied|not allowed) as|sending (?:from|as) {_gap(4)}(?:not|is not|is prohibited"
    rf"|denied|disallowed)|emetteur invalide|invalid sender|purported responsible|on behalf of",
    r"unconfigured sending domain|sender signature|unresolvable \S+ from|\bfrom domain|badmailfrom|null sender"
    r"|empty envelope|envelope (?:sender|from)|return-?path|local sender|not a verified",
)
BY_RECIPIENT: Final = WordFamily(
    r"\b(?:by|of) (?:the |this |its |that )?(?:recipients?|user(?! @)|addressee|mailbox owner|owner|receiver"
    r"|moderator|destination domain|recipient domain|receiving domain)\b",
    r"recipient(?:'s)? (?:preferences|policy|block|list|settings|filter|does(?:n't| not) (?:want|accept)|refus"
    r"|has blocked|reject\w* your|is only accepting|organi[sz]ation)",
    r"refuse to receive|policy rejection-? abuse|blocked by (?:the |this )?\w+ user(?: \.)?$",
    r"user(?:'s)? (?:rules|block|filter)|personal block|members?-only|allowed[- ]senders"
    r"|not subscribed|user entry|user domain entry",
)
"""A refusal by the recipient's own choice: about nobody else."""

# --- the relay -----------------------------------------------------------------------------------------------------

ACCOUNT: Final = WordFamily(
    r"your (?:\w+ ){}(?:account|service|access|subscription|plan|server|user|mailbox|tenant|organi[sz]ation"
    r"|trial|domain|profile|company) {}(?:suspended|disabled|blocked|locked|restricted|activated|inactive"
    r"|terminated|deactivated|frozen|hold|expired|cancell?ed|closed|limited|banned|review|paused|unpaid"
    r"|compromised|revoked|not active|stopped|approved|ready)".format("{0,3}", _gap(5)),
    rf"(?:smtp|sending|mailing|relay|outgoing|outbound|submission|customer|api|sub|reseller|tenant|authenticated"
    rf"|user's) ?(?:account|user|access|service|server|privileges?|mail|e-?mail|capabilit\w+"
    rf"|function)? {_gap(4)}(?:suspended|disabled|blocked|locked|restricted|not (?:yet )?(?:been )?activated"
    rf"|deactivated|frozen|on hold|terminated|paused|revoked|banned|stopped|under review|compromised|turned off)",
    r"(?:activate|reactivate|verify|upgrade|confirm|unblock|unlock) (?:your|the|this) (?:\w+ ){}(?:account"
    r"|subscription|plan|service)|account {}not (?:yet )?(?:been )?(?:activated|approved|allowed to send"
    r"|verified|enabled|confirmed|authori[sz]ed)".format("{0,2}", _gap(3)),
    r"unusual (?:sending )?activity|suspicious (?:sending )?activity|outgoing blocked|unblockme"
    r"|sending (?:has been |is |was )?(?:paused|suspended|disabled|stopped|blocked|prohibited)"
    rf"|mail sending denied|(?:message|mail|e-?mail) sending {_gap(4)}(?:disabled|suspended|blocked|paused|stopped)",
    r"(?:payment|billing|invoice|unpaid|overdue|balance|prepaid|funds)\b",
    r"tenant has exceeded threshold|spam abuse detected|bad outbound sender|banned sender"
    r"|not (?:currently )?(?:allowed|permitted|authori[sz]ed|enabled|able) to (?:send|use"
    r"|submit)(?: (?:any )?(?:e-?mails?|mails?|messages?|smtp|this service|through|via|out))?(?: \.|$| please"
    r"| until| because)",
    r"(?:outbound|outgoing) (?:mails?|e-?mails?|messages?) (?:is |was |has been )?(?:refused|rejected|denied)",
    r"your (?:\w+ ){0,2}account (?:has been|was|is(?: being)?) (?:used|abused) ",
    r"this account (?:has been |is |was )?(?:\w+ )?(?:suspended|blocked|disabled|locked) (?:from|for|to) send"
    r"|(?:suspended|blocked|disabled|locked|restricted|prevented|barred) (?:from|for) (?:sending|outgoing"
    r"|outbound|smtp|relaying)",
    r"sender address rejected account (?:is |has been )?(?:blocked|suspended|disabled|locked)"
    r"|invalid recipients originating from your account",
    rf"account outbounds disabled|is not allowed to send|abuse {_gap(2)}(?:your account|from your account)"
    rf"|complaint rate|bounce rate|reputation of your account",
    r"user (?:has been |is |was |account )?(?:suspended|disabled|blocked|locked) (?:due to|because|for) (?:spam"
    r"|abuse|sending|over|viol)|probation|account suspension|server is (?:currently )?disabled"
    r"|not subscribed to ses|not authori[sz]ed to perform",
    rf"\b(?:free|test|evaluation) (?:accounts?|plans?|users|tier|period|tenants?|subscriptions?) {_gap(6)}(?:send"
    rf"|sending|(?:un)?verified|(?:un)?authori[sz]ed|test purposes)\b|\bupgrade {_gap(4)}to send\b",
    rf"\b(?:can|may|able to|allowed to|permitted to) (?:only )?(?:send|deliver|e-?mail) {_gap(3)}(?:only )?to {_gap(3)}"
    r"(?:verified|authori[sz]ed|confirmed|validated|approved) (?:e-?mail )?(?:recipients|addresses|e-?mails|domains)\b"
    rf"|\bonly (?:be )?(?:send|sent) {_gap(3)}to your own\b",
)
TRIAL: Final = WordFamily(
    r"\b(?:trial|sandbox|demo) (?:accounts?|plans?|mode|users|tier|period|tenants?|subscriptions?|restrictions?)\b"
    r"|\btrial (?:has )?(?:expired|ended)\b|subscription\b|\b(?:during|in) (?:the |your )?trial\b",
    rf"\b(?:account|domain|tenant|identity) (?:is |are )(?:still )?in (?:the |a )?{_gap(1)}(?:trial|sandbox|demo)\b"
    r"|\baccounts? in (?:the )?(?:trial|sandbox)\b|^sandbox (?:\w+ )?(?:can|may|only|are|is|cannot)\b",
    r"\btest mode\b|\btestmodus\b|\bprobezeit\b|\bmode d'essai\b|\b(?:periodo de|durante la|modo de) prueba\b",
    r"\b(?:testkont(?:o|en)|testzugang|probekont(?:o|en)) |\bcomptes? d'essai\b|\bcuentas? de prueba\b"
    r"|\bcontas? de teste\b|\baccount di prova\b|试用(?:账户|账号|帐户|帐号|用户|版)|トライアル(?:アカウント|版)",
)
"""An account that may not send to everybody yet, or not any more; or a mailbox of which the same is said."""
OTHERS_TRIAL: Final = WordFamily(
    r"\b(?:mail ?box(?:es)?|inbox(?:es)?|recipient|addressee|(?<!smtp )(?<!sending )(?<!authenticated )(?<!your )user"
    r"|postfach|boite|casella|buzon)(?:'s)?(?: (?:mail ?box|inbox|account))? (?:@:? )?(?:is |are |was |ist |est )?"
    r"(?:still |currently |now )?(?:in|on|under|en) (?:an? |the |its )?(?:trial|sandbox|demo|test|evaluation"
    r"|mode|modo)\b"
)
"""A mailbox that is in a sandbox itself, whoever writes to it."""
OF_ONE: Final = WordFamily(
    r"\b(?:mail ?box(?:es)?|inbox(?:es)?|addressee|recipient(?:'s)?|attachments?|content|file|malware|virus|analys\w+"
    r"|scan\w*|postfach|boite|casella|buzon)\b|\bthis (?:user|address|message|e-?mail)\b"
)
OF_OUR_SENDING: Final = WordFamily(
    r"\byour?\b|\bsen[dt]\w*|\bupgrade|verif|authori[sz]|\ballow|\bpermitted|white-?list|\bactivat|\bproduction\b"
    r"|\bsmtp\b|\brelay"
)

CREDENTIALS: Final = WordFamily(
    r"(?:smtp )?auth(?:entication|orization|entification)? (?:is )?(?:required|needed|requise|necessary"
    r"|erforderlich|failed|failure|credentials invalid|unsuccessful|invalid|invalide)|auth required",
    r"(?:must|need to|please|should|have to) (?:first )?(?:be )?(?:auth\w*|log ?in|logged in|turn on smtp"
    r"|use smtp auth|sign in|check your mail first|provide credentials)",
    rf"(?:login|log-in|credentials|password|username|user name|sasl) {_gap(4)}(?:required|incorrect|invalid"
    rf"|not accepted|wrong|failed|rejected|needed|missing|first)|(?:invalid|incorrect|bad"
    rf"|wrong) (?:\w+ )?(?:credentials|password|login|username|user name|user or|authentication)",
    r"without authentication|not (?:been )?(?:authenticated|logged)|unauthenticated(?: users?| senders?| client"
    r"| connection| relay|$)|authenticate first|authentication turned on|pop before smtp|pop-before-smtp"
    r"|unauthenticated (?:e-?mails?|mail|messages?) not allowed from"
    r"|client was not auth|no auth|auth first|authentication (?:and|or) (?:encryption|tls) required",
)
CREDENTIALS_OF_GROUP: Final = WordFamily(
    r"resolver\.rst\.(?:auth|notauth|sender|restricted)|not authenticated for|sender (?:was|is) not authenticated"
    r"|not allowed to send to this (?:group|list)"
)

ENCRYPTION: Final = WordFamily(
    r"starttls|must use (?:tls|ssl|encryption)|(?:tls|ssl|encryption|encrypted connection"
    r"|secure connection) {0}(?:required|needed|mandatory|first|required for)|requires? {0}(?:tls|ssl|encryption"
    r"|secure)\b".format(_gap(2)),
)

RELAYING: Final = WordFamily(
    r"(?:does not|doesn't|do not|don't|not|never) (?:allow|permit|support|accept|offer) (?:\w+ )?relay",
    r"den(?:y|ies) relay",
    rf"relay(?:ing)? {_gap(3)}(?:denied|not permitted|not allowed|prohibited|disallowed|refused|forbidden"
    rf"|rejected|is not|disabled|restricted|blocked|verboten)|(?:unable|not permitted|not allowed"
    rf"|not authori[sz]ed|isn't allowed|cannot|refus\w+|not configured|won't|will not|do not|don't|no"
    rf"|not an? (?:open )?) ?(?:to )?(?:allow )?relay",
    r"allowed ?rcpthosts?|not a gateway|insecure mail relay|open relay|don't handle mail for|we do not relay"
    r"|no relaying|invalid credentials for relay|local (?:domains|recipients|users?) only|non-local"
    r"|outside (?:this|your) (?:domain|network)",
    r"relay check \w+ fail|no smtp mx only",
    r"smtp (?:server|relay) of your (?:isp|provider)|bypassing (?:\w+ )?provider",
    r"no (?:valid )?(?:user|mailbox|domain) here to relay|as a relay|through this (?:server|machine|host|system)",
)

HELLO: Final = WordFamily(
    r"\bhelo\b|\behlo\b|send hello first|hello (?:first|command|argument|name)|greeting name|bad helo",
)

BLOCKED: Final = WordFamily(
    rf"(?:client|host|hosts|ip|ips|address ip|ip address|connection|connections|server|mta|network|remotehost"
    rf"|sender ip|gateway|subnet|asn|mail from|range|netblock|connecting) {_gap(7)}(?:blocked|bloqu\w+"
    rf"|black-?list\w*|blocklist\w*|block-?list|deny-?list\w*|denylisted|listed|banned|(?:rejected|refused|denied)"
    rf"(?! (?:to \w+ )?(?:this |the |your )?(?:message|mail|e-?mail|letter)\b)"
    rf"|not accepted|not allowed|not welcome|rbl|dnsbl|bad reputation|poor reputation|identified|spammer|flagged"
    rf"|reputation|is in an?|abus|gesperrt|blocage|dynamic)\b",
    rf"(?:blocked|black-?listed|blocklisted|rejected|refused|denied|listed|found|banned|blocage|rejecting) (?:by"
    rf"|using|at|in|on|due to|from|because|via|through) {_gap(4)}(?:\w*bl\b|rbl|rbl\+|dnsbls?|spamhaus|spamcop"
    rf"|sorbs|barracuda\w*|cloudmark|sbl|xbl|pbl|zen|http:|host|blocklist|block list|blacklist|black list|ip\b"
    rf"|list\b|reputation|your ip|listing)",
    r"\b(?:rbl|dnsbl|dnsbls|sbl|xbl|pbl|sbl-xbl)\b|dnsbl:|spamhaus|spamcop|barracuda(?:central|networks)|sorbs"
    r"|senderbase|uceprotect|invaluement|hostkarma|junkemailfilter|csi\.cloudmark|cloudmark\.com|proofpoint\.com"
    r"|abuseat|spamrl|cobion|mail-abuse",
    r"(?:ip|sender|sending|server|your|mta's?|sending mta's|poor|bad|low|none/bad|sender's) (?:\w+ )?reputation"
    r"|reputation of (?:the |your )?(?:sending|ip|server|host|domain)",
    r"reverse (?:dns|lookup|name|address)|\brdns\b|\bptr\b|ip name lookup"
    r"|cannot find your (?:reverse )?host ?name|valid hostname|generic dns|dynamic (?:ip|ips|address)"
    r"|full circle dns",
    r"no smtp service|not accepting connections|not allowed to connect|access to (?:this|submit messages)"
    r"|go away|no access|connection (?:refused|rejected|denied|not authori[sz]ed)|mail from ip|service refuse"
    r"|bloquee|part of their network|not accept(?:ing|ed)? mail from (?:your|this|dynamic)|block list"
    r"|geographical|country|not authori[sz]ed to send e-?mail directly"
    r"|connections (?:will )?not (?:be )?accepted|permanently deferred|connection denied",
    r"(?:on|in|by) (?:our|a|the|an|several|their|my) (?:\w+ ){}(?:block-?lists?|black-?lists?|deny-?lists?"
    r"|block list|black list)\b|your (?:ip|host|server|network|mail server) (?:\w+ )?(?:is|was|has|address)".format(
        "{0,2}"
    ),
    r"too many (?:spams|unwanted messages|bad recipients) from (?:your|the following) ip|sending spam|spammer"
    r"|behaviou?r spam|block-?listing|currently sending spam|banned sending ip|traffic not accepted from|ip frequency"
    r"|suspected spam ip|blacklist policy|ip rejected|black ip"
    r"|unauthori[sz]ed ip\b|\bhl:(?:itc|rep|mep)\b|\bdt:rbl\b|\bwm:bli\b|blocked (?:-"
    r"|.) see|ip blocked|\[bl\d|tss09|tss11",
)

# --- the mailbox ---------------------------------------------------------------------------------------------------

_WHO: Final = (
    r"(?:user|users?|mailbox|mail ?box|recipient|recipients|account|address|addressee|person|e-?mail|alias|name"
    r"|customer|addresses|inbox|subscriber|boite|destinataire|compte|konto|postfach|usuario|utente|casella|buzon)"
)
UNKNOWN_MAILBOX: Final = WordFamily(
    rf"(?:unknown|no such|invalid|unrecogni[sz]ed|nonexist\w*|non-existent|undeliverable|bad|unknown or illegal"
    rf"|wrong|illegal|no valid|incorrect|unroutable|unrouteable|undefined) (?:local |e-?mail |final |virtual "
    rf"|destination |remote )?(?:{_WHO}|rcpt|id|mail)\b",
    rf"\b{_WHO} {_gap(5)}(?:unknown|unrecogni[sz]ed|not (?:be )?(?:found|exist|known|valid|recogni[sz]ed|present"
    rf"|listed|here|local|registered|a valid|defined|available in|available on|ok)|does not exist|doesn't exist"
    rf"|do not exist|don't exist|invalid|no longer (?:exists?|valid|here|on|with|available|at|in use|accepts)"
    rf"|nonexist\w*|non-existent|undeliverable|isn't (?:a |valid)|unavailable|unavaiable|unrouteable|unroutable"
    rf"|has left|left the)",
    rf"(?:no|not an?|not our|isn't (?:a|our|one)|there is no) (?:\w+ )?(?:{_WHO}) (?:{_gap(2)}(?:here"
    rf"|by that name|with|at|found|called|named|in|on|available|exists?)|\.|$)|not our (?:user|customer)"
    rf"|not a (?:known |valid |local |registered )+{_WHO}",
    r"(?:resolver\.adr\.\w*notfound|recipient ?not ?found|no one at this|no thank you|does(?:n't"
    r"| not) have an? (?:\S+ )?account|recipient is (?:not accepted|unknown)|address(?:es)? rejected(?: \.|$| @"
    r"| #)|user not exist|userunknown|badrcptto|unbekannt|utilisateur inconnu|inconnu|destinataire\w* invalide"
    r"|nessun utente|no existe|nie istnieje|neexistuje|onbekend|n.o existe|inesistente|empf.nger unbekannt)",
    r"nicht (?:gefunden|bekannt|vorhanden)|existiert nicht|introuvable|n'existe pas|no encontrad\w",
    r"non (?:trovat\w|esiste)|не найден|не существует|不存在|存在しません|見つかりません",
    r"@ (?:is )?(?:no longer|not) (?:valid|active|in use)|\bnot a (?:registered|member of)\b",
    r"(?:recipient|address) (?:cannot|can't|could not) be verified",
    r"rcpt (?:@ )?(?:does not exist|not (?:found|exist|valid))|not listed in \S+ directory|bad_recipient|unknown_user",
    r"not in recipient list|could not deliver mail to|i cannot deliver mail for|can't accept user|mailbox not"
    r"|not (?:a )?valid recipient|mailbox (?:is )?unavail",
)
MAILBOX_FULL: Final = WordFamily(
    r"\b(?:mail ?box|inbox|maildir|storage)(?:'s)? (?:limits?|quota|capacity|allotment|allowance|allocation) (?:has "
    r"|have |is |was |been |already ){0,3}(?:exceed\w*|reach\w*|passed|hit|used up|exhausted|full|depleted)\b",
    rf"\b(?:mail ?box|inbox|maildir|storage) {_gap(2)}(?:reach\w*|hit|passed|at) {_gap(3)}(?:limit|quota|capacity"
    r"|maximum)\b|\brecipient's quota\b",
    rf"(?:mailbox|mail ?box|inbox|mailfolder|maildir|folder|disk|disc|storage|mail file|user|recipient|account"
    rf"|boite|quota|users?|mailbox:|space|store|\bit) {_gap(4)}(?:full|over ?quota|over (?:its |the |their |disk "
    rf"|his |allowed )*(?:quota|limit)|quota|out of (?:storage|space)|exceed\w* {_gap(4)}(?:quota|storage|disk"
    rf"|size|limit|space|maximum|allowed)|no (?:space|room)|limit exceeded|limit exeeded|too many messages"
    rf"|insufficient|pleine|voll|llen\w+|pien\w+|used up)",
    rf"(?:exhausted|used up|consumed|used all) {_gap(3)}(?:storage|disk|space|mailbox)\b|speichervolumen|speicherplatz"
    r"|(?:mailbox|inbox) exceeds (?:the |its )?allowed size|not have enough (?:space|storage|room)|hat zu ?viele mails",
    r"overquota|over ?quota|quota (?:exceeded|violation|full|limit)|(?:exceed\w*|over) (?:\w+ )?(?:disk|storage"
    r"|mailbox|mail|disc) (?:quota|allocation|space|limit|allotment)|out of storage|not enough (?:storage|space"
    r"|room)|insufficient (?:disk|storage|space)|full mailbox|exceeded storage|no space left"
    r"|would exceed {0}(?:storage|quota)|espacio|storage {0}exceeded".format(_gap(3)),
)
MAILBOX_DISABLED: Final = WordFamily(
    rf"\b(?:{_WHO}|domain) {_gap(6)}(?:disabled|inactive|inactivity|suspended|closed|deactivated|terminated"
    rf"|expired|frozen|locked|archived?|discontinued|not active|no longer active|blocked|cancell?ed|not activated"
    rf"|dormant|blocked|bloque|bloqu\w+|gesperrt|deleted|on hold|unused|hangup|disabled/inactive|archivee)",
    r"^(?:\S+ )?is (?:now )?(?:disabled|inactive|suspended)\b",
    rf"(?:disabled|inactive|suspended|closed|deactivated|dormant|expired|frozen|deleted) (?:e-?mail )?{_WHO}"
    rf"|disableduser|not accepting (?:any )?(?:new )?(?:mail|messages|e-?mail)|mailbox (?:\w+ )?restricted"
    rf"|no longer accepts mail",
)
MAILBOX_MOVED: Final = WordFamily(
    rf"(?:has|have) (?:been )?moved|moved to|please (?:use|try|forward to) @|has changed (?:his|her|their|its|to)"
    rf"|new (?:e-?mail )?address is|user not local|changed {_gap(2)}address|no longer on server",
)
DOMAIN: Final = WordFamily(
    rf"(?:unknown|no such|invalid|nonexistent|non-existent|bad) (?:recipient |destination |mail "
    rf"|remote )?(?:domain|host)\b|(?:domain|host|mx|nameserver) {_gap(4)}(?:not (?:be )?(?:found|exist"
    rf"|resolve\w*|known|valid)|does not exist|doesn't exist|unknown|nonexistent|invalid|not reachable"
    rf"|unreachable|must exist|no longer)|unrouteable|unroutable|no route|no mx|mx lookup|nxdomain|unknown host"
    rf"|name or service not known|domain lookup|dns error",
)
NO_MAIL_DOMAIN: Final = WordFamily(
    rf"null ?mx|(?:host|domain|server|does) {_gap(4)}not accept (?:any )?(?:mail|e-?mail|messages)"
    rf"|mail receiving disabled|takes no mail|does not receive mail",
)
BAD_ADDRESS: Final = WordFamily(
    rf"(?:malformed|illegal|improper|syntax error in|error in) (?:\w+ )?(?:e-?mail |recipient |destination "
    rf"|mailbox |forward |rcpt )*(?:address|recipient|path|forward-path|syntax|rcpt|parameters)"
    rf"|address {_gap(3)}(?:syntax|malformed|not a valid rfc|not rfc|badly)|bad (?:address|recipient) syntax"
    rf"|mailbox name|not a valid rfc 5321",
)
LOOP: Final = WordFamily(
    r"too many hops|hop (?:count|limit)|mail ?loop|exceeded 0 hops|routing loop|loops? back|loop detected"
    r"|too many received|mail loop"
)

NOT_WORKING: Final = WordFamily(
    rf"system (?:error|problem|resources|storage|is|config)|local (?:error|problem|configuration)|shortage"
    rf"|trouble|internal (?:error|server|resource)|resources? {_gap(2)}(?:are |temporarily )*(?:unavailable"
    rf"|insufficient)|insufficient (?:system|resources|disk)|try (?:again )?later|temporar(?:y|ily)"
    rf"|service (?:not |un|currently un)|overload|busy|load average|maintenance|shutting down|timeout|time-?out"
    rf"|queue|not available|disk",
)

# --- what decides between two of the above ---------------------------------------------------------------------------

MAILBOX_FULL_HARD: Final = WordFamily(
    r"\b(?:mail ?box|inbox|maildir)(?:'s)? (?:maximum |max |allowed |total |exceed\w+ |over )?(?:storage|size|disk"
    r"|capacity|space)\b",
    r"(?:user|mailbox|recipient|inbox) has too many (?:messages|e-?mails|mails)\b",
    r"(?:mailbox|mail ?box|inbox|maildir) (?:\w+ )?(?:is )?(?:full|over(?! (?:its |the |his |her |their )?(?:hourly"
    r"|daily|rate|message|receiv)))|over ?quota|(?:disk|storage|mailbox) quota|storage space|overquota|mailbox is full"
    r"|boite \S+ \S+ pleine|(?:mailbox|inbox) exceeds (?:the |its )?allowed size",
)
TOO_MANY_UNKNOWN: Final = WordFamily(
    r"(?:to{1,2} many|excessive|(?:number|rate|amount) of) (?:invalid|unknown|unrecogni[sz]ed|bad|wrong"
    r"|nonexist\w+|non[- ]exist\w+|undeliverable|bounced|failed|rejected|inactive) (?:local |e-?mail )?(?:recipients?"
    r"|users?|rcpts?|addresses|mailboxes|accounts)\b",
    r"\btoo many (?:recipients?|users?|rcpts?|addresses) (?:are |were )?(?:unknown|invalid|not found|nonexist\w+)\b",
    r"\b(?:invalid|unknown|bad) (?:recipients?|users?|rcpts?|addresses) (?:too many|limit|threshold|rate|count)\b"
    r"|\bmax(?:imum)? (?:number of )?(?:invalid|unknown|bad) (?:recipients?|users?|rcpts?|addresses)\b",
    r"\bzu viele (?:ungultige|unbekannte|ungueltige) (?:empf|adress|benutzer|nutzer)"
    r"|\btrop d(?:e |')(?:destinataires|adresses|utilisateurs) (?:invalides|inconnus|inconnues|inexistant\w+)"
    r"|\bdemasiad[oa]s (?:destinatarios|usuarios|direcciones) (?:no valid\w+|invalid\w+|inexistentes|desconocid\w+)"
    r"|\btroppi (?:destinatari|utenti) (?:non valid\w|sconosciut\w|inesistent\w)",
    r"(?:无效|未知|不存在)的?(?:收件人|用户|地址)[^ ]{0,2}(?:过多|太多)|(?:过多|太多)的?(?:无效|未知|不存在)",
)
"""It is about those before this one: whether this one is known is not said."""
TOO_MANY_ERRORS: Final = WordFamily(
    rf"\btoo many {_gap(3)}(?:errors|bounces|failures|attempts)\b|\bharvest(?:ing)?\b|\bdictionary attack"
)
"""Likewise, where nothing else is said of this one than a code."""
SAID_OF_US: Final = WordFamily(
    r"\b(?:from (?:your|this|the)|by your|for your) (?:\w+ )?(?:ip|host|server|network|client|address|connection)\b"
    r"|\byour (?:ip|host|server|network)\b|\bfrom (?:you|ip|host)\b|\bvon ihre[rm]\b|\bdepuis votre\b|\bdesde su\b"
)
SHUT_OUT: Final = WordFamily(
    r"\b(?:blocked|banned|black-?listed|block-?listed|suspended|disabled|denied|restricted|gesperrt|bloque)\b"
)
TOO_MANY_RECIPIENTS: Final = WordFamily(r"\btoo (?:many|much) (?:recipients?|rcpts?)\b")
SERVER_FULL: Final = WordFamily(
    rf"\b(?:insufficient|not enough|no|low|lacks?|out of|short of|exhausted) {_gap(2)}(?:disk|disc|storage|space|spool"
    r"|resources|memory)\b",
    rf"\b(?:disk|disc|storage|space|spool|queue|file ?system|partition) {_gap(3)}(?:full|exceeded|exhausted"
    r"|insufficient|shortage|low)\b|\bmail ?store (?:is )?full\b|\b(?:server|system) (?:is )?full\b",
    r"(?:speicher|platte)\S* {0}(?:voll|erschopft)|\b(?:nicht genugend|zu wenig|kein|nicht genug) (?:speicher|platten)"
    r"|\bespace {0}insuffisant|\bplus d'espace\b|\bsin espacio\b|\bdisque {0}plein|\bespacio {0}insuficiente"
    r"|\bdisco {0}lleno|\bspazio {0}insufficiente"
    r"|(?:磁盘|存储|空间)[^ ]{{0,6}}(?:不足|已满)".format(_gap(3)),
)
"""No room. Whose it is, the enhanced code says, or `SERVERS`."""
SERVERS: Final = WordFamily(
    r"\b(?:server|system|spool|queue|device|(?:this|the) host|serveur|servidor|dieses servers|dem server)\b|服务器|系统"
)
OF_SOMEBODY: Final = WordFamily(r"\b(?:user|mailbox|recipient|inbox|account)(?:'s|s)?\b")
UNKNOWN_MAILBOX_HARD: Final = WordFamily(
    r"user unknown|unknown user|no such (?:user|mailbox|recipient)|does(?: not|n't) exist|not found|unknown recipient"
    r"|recipient unknown|not in recipient list|existiert nicht|n'existe pas|不存在"
)
BLOCKED_BY_LIST: Final = WordFamily(
    rf"(?:client|host|ip|address|server|connection|mail from|ips|mta|network|sender ip"
    rf"|traffic) {_gap(6)}(?:blocked|black-?listed|blocklisted|(?<!not )listed|banned"
    rf"|denylisted) {_gap(2)}(?:using|by|at"
    rf"|in|on|see|list|http)",
    r"\b(?:rbl|dnsbl|dnsbls|xbl|pbl|sbl)\b|dnsbl:|spamhaus|spamcop|barracuda(?:central|networks)|senderbase"
    r"|sorbs|uceprotect|ivmsip|hostkarma|junkemailfilter|cloudmark|abuseat|spamrl|cobion|mail-abuse|invaluement"
    r"|proofpoint\.com",
    rf"(?:bad|poor|low|reputation of|none/bad|ip|mta's|server|sender"
    rf"|sending) (?:\w+ )?(?:the )?(?:sending )?(?:ip|reputation|mta)(?: address)?\b {_gap(2)}(?:reputation"
    rf"|blocked|banned|\.|$|listed|black)",
    r"(?:sender|sending|client) ip (?:is |was )?(?:rejected|refused|denied)|\bip[- ]based\b",
    r"block list|blocked - see|your network is|reverse dns|\bptr\b|no smtp service|banned sending ip|sending ip"
    r"|part of their network|too many spams from|sending spam|spammer|suspected spam ip",
)
MESSAGE_ON_LIST: Final = WordFamily(
    rf"\burls?\b|uribl|surbl|\bdbl\b|links?\b|domain {_gap(3)}(?:listed|present|in the)|spam content"
    rf"|message (?:was |is )?(?:classified|identified|detected|contain)"
)
OURS_NOT_THEIRS: Final = WordFamily(
    r"reputation of|\bsending domain\b",
    r"unpaid|invoice|payment|billing|sending (?:\w+ ){0,4}disabled|bounce rate|\bip address\b|\bsender ip\b",
    r"your (?:\w+ ){}(?:account|ip|server|host|network|domain|access|subscription|trial|smtp|plan)\b".format("{0,2}"),
    r"(?:client|helo) (?:host )?(?:command )?rejected|(?:smtp|sending|relay|customer|outgoing|sender) (?:account"
    r"|user|access|service)|for this client|relay(?:ing)? (?:access )?(?:denied|not)",
    r"(?:from|for) sending|unusual sending|outgoing|outbounds disabled|smtp auth|is not allowed to send|activate your"
    r"|account is not (?:yet )?(?:activated|verified|approved|allowed)|tenant\b(?! or domain)|banned sender"
    r"|authentication required",
)
OUR_HOST: Final = WordFamily(
    r"\byour (?:mail )?(?:ip|network|server|host)\b|\bclient host ip\b|not allowed to connect"
    r"|\bip address (?:is |was |has been )?(?:temporarily )?(?:blocked|blacklisted)\b"
)
"""Our address or host, also behind the words of a server that says of the client at MAIL or RCPT what it knows."""
OUR_ACCOUNT: Final = WordFamily(
    r"\b(?:account|user|mailbox|domain) (?:is |was |has been |currently )*(?:suspended|disabled|blocked|locked"
    r"|deactivated|frozen|restricted)\b"
)
"""At MAIL, where nobody else has been spoken of."""
BARE_ACCOUNT: Final = WordFamily(
    r"(?:^|rejected )(?:the |this )?account (?:is |was |has been |currently )*"
    r"(?:suspended|disabled|blocked|locked)(?: \.)?$"
)
"""Nothing more than that: whose account it is, the enhanced code and the stage say."""
SENDER_SAID: Final = WordFamily(
    r"^(?:ip )?@?:? ?(?:\w+ ){}sender (?:address )?(?:\w+ )?(?:reject|refus|den|invalid|unknown|not|must|blocked|verif"
    r"|domain)|sender address|domain of sender|sender verify|not owned by|sendas|send as|mail from|from address"
    r"|from domain"
    r"|invalid sender|emetteur|return-?path|envelope sender|sender domain|purported responsible"
    r"|address is not verified".format("{0,2}")
)
SENDER_HARD: Final = WordFamily(
    r"\bsender (?:is )?not (?:allowed|permitted|authori[sz]ed) to send from",
    r"sender address @?:? ?(?:blocked|listed|rejected) (?:using|by|in) ",
    r"send ?as ?denied|sendas|not owned by",
    r"(?:authori[sz]ed|allowed|permitted|able) to use (?:this|the|that) (?:from|sender|address)"
    r"|(?:allowed|permissions?|right|authori[sz]ed|permitted"
    r"|able) to send (?:mail |e-?mails? |messages? )?(?:as|from this|from @|on behalf)\b|relaying (?:disallowed"
    r"|denied|not allowed) as",
)
RELAYING_AS: Final = WordFamily(r"relaying (?:disallowed|denied|not allowed) as|as @")
RELAYED_TROUBLE: Final = WordFamily(
    r"(?:recipient|remote|destination|next|receiving|other) (?:\w+ )?(?:server|host|mta|system|mx)"
)
PACE_OF_SPAM: Final = WordFamily(r"(?:bounce|complaint|spam|error|failure|hard bounce) rate")
SYSTEM_FULL: Final = WordFamily(
    r"insufficient system|system storage|system resources|system full|mail system|on device|disk full|server"
)
MESSAGE_REFUSED: Final = WordFamily(
    rf"(?:message|mail|e-?mail|transaction|content|data|policy|it|submission|text) {_gap(4)}(?:reject|refus"
    rf"|den(?:ied|y)|block|not (?:be )?accept|discard|fail|violat|restrict|prohibit|not allowed|reason)|policy"
    rf"|rejected|reject\b"
)
NOT_AUTHENTICATED: Final = WordFamily(r"client was not authenticated(?: \.)?")
FORM_HARD: Final = WordFamily(
    r"\bsubject (?:line |header |field )?(?:is )?(?:mandatory|required|missing|empty)|(?:missing|empty|no) subject\b"
)
"""The form of the message, whatever the enhanced code says."""
FOR_NOW: Final = WordFamily(
    rf"\b(?:try|retry|send|resend|come back|attempt) {_gap(2)}later\b|\bagain (?:in|after|at) |at a later time"
    r"|\btemporar(?:y|ily)\b|\bfor now\b"
    r"|\b(?:server|system) (?:is )?(?:too |currently )?(?:busy|overloaded)\b"
    r"|(?<!list )\bmaintenance\b(?! (?:team|department|dept|staff|crew|contact|of))"
    r"|\bmantenimiento\b|\bmanutenzione\b|\bmanutencao\b|\bwartung(?:s\w+)?\b|\bwird gewartet\b"
    r"|\bonderhoud\b|обслуживани|维护|維護|メンテナンス"
    r"|\bdatabase (?:is )?(?:currently )?(?:unavailable|not available|down)\b"
    r"|\bsystem (?:is )?not accepting (?:network )?messages\b"  # RFC 3463 §3.4: a shutdown, load, or maintenance
)
"""What a server says of a refusal that will pass, also where its code says that it will not."""
OUT_OF_SERVICE: Final = WordFamily(
    r"\b(?:services?|server|system|relay|gateway|backend|upstream) (?:is |are )?(?:currently |now )?(?:unavailable"
    r"|not available|down|offline|out of service|not working|unreachable)(?: \.)?(?: closing\b"
    r"| at (?:this time|the moment|present)\b| right now\b| now\b|$)|^out of service\b",
    r"\b(?:services?|server|system|relay|gateway|backend|upstream) (?:is |are )?(?:restarting|rebooting|shutting down"
    r"|overloaded|overload|busy|interrupted|degraded|paused|crashed|ausgefallen|uberlastet|surcharge|saturado)\b",
    r"^(?:too )?busy\b|^overload(?:ed)?\b|^(?:shutting down|rebooting|restarting)\b|\bserver shutdown\b"
    r"|\bshutdown in progress\b|\bout of memory\b|\b(?:cannot|can't|could not) connect to (?:the )?(?:backend|database"
    r"|upstream)\b|\btimed out\b|^time-?out\b",
    r"\b(?:internal|system|database|backend)(?: server)? (?:error|failure|problem|fault)\b"
    r"|\b(?:interner|technischer) fehler\b|\berreur interne\b|\berror interno\b|\berrore interno\b",
    r"\b(?:dienst|server|system) (?:ist )?(?:derzeit |zurzeit )?nicht (?:verfugbar|erreichbar)\b"
    r"|\b(?:service|serveur) (?:temporairement )?indisponible\b"
    r"|\b(?:servicio|servidor) (?:temporalmente )?no disponible\b"
    r"|\b(?:servizio|server) non disponibile\b|\bservico indisponivel\b|\bdienst niet beschikbaar\b"
    r"|(?:сервис|служба|сервер) (?:временно )?недоступ|服务器?[^ ]{0,3}(?:不可用|忙)|系统[^ ]{0,2}忙"
    r"|服务[^ ]{0,2}(?:暂停|中断)|サービスは利用でき",
)
"""All that is said, or the last: what else follows in a reply says why somebody is refused."""
CODES_OWN: Final = WordFamily(
    r"(?:requested )?(?:mail )?action (?:not taken|aborted) (?:mailbox unavailable|mailbox name not allowed)(?: \.)?"
)
"""What RFC 5321 §4.2.3 has beside the code itself: it says nothing where the server says more."""
CHECKS_FAILED: Final = WordFamily(r"\b(?:dns|lookup|temporary|temporarily|time-?out|timed out)\b")
EXPIRED: Final = WordFamily(r"(?:message|queue|delivery)(?: time)? expired|queue\.expired|message delayed")
