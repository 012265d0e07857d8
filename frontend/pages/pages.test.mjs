/** Every page in both themes at three widths: it holds what it should, and axe finds nothing serious. */
import { after, afterEach, before, beforeEach, test } from "node:test";

import { ME, NOBODY, start } from "./answers.mjs";
import { launch, open, shoot, sound, THEMES, WIDTHS } from "./browser.mjs";

let browser;
let host;
before(async () => {
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  host = await start();
});
afterEach(() => host.stop());

const out = () => {
  host.table["GET /api/v1/users/me"] = NOBODY;
};
const keycloak = () => {
  out();
  host.table["GET /api/v1/web-client/config"] = [
    200,
    {
      app_mode: "saas",
      identity_provider: "keycloak",
      providers_configured: ["github", "gitlab", "enterprise_sso"],
      auth_url: "https://sso.acme.dev",
    },
  ];
};
const unverified = () => {
  host.table["GET /api/v1/users/me"] = [200, { ...ME, email_verified: false }];
};
const broken = () => {
  host.table["GET /api/keys"] = [500, { detail: "Failed to list API keys" }];
};
const none = () => {
  host.table["GET /api/keys"] = [200, []];
};

const PAGES = [
  { name: "sign-in-local", path: "/login", heading: "Open your sign-in link", set: out },
  { name: "sign-in-keycloak", path: "/login?returnTo=/settings/sessions", heading: "Sign in", set: keycloak },
  { name: "sign-in-duplicate", path: "/login?duplicated_email=true", heading: "Open your sign-in link", set: out },
  { name: "terms", path: "/accept-tos?redirect_url=/", heading: "Accept the terms to go on" },
  { name: "verify-email", path: "/verify-email", heading: "Check your mail", set: unverified },
  { name: "verify-email-out", path: "/verify-email?user_id=7", heading: "Check your mail", set: out },
  { name: "device-ask", path: "/oauth/device/verify", heading: "Which device?" },
  { name: "device", path: "/oauth/device/verify?user_code=QJ7M4RXD", heading: "Let a device sign in as you?" },
  { name: "account", path: "/settings/user", heading: "Account" },
  { name: "keys", path: "/settings/api-keys", heading: "API keys" },
  { name: "keys-none", path: "/settings/api-keys", heading: "API keys", set: none },
  { name: "keys-failed", path: "/settings/api-keys", heading: "API keys", set: broken, allow: /status of 500/u },
  { name: "sessions", path: "/settings/sessions", heading: "My sessions" },
  { name: "not-found", path: "/nowhere", text: "There is no such page" },
];

for (const { name, path, heading, text, set, allow } of PAGES) {
  for (const theme of THEMES) {
    // Between phone and desk the colours are the same.
    for (const width of Object.keys(WIDTHS).filter((one) => one !== "rail" || theme === "light")) {
      const title = `${name}, ${theme}, ${width}`;
      test(title, async () => {
        set?.();
        const view = await open(browser, host, { theme, width });
        await view.page.goto(path);
        const shown = heading
          ? view.page.getByRole("heading", { level: 1, name: heading })
          : view.page.getByText(text, { exact: true });
        await shown.waitFor({ timeout: 10_000 });
        await view.page.waitForLoadState("networkidle");
        await shoot(view, `${name}-${theme}-${width}`);
        if (allow) {
          view.faults.splice(0, Infinity, ...view.faults.filter((fault) => !allow.test(fault)));
        }
        await sound(view, title);
        await view.close();
      });
    }
  }
}
