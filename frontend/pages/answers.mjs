/**
 * A small host with recorded answers: serves `dist` under the policy that the real one sends, and answers the app's calls from a
 * table that a test may change. It notes what was asked.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";

const dist = new URL("../dist/", import.meta.url);

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

export const ME = {
  id: "0b9f7d3e-5a51-4a33-9a0e-6a7a3a3b5f10",
  email: "mara.sund@acme.dev",
  email_verified: true,
  name: "Mara Sund",
  username: "mara",
  organization: "acme",
  operator: true,
};

const ago = (hours) => new Date(Date.now() - hours * 3_600_000).toISOString();
const chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

/** What a host with one person signed in says. */
function answers() {
  return {
    "GET /api/v1/web-client/config": [
      200,
      { app_mode: "saas", identity_provider: "local", providers_configured: [], auth_url: null },
    ],
    "GET /api/v1/users/me": [200, ME],
    "GET /api/v1/users/me/sessions": [
      200,
      [
        session("s1", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "10.0.3.18", 0, true),
        session("s2", `Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) ${chrome}`, "10.0.3.40", 27),
        session("s3", "jackfield/1.0.0", "10.0.3.18", 340),
      ],
    ],
    "GET /api/keys": [
      200,
      [
        key(3, "laptop", [], ago(2), ago(-24 * 90)),
        key(2, "ci-deploy", ["operator"], ago(0.2), null),
        key(1, "old script", [], null, ago(24 * 50)),
      ],
    ],
    "POST /api/v1/sign-in/link": [200, { message: "ok" }],
    "POST /api/accept_tos": [200, { redirect_url: "/settings/user" }],
    "POST /api/logout": [200, { message: "User logged out" }],
    "POST /api/keys": [200, { ...key(4, "laptop-2", [], null, ago(-24 * 90)), key: "sk-oh-V4n8c0Tq2mY7bJr5xKd1Pz9LwEa3HsUf" }],
    "DELETE /api/keys/2": [200, { message: "API key deleted successfully" }],
    "DELETE /api/v1/users/me/sessions/s2": [200, { message: "ended" }],
    "DELETE /api/v1/users/me/sessions/s3": [200, { message: "ended" }],
    "PUT /api/email/resend": [200, { message: "Email verification message sent" }],
    "POST /oauth/device/verify-authenticated": [200, { message: "Device authorized successfully!" }],
    "POST /oauth/device/deny": [200, { message: "Device denied" }],
  };
}

export const NOBODY = [401, { error: "NoCredentialsError" }];

function session(id, user_agent, address, hours, current = false) {
  return { id, created_at: ago(hours + 20), last_seen_at: ago(hours), address, user_agent, current };
}

function key(id, name, scopes, last_used_at, expires_at) {
  return { id, name, prefix: `sk-oh-7Qd${id}`, scopes, last_used_at, expires_at, created_at: ago(24 * 30) };
}

/** Starts it; `table` decides, `asked` grows. */
export async function start() {
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  const host = { table: answers(), asked: [], url: "", stop };
  const page = await readFile(new URL("index.html", dist), "utf8");
  const inline = [...page.matchAll(/<script>([\s\S]*?)<\/script>/gu)].map(
    ([, text]) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`,
  );
  const policy =
    "default-src 'self'; img-src 'self' data: https:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'; " +
    `script-src 'self' ${inline.join(" ")}`;
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    let body = "";
    for await (const chunk of request) {
      body += chunk;
    }
    const asked = `${request.method} ${pathname}`;
    const answer = host.table[asked];
    if (answer || pathname.startsWith("/api/")) {
      host.asked.push({ asked, body, type: request.headers["content-type"] });
      const [status, json] = answer ?? [404, { detail: "Not Found" }];
      response.writeHead(status, { "content-type": "application/json", "x-request-id": "req-01KAV3B7QZ" });
      response.end(JSON.stringify(json));
      return;
    }
    const file = new URL(`.${pathname}`, dist);
    const bytes = extname(pathname) ? await readFile(file).catch(() => undefined) : undefined;
    const type = bytes ? TYPES[extname(pathname)] : TYPES[".html"];
    response.writeHead(200, { "content-type": type, "content-security-policy": policy, "x-content-type-options": "nosniff" });
    response.end(bytes ?? page);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  host.url = `http://127.0.0.1:${server.address().port}`;
  return host;
}
