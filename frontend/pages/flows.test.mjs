/** What people do on these pages, most of it with nothing but the keyboard. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { ME, NOBODY, start } from "./answers.mjs";
import { launch, open, shoot, sound } from "./browser.mjs";

let browser;
let host;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
// Each test has its own: what a page of the one before still asks is not counted.
beforeEach(async () => {
  host = await start();
});
afterEach(() => host.stop());

const asked = (what) => host.asked.filter((one) => one.asked === what).map(({ body }) => body);
const where = (page) => new URL(page.url()).pathname + new URL(page.url()).search;

/** Presses Tab until the element with this name has the focus. */
async function tabTo(page, name) {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      const labels = [...(element?.labels ?? [])].map((label) => label.textContent);
      return element?.getAttribute("aria-label") ?? (labels.join(" ") || element?.textContent);
    });
    if (focused?.trim().startsWith(name)) {
      return;
    }
  }
  assert.fail(`Tab does not lead to ${name}`);
}

test("a sign-in link is asked for by keyboard, and the answer tells nobody who is known", async () => {
  host.table["GET /api/v1/users/me"] = NOBODY;
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/login");
  const said = [];
  for (const email of ["mara@acme.dev", "nobody@acme.dev"]) {
    await tabTo(page, "E-mail address");
    await page.keyboard.press("ControlOrMeta+A");
    await page.keyboard.type(email);
    await page.keyboard.press("Enter");
    const note = page.getByRole("status").filter({ hasText: email });
    await note.waitFor();
    said.push((await note.innerText()).replace(email, "ADDRESS"));
  }
  assert.equal(said[0], said[1]);
  assert.match(said[0], /If ADDRESS is known here/u);
  assert.deepEqual(asked("POST /api/v1/sign-in/link"), ['{"email":"mara@acme.dev"}', '{"email":"nobody@acme.dev"}']);
  await shoot(view, "flow-link-sent");
  await sound(view, "after sending");
  await view.close();
});

test("nothing is sent for what is no address, and a refusal is told in words", async () => {
  host.table["GET /api/v1/users/me"] = NOBODY;
  const view = await open(browser, host, { theme: "dark" });
  const { page } = view;
  await page.goto("/login");
  await page.getByLabel("E-mail address").fill("mara");
  await page.getByRole("button", { name: "Send a sign-in link" }).click();
  await page.getByText("Write an address such as").waitFor();
  assert.deepEqual(asked("POST /api/v1/sign-in/link"), []);
  host.table["POST /api/v1/sign-in/link"] = [429, { error: "Rate limit exceeded: 10 per 1 minute" }];
  await page.getByLabel("E-mail address").fill("mara@acme.dev");
  await page.getByRole("button", { name: "Send a sign-in link" }).click();
  await page.getByRole("alert").filter({ hasText: "Too many requests: 10 a minute are allowed." }).waitFor();
  await page.getByText("req-01KAV3B7QZ").waitFor();
  await sound(view, "after refusals");
  await view.close();
});

test("a link that is not good is named, and a new one leads where the old one would have", async () => {
  host.table["GET /api/v1/users/me"] = NOBODY;
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/login?error=invalid_link&returnTo=%2Fsettings%2Fapi-keys");
  await page.getByText("This link does not sign in any more").waitFor();
  await page.getByLabel("E-mail address").fill("mara@acme.dev");
  await page.getByRole("button", { name: "Send a sign-in link" }).click();
  await page.getByRole("status").filter({ hasText: "mara@acme.dev" }).waitFor();
  assert.deepEqual(asked("POST /api/v1/sign-in/link"), ['{"email":"mara@acme.dev","returnTo":"/settings/api-keys"}']);
  await sound(view, "after a bad link");
  await page.goto("/login?error=invalid_verification_link");
  await page.getByText("This link confirms no address any more").waitFor();
  await view.close();
});

test("without mail no link is asked for", async () => {
  host.table["GET /api/v1/users/me"] = NOBODY;
  const [status, config] = host.table["GET /api/v1/web-client/config"];
  host.table["GET /api/v1/web-client/config"] = [status, { ...config, sign_in_links: false }];
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/login");
  await page.getByRole("alert").filter({ hasText: "This host sends no links" }).waitFor();
  assert.equal(await page.getByLabel("E-mail address").count(), 0);
  await sound(view, "without mail from the start");
  await view.close();
});

