/** A real Keycloak on a copy of the prepared database, and what its administrator does. */
import assert from "node:assert/strict";
import { copyFile } from "node:fs/promises";

import { freePort, launch, ready, scratch } from "./process.mjs";

const home = process.env.JACKFIELD_TEST_KEYCLOAK_HOME;
const template = process.env.JACKFIELD_TEST_KEYCLOAK_TEMPLATE;

/** Why the tests with Keycloak are skipped; undefined when they are not. */
export const NO_KEYCLOAK =
  home && template ? undefined : "JACKFIELD_TEST_KEYCLOAK_HOME is not set; `cargo xtask test` sets it where Keycloak can be had";

/** As `tests/keycloak/realm.json` has it. The app knows no other realm and client. */
const REALM = "allhands";
const CLIENT = "allhands";
const CLIENT_SECRET = "secret-of-the-test-realm";
/** As the database was made: small, and quick to start rather than quick for hours. */
const JAVA_OPTS =
  "-Xms64m -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:MaxMetaspaceSize=256m -Djava.security.egd=file:/dev/urandom";

/** Starts it; ready after about 8 s on idle cores. */
export async function startKeycloak() {
  const directory = await scratch("keycloak");
  await copyFile(`${template}/keycloakdb.mv.db`, `${directory}/keycloakdb.mv.db`);
  const [port, management] = [await freePort(), await freePort()];
  const options = [
    "--cache=local",
    "--http-enabled=true",
    "--hostname-strict=false",
    "--http-host=127.0.0.1",
    `--http-port=${port}`,
    `--http-management-port=${management}`,
    `--db-url=jdbc:h2:file:${directory}/keycloakdb;NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE`,
  ];
  const env = { ...process.env, JAVA_OPTS };
  const server = launch(`${home}/bin/kc.sh`, ["start", "--optimized", ...options], { directory, env });
  await ready("Keycloak", server, `http://127.0.0.1:${management}/health/ready`, 180);
  return new Keycloak(`http://127.0.0.1:${port}`, server);
}

class Keycloak {
  constructor(url, server) {
    this.url = url;
    this.server = server;
  }

  stop() {
    return this.server.stop();
  }

  /** The variables of a host in front of it. */
  get variables() {
    return {
      KEYCLOAK_SERVER_URL: this.url,
      KEYCLOAK_REALM_NAME: REALM,
      KEYCLOAK_CLIENT_ID: CLIENT,
      KEYCLOAK_CLIENT_SECRET: CLIENT_SECRET,
    };
  }

  /** Lets the client come back to these hosts; the first is told of logouts. */
  async serve(...hosts) {
    const all = (...paths) => hosts.flatMap(({ url }) => paths.map((path) => url + path));
    const [client] = await this.read(`/clients?clientId=${CLIENT}`);
    client.redirectUris = all("/oauth/keycloak/callback", "/api/email/verified", "/login?email_verified=true");
    client.webOrigins = hosts.map(({ url }) => url);
    client.attributes["post.logout.redirect.uris"] = all("/", "/login").join("##");
    client.attributes["backchannel.logout.url"] = `${hosts[0].url}/oauth/keycloak/backchannel-logout`;
    await this.write("PUT", `/clients/${client.id}`, client);
  }

  /** Where the brokered provider `github` is. */
  async broker(url) {
    const path = "/identity-provider/instances/github";
    const settings = await this.read(path);
    Object.assign(settings.config, { baseUrl: url, apiUrl: `${url}/api/v3` });
    await this.write("PUT", path, settings);
  }

  /** Sends its mail to this port. */
  mailTo(port) {
    return this.write("PUT", "", { smtpServer: { host: "127.0.0.1", port: String(port), from: "sign-in@example.com" } });
  }

  /** A new person with a password, and what else is said of them. */
  async person(username, more = {}) {
    const password = `password-of-${username}`;
    await this.write("POST", "/users", {
      username,
      enabled: true,
      email: `${username}@example.com`,
      emailVerified: true,
      firstName: username[0].toUpperCase() + username.slice(1),
      lastName: "Lindqvist",
      credentials: [{ type: "password", value: password }],
      ...more,
    });
    const [{ id }] = await this.read(`/users?username=${username}&exact=true`);
    return { id, username, password };
  }

  /** Ends all sessions of a person, as in the administrator's console. */
  async end({ id }) {
    const [client] = await this.read(`/clients?clientId=${CLIENT}`);
    const offline = await this.read(`/users/${id}/offline-sessions/${client.id}`);
    assert.notEqual(offline.length, 0, "there is no session to end");
    for (const session of offline) {
      await this.write("DELETE", `/sessions/${session.id}?isOffline=true`);
    }
    await this.write("POST", `/users/${id}/logout`, {});
  }

  async read(path) {
    const answer = await this.call("GET", path);
    return answer.json();
  }

  write(method, path, body) {
    return this.call(method, path, body);
  }

  async call(method, path, body) {
    const answer = await fetch(`${this.url}/admin/realms/${REALM}${path}`, {
      method,
      headers: { authorization: `Bearer ${await this.token()}`, "content-type": "application/json" },
      ...(body && { body: JSON.stringify(body) }),
    });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${answer.ok || (await answer.text())}`);
    return answer;
  }

  /** An administrator's, asked for anew each time: it lives for a minute. */
  async token() {
    const form = { grant_type: "password", client_id: "admin-cli", username: "admin", password: "admin" };
    const answer = await fetch(`${this.url}/realms/master/protocol/openid-connect/token`, {
      method: "POST",
      body: new URLSearchParams(form),
    });
    const { access_token } = await answer.json();
    return access_token;
  }
}

/** Fills in Keycloak's own page, which the browser must be on. */
export async function enterPassword({ page }, { username, password }) {
  await page.locator("#username").fill(username);
  await page.locator("#password").fill(password);
  await page.locator("#kc-login").click();
}
