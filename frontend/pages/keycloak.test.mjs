/** The app on a real host in front of a real Keycloak: every way in, through every gate, and out again. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { launch, looks, open } from "./browser.mjs";
import { NO_HOST, startHost } from "./host.mjs";
import { enterPassword, NO_KEYCLOAK, startKeycloak } from "./keycloak.mjs";
import { startMailbox } from "./mailbox.mjs";
import { startProvider } from "./provider.mjs";
import { devices, goIn, keys, reach, sessions, signedIn, signOut, terms, where } from "./walks.mjs";

const OCTO = { id: 583_231, login: "octo", name: "Octo Lindqvist", email: "octo@example.com" };

const AUTHORIZE = "/realms/allhands/protocol/openid-connect/auth?";

/** From the app's sign-in page through Keycloak's. */
async function enter(view, who) {
  await view.page.getByRole("link", { name: "Sign in", exact: true }).click();
  await enterPassword(view, who);
}

/** The requests whose address has this in it, as they come. */
function watch({ page }, part) {
  const seen = [];
  page.on("request", (request) => request.url().includes(part) && seen.push(new URL(request.url())));
  return seen;
}

describe("with Keycloak", { skip: NO_HOST ?? NO_KEYCLOAK ?? false }, () => {
  let browser;
  let keycloak;
  let mailbox;
  let provider;
  /** Asks for a password. */
  let plain;
  /** Offers a provider, and asks everybody for its terms. */
  let offering;
  before(async () => {
    [browser, keycloak, mailbox, provider] = await Promise.all([launch(), startKeycloak(), startMailbox(), startProvider(OCTO)]);
    plain = await site("keycloak-plain", {});
    offering = await site("keycloak-offering", {
      OH_WEB_CLIENT_PROVIDERS_CONFIGURED: '["github","enterprise_sso"]',
      JACKFIELD_IDENTITY__TERMS: "true",
    });
    await keycloak.serve(plain.host, offering.host);
    await keycloak.broker(provider.url);
    await keycloak.mailTo(mailbox.port);
  });
  after(async () => {
    await browser?.close();
    await Promise.all([plain?.host.stop(), offering?.host.stop(), keycloak?.stop(), mailbox?.stop(), provider?.stop()]);
  });

  async function site(name, variables) {
    const host = await startHost(name, { ...keycloak.variables, ...variables });
    const view = () => open(browser, host, { leads: [keycloak.url, provider.url] });
    return { host, view, enter };
  }

  test("a password signs in by the app's own button, and leads back to the page that was opened", async () => {
    const vera = await keycloak.person("vera");
    const view = await plain.view();
    const { page } = view;
    const asked = watch(view, AUTHORIZE);
    await page.goto("/settings/sessions");
    await page.waitForURL((url) => url.pathname === "/login");
    await page.getByRole("link", { name: "Sign in", exact: true }).waitFor();
    assert.equal(await page.getByRole("link", { name: /^Continue with/u }).count(), 0);
    await looks(view, "keycloak-sign-in");
    const came = watch(view, "login_method=");
    await plain.enter(view, vera);
    // Without what the way back carried.
    await reach(plain, view, "/settings/sessions");
    await page.getByText("Chrome on Linux").waitFor();
    assert.equal(where(page), "/settings/sessions");

    const [ours, theirs] = asked;
    assert.equal(ours.origin, plain.host.url, "the host's own authorize page");
    assert.deepEqual(Object.fromEntries(ours.searchParams), {
      client_id: "allhands",
      response_type: "code",
      redirect_uri: `${plain.host.url}/oauth/keycloak/callback`,
      scope: "openid email profile",
      state: `${plain.host.url}/settings/sessions?login_method=keycloak`,
    });
    assert.equal(theirs.origin, keycloak.url);
    assert.equal(theirs.searchParams.has("kc_idp_hint"), false);
    const back = came.find(({ pathname }) => pathname === "/settings/sessions");
    assert.equal(back.search, "?login_method=keycloak");

    await page.getByRole("link", { name: "Account" }).click();
    await page.getByText("Vera Lindqvist").first().waitFor();
    await page.getByText("Your own").waitFor();
    await page.getByText("vera@example.com").waitFor();
    await looks(view, "keycloak-account");
    await view.close();
  });

  test("a provider's button leads through Keycloak to the provider, and the terms stand before the app", async () => {
    const view = await offering.view();
    const { page } = view;
    await page.goto("/login?returnTo=%2Fsettings%2Fapi-keys");
    await page.getByRole("link", { name: "Continue with single sign-on" }).waitFor();
    assert.equal(await page.getByRole("link", { name: "Sign in", exact: true }).count(), 0);
    await looks(view, "keycloak-providers");
    const asked = watch(view, AUTHORIZE);
    const led = watch(view, `${provider.url}/login/oauth/authorize`);
    await page.getByRole("link", { name: "Continue with GitHub" }).click();
    await page.waitForURL((url) => url.pathname === "/accept-tos");
    assert.deepEqual(
      asked.map(({ searchParams }) => searchParams.get("kc_idp_hint")),
      ["github", "github"],
    );
    assert.equal(asked[0].searchParams.get("state"), `${offering.host.url}/settings/api-keys?login_method=github`);
    assert.equal(led.length, 1);
    await terms(offering, view, "keycloak");
    await reach(offering, view, "/settings/api-keys");
    await page.getByText("Octo Lindqvist").first().waitFor();

    // Who has accepted them is not asked again.
    await signOut(offering, view);
    await page.getByRole("link", { name: "Continue with GitHub" }).click();
    await reach(offering, view, "/settings/api-keys");
    await view.close();
  });

  test("nobody comes in before their address is confirmed by the mail, which is sent again on request", async () => {
    const nils = await keycloak.person("nils", { emailVerified: false });
    const view = await plain.view();
    const { page } = view;
    await page.clock.install();
    const arrived = watch(view, "email_verification_required=true");
    await page.goto("/login");
    await plain.enter(view, nils);
    await page.waitForURL((url) => url.pathname === "/verify-email");
    assert.equal(arrived[0].searchParams.get("user_id"), nils.id);
    await page.getByRole("heading", { name: "Check your mail" }).waitFor();
    const first = await mailbox.link("nils@example.com", 1, keycloak.url);
    const resent = watch(view, "/api/email/resend");
    await page.getByRole("button", { name: "Send it again" }).click();
    const wait = page.getByRole("button", { name: /Send again in \d+ s/u });
    await wait.waitFor();
    await looks(view, "keycloak-verify-email");
    const second = await mailbox.link("nils@example.com", 2, keycloak.url);
    assert.notEqual(first, second);
    // Until the time is over, pressing it asks for nothing.
    await wait.press("Enter");
    assert.equal(resent.length, 1);
    // The page's clock goes on, the host's does not: it says itself that it is too soon.
    await page.clock.fastForward(31_000);
    await page.getByRole("button", { name: "Send it again" }).click();
    await page.getByRole("alert").filter({ hasText: "Please wait 30 seconds" }).waitFor();
    await wait.waitFor();
    await looks(view, "keycloak-verify-email-too-soon");
    assert.equal(mailbox.count("nils@example.com"), 2);

    // The link is opened elsewhere, and leads from Keycloak's pages to ours.
    const elsewhere = await plain.view();
    await elsewhere.page.goto(second);
    await elsewhere.page.locator("a[href*='login-actions/action-token']").click();
    await elsewhere.page.locator("a[href*='email_verified=true']").click();
    await elsewhere.page.getByText("Your e-mail address is verified. Sign in to go on.").waitFor();
    assert.equal(where(elsewhere.page), "/login?email_verified=true");
    await looks(elsewhere, "keycloak-verified");
    await elsewhere.close();
    await page.getByRole("link", { name: "Sign in again" }).click();
    await plain.enter(view, nils);
    await reach(plain, view, "/settings/user");
    await page.getByText("nils@example.com").waitFor();
    await view.close();
  });

  test("an address that another account has does not come in, and is told why", async () => {
    await (await signedIn(plain, await keycloak.person("olga"))).close();
    const twin = await keycloak.person("twin", { email: "olga+2@example.com" });
    const view = await plain.view();
    await view.page.goto("/login");
    await plain.enter(view, twin);
    await reach(plain, view, "/login?duplicated_email=true");
    await view.page.getByText("This address has an account already").waitFor();
    await looks(view, "keycloak-duplicate");
    await view.close();
  });

  test("a device is let in or refused by who signs in for it", async () => {
    await devices(plain, await keycloak.person("dora"), "keycloak");
  });

  test("signing out ends the session at Keycloak too", async () => {
    const sara = await keycloak.person("sara");
    const view = await signedIn(plain, sara);
    await signOut(plain, view);
    // Keycloak asks for the password again.
    await goIn(plain, view, sara, "/settings/sessions");
    await view.close();
  });

  test("a session that an administrator ends in Keycloak leads the open page to the sign-in", async () => {
    const egon = await keycloak.person("egon");
    const view = await signedIn(plain, egon);
    const { page } = view;
    await keycloak.end(egon);
    await page.waitForFunction(async () => (await fetch("/api/v1/users/me")).status === 401, null, { timeout: 60_000 });
    await page.getByRole("link", { name: "API keys" }).click();
    await reach(plain, view, "/login?returnTo=%2Fsettings%2Fapi-keys");
    await plain.enter(view, egon);
    await reach(plain, view, "/settings/api-keys");
    await view.close();
  });

  test("my sessions: one browser signs the other out", async () => {
    await sessions(plain, await keycloak.person("mira"), "keycloak");
  });

  test("API keys are made and deleted", async () => {
    await keys(plain, await keycloak.person("kaja"), "keycloak");
  });
});
