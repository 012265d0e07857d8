/** The app on a real host that signs people in itself: by the first link, by links in mail, and through every gate. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launch, looks, open, shoot } from "./browser.mjs";
import { described, NO_HOST, startHost } from "./host.mjs";
import { startMailbox } from "./mailbox.mjs";
import { devices, goIn, keys, reach, sessions, signedIn, signOut, terms, where } from "./walks.mjs";

/** Somebody whom the operator let in. */
async function person(host, email) {
  const { url } = JSON.parse(await host.run("admin", "sign-in-link", "--email", email, "--json"));
  return { email, url };
}

describe("on its own", { skip: NO_HOST ?? false }, () => {
  let browser;
  let mailbox;
  let site;
  before(async () => {
    [browser, mailbox] = await Promise.all([launch(), startMailbox()]);
    site = await local("local", {});
  });
  after(async () => {
    await browser?.close();
    await Promise.all([site?.host.stop(), mailbox?.stop()]);
  });

  async function local(name, variables) {
    const host = await startHost(name, {
      JACKFIELD_SMTP_URL: `smtp://127.0.0.1:${mailbox.port}`,
      JACKFIELD_SMTP_STARTTLS: "never",
      JACKFIELD_MAIL_FROM: "Acme <no-reply@acme.example>",
      ...variables,
    });
    /** By a link in mail, which leads back to where the page wanted to go. */
    const enter = async ({ page }, email) => {
      const had = mailbox.count(email);
      await page.getByLabel("E-mail address").fill(email);
      await page.getByRole("button", { name: "Send a sign-in link" }).click();
      await page.getByRole("status").filter({ hasText: email }).waitFor();
      await page.goto(await mailbox.link(email, had + 1, host.url));
    };
    return { host, view: () => open(browser, host), enter };
  }

  test("the committed description of the API is what the host says", async () => {
    const { told, committed } = await described(site.host);
    assert.deepEqual(committed, told, "frontend/openapi.json is out of step; run `npm run client` in `frontend`");
  });

  test("the first link makes the owner an operator, once", async () => {
    const [link] = site.host.log().match(/http:\S+\/oauth\/local\/callback\?token=\S+/u);
    const view = await site.view();
    const { page } = view;
    await page.goto(link);
    await reach(site, view, "/settings/user");
    await page.getByText("Operator", { exact: true }).waitFor();
    await looks(view, "local-account");
    await signOut(site, view);
    await page.goto(link);
    await reach(site, view, "/login?error=invalid_link");
    await page.getByText("This link does not sign in any more").waitFor();
    await looks(view, "local-bad-link");
    await view.close();
  });

  test("the description of the API is a page of its own, for whoever is signed in", async () => {
    const { url } = await person(site.host, "reader@example.com");
    const view = await site.view();
    const { page } = view;
    await page.goto(url);
    await reach(site, view, "/settings/user");
    await page.goto("/docs");
    await page.getByText("/api/v1/users/me/sessions", { exact: true }).waitFor();
    await shoot(view, "local-docs");
    assert.deepEqual(view.faults, []);
    await view.close();
  });

  test("a link in mail signs in, and leads back to the page that was opened", async () => {
    const { email } = await person(site.host, "vera@example.com");
    const view = await site.view();
    const { page } = view;
    await goIn(site, view, email, "/settings/sessions");
    await page.getByText("Chrome on Linux").waitFor();
    await view.close();
    // To an address that nobody has, nothing is sent, and the page says the same.
    const other = await site.view();
    await other.page.goto("/login");
    await other.page.getByLabel("E-mail address").fill("nobody@example.com");
    await other.page.getByRole("button", { name: "Send a sign-in link" }).click();
    await other.page.getByRole("status").filter({ hasText: "nobody@example.com" }).waitFor();
    await looks(other, "local-link-sent");
    await other.close();
    assert.equal(mailbox.count("nobody@example.com"), 0);
  });

  test("the terms stand before everything, once", async () => {
    const strict = await local("local-terms", { JACKFIELD_IDENTITY__TERMS: "true" });
    try {
      const { url } = await person(strict.host, "octo@example.com");
      const view = await strict.view();
      const { page } = view;
      await page.goto(url);
      await terms(strict, view, "local");
      await reach(strict, view, "/settings/user");
      await page.getByRole("link", { name: "API keys" }).click();
      await reach(strict, view, "/settings/api-keys");
      await page.getByText("No keys yet").waitFor();
      await signOut(strict, view);
      await strict.enter(view, "octo@example.com");
      await reach(strict, view, "/settings/api-keys");
      await view.close();
    } finally {
      await strict.host.stop();
    }
  });

  test("a device is let in or refused by who signs in for it", async () => {
    const { email } = await person(site.host, "dora@example.com");
    await devices(site, email, "local");
  });

  test("another address is confirmed by its mail, and the page that waits for it goes on by itself", async () => {
    const { email } = await person(site.host, "nils@example.com");
    const view = await signedIn(site, email);
    const { page } = view;
    const status = await page.evaluate(async () => {
      const body = JSON.stringify({ email: "nils.new@example.com" });
      const answer = await fetch("/api/email", { method: "POST", headers: { "content-type": "application/json" }, body });
      return answer.status;
    });
    assert.equal(status, 200);
    await page.getByRole("link", { name: "API keys" }).click();
    await reach(site, view, "/verify-email?returnTo=%2Fsettings%2Fapi-keys");
    await page.getByText("nils.new@example.com").waitFor();
    await page.getByText("Waiting for the click").waitFor();
    await looks(view, "local-verify-email");
    // A mail is on its way since a moment ago.
    await page.getByRole("button", { name: "Send it again" }).click();
    await page.getByRole("alert").filter({ hasText: "Please wait 30 seconds" }).waitFor();
    await page.getByRole("button", { name: /Send again in \d+ s/u }).waitFor();
    const elsewhere = await site.view();
    await elsewhere.page.goto(await mailbox.link("nils.new@example.com", 1, site.host.url));
    await elsewhere.page.getByText("Your e-mail address is verified. Sign in to go on.").waitFor();
    assert.equal(where(elsewhere.page), "/login?email_verified=true");
    await elsewhere.close();
    await reach(site, view, "/settings/api-keys");
    await page.getByText("No keys yet").waitFor();
    await view.close();
  });

  test("my sessions: one browser signs the other out", async () => {
    const { email } = await person(site.host, "mira@example.com");
    await sessions(site, email, "local");
  });

  test("API keys are made and deleted", async () => {
    const { email } = await person(site.host, "kaja@example.com");
    await keys(site, email, "local");
  });
});
