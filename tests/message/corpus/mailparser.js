// Nodemailer's mailparser as a reader of the corpus: file names on standard input, one JSON object a line on standard output.
'use strict';

const { createHash } = require('crypto');
const { readFileSync } = require('fs');
const libmime = require('libmime');
const { simpleParser } = require('mailparser');

const LONGEST_SHOWN = 1000;

// What the parser adds to a message for showing it: not wanted here, and slow.
const options = { skipHtmlToText: true, skipTextToHtml: true, skipTextLinks: true, keepCidLinks: true };

const digest = octets => createHash('sha256').update(octets).digest('hex');

function shown(text) {
    const lines = text.replace(/\r\n/g, '\n');
    const length = [...lines].length;
    return length <= LONGEST_SHOWN ? lines : `${length} characters, ${digest(Buffer.from(lines))}`;
}

const mailboxes = header => header.value.map(one => [one.name, one.address]);

// The value of a field that the parser would take apart, as it stands there.
function raw(mail, name) {
    const lines = mail.headerLines.filter(line => line.key === name);
    return lines.map(line => line.line.slice(name.length + 1).replace(/\r?\n/g, '').trim()).join(' / ');
}

async function read(file) {
    const mail = await simpleParser(readFileSync(file), options);
    const multipart = mail.headers.get('content-type').value.startsWith('multipart/');
    const text = mail.text || '';
    return {
        sender: mailboxes(mail.from),
        to: mailboxes(mail.to),
        reply_to: mailboxes(mail.replyTo),
        subject: mail.subject,
        note: libmime.decodeWords(raw(mail, 'x-note')), // the parser knows the names of the fields in which it decodes words
        list_unsubscribe: raw(mail, 'list-unsubscribe'),
        message_id: mail.messageId,
        text: shown(multipart ? text : text.replace(/\r?\n$/, '')),
        html: shown(mail.html || ''),
        attachments: mail.attachments.map(one => [one.filename || '', one.size, digest(one.content), one.cid || '']),
        names: mail.headerLines.map(line => line.key),
        date: mail.date.getTime() / 1000,
    };
}

async function main() {
    for (const file of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
        process.stdout.write(JSON.stringify(await read(file)) + '\n');
    }
}

main();
