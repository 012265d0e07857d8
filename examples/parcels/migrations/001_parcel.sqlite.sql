CREATE TABLE parcel (
    id text PRIMARY KEY,
    shop text NOT NULL,
    state text NOT NULL,
    check_digits text NOT NULL,
    moved_ms bigint NOT NULL
);
