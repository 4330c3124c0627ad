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
    any       421                        the end: nothing from here on was taken (RFC 5321 §3.8)
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
    *A reply that never comes* shifts the others the other way, and may show as nothing but silence at the end. A server
    that hangs looks the same, and in doubt is then only what it has not answered. So at a time-out `ask_for_the_end`
    sends QUIT: a server that answered everything, and lost some of it, says 221 in a place where it cannot stand.
    A server that ends the session itself after such a silence cannot be asked: it may have waited for us. What was
    handed back before the last moment at which nothing was awaited is out of question: by then as many replies had come
    as commands had gone.
6.  Servers count what comes to nothing: Postfix slows down after 10 errors without a delivery, two of which a refused
    recipient makes, and Exim hangs up after 10 more RSETs than messages. A session ends before that.
"""
