// Verifies with the providers' own libraries what we signed. Standard input: a JSON array of { provider, secret, headers,
// body }; standard output: an array of true or false, in the same order.
import { readFileSync } from "node:fs";
import { Webhooks } from "@octokit/webhooks";
import { Webhook } from "standardwebhooks";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import Stripe from "stripe";

const stripe = new Stripe("sk_test_none");

const verifiers = {
  github: ({ secret, headers, body }) => new Webhooks({ secret }).verify(body, headers["x-hub-signature-256"]),
  standard: ({ secret, headers, body }) => Boolean(new Webhook(secret).verify(body, headers)),
  stripe: ({ secret, headers, body }) => Boolean(stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret)),
  linear: ({ secret, headers, body }) =>
    new LinearWebhookClient(secret).verify(Buffer.from(body), headers["linear-signature"]),
};

const answers = [];
for (const one of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    answers.push(await verifiers[one.provider](one));
  } catch (error) {
    console.error(`${one.provider}: ${error.message}`);
    answers.push(false);
  }
}
console.log(JSON.stringify(answers));
