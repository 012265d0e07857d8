CREATE TABLE delivery (
    id blob PRIMARY KEY,
    kind text NOT NULL,
    plugin text NOT NULL,
    handler text NOT NULL,
    tenant text NOT NULL,
    delivery_id text NOT NULL,
    event text NOT NULL,
    lane text,
    dedup blob NOT NULL,
    received_ms integer NOT NULL,
    state text,
    -- Of the attempt that ended well; the others are rows of `attempt`.
    began_ms integer,
    finished_ms integer,
    outcome text,
    summary text,
    reason text,
    last_error text,
    attempts integer NOT NULL DEFAULT 0,
    token integer NOT NULL DEFAULT 0,
    epoch integer NOT NULL DEFAULT 0,
    dirty integer NOT NULL DEFAULT 0,
    overtaken integer NOT NULL DEFAULT 0,
    orphans text,
    death text
);
CREATE INDEX delivery_plugin_state ON delivery (plugin, state, id);
CREATE INDEX delivery_received ON delivery (received_ms) WHERE state IS NOT NULL;

CREATE TABLE body (
    id blob PRIMARY KEY,
    headers blob NOT NULL,
    body blob NOT NULL
);

CREATE TABLE job (
    seq integer PRIMARY KEY AUTOINCREMENT,
    id blob NOT NULL UNIQUE,
    plugin text NOT NULL,
    tenant text NOT NULL,
    lane text,
    state text NOT NULL,
    run_at integer NOT NULL,
    lease_until integer NOT NULL DEFAULT 0,
    token integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    first_failed_ms integer,
    dirty integer NOT NULL DEFAULT 0,
    delayed integer NOT NULL DEFAULT 0,
    wait text,
    wait_topic text,
    wait_since integer
);
CREATE INDEX job_due ON job (plugin, run_at, seq) WHERE state IN ('pending', 'waiting');
CREATE INDEX job_held ON job (plugin) WHERE state = 'held';
CREATE INDEX job_lane ON job (plugin, lane, seq) WHERE state = 'pending' AND lane IS NOT NULL;
CREATE INDEX job_lease ON job (lease_until) WHERE state = 'running';
CREATE INDEX job_topic ON job (plugin, wait_topic) WHERE wait_topic IS NOT NULL;

CREATE TABLE memo (
    job blob NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    state blob NOT NULL,
    attempt integer NOT NULL,
    started_ms integer NOT NULL,
    ended_ms integer NOT NULL,
    PRIMARY KEY (job, name)
);

CREATE TABLE attempt (
    job blob NOT NULL,
    number integer NOT NULL,
    started_ms integer NOT NULL,
    ended_ms integer NOT NULL,
    error text
);
CREATE INDEX attempt_job ON attempt (job);

CREATE TABLE dedup (
    key blob PRIMARY KEY,
    delivery blob NOT NULL,
    seen_ms integer NOT NULL
);

CREATE TABLE lane_lease (
    plugin text NOT NULL,
    lane text NOT NULL,
    job blob NOT NULL,
    PRIMARY KEY (plugin, lane)
);

CREATE TABLE topic (
    plugin text NOT NULL,
    topic text NOT NULL,
    seq integer NOT NULL,
    PRIMARY KEY (plugin, topic)
);
CREATE INDEX topic_seq ON topic (seq);

CREATE TABLE signal (
    plugin text NOT NULL,
    topic text NOT NULL,
    seq integer NOT NULL,
    sent_ms integer NOT NULL,
    value blob NOT NULL,
    PRIMARY KEY (plugin, topic, seq)
);
CREATE INDEX signal_sent ON signal (sent_ms);

CREATE TABLE replay (
    id blob PRIMARY KEY,
    filter text NOT NULL,
    mode text NOT NULL,
    total integer NOT NULL,
    seen integer NOT NULL,
    armed integer NOT NULL,
    skipped integer NOT NULL,
    finished integer NOT NULL,
    begun_ms integer NOT NULL,
    last blob
);

CREATE TABLE host_value (
    key text PRIMARY KEY,
    value blob NOT NULL
);
