// Nodemailer with a pool: the same personalised work from the same file; NODE_PATH says where Nodemailer is.
"use strict";
const fs = require("fs");
const readline = require("readline");
const nodemailer = require("nodemailer");

const task = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));

// A template as the pieces between its marks: what a template string compiles to.
function compile(text) {
  const pieces = text.split(/\{\{ (\w+) \}\}/);
  return (record) => {
    let filled = pieces[0];
    for (let at = 1; at < pieces.length; at += 2) filled += record[pieces[at]] + pieces[at + 1];
    return filled;
  };
}

async function main() {
  const subject = compile(task.subject);
  const text = compile(fs.readFileSync(task.text, "utf8"));
  const html = compile(fs.readFileSync(task.html, "utf8"));
  const from = { name: task.from_name, address: task.from_address };
  const began = process.hrtime.bigint();
  const transport = nodemailer.createTransport({
    pool: true,
    host: task.host,
    port: task.port,
    secure: false,
    ignoreTLS: true,
    maxConnections: task.connections,
    maxMessages: Infinity,
  });
  const underWay = new Set();
  for await (const line of readline.createInterface({ input: fs.createReadStream(task.recipients) })) {
    const record = JSON.parse(line);
    const sent = transport.sendMail({
      from,
      to: { name: record.name, address: record.email },
      subject: subject(record),
      text: text(record),
      html: html(record),
    });
    underWay.add(sent);
    sent.then(() => underWay.delete(sent), () => {});
    // Enough to keep the pool busy, and no more, so that memory stays bounded.
    if (underWay.size >= 4 * task.connections) await Promise.race(underWay);
  }
  await Promise.all(underWay);
  transport.close();
  console.log(JSON.stringify({ seconds: Number(process.hrtime.bigint() - began) / 1e9 }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
