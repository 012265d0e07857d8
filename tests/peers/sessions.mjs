// Sessions behind cookies: express and express-session with connect-redis, one process.
// Arguments: Redis URL, number of sessions, file, configuration (`default`, or `lean` without touch, ETag and X-Powered-By).
// Stores the sessions in the emptied database, writes the file (a cookie's value, a tabulator, the answer it opens, a line each),
// then prints its port.
import { createHmac, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";

const [url, count, file, configuration] = process.argv.slice(2);
const lean = configuration === "lean";
const DAY_MS = 86_400_000;
const secret = randomBytes(32).toString("hex");
const client = createClient({ url });
await client.connect();
await client.flushDb();
const store = new RedisStore({ client, disableTouch: lean });

const cookie = () => ({ originalMaxAge: DAY_MS, expires: new Date(Date.now() + DAY_MS), httpOnly: true, path: "/" });
const signed = (id) =>
  encodeURIComponent(`s:${id}.${createHmac("sha256", secret).update(id).digest("base64").replace(/=+$/, "")}`);
const lines = [];
for (let first = 0; first < Number(count); first += 1000) {
  const stored = [];
  for (let number = first; number < Math.min(first + 1000, Number(count)); number += 1) {
    const id = randomBytes(24).toString("base64url");
    const user = `bench-${String(number).padStart(5, "0")}`;
    stored.push(store.set(id, { cookie: cookie(), user }));
    lines.push(`${signed(id)}\t${JSON.stringify({ user })}\n`);
  }
  await Promise.all(stored);
}
if ((await client.dbSize()) !== Number(count)) {
  throw new Error(`Redis does not hold ${count} sessions`);
}
writeFileSync(file, lines.join(""));

const app = express();
if (lean) {
  app.disable("etag");
  app.disable("x-powered-by");
}
app.use(session({ store, secret, name: "keycloak_auth", resave: false, saveUninitialized: false, cookie: { maxAge: DAY_MS } }));
app.get("/bench/whoami", (request, response) => {
  if (request.session.user) {
    response.json({ user: request.session.user });
  } else {
    response.status(401).json({ error: "NoCredentialsError" });
  }
});
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
server.keepAliveTimeout = 60_000;
