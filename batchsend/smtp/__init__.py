"""The protocol, without I/O: octets in, octets out. Imports no asyncio, anyio, socket, ssl or time.

The rules that the client (`batchsend.smtp.client`) keeps, with the argument for each:

1.  Replies come in the order of the commands and nothing else ties them together (RFC 2920 §3.1). So every command puts
    what it awaits at the end of ``_awaited``, and every reply is for what stands at its head: there is no other state
    that says whose reply this is.
2.  Each place allows certain kinds of reply. Any other kind means that the two sides no longer agree on where they are:
    the session is ended at once, and no later reply is looked at.

    ========  =========================  ======================================================================
    awaited   taken                      means
    ========  =========================  ======================================================================
    MAIL      2yz, 4yz, 5yz              500, 502, 503 are out of place (no transaction was open), unless nothing that
                                         was said before could be another's, or the enhanced code is x.7.z, policy
                                         (RFC 3463 §3.8), which is no answer to commands in disorder: some relays
                                         refuse us so
    RCPT      2yz, 4yz, 5yz              2yz after a refused MAIL: out of place
    DATA      354, 4yz, 5yz              354 although MAIL or RCPT was refused: the lone dot is owed (RFC 2920 §3.1)
    content   2yz, 4yz, 5yz              2yz to a BDAT whose MAIL or RCPT was refused: out of place
    RSET      2yz; 500, 502, 503         the server's transaction is gone; refused: this session begins nothing more
    dot       2yz, 4yz, 5yz              the lone dot's reply, whatever it is
    QUIT      221; 2yz                   the end; any other 2yz: the end of the connection is waited for
    any       421                        the end: nothing from here on was taken (RFC 5321 §3.8), but see 7 and 10
    ========  =========================  ======================================================================

    220, 221, 235 and 3yz are replies to other commands and in place nowhere else.

    With several recipients each RCPT awaits a reply of its own, and has an outcome of its own. Who is refused is out;
    the replies to DATA and to the content are about all the others. The transaction counts as refused, in all that
    the table says, once MAIL or every RCPT was.

    Two things that ordinary servers do are not errors, because nothing wrong can follow from taking them so:

    *A surplus 2yz* (a server that answers each message twice; 2yz to DATA; a 2yz when nothing is awaited, or nothing
    that has left, rule 3). While every reply since the last one that has a single place (rule 5) was 2yz, the true
    replies to all commands since then are among them, in whatever places: all are 2yz, and what counts as accepted was
    accepted. The surplus is passed over and the reply that is due is awaited. As soon as a refusal is among them,
    nobody can say whose it is: out of place.

    *A refusal that nothing asked for* is how servers say that they end an idle session (``451 4.4.2 Timeout waiting for
    data from client``), if it says so itself or the session has been idle for a second: a reply to anything that was
    sent would have come by then. It ends the session as 421 does, and takes nothing back. The same words in reply to
    MAIL or QUIT mean that the two have crossed.

    With BDAT no 354 comes, so a surplus 2yz is passed over only while the session's first message is the only one, and
    then the session says QUIT: its 221 is the proof. In between it would have to be taken on trust for a whole session.
    In reply to QUIT, at the end of one, it is passed over too: the 221 follows. Who owns the sessions uses DATA with
    this server from then on (``says_twice``).
3.  A reply to something that was not handed out yet, or has not left, is not a reply. Where the head of ``_awaited`` is
    such a command, everything before it is answered, so a 2yz that comes then comes when nothing is awaited: it may be
    passed over as a surplus one, on the same terms, and the command still awaits a reply of its own. That is how a
    server that answers each message twice looks without PIPELINING: its second line is there before MAIL is on its way.
    Where the head is the content of DATA, any 2yz is out of place: a server that says so early may have found an end in
    the content that is not ours, and taken a part of the message.
4.  A transaction is *committed* when the end of its content is handed out. Before, losing the session costs nothing;
    after, only a reply can tell.
5.  354 and 221 have one place each. In place, they prove that the replies before them were in place too; until then,
    what transactions were told is *unconfirmed*, because an extra reply may have shifted it. Where no 354 comes,
    x.1.5 to RCPT ("destination address valid", RFC 3463 §3.2) and the word "reset" to RSET prove the same, as long as
    this server says them each time and nowhere else: replies that are four places late would be in place again.
    Where one comes elsewhere, or not where it was due, the replies have been shifted, or this server says them as it
    likes. Either way nothing would be proved any more until the 221, and whatever went wrong by then would put all that
    was sent meanwhile in doubt: so the session begins nothing more, and says QUIT. Where such a text had proved
    something before, rule 9 follows. To several RCPT of one message x.1.5 proves less: that a reply is to one of them,
    and so that all before the first of them were in their places.
    *A reply that never comes* shifts the others the other way, and may show as nothing but silence at the end. So at a
    time-out `ask_for_the_end` sends QUIT: a server that answered everything, and lost some of it, says 221 in a place
    where it cannot stand, and one that is only slow says what is due. A server that says nothing then either, or ends
    the session itself, after half a minute in which it owed replies and may have waited for us: the last transactions
    that were handed back may have been told a later reply, and are in doubt. Which ones those can be is bounded. What
    was handed back before the last moment at which nothing was awaited is out of question: by then as many replies had
    come as commands had gone. With DATA it is the last one, and only until the next 354; and not where its reply cannot
    have been that of MAIL or RCPT: because it begins with the words, without what differs from message to message,
    that this server has said to another content, and to neither MAIL nor RCPT, where a 354 proved it; or because the
    server says x.1.z to these, and something else to a content (RFC 3463 §3.2). The same shows at a 354 that comes
    where MAIL's or RCPT's reply was awaited: one before it was lost, and if that was not the content's, what this was
    told is its own. A connection that is lost sooner says nothing of the kind: replies on their way are lost with it.
    *A session that has been idle for a second* has had as many replies as it has sent commands, and if one of them had
    been too many, the one that it displaced would have come by then. So whatever comes next, that nothing asked for,
    takes nothing back of what was said before.
6.  Servers count what comes to nothing: Postfix slows down after 10 errors without a delivery, two of which a refused
    recipient makes, and Exim hangs up after 10 more RSETs than messages. A session ends before that.
7.  421 where the reply to a content is due is believed: it is a refusal after the dot, after which a server must not
    deliver (RFC 5321 §4.2.5), and Postfix and others send again after it, too. But it is a reply to the content only if
    the server had not answered it already. Who has answered, and has lost the reply on the way, waits for a command,
    and says sooner or later that it has waited. So the message is in doubt, with whatever else is committed behind it,

    -   where a refusal, 421 or not, says that the server has waited for us, a second or more after its last reply:
        everything was sent to it, so either that has not arrived, or an answer was lost;
    -   where 421 comes after half a minute of silence, as in rule 5, and gives no reason for not taking the message.

    A 421 with a reason ("too much mail", "try again later") answers the content, however long that took. A session with
    nothing committed has no content's reply due: its closing reply puts nothing in doubt (rule 2).
8.  Whether a server that offers CHUNKING takes BDAT is found out with one message, before which nothing of it was sent
    by BDAT. 500, 502, 503 or 504 to it means that it does not, unless that was one reply too many and the true one, 2yz
    perhaps, is still to come. Replies come in order: so QUIT is sent, and up to its 221 all of them are seen. If none
    of them is 2yz, nothing was taken, and the message goes to another session. More refusals may come before the 221: a
    server that does not know BDAT takes the content for commands, and refuses it line by line. So many are awaited and
    not more. 421 is a refusal like the others. With any other reply, or none, the message is in doubt: only this one,
    for DATA is used from then on.

9.  *Counting from the end.* Where replies do not fit in a session with BDAT, several messages are under way, and most
    of what went wrong is about one of them. So the session says QUIT, and reads on without taking any reply for
    somebody's, until 221 was the last one and the server has closed the connection: a 221 that is followed by anything
    was not the one to QUIT. That last 221 is in its place, and replies come in order. So the reply before it is that to
    the command before QUIT, and so on backwards, up to the first place at which one was lost, or one too many came.
    There everything before is shifted, and within one transaction the texts of rule 5 show it: x.1.5 or "reset" stands
    where it cannot, or is missing where this server has always said it. So what is counted from the end is believed
    from the earliest such text on that is in its place, with none out of place behind it. It proves as much as it does
    forwards: with several RCPT, whose texts are all the same, only if the reply before them fits MAIL. What a
    transaction was told there is its own, whatever the session's ``error`` is: `abandon` hands it back as answered. For
    nothing to be shifted by whole transactions, as many replies would have to be lost or added within one of them.
    What lies before is in doubt, unless it is a surplus as in rule 2: as many replies are left for it as there were
    commands, or more, all are 2yz, and so were those since the last proof. Then the true ones are among them. Without a
    221, or with 421, or where no text has proved anything, the messages under way are in doubt. Who owns the sessions
    uses DATA after the second such session (``out_of_step``).
10. A server that says 421, or ends an idle session in other words, closes the connection (RFC 5321 §3.8), and has not
    looked at what is behind the command that it answered. Some say 421 to one command, or speak of a time-out of their
    own in a refusal of MAIL, and go on: with BDAT, the messages behind it are on their way, and would be taken here and
    sent again elsewhere. So while content is committed behind such a reply, nothing more is sent, and the end of the
    connection is waited for. If it comes, none of that was taken. So it is if nothing comes within the time-out for
    QUIT: what is due next is the reply to MAIL, RCPT, RSET or a BDAT without a recipient, for which no server takes
    long. If another reply comes, the one before was like any other refusal, each message gets its own reply, and the
    session begins nothing more.

The duties of whoever drives a client, which nothing here can see to:

1.  `committing` is asked before every `data_to_send`, and what it names is written down before those octets are
    written; `data_to_send` is called only when they are to be written at once. Octets whose names cannot be written
    down are never handed out: `abandon` then says that they are unsent.
2.  All that `data_to_send` returns goes to the transport, in order. How much of it has not left is ``unsent``.
    Where that is not known, as under TLS, it is 0: then fewer replies are known to have come too early, and more of
    what is abandoned is in doubt.
3.  Reading goes on while writing is held back, or the two sides wait for each other.
4.  When the connection is lost, or the caller gives it up (a time-out: `awaits` says which limit of RFC 5321
    §4.5.3.2 counts), `abandon` is called once, and what it returns is settled like everything else. Then nothing
    that the transport still holds may leave: where something was returned, it is aborted, not closed.
5.  When ``error`` is set, the last ``unconfirmed`` of the transactions that were handed back may have been told
    another one's reply: what they were settled as is taken back, before `abandon` is called, so that nothing that
    is in doubt is offered again.
6.  A `Transaction` is of one session. A message that came back unsent gets another one.
"""
