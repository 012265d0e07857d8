-- Sign-in with Keycloak.

ALTER TABLE session ADD COLUMN keycloak_grant text;
CREATE INDEX session_keycloak_grant ON session (keycloak_grant);

-- When Keycloak said that they may not come in; taken back when it says that they may.
ALTER TABLE person ADD COLUMN refused_ms bigint;

-- Sign-ins that began and did not come back yet.
CREATE TABLE keycloak_login (
    -- SHA-256 of the `state` that Keycloak is given.
    hash bytea PRIMARY KEY,
    -- SHA-256 of the value of the browser's login cookie.
    cookie bytea NOT NULL,
    return_to text NOT NULL,
    expires_ms bigint NOT NULL
);
CREATE INDEX keycloak_login_expires ON keycloak_login (expires_ms);

-- What a sign-in leaves us: an offline session at Keycloak.
CREATE TABLE keycloak_grant (
    id text PRIMARY KEY,
    person text NOT NULL,
    -- Keycloak's session.
    sid text NOT NULL,
    -- Sealed tokens, bound to the row.
    refresh_token bytea NOT NULL,
    access_token bytea,
    id_token bytea,
    access_expires_ms bigint,
    created_ms bigint NOT NULL,
    -- When Keycloak last said that it is good.
    confirmed_ms bigint NOT NULL,
    -- Who presents the refresh token now, and until when nobody else does.
    lease text,
    lease_ends_ms bigint,
    ended_ms bigint
);
CREATE INDEX keycloak_grant_person ON keycloak_grant (person, created_ms);
CREATE INDEX keycloak_grant_sid ON keycloak_grant (sid);
CREATE INDEX keycloak_grant_confirmed ON keycloak_grant (confirmed_ms);

-- Logout tokens that were taken, until they end: one that comes again does nothing.
CREATE TABLE keycloak_logout (
    -- SHA-256 of the token's `jti`.
    hash bytea PRIMARY KEY,
    sid text,
    expires_ms bigint NOT NULL
);
CREATE INDEX keycloak_logout_sid ON keycloak_logout (sid);

-- People's tokens at git providers.
CREATE TABLE provider_token (
    person text NOT NULL,
    provider text NOT NULL,
    -- Sealed, bound to the row; none until the first came.
    token bytea,
    expires_ms bigint,
    read_ms bigint,
    lease text,
    lease_ends_ms bigint,
    PRIMARY KEY (person, provider)
);