test("a host that sends no links says so, and what to do instead", async () => {
  host.table["GET /api/v1/users/me"] = NOBODY;
  host.table["POST /api/v1/sign-in/link"] = NOBODY;
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/login");
  await page.getByLabel("E-mail address").fill("mara@acme.dev");
  await page.getByRole("button", { name: "Send a sign-in link" }).click();
  await page.getByRole("alert").filter({ hasText: "This host sends no links" }).waitFor();
  await sound(view, "without mail");
  await view.close();
});

test("whoever is not signed in comes to the sign-in, and back to where they were going", async () => {
  host.table["GET /api/v1/users/me"] = NOBODY;
  const view = await open(browser, host);
  const { page } = view;
  for (const [path, back] of [
    ["/settings/sessions", "/settings/sessions"],
    ["/oauth/device/verify?user_code=23456789", "/oauth/device/verify?user_code=23456789"],
  ]) {
    host.table["GET /api/v1/users/me"] = NOBODY;
    await page.goto(path);
    await page.waitForURL((url) => url.pathname === "/login");
    assert.equal(new URL(page.url()).searchParams.get("returnTo"), back);
    host.table["GET /api/v1/users/me"] = [200, ME];
    await page.reload();
    await page.waitForURL((url) => url.pathname !== "/login");
    assert.equal(where(page), back);
  }
  host.table["GET /api/v1/users/me"] = [200, ME];
  await page.goto("/login?returnTo=https://evil.example/");
  await page.getByRole("heading", { name: "Account" }).waitFor();
  assert.equal(where(page), "/settings/user");
  await view.close();
});

test("a session that ends while a page is open leads to the sign-in", async () => {
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/settings/user");
  await page.getByRole("heading", { name: "Account" }).waitFor();
  host.table["GET /api/keys"] = [401, { error: "ExpiredError" }];
  host.table["GET /api/v1/users/me"] = [401, { error: "ExpiredError" }];
  await page.getByRole("link", { name: "API keys" }).click();
  await page.waitForURL((url) => url.pathname === "/login");
  assert.equal(new URL(page.url()).searchParams.get("returnTo"), "/settings/api-keys");
  // And it stays there: what was known of the session leads back no more.
  await page.getByRole("heading", { name: "Open your sign-in link" }).waitFor();
  await page.waitForLoadState("networkidle");
  assert.equal(where(page), "/login?returnTo=%2Fsettings%2Fapi-keys");
  assert.equal(asked("GET /api/keys").length, 1);
  await view.close();
});

test("providers lead to their authorize page with the way back", async () => {
  host.table["GET /api/v1/users/me"] = NOBODY;
  host.table["GET /api/v1/web-client/config"] = [
    200,
    { app_mode: "saas", identity_provider: "keycloak", providers_configured: ["github", "enterprise_sso"], auth_url: null },
  ];
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/login?returnTo=/settings/api-keys");
  const link = page.getByRole("link", { name: /Continue with/u });
  await link.first().waitFor();
  const found = await link.evaluateAll((all) => all.map(({ href, textContent }) => [textContent, href]));
  assert.deepEqual(
    found.map(([text]) => text.replace(/^gh/u, "")),
    ["Continue with single sign-on", "Continue with GitHub"],
  );
  const address = new URL(found[1][1]);
  assert.equal(address.origin + address.pathname, `${host.url}/realms/allhands/protocol/openid-connect/auth`);
  assert.equal(address.searchParams.get("state"), `${host.url}/settings/api-keys?login_method=github`);
  await page.goto("/settings/user?login_method=github");
  await page.waitForURL((url) => !url.search.includes("login_method"));
  await view.close();
});

