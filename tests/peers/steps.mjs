// Workflows of five no-op steps with DBOS Transact.
// Arguments: database URL, number of workflows, mode (`direct` | `queue`), workflows at once, connections.
// Prints {"seconds", "workflows", "steps"}: what its tables hold afterwards. In `queue` mode the workflows are stored before
// the clock starts; in `direct` mode they are started by this process, so many at once.
import { createRequire } from "node:module";
import { DBOS, DBOSClient } from "@dbos-inc/dbos-sdk";

const pg = createRequire(createRequire(import.meta.url).resolve("@dbos-inc/dbos-sdk"))("pg");
const [url, count, mode, atOnce, pool] = [
  process.argv[2],
  Number(process.argv[3]),
  process.argv[4],
  Number(process.argv[5]),
  Number(process.argv[6]),
];
const version = "bench";
const noop = async () => {};

async function five() {
  await DBOS.runStep(noop, { name: "one" });
  await DBOS.runStep(noop, { name: "two" });
  await DBOS.runStep(noop, { name: "three" });
  await DBOS.runStep(noop, { name: "four" });
  await DBOS.runStep(noop, { name: "five" });
}
const workflow = DBOS.registerWorkflow(five, { name: "five" });
const db = new pg.Client({ connectionString: url });
await db.connect();
const done = async () => {
  const found = await db.query("SELECT count(*)::int AS n FROM dbos.workflow_status WHERE status = 'SUCCESS'");
  return found.rows[0].n;
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

DBOS.setConfig({
  name: "bench",
  systemDatabaseUrl: url,
  systemDatabasePoolSize: pool,
  applicationVersion: version,
  logLevel: "error",
  runAdminServer: false,
});
let begun;
await DBOS.launch();
if (mode === "direct") {
  begun = performance.now();
  let next = 0;
  const lane = async () => {
    while (next < count) {
      next += 1;
      await workflow();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
} else {
  const client = await DBOSClient.create({ systemDatabaseUrl: url });
  for (let stored = 0; stored < count; stored += 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, count - stored) }, () =>
        client.enqueue({ workflowName: "five", queueName: "bench", appVersion: version }),
      ),
    );
  }
  await db.query("VACUUM ANALYZE dbos.workflow_status");
  await db.query("CHECKPOINT");
  begun = performance.now();
  await DBOS.registerQueue("bench", { workerConcurrency: atOnce, minPollingIntervalMs: 10 });
  while ((await done()) < count) await sleep(50);
}
const seconds = (performance.now() - begun) / 1000;
const steps = await db.query("SELECT count(*)::int AS n FROM dbos.operation_outputs");
console.log(JSON.stringify({ seconds, workflows: await done(), steps: steps.rows[0].n }));
process.exit(0);
