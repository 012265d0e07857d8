// Drains no-op jobs with graphile-worker.
// Arguments: database URL, number of jobs, worker processes, options as JSON (`concurrency`, `preset`).
// Prints {"seconds", "ran", "left"}; the jobs are stored and vacuumed before the clock starts.
import { fork } from "node:child_process";
import { createRequire } from "node:module";
import { runMigrations, runOnce } from "graphile-worker";

const pg = createRequire(createRequire(import.meta.url).resolve("graphile-worker"))("pg");
const [url, count, processes, options] = [
  process.argv[2],
  Number(process.argv[3]),
  Number(process.argv[4]),
  JSON.parse(process.argv[5]),
];
const { Logger } = await import("graphile-worker");
const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});

async function drain() {
  let ran = 0;
  const settings = {
    connectionString: url,
    taskList: {
      noop() {
        ran += 1;
      },
    },
    concurrency: options.concurrency,
    maxPoolSize: options.concurrency + 1,
    logger,
    noHandleSignals: true,
    preset: { worker: options.worker ?? {} },
  };
  await runOnce(settings);
  return ran;
}

if (process.send) {
  process.send("ready");
  process.once("message", async () => {
    // Its last batch of completions may still be on the way.
    process.send({ ran: await drain() }, () => setTimeout(() => process.exit(0), 2_000));
  });
} else {
  await runMigrations({ connectionString: url, logger });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("SELECT graphile_worker.add_job('noop', '{}'::json)");
  await client.query("DELETE FROM graphile_worker._private_jobs");
  await client.query(
    "SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(" +
      "SELECT ROW('noop', json_build_object('i', i), NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec " +
      `FROM generate_series(1, ${count}) AS i))`,
  );
  await client.query("VACUUM ANALYZE graphile_worker._private_jobs");
  await client.query("CHECKPOINT");
  const workers = await Promise.all(
    Array.from({ length: processes }, () => {
      const worker = fork(process.argv[1], process.argv.slice(2));
      return new Promise((resolve) => worker.once("message", () => resolve(worker)));
    }),
  );
  const begun = performance.now();
  const results = await Promise.all(
    workers.map((worker) => {
      worker.send("go");
      return new Promise((resolve) => worker.once("message", resolve));
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  const remaining = async () =>
    (await client.query("SELECT count(*)::int AS n FROM graphile_worker._private_jobs")).rows[0].n;
  let left = await remaining();
  for (let tries = 0; left > 0 && tries < 40; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    left = await remaining();
  }
  await client.end();
  const ran = results.reduce((sum, result) => sum + result.ran, 0);
  console.log(JSON.stringify({ seconds, ran, left }));
  process.exit(0);
}
