CREATE TABLE move (
    id integer PRIMARY KEY AUTOINCREMENT,
    parcel text NOT NULL REFERENCES parcel (id),
    state text NOT NULL,
    at_ms bigint NOT NULL
);
CREATE INDEX move_by_parcel ON move (parcel);
