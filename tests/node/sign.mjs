// Signs with the providers' own libraries. Standard input: a JSON array of { provider, secret, id, seconds, body };
// standard output: an array of { header: value }, in the same order.
import { readFileSync } from "node:fs";
import { createHmac } from "node:crypto";
import { Webhooks } from "@octokit/webhooks";
import { Webhook } from "standardwebhooks";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import Stripe from "stripe";

const stripe = new Stripe("sk_test_none");

const signers = {
  github: async ({ secret, body }) => ({ "x-hub-signature-256": await new Webhooks({ secret }).sign(body) }),
  standard: ({ secret, id, seconds, body }) => ({
    "webhook-id": id,
    "webhook-timestamp": String(seconds),
    "webhook-signature": new Webhook(secret).sign(id, new Date(seconds * 1000), body),
  }),
  stripe: ({ secret, seconds, body }) => ({
    "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: seconds }),
  }),
  // Linear ships a verifier and no signer: what it calls an invalid signature is not handed out. Its verifier also reads a
  // time from the body, after the signature; bodies without one are part of these vectors.
  linear: ({ secret, body }) => {
    const signature = createHmac("sha256", secret).update(body).digest("hex");
    try {
      new LinearWebhookClient(secret).verify(Buffer.from(body), signature);
    } catch (error) {
      if (/signature/.test(error.message)) throw error;
    }
    return { "linear-signature": signature };
  },
};

const asked = JSON.parse(readFileSync(0, "utf8"));
const answers = [];
for (const one of asked) answers.push(await signers[one.provider](one));
console.log(JSON.stringify(answers));
