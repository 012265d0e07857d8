/** A real SMTP server that keeps what it is sent. */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

import { simpleParser } from "mailparser";
import { SMTPServer } from "smtp-server";

export async function startMailbox() {
  const mails = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    onData: (stream, _session, done) => {
      simpleParser(stream, (error, mail) => {
        if (mail) {
          mails.push({ to: mail.to.text, text: mail.text });
        }
        done(error);
      });
    },
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  /** Waits until so many mails came to an address; the last of them. */
  const until = async (address, count) => {
    const end = Date.now() + 60_000;
    for (;;) {
      const theirs = mails.filter(({ to }) => to === address);
      if (theirs.length >= count) {
        return theirs[count - 1];
      }
      assert.ok(Date.now() < end, `${theirs.length} mails to ${address} instead of ${count}: ${JSON.stringify(mails)}`);
      await pause(50);
    }
  };
  return {
    port: server.server.address().port,
    count: (address) => mails.filter(({ to }) => to === address).length,
    /** The link below `base` in a person's mail of this number. */
    link: async (address, count, base) => {
      const { text } = await until(address, count);
      const link = text.split(/\s+/u).find((word) => word.startsWith(base));
      assert.ok(link, `no link to ${base}: ${text}`);
      return link;
    },
    stop: () => new Promise((done) => server.close(done)),
  };
}
