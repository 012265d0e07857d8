// Signs every payload of @octokit/webhooks-examples with @octokit/webhooks and posts it. Prints one JSON line.
import { createRequire } from "node:module";
import { randomUUID, createHash } from "node:crypto";
import { Webhooks } from "@octokit/webhooks";

const [url, secret] = process.argv.slice(2);
const events = createRequire(import.meta.url)("@octokit/webhooks-examples");
const list = events.default ?? events;
const webhooks = new Webhooks({ secret });
const sent = [];
for (const { name, examples } of list) {
  for (const example of examples) {
    const body = JSON.stringify(example);
    const id = randomUUID();
    const answer = await fetch(url, {
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        "user-agent": "GitHub-Hookshot/0000000",
        "x-github-event": name,
        "x-github-delivery": id,
        "x-hub-signature-256": await webhooks.sign(body),
      },
    });
    sent.push({ id, name, status: answer.status, answer: await answer.text(), sha256: createHash("sha256").update(body).digest("hex") });
  }
}
console.log(JSON.stringify(sent));
