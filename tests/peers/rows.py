"""Stores deliveries with Python's sqlite3, one commit per row, WAL and synchronous=FULL.

Arguments: database file, body file, seconds. Prints {"rows", "seconds", "stored", "sqlite"}.
"""

import json
import sqlite3
import sys
import time
import uuid

path, body_file, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
with open(body_file, "rb") as file:
    body = file.read()
headers = b"x" * 512
db = sqlite3.connect(path, isolation_level=None)
for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "cache_size=-16000"):
    db.execute(f"PRAGMA {pragma}")
db.execute(
    "CREATE TABLE delivery (id blob PRIMARY KEY, dedup blob NOT NULL UNIQUE, event text NOT NULL,"
    " received_ms integer NOT NULL, headers blob NOT NULL, body blob NOT NULL)"
)
statement = "INSERT INTO delivery VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (dedup) DO NOTHING"
rows, begun = 0, time.monotonic()
while time.monotonic() - begun < seconds:
    db.execute("BEGIN IMMEDIATE")
    now = int(time.time() * 1000)
    db.execute(statement, (uuid.uuid4().bytes, uuid.uuid4().bytes, "push", now, headers, body))
    db.execute("COMMIT")
    rows += 1
spent = time.monotonic() - begun
stored = db.execute("SELECT count(*) FROM delivery WHERE length(body) = ?", (len(body),)).fetchone()[0]
print(json.dumps({"rows": rows, "seconds": spent, "stored": stored, "sqlite": sqlite3.sqlite_version}))
