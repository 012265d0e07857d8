/**
 * Writes `openapi.json` from what the real host says of itself, and makes the typed client from it. The host is the one that
 * JACKFIELD_TEST_HOST_BIN names, else the one that cargo built last.
 */
import { execFileSync } from "node:child_process";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const built = ["debug", "release"]
  .map((profile) => fileURLToPath(new URL(`../../target/${profile}/jackfield`, import.meta.url)))
  .filter((path) => existsSync(path))
  .toSorted((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs);
process.env.JACKFIELD_TEST_HOST_BIN ||= built[0] ?? "";
const { NO_HOST, startHost } = await import("../pages/host.mjs");
if (NO_HOST) {
  console.error("there is no host to ask; build one with `cargo build --package jackfield-server`, or set JACKFIELD_TEST_HOST_BIN");
  process.exit(1);
}
const host = await startHost("client");
try {
  writeFileSync(new URL("../openapi.json", import.meta.url), await host.run("openapi"));
} finally {
  await host.stop();
}
execFileSync("npm", ["run", "--silent", "generate"], { stdio: "inherit" });
