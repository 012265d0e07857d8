/**
 * What people do on a real host, however they sign in there. A `site` has the host, `view()` for a browser with nobody signed in,
 * and `enter(view, who)`, which signs somebody in who is on the sign-in page.
 */
import assert from "node:assert/strict";

import { looks } from "./browser.mjs";

/** Path and query of the page. */
export const where = (page) => new URL(page.url()).pathname + new URL(page.url()).search;

/** Waits until the page is this one of ours. */
export async function reach(site, { page }, path) {
  await page.waitForURL(site.host.url + path, { timeout: 30_000 });
}

/** Opens a page that asks for a sign-in first, and signs in. */
export async function goIn(site, view, who, path) {
  await view.page.goto(path);
  await view.page.waitForURL((url) => url.pathname === "/login");
  await site.enter(view, who);
  await reach(site, view, path);
}

/** A browser in which somebody is signed in, on a page. */
export async function signedIn(site, who, path = "/settings/user") {
  const view = await site.view();
  await goIn(site, view, who, path);
  return view;
}

async function post(site, path, form) {
  const answer = await fetch(site.host.url + path, { method: "POST", body: new URLSearchParams(form) });
  return { status: answer.status, body: await answer.json() };
}

/** What the host says to a key, as a status. */
async function knows(site, key) {
  const answer = await fetch(`${site.host.url}/api/v1/users/me`, { headers: { authorization: `Bearer ${key}` } });
  return answer.status;
}

/** A device waits; its person signs in first, then lets it in; another is refused. */
export async function devices(site, who, name) {
  const view = await site.view();
  const { page } = view;
  const first = await post(site, "/oauth/device/authorize", {});
  const poll = (device) => post(site, "/oauth/device/token", { device_code: device.body.device_code });
  const { verification_uri_complete: link } = first.body;
  assert.ok(link.startsWith(site.host.url), link);
  await goIn(site, view, who, link.slice(site.host.url.length));
  await page.getByRole("heading", { name: "Let a device sign in as you?" }).waitFor();
  await looks(view, `${name}-device`);
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByRole("heading", { name: "The device is signed in" }).waitFor();
  await looks(view, `${name}-device-in`);
  const granted = await poll(first);
  assert.equal(granted.status, 200, JSON.stringify(granted.body));
  assert.equal(await knows(site, granted.body.access_token), 200);

  const second = await post(site, "/oauth/device/authorize", {});
  await page.goto("/oauth/device/verify");
  await page.getByLabel("The code that the device shows").fill(second.body.user_code.toLowerCase());
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("button", { name: "Deny" }).click();
  await page.getByRole("heading", { name: "The device was refused" }).waitFor();
  await looks(view, `${name}-device-refused`);
  const refused = await poll(second);
  assert.deepEqual([refused.status, refused.body.error], [400, "access_denied"]);
  // A code is good for one decision.
  await page.goto(`/oauth/device/verify?user_code=${second.body.user_code}`);
  await page.getByRole("button", { name: "Approve" }).click();
  await page.getByRole("alert").waitFor();
  await view.close();
}

/** A key is made, lets a program in, and lets it in no longer when it is deleted. */
export async function keys(site, who, name) {
  const view = await signedIn(site, who, "/settings/api-keys");
  const { page } = view;
  await page.getByText("No keys yet").waitFor();
  await looks(view, `${name}-keys-none`);
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByLabel("Name").fill("laptop");
  await page.getByRole("button", { name: "Make the key" }).click();
  await page.getByText("laptop is ready").waitFor();
  await page.getByRole("cell", { name: /^laptop/u }).waitFor();
  const key = await page.getByLabel("Key", { exact: true }).inputValue();
  assert.match(key, /^sk-oh-[A-Za-z0-9]{32}$/u);
  assert.equal(await knows(site, key), 200);
  await looks(view, `${name}-keys`);
  await page.reload();
  await page.getByRole("cell", { name: /^laptop/u }).waitFor();
  assert.equal(await page.getByText(key).count(), 0);
  await page.getByRole("button", { name: "Delete laptop" }).click();
  await page.getByRole("button", { name: "Delete the key" }).click();
  await page.getByText("No keys yet").waitFor();
  await page.waitForFunction(
    async (secret) => {
      const answer = await fetch("/api/v1/users/me", { credentials: "omit", headers: { authorization: `Bearer ${secret}` } });
      return answer.status === 401;
    },
    key,
    { polling: 200, timeout: 10_000 },
  );
  await view.close();
}

/** Two browsers of one person; one ends the other, which is led to the sign-in. */
export async function sessions(site, who, name) {
  const kept = await signedIn(site, who, "/settings/sessions");
  const ended = await signedIn(site, who);
  await kept.page.reload();
  const rows = kept.page.getByRole("listitem").filter({ hasText: "since" });
  await rows.nth(1).waitFor();
  assert.equal(await rows.filter({ hasText: "this one" }).count(), 1);
  assert.match(await rows.first().innerText(), /this one/u);
  await looks(kept, `${name}-sessions`);
  for (const row of await rows.filter({ hasNotText: "this one" }).all()) {
    assert.match(await row.innerText(), /Chrome on Linux/u);
  }
  await kept.page.getByRole("button", { name: /^Revoke/u }).first().click();
  await kept.page.getByText("is signed out").waitFor();
  await rows.nth(1).waitFor({ state: "detached" });
  // It hears of it with the next thing that it asks.
  await ended.page.waitForFunction(async () => (await fetch("/api/v1/users/me")).status === 401, null, { timeout: 10_000 });
  await ended.page.getByRole("link", { name: "API keys" }).click();
  await reach(site, ended, "/login?returnTo=%2Fsettings%2Fapi-keys");
  await ended.close();
  await kept.page.reload();
  await rows.first().waitFor();
  await kept.close();
}

/** The terms stand before everything, once. */
export async function terms(site, view, name) {
  const { page } = view;
  await page.waitForURL((url) => url.pathname === "/accept-tos");
  await page.getByRole("heading", { name: "Accept the terms to go on" }).waitFor();
  await looks(view, `${name}-terms`);
  await page.getByRole("checkbox").click();
  await page.getByRole("button", { name: "Accept and go on" }).click();
}

/** Signing out ends the session here; the page that was open asks for a sign-in. */
export async function signOut(site, view) {
  const { page } = view;
  await page.getByRole("button", { name: "Sign out" }).first().click();
  await reach(site, view, "/login");
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.goto("/settings/api-keys");
  await page.waitForURL((url) => url.pathname === "/login");
}
