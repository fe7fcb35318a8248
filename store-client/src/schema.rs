//! The tables and every statement of the store. All are deterministic and name rows by their full key.

/// Ids that one lease takes at a time: one counter update for this many messages.
pub(crate) const LEASE_IDS: i64 = 1000;

pub(crate) const CREATE: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS store_message \
     (queue text NOT NULL, id bigint NOT NULL, body bytea NOT NULL, PRIMARY KEY (queue, id))",
    "CREATE TABLE IF NOT EXISTS store_counter (name text PRIMARY KEY, next bigint NOT NULL)",
    "INSERT INTO store_counter (name, next) VALUES ('message', 1) ON CONFLICT (name) DO NOTHING",
];

/// The number after the leased block.
pub(crate) const LEASE: &str = "UPDATE store_counter SET next = next + $1 WHERE name = 'message' RETURNING next";

pub(crate) const INSERT: &str = "INSERT INTO store_message (queue, id, body) VALUES ($1, $2, $3)";

pub(crate) const PUT: &str = "INSERT INTO store_message (queue, id, body) VALUES ($1, $2, $3) \
     ON CONFLICT (queue, id) DO NOTHING";

pub(crate) const PAGE: &str = "SELECT id, body FROM store_message WHERE queue = $1 AND id > $2 ORDER BY id LIMIT $3";

pub(crate) const DELETE: &str = "DELETE FROM store_message WHERE queue = $1 AND id = $2";

pub(crate) const COUNT: &str = "SELECT count(*) FROM store_message WHERE queue = $1";
