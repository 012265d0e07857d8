CREATE TABLE person (
    id text PRIMARY KEY,
    provider text NOT NULL,
    username text NOT NULL,
    email text,
    -- Trimmed and in lower case; two people may hold one address, one of them at most has verified it.
    email_key text,
    email_verified integer NOT NULL DEFAULT 0,
    name text,
    company text,
    organization text NOT NULL,
    terms_accepted_ms integer,
    operator integer NOT NULL DEFAULT 0,
    disabled integer NOT NULL DEFAULT 0,
    created_ms integer NOT NULL,
    signed_in_ms integer
);
CREATE UNIQUE INDEX person_email ON person (email_key) WHERE email_verified;
CREATE INDEX person_email_any ON person (email_key);

CREATE TABLE organization (
    id text PRIMARY KEY,
    name text NOT NULL,
    contact_name text,
    contact_email text,
    created_ms integer NOT NULL
);

CREATE TABLE membership (
    organization text NOT NULL,
    person text NOT NULL,
    role text NOT NULL,
    created_ms integer NOT NULL,
    PRIMARY KEY (organization, person)
);
CREATE INDEX membership_person ON membership (person);

CREATE TABLE session (
    -- SHA-256 of the cookie's value.
    hash blob PRIMARY KEY,
    id text NOT NULL UNIQUE,
    person text NOT NULL,
    created_ms integer NOT NULL,
    seen_ms integer NOT NULL,
    ended_ms integer,
    address text,
    user_agent text
);
CREATE INDEX session_person ON session (person, created_ms);
CREATE INDEX session_seen ON session (seen_ms);

CREATE TABLE api_key (
    id integer PRIMARY KEY AUTOINCREMENT,
    -- SHA-256 of the key.
    hash blob NOT NULL UNIQUE,
    prefix text NOT NULL,
    person text NOT NULL,
    organization text NOT NULL,
    name text,
    scopes text NOT NULL,
    created_ms integer NOT NULL,
    last_used_ms integer,
    expires_ms integer
);
CREATE INDEX api_key_person ON api_key (person, organization, id);

-- What other replicas' caches must forget: a person, a session or a key.
CREATE TABLE identity_change (
    subject text PRIMARY KEY,
    at_ms integer NOT NULL
);
CREATE INDEX identity_change_at ON identity_change (at_ms);

CREATE TABLE sign_in_link (
    -- SHA-256 of the token.
    hash blob PRIMARY KEY,
    person text NOT NULL,
    created_ms integer NOT NULL,
    expires_ms integer NOT NULL
);
CREATE INDEX sign_in_link_person ON sign_in_link (person);
CREATE INDEX sign_in_link_expires ON sign_in_link (expires_ms);

CREATE TABLE device_code (
    -- SHA-256 of the device code.
    hash blob PRIMARY KEY,
    user_code text NOT NULL UNIQUE,
    state text NOT NULL,
    person text,
    organization text,
    created_ms integer NOT NULL,
    expires_ms integer NOT NULL,
    polled_ms integer,
    interval_s integer NOT NULL
);
CREATE INDEX device_code_expires ON device_code (expires_ms);

CREATE TABLE audit (
    seq integer PRIMARY KEY,
    at_ms integer NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    address text,
    detail text NOT NULL,
    -- SHA-256 over the hash before and this entry.
    hash blob NOT NULL
);
CREATE INDEX audit_at ON audit (at_ms);

CREATE TABLE blocked_email_domain (
    domain text PRIMARY KEY,
    created_ms integer NOT NULL
);
