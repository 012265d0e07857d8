CREATE TABLE delivery (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    plugin text NOT NULL,
    handler text NOT NULL,
    tenant text NOT NULL,
    delivery_id text NOT NULL,
    event text NOT NULL,
    lane text,
    dedup bytea NOT NULL,
    received_ms bigint NOT NULL,
    state text,
    -- Of the attempt that ended well; the others are rows of `attempt`.
    began_ms bigint,
    finished_ms bigint,
    outcome text,
    summary text,
    reason text,
    last_error text,
    attempts integer NOT NULL DEFAULT 0,
    token bigint NOT NULL DEFAULT 0,
    epoch integer NOT NULL DEFAULT 0,
    dirty boolean NOT NULL DEFAULT false,
    overtaken boolean NOT NULL DEFAULT false,
    orphans text,
    death text
);
CREATE INDEX delivery_plugin_state ON delivery (plugin, state, id);
-- Only retention looks by time, in great pieces: block ranges cost nothing when a delivery is stored or ends.
CREATE INDEX delivery_received ON delivery USING brin (received_ms);

-- By day, as the id (UUIDv7) says; the host makes the days.
CREATE TABLE body (
    id uuid PRIMARY KEY,
    headers bytea NOT NULL,
    body bytea NOT NULL
) PARTITION BY RANGE (id);
DO $$ BEGIN
    ALTER TABLE body ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'this server has no lz4; bodies use its default compression';
END $$;
CREATE TABLE body_default PARTITION OF body DEFAULT;

CREATE TABLE job (
    id uuid PRIMARY KEY,
    seq bigserial NOT NULL,
    plugin text NOT NULL,
    tenant text NOT NULL,
    lane text,
    state text NOT NULL,
    run_at bigint NOT NULL,
    lease_until bigint NOT NULL DEFAULT 0,
    token bigint NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    first_failed_ms bigint,
    dirty boolean NOT NULL DEFAULT false,
    delayed boolean NOT NULL DEFAULT false,
    wait text,
    wait_topic text,
    wait_since bigint
) WITH (fillfactor = 70);
CREATE INDEX job_due ON job (plugin, run_at, seq) WHERE state IN ('pending', 'waiting');
CREATE INDEX job_held ON job (plugin) WHERE state = 'held';
CREATE INDEX job_lane ON job (plugin, lane, seq) WHERE state = 'pending' AND lane IS NOT NULL;
CREATE INDEX job_lease ON job (lease_until) WHERE state = 'running';
CREATE INDEX job_topic ON job (plugin, wait_topic) WHERE wait_topic IS NOT NULL;

CREATE TABLE memo (
    job uuid NOT NULL,
    name text NOT NULL,
    key text NOT NULL,
    state bytea NOT NULL,
    attempt integer NOT NULL,
    started_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    PRIMARY KEY (job, name)
);

CREATE TABLE attempt (
    job uuid NOT NULL,
    number integer NOT NULL,
    started_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    error text
);
CREATE INDEX attempt_job ON attempt (job);

CREATE TABLE dedup (
    key bytea PRIMARY KEY,
    delivery uuid NOT NULL,
    seen_ms bigint NOT NULL
);

CREATE TABLE lane_lease (
    plugin text NOT NULL,
    lane text NOT NULL,
    job uuid NOT NULL,
    PRIMARY KEY (plugin, lane)
);

CREATE TABLE topic (
    plugin text NOT NULL,
    topic text NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (plugin, topic)
);
CREATE INDEX topic_seq ON topic (seq);

CREATE TABLE signal (
    plugin text NOT NULL,
    topic text NOT NULL,
    seq bigint NOT NULL,
    sent_ms bigint NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (plugin, topic, seq)
);
CREATE INDEX signal_sent ON signal (sent_ms);

CREATE TABLE replay (
    id uuid PRIMARY KEY,
    filter text NOT NULL,
    mode text NOT NULL,
    total bigint NOT NULL,
    seen bigint NOT NULL,
    armed bigint NOT NULL,
    skipped bigint NOT NULL,
    finished boolean NOT NULL,
    begun_ms bigint NOT NULL,
    last uuid
);

CREATE TABLE host_value (
    key text PRIMARY KEY,
    value bytea NOT NULL
);