test("the terms ask the host for nothing until they are accepted", async () => {
  const view = await open(browser, host, { width: "phone" });
  const { page } = view;
  await page.goto("/accept-tos?redirect_url=/settings/api-keys");
  await page.getByRole("heading", { name: "Accept the terms to go on" }).waitFor();
  await page.waitForLoadState("networkidle");
  assert.deepEqual(host.asked, []);
  await tabTo(page, "Accept and go on");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").filter({ hasText: "Tick the box first" }).waitFor();
  assert.deepEqual(host.asked, []);
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Space");
  host.table["POST /api/accept_tos"] = [200, { redirect_url: "/settings/api-keys" }];
  await tabTo(page, "Accept and go on");
  await page.keyboard.press("Enter");
  await page.waitForURL("/settings/api-keys");
  assert.deepEqual(asked("POST /api/accept_tos"), ['{"redirect_url":"/settings/api-keys"}']);
  // Where the terms lead to is no way to another host.
  host.table["POST /api/accept_tos"] = [200, { redirect_url: "https://evil.example/" }];
  await page.goto("/accept-tos?redirect_url=https://evil.example/");
  await page.getByRole("checkbox").click();
  await page.getByRole("button", { name: "Accept and go on" }).click();
  await page.waitForURL("/settings/user");
  await view.close();
});

for (const [button, route, heading] of [
  ["Approve", "POST /oauth/device/verify-authenticated", "The device is signed in"],
  ["Deny", "POST /oauth/device/deny", "The device was refused"],
]) {
  test(`a device: ${button}`, async () => {
    const view = await open(browser, host);
    const { page } = view;
    await page.goto("/oauth/device/verify");
    await tabTo(page, "The code that the device shows");
    await page.keyboard.type("qj7m-4rxd");
    await page.keyboard.press("Enter");
    const answer = host.table[route];
    host.table[route] = [400, { detail: "The device code is invalid or has expired." }];
    await page.getByRole("heading", { name: "Let a device sign in as you?" }).waitFor();
    await tabTo(page, button);
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "The device code is invalid or has expired." }).waitFor();
    host.table[route] = answer;
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: heading }).waitFor();
    assert.deepEqual(asked(route), ["user_code=QJ7M4RXD", "user_code=QJ7M4RXD"]);
    const types = host.asked.filter((one) => one.asked === route).map(({ type }) => type);
    assert.deepEqual(types, ["application/x-www-form-urlencoded", "application/x-www-form-urlencoded"]);
    await sound(view, button);
    await view.close();
  });
}

test("an address that is no longer verified while a page is open leads to its gate, and stays there", async () => {
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/settings/user");
  await page.getByRole("heading", { name: "Account" }).waitFor();
  host.table["GET /api/keys"] = [403, { error: "EmailNotVerifiedError" }];
  host.table["GET /api/v1/users/me"] = [200, { ...ME, email_verified: false }];
  await page.getByRole("link", { name: "API keys" }).click();
  await page.getByRole("heading", { name: "Check your mail" }).waitFor();
  await page.waitForLoadState("networkidle");
  assert.equal(where(page), "/verify-email?returnTo=%2Fsettings%2Fapi-keys");
  assert.equal(asked("GET /api/keys").length, 1);
  await view.close();
});

test("the page that waits for a verified address goes on by itself", async () => {
  host.table["GET /api/v1/users/me"] = [403, { error: "EmailNotVerifiedError" }];
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/settings/api-keys");
  await page.waitForURL((url) => url.pathname === "/verify-email");
  await page.getByRole("button", { name: "Send it again" }).click();
  await page.getByRole("button", { name: /Send again in \d+ s/u }).waitFor();
  assert.deepEqual(asked("PUT /api/email/resend"), ["{}"]);
  host.table["GET /api/v1/users/me"] = [200, ME];
  await page.waitForURL("/settings/api-keys", { timeout: 15_000 });
  await view.close();
  host.table["GET /api/v1/users/me"] = NOBODY;
  const other = await open(browser, host);
  await other.page.goto("/login?email_verification_required=true&user_id=7");
  await other.page.getByRole("button", { name: "Send it again" }).click();
  await other.page.getByRole("button", { name: /Send again in/u }).waitFor();
  assert.equal(asked("PUT /api/email/resend")[1], '{"user_id":"7","is_auth_flow":true}');
  await other.close();
});

