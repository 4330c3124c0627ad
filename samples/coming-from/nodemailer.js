// A pooled Nodemailer transport sending to a list. nodemailer.toml does the same job; the manual has a table of all
// of the pool's options.
//
//   npm install nodemailer && node nodemailer.js smtp.example.com 587
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const nodemailer = require("nodemailer");

const [host, port] = process.argv.slice(2);
const auth = process.env.SMTP_PASSWORD
  ? { user: process.env.SMTP_USERNAME, pass: process.env.SMTP_PASSWORD }
  : undefined;

const transport = nodemailer.createTransport({
  pool: true,
  host,
  port: Number(port),
  secure: false,
  requireTLS: auth !== undefined,
  auth,
  maxConnections: 5,
  maxMessages: 100,
  rateDelta: 1000,
  rateLimit: 50,
});

const escape = (text) =>
  text.replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" })[c]);

// Enough of CSV for this file: quoted fields without line ends.
const cells = (line) =>
  [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((m) => m[2] ?? m[1].replaceAll('""', '"'));
const lines = fs.readFileSync(path.join(__dirname, "recipients.csv"), "utf8").trim().split(/\r?\n/);
const rows = lines.slice(1).map((line) => {
  const [email, name, city] = cells(line);
  return { email, name, city };
});

async function main() {
  await Promise.all(
    rows.map(({ email, name, city }) =>
      transport.sendMail({
        from: "The Reading Room <hello@mail.example.com>",
        to: { name, address: email },
        subject: `Welcome, ${name}`,
        text: `Hello ${name},\n\nyour card is ready. Come by in ${city}.\n`,
        html: `<p>Hello ${escape(name)},</p>\n<p>your card is ready. Come by in <b>${escape(city)}</b>.</p>\n`,
      }),
    ),
  );
  transport.close();
}

main();
