-- Mails that ask somebody to confirm an address. The token is in the mail alone.
CREATE TABLE verification (
    -- SHA-256 of the token, in hex.
    hash text PRIMARY KEY,
    person text NOT NULL,
    email text NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL
);
CREATE INDEX verification_person ON verification (person, created_ms);
CREATE INDEX verification_expires ON verification (expires_ms);
