-- Sign-in with Keycloak.

ALTER TABLE session ADD COLUMN keycloak_grant text;
CREATE INDEX session_keycloak_grant ON session (keycloak_grant);

-- When Keycloak said that they may not come in; taken back when it says that they may.
ALTER TABLE person ADD COLUMN refused_ms integer;

-- Sign-ins that began and did not come back yet.
CREATE TABLE keycloak_login (
    -- SHA-256 of the `state` that Keycloak is given.
    hash blob PRIMARY KEY,
    -- SHA-256 of the value of the browser's login cookie.
    cookie blob NOT NULL,
    return_to text NOT NULL,
    expires_ms integer NOT NULL
);
CREATE INDEX keycloak_login_expires ON keycloak_login (expires_ms);

-- What a sign-in leaves us: an offline session at Keycloak.
CREATE TABLE keycloak_grant (
    id text PRIMARY KEY,
    person text NOT NULL,
    -- Keycloak's session.
    sid text NOT NULL,
    -- Sealed tokens, bound to the row.
    refresh_token blob NOT NULL,
    access_token blob,
    id_token blob,
    access_expires_ms integer,
    created_ms integer NOT NULL,
    -- When Keycloak last said that it is good.
    confirmed_ms integer NOT NULL,
    -- Who presents the refresh token now, and until when nobody else does.
    lease text,
    lease_ends_ms integer,
    ended_ms integer
);
CREATE INDEX keycloak_grant_person ON keycloak_grant (person, created_ms);
CREATE INDEX keycloak_grant_sid ON keycloak_grant (sid);
CREATE INDEX keycloak_grant_confirmed ON keycloak_grant (confirmed_ms);

-- Logout tokens that were taken, until they end: one that comes again does nothing.
CREATE TABLE keycloak_logout (
    -- SHA-256 of the token's `jti`.
    hash blob PRIMARY KEY,
    sid text,
    expires_ms integer NOT NULL
);
CREATE INDEX keycloak_logout_sid ON keycloak_logout (sid);

-- People's tokens at git providers.
CREATE TABLE provider_token (
    person text NOT NULL,
    provider text NOT NULL,
    -- Sealed, bound to the row; none until the first came.
    token blob,
    expires_ms integer,
    read_ms integer,
    lease text,
    lease_ends_ms integer,
    PRIMARY KEY (person, provider)
);