test("a key is made by keyboard, shown once, copied, and deleted", async () => {
  const view = await open(browser, host, { theme: "dark" });
  const { page } = view;
  await page.goto("/settings/api-keys");
  await tabTo(page, "New key");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await sound(view, "the dialog");
  await shoot(view, "flow-new-key");
  await page.getByRole("button", { name: "Make the key" }).click();
  await page.getByText("Give it a name").waitFor();
  assert.deepEqual(asked("POST /api/keys"), []);
  await page.getByLabel("Name").focus();
  await page.keyboard.type("laptop-2");
  await page.keyboard.press("Enter");
  await page.getByText("laptop-2 is ready").waitFor();
  const [wanted] = asked("POST /api/keys").map((body) => JSON.parse(body));
  assert.equal(wanted.name, "laptop-2");
  const days = (new Date(wanted.expires_at) - Date.now()) / 86_400_000;
  assert.ok(days > 89 && days < 91 && wanted.expires_at.endsWith("Z") && !("scopes" in wanted), JSON.stringify(wanted));
  await page.getByRole("button", { name: "Copy" }).click();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "sk-oh-V4n8c0Tq2mY7bJr5xKd1Pz9LwEa3HsUf");
  await shoot(view, "flow-key-made");
  await sound(view, "a key that is ready");
  await page.reload();
  await page.getByRole("heading", { name: "API keys" }).waitFor();
  assert.equal(await page.getByText("sk-oh-V4n8").count(), 0);
  await tabTo(page, "Delete ci-deploy");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  const focused = await page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
  assert.equal(focused, "Delete ci-deploy…", "the focus is given back");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Delete the key" }).click();
  await page.getByText("ci-deploy is deleted").waitFor();
  assert.equal(asked("DELETE /api/keys/2").length, 1);
  await view.close();
});

test("one session is revoked, then all others", async () => {
  const view = await open(browser, host, { width: "phone" });
  const { page } = view;
  await page.goto("/settings/sessions");
  await page.getByText("Firefox on Linux").waitFor();
  assert.equal(await page.getByRole("button", { name: "Revoke Firefox on Linux" }).count(), 0, "not this one");
  await page.getByRole("button", { name: "Revoke Chrome on macOS" }).click();
  await page.getByText("Chrome on macOS is signed out").waitFor();
  await shoot(view, "flow-session-revoked");
  await sound(view, "with a toast");
  assert.equal(asked("DELETE /api/v1/users/me/sessions/s2").length, 1);
  await page.getByRole("button", { name: "Sign out all others…" }).click();
  await page.getByRole("button", { name: "Sign out 2 sessions" }).click();
  await page.getByText("2 sessions signed out").waitFor();
  assert.equal(asked("DELETE /api/v1/users/me/sessions/s3").length, 1);
  assert.equal(asked("DELETE /api/v1/users/me/sessions/s1").length, 0);
  await view.close();
});

test("the theme is painted before the app runs, follows the system, and is kept", async () => {
  const view = await open(browser, host, { theme: "dark" });
  const { page } = view;
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await page.route("**/assets/*.js", (route) => route.abort());
  await page.goto("/settings/user");
  assert.equal(await theme(), "dark", "without any script but the inline one");
  await page.unroute("**/assets/*.js");
  view.faults.length = 0;
  await page.goto("/settings/user");
  await page.getByRole("heading", { name: "Account" }).waitFor();
  await page.emulateMedia({ colorScheme: "light" });
  // The browser tells of the change when it next draws.
  await page.waitForFunction(() => document.documentElement.dataset.theme === "light");
  await page.getByRole("radio", { name: "Dark" }).focus();
  await page.keyboard.press("Space");
  assert.equal(await theme(), "dark");
  await page.reload();
  assert.equal(await theme(), "dark");
  await view.close();
});

test("signing out ends the session and shows the sign-in", async () => {
  const view = await open(browser, host);
  const { page } = view;
  await page.goto("/settings/user");
  await tabTo(page, "To the content");
  await page.keyboard.press("Enter");
  await tabTo(page, "Sign out");
  host.table["GET /api/v1/users/me"] = NOBODY;
  await page.keyboard.press("Enter");
  await page.waitForURL("/login");
  assert.equal(asked("POST /api/logout").length, 1);
  await view.close();
});
