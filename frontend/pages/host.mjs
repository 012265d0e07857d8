/** The real host on free ports, with nothing set but what a test sets. It serves the app that was built beside these tests. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { freePort, launch, ready, scratch } from "./process.mjs";

const root = new URL("../../", import.meta.url);
const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const told = process.env.JACKFIELD_TEST_HOST_BIN;

/** Why the tests on a real host are skipped; undefined when they are not. */
export const NO_HOST = told ? undefined : "JACKFIELD_TEST_HOST_BIN is not set; `cargo xtask test` sets it";

/** The binary. Tests run in the app's folder, whoever set the variable may have been at the repository's root. */
function binary() {
  const path = existsSync(told) ? resolve(told) : resolve(fileURLToPath(root), told);
  assert.ok(existsSync(path), `JACKFIELD_TEST_HOST_BIN is \`${told}\`, and there is no such file`);
  return path;
}

/** Starts one with these variables and waits until it is ready. */
export async function startHost(name, variables = {}) {
  const directory = await scratch(name);
  const [port, admin] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const env = {
    JACKFIELD_LISTEN: `127.0.0.1:${port}`,
    JACKFIELD_ADMIN_LISTEN: `127.0.0.1:${admin}`,
    JACKFIELD_PUBLIC_URL: url,
    JACKFIELD_FRONTEND_DIR: dist,
    // Programs press faster than people.
    JACKFIELD_IDENTITY__REQUESTS_PER_SECOND: "0",
    JACKFIELD_IDENTITY__REQUESTS_PER_MINUTE: "0",
    ...variables,
  };
  const process = launch(binary(), ["serve"], { directory, env });
  await ready("the host", process, `http://127.0.0.1:${admin}/readyz`, 60);
  /** A command beside it: what it prints. */
  const run = async (...args) => {
    const { stdout } = await promisify(execFile)(binary(), args, { cwd: directory, env });
    return stdout;
  };
  return { url, run, log: process.log, stop: process.stop };
}

/** The host's own description of its API, beside the committed one. */
export async function described(host) {
  const committed = readFileSync(new URL("frontend/openapi.json", root), "utf8");
  return { told: JSON.parse(await host.run("openapi")), committed: JSON.parse(committed) };
}
