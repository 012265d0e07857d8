/** Processes that a test file starts, in directories of their own. They end with the test file, in whatever way that ends. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { mkdtemp, realpath } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { setTimeout as pause } from "node:timers/promises";

/** Ends a process group when its own standard input ends, then removes the directory. */
const GUARD = `cat; kill -s KILL -- "-$1" 2>/dev/null; rm -rf -- "$2"`;

/** A new empty directory. */
export async function scratch(name) {
  return realpath(await mkdtemp(`${tmpdir()}/jackfield-pages-${name}-`));
}

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Starts a program with all that it starts, in `directory`, which goes with it; its log is `directory`/log. */
export function launch(program, args, { directory, env }) {
  const log = `${directory}/log`;
  const output = openSync(log, "a");
  // A group of its own: scripts around others are ended together with them.
  const child = spawn(program, args, { cwd: directory, env, detached: true, stdio: ["ignore", output, output] });
  const guard = spawn("sh", ["-c", GUARD, "guard", String(child.pid), directory], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  return {
    ended: () => child.exitCode ?? child.signalCode,
    log: () => readFileSync(log, "utf8"),
    stop: async () => {
      guard.stdin.end();
      await new Promise((done) => guard.once("exit", done));
    },
  };
}

/** Waits until `address` answers 200; fails with the end of the log when the process ends, or after `seconds`. */
export async function ready(what, process, address, seconds) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await fetch(address).catch(() => undefined);
    if (answer?.ok) {
      return;
    }
    const tail = () => process.log().split("\n").slice(-25).join("\n");
    assert.equal(process.ended(), null, `${what} ended before it was ready: ${process.ended() === null || tail()}`);
    assert.ok(Date.now() < end, `${what} is not ready after ${seconds} s: ${Date.now() < end || tail()}`);
    await pause(50);
  }
}
