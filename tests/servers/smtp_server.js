// A server made of npm's smtp-server. It refuses *@unknown.example.com and defers *@later.example.com at RCPT, and
// writes each message that it takes to a file, a line of JSON each, before it says so.
"use strict";
const fs = require("fs");
const { SMTPServer } = require("smtp-server");

const [port, file] = process.argv.slice(2);
const refusal = (code, text) => Object.assign(new Error(text), { responseCode: code });
const server = new SMTPServer({
  name: "mail.example.org",
  authOptional: true,
  disabledCommands: ["AUTH", "STARTTLS"],
  disableReverseLookup: true,
  size: 50 * 1024 * 1024,
  onRcptTo(address, session, callback) {
    const domain = address.address.slice(address.address.lastIndexOf("@") + 1);
    if (domain === "unknown.example.com") return callback(refusal(550, "5.1.1 User unknown"));
    if (domain === "later.example.com") return callback(refusal(450, "4.2.0 Mailbox is busy"));
    return callback();
  },
  onData(stream, session, callback) {
    const pieces = [];
    stream.on("data", (piece) => pieces.push(piece));
    stream.on("end", () => {
      const { mailFrom, rcptTo } = session.envelope;
      const content = Buffer.concat(pieces).toString("base64");
      for (const { address } of rcptTo) {
        fs.appendFileSync(file, JSON.stringify({ recipient: address, sender: mailFrom.address || "", content }) + "\n");
      }
      callback(null, "2.0.0 Message accepted");
    });
  },
});
server.on("error", (error) => console.error(error.message)); // a connection that was reset
server.listen(Number(port), "127.0.0.1");
