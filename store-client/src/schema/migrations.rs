//! The tables, one migration after the other. A migration that was released is never changed: the next one repairs it.
//!
//! A migration is a list of statements, run in order in one transaction. Keys are such that every write of the store names
//! its rows by a primary key.

/// Migration number `n` (from 1) is the one at index `n - 1`.
pub(super) const MIGRATIONS: [&[&str]; 1] = [&[
    // Queues and topics: `destination` is 'q/' or 't/' and the name. A receipt (see append_once) is a row of destination ''.
    // `waiting`: subscriptions that have not acknowledged; 1 in a queue. A body is in `body` or in `chunks` rows of store_chunk.
    "CREATE TABLE store_message (destination text NOT NULL, id bigint NOT NULL, priority smallint NOT NULL, \
     waiting integer NOT NULL, sent timestamptz NOT NULL, expires timestamptz, size bigint NOT NULL, \
     chunks integer NOT NULL, body bytea, PRIMARY KEY (destination, id))",
    "CREATE INDEX store_message_expires ON store_message (destination, expires) WHERE expires IS NOT NULL",
    "CREATE TABLE store_chunk (message bigint NOT NULL, number integer NOT NULL, data bytea NOT NULL, \
     PRIMARY KEY (message, number))",
    // Bodies are seldom text, and those that are long are often packed already.
    "ALTER TABLE store_chunk ALTER COLUMN data SET STORAGE EXTERNAL",
    "CREATE TABLE store_counter (name text PRIMARY KEY, next bigint NOT NULL)",
    "INSERT INTO store_counter (name, next) VALUES ('id', 1)",
    // `closed`: it is being removed, and nothing more is published to it.
    "CREATE TABLE store_subscription (topic text NOT NULL, client text NOT NULL, name text NOT NULL, \
     id bigint NOT NULL UNIQUE, selector text, closed boolean NOT NULL, PRIMARY KEY (topic, client, name))",
    // What a subscription has still to acknowledge. `rank` is 9 - priority, so that the key is the order of delivery.
    "CREATE TABLE store_pending (subscription bigint NOT NULL REFERENCES store_subscription (id), rank smallint NOT NULL, \
     message bigint NOT NULL, PRIMARY KEY (subscription, rank, message))",
    // Whoever hands out messages of a source (a queue, or 's/' and a subscription's id) holds its row for that moment.
    "CREATE TABLE store_source (name text PRIMARY KEY)",
    // Messages that were handed to a consumer. `expires` lies in the past when they were given back.
    "CREATE TABLE store_claim (source text NOT NULL, id bigint NOT NULL, holder bigint NOT NULL, \
     deliveries integer NOT NULL, expires timestamptz NOT NULL, messages bigint[] NOT NULL, PRIMARY KEY (source, id))",
    "CREATE TABLE store_lock (name text PRIMARY KEY)",
    "CREATE TABLE store_lease (name text PRIMARY KEY, holder text NOT NULL, expires timestamptz NOT NULL, term bigint NOT NULL)",
]];
