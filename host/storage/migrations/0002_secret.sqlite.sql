CREATE TABLE secret (
    place text PRIMARY KEY,
    key_id text NOT NULL,
    sealed blob NOT NULL
);
