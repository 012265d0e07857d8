/** Debian's Chromium, and what every page of the app must hold. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const WIDTHS = { wide: { width: 1440, height: 900 }, rail: { width: 1000, height: 760 }, phone: { width: 390, height: 844 } };
export const THEMES = ["light", "dark"];

export function launch() {
  const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
  assert.ok(executablePath, "no Chromium in /usr/bin; install Debian's package `chromium`");
  // Root in a container has no sandbox to give.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}

/**
 * A page that fails the test on script errors, violations of the policy, and requests to anybody but the host. `leads` is where its
 * sign-in leads to and comes back from: pages there are not ours to judge.
 */
export async function open(browser, host, { theme = "light", width = "wide", leads = [], ...options } = {}) {
  const context = await browser.newContext({
    viewport: WIDTHS[width],
    colorScheme: theme,
    reducedMotion: "reduce",
    baseURL: host.url,
    permissions: ["clipboard-read", "clipboard-write"],
    hasTouch: width === "phone",
    ...options,
  });
  const page = await context.newPage();
  const faults = [];
  const away = () => leads.some((url) => page.url().startsWith(url));
  page.on("pageerror", (error) => away() || faults.push(`script error: ${error.message}`));
  page.on("console", (message) => {
    const expected = /status of 4\d\d/u.test(message.text());
    if (message.type() === "error" && !expected && !away()) {
      faults.push(message.text());
    }
  });
  page.on("request", (request) => {
    if (![host.url, "data:", ...leads].some((known) => request.url().startsWith(known))) {
      faults.push(`asks ${request.url()}`);
    }
  });
  return { page, faults, close: () => context.close() };
}

/** No serious finding of axe, nothing wider than the window, no faults so far. */
export async function sound({ page, faults }, name) {
  await page.evaluate(() => document.fonts.ready);
  // By the debugger, which the page's policy does not bind.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
  assert.deepEqual(serious, [], name);
  const [wide, room] = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  assert.ok(wide <= room, `${name} is ${wide} px wide in a window of ${room}`);
  assert.deepEqual(faults, [], name);
}

/** The page as it stands, in both themes, on a desk and on a phone. */
export async function looks(view, name) {
  const { page } = view;
  const before = page.viewportSize();
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme });
    await page.waitForFunction((wanted) => document.documentElement.dataset.theme === wanted, theme);
    for (const width of ["wide", "phone"]) {
      await page.setViewportSize(WIDTHS[width]);
      // Even transitions that take no time take a frame each, and colours are handed from parent to child.
      await page.evaluate(async () => {
        for (let frames = 0; frames < 10; frames += 1) {
          await new Promise(requestAnimationFrame);
        }
      });
      await shoot(view, `${name}-${theme}-${width}`);
      await sound(view, `${name}, ${theme}, ${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: THEMES[0] });
  await page.setViewportSize(before);
}

/** Keeps a picture when `SHOTS` names a folder. */
export async function shoot({ page }, name) {
  const folder = process.env.SHOTS;
  if (folder) {
    mkdirSync(folder, { recursive: true });
    await page.screenshot({ path: `${folder}/${name}.png` });
  }
}
