/** A GitHub for Keycloak to broker, on which one person has an account and is signed in. */
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

export async function startProvider(account) {
  const codes = new Set();
  const tokens = new Set();
  const emails = [{ email: account.email, primary: true, verified: true }];
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    const say = (json, status = 200) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(json));
    };
    const known = tokens.has(request.headers.authorization?.replace(/^Bearer /u, ""));
    switch (`${request.method} ${pathname}`) {
      case "GET /login/oauth/authorize": {
        const back = new URL(searchParams.get("redirect_uri"));
        const code = randomUUID();
        codes.add(code);
        back.searchParams.set("code", code);
        back.searchParams.set("state", searchParams.get("state"));
        response.writeHead(302, { location: back.toString() });
        return response.end();
      }
      case "POST /login/oauth/access_token": {
        let body = "";
        for await (const chunk of request) {
          body += chunk;
        }
        const form = new URLSearchParams(body);
        const client = `${form.get("client_id")} ${form.get("client_secret")}`;
        if (client !== "stub-client stub-secret" || !codes.delete(form.get("code"))) {
          return say({ error: "bad_verification_code" });
        }
        const token = `ghu_${randomUUID()}`;
        tokens.add(token);
        return say({ access_token: token, token_type: "bearer", scope: "", expires_in: 28_800, refresh_token: `ghr_${token}` });
      }
      case "GET /api/v3/user":
        return known ? say(account) : say({ message: "Bad credentials" }, 401);
      case "GET /api/v3/user/emails":
        return known ? say(emails) : say({ message: "Bad credentials" }, 401);
      default:
        return say({ message: "Not Found" }, 404);
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const stop = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, stop };
}
