//! Reads a member's catalog: the SQL, and from its rows a [`super::catalog::Catalog`].
//!
//! Both texts go out by the simple protocol; what comes back is text, one list of rows a statement. [`BUILTIN_SQL`] is
//! needed once per process (and server version), [`CATALOG_SQL`] again whenever DDL was committed.

mod build;
mod groups;
#[cfg(test)]
mod tests;

pub use build::{CatalogError, Results, parse, parse_builtins};

/// Functions of extensions that are known to have no effects.
macro_rules! trusted {
    () => {
        "SELECT d.objid FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid \
         WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' \
         AND x.extname IN ('bloom', 'btree_gin', 'btree_gist', 'citext', 'cube', 'earthdistance', 'fuzzystrmatch', \
         'hstore', 'intarray', 'isn', 'ltree', 'pg_trgm', 'pgcrypto', 'seg', 'unaccent', 'uuid-ossp', 'vector')"
    };
}

/// A trigger `t` is not one of those that take images.
macro_rules! not_ours {
    () => {
        "t.tgfoid NOT IN (SELECT p.oid FROM pg_proc p JOIN pg_namespace o ON o.oid = p.pronamespace \
         WHERE o.nspname = 'raidb' AND p.proname = 'capture')"
    };
}

/// A relation `c` in schema `n` is one of this session, but not the one that holds images of rows. (The connection from which the
/// shared catalog is read has none.)
macro_rules! of_session {
    () => {
        "n.oid = pg_my_temp_schema() AND c.relname !~ '^raidb_'"
    };
}

/// The name of schema `n`, the same on every connection of the session.
macro_rules! schema_name {
    () => {
        "CASE WHEN n.oid = pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname END"
    };
}

/// Built-in functions `p` that are declared volatile and have no effect (as [`super::functions::harmless`] has them, by patterns).
macro_rules! harmless {
    () => {
        "p.proname ~ '^(random.*|setseed|clock_timestamp|gen_random_uuid|uuid.*|timeofday|current_query|currval|lastval|txid_status|\
         pg_sleep.*|pg_.*_size|pg_is_.*|pg_last_.*|pg_(ls|get_wal|control|current|stat_get|show|lock_status|blocking|safe|\
         notification|partition|database|jit|collation|hba|sequence_last|xact_status).*)$'"
    };
}

/// Names and volatilities of the functions that a fresh database has.
pub const BUILTIN_SQL: &str = "SELECT proname, max(CASE provolatile WHEN 'i' THEN 0 WHEN 's' THEN 1 ELSE 2 END) \
    FROM pg_catalog.pg_proc WHERE oid < 16384 GROUP BY proname";

/// How many statements [`CATALOG_SQL`] holds, and so how many results [`parse`] wants.
pub const CATALOG_RESULTS: usize = 12;

/// All facts of one database, as one text of several statements: they run in one transaction, and the search path that
/// the second one sets (so that types and functions come out qualified) is gone behind it.
///
/// Extensions of which all functions are known to have no effects are named in the third statement.
pub const CATALOG_SQL: &str = concat!(
    // 0: search path, as the session has it
    "SELECT s FROM unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u(s, n) WHERE s <> 'pg_catalog' ORDER BY n;",
    // 1
    "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);",
    // 2: functions that users made
    "SELECT p.proname, bool_and(p.oid < 16384), ",
    // All aggregates are stored as immutable: they are what their functions are.
    "max(CASE WHEN p.prokind = 'a' THEN (SELECT max(CASE f.provolatile WHEN 'i' THEN 0 WHEN 's' THEN 1 ELSE 2 END) ",
    "FROM pg_aggregate g JOIN pg_proc f ON f.oid IN (g.aggtransfn::oid, g.aggfinalfn::oid, g.aggcombinefn::oid, ",
    "g.aggmtransfn::oid, g.aggminvtransfn::oid, g.aggmfinalfn::oid) WHERE g.aggfnoid::oid = p.oid) ",
    "ELSE CASE p.provolatile WHEN 'i' THEN 0 WHEN 's' THEN 1 ELSE 2 END END), ",
    "bool_and(p.oid < 16384 OR e.objid IS NOT NULL), ",
    "bool_or(p.oid >= 16384 AND p.pronargs = 1 AND a.typtype IN ('c', 'p')) ",
    "FROM pg_proc p LEFT JOIN pg_type a ON a.oid = p.proargtypes[0] LEFT JOIN (",
    trusted!(),
    ") e ON e.objid = p.oid ",
    "WHERE p.proname IN (SELECT proname FROM pg_proc WHERE oid >= 16384) GROUP BY p.proname;",
    // 3: operators that call untrusted functions of users
    "SELECT DISTINCT oprname FROM pg_operator WHERE oid >= 16384 AND oprcode::oid >= 16384 ",
    "AND oprcode::oid NOT IN (",
    trusted!(),
    ");",
    // 4: do casts or types call such functions?
    "SELECT EXISTS (SELECT FROM pg_cast WHERE castfunc >= 16384 AND castfunc NOT IN (",
    trusted!(),
    ")) OR EXISTS (SELECT FROM pg_type WHERE typinput::oid >= 16384 AND typinput::oid NOT IN (",
    trusted!(),
    ")) OR EXISTS (SELECT FROM pg_constraint c JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass ",
    "AND d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass WHERE c.contypid <> 0 AND d.refobjid NOT IN (",
    trusted!(),
    ")), ",
    // Do volatile functions handle errors (in PL/pgSQL by EXCEPTION; other languages in ways of their own), take advisory locks (which
    // a probe would leave on one member), or leave cursors open (which give those away, or are told a name)?
    "EXISTS (SELECT FROM pg_proc p WHERE oid >= 16384 AND provolatile = 'v' AND pronamespace IS DISTINCT FROM to_regnamespace('raidb') ",
    "AND (regexp_replace(prosrc, '[[:<:]]raise[[:space:]]+exception[[:>:]]', '', 'gi') ~* '[[:<:]]exception[[:>:]]|advisory' ",
    // The body is a tree (BEGIN ATOMIC, PostgreSQL 14 and later).
    "OR (to_jsonb(p) ->> 'prosqlbody') IS NOT NULL ",
    "OR prolang NOT IN (SELECT oid FROM pg_language WHERE lanname IN ('internal', 'c', 'sql', 'plpgsql')) ",
    "OR prorettype = 'refcursor'::regtype::oid ",
    "OR 'refcursor'::regtype::oid = ANY (proargtypes::oid[]) OR 'refcursor'::regtype::oid = ANY (proallargtypes)) ",
    "AND oid NOT IN (",
    trusted!(),
    ")), ",
    // Do functions take or give back advisory locks?
    "EXISTS (SELECT FROM pg_proc p WHERE oid >= 16384 AND provolatile = 'v' AND pronamespace IS DISTINCT FROM to_regnamespace('raidb') AND (prosrc ~* 'advisory' ",
    "OR (to_jsonb(p) ->> 'prosqlbody') IS NOT NULL OR prolang NOT IN (",
    "SELECT oid FROM pg_language WHERE lanname IN ('internal', 'c', 'sql', 'plpgsql'))) AND oid NOT IN (",
    trusted!(),
    ")), ",
    // Do policies of row security call functions that may write? Few of them are there, and no dependency tells of built-in ones.
    "EXISTS (SELECT FROM pg_policy o WHERE concat(o.polqual::text, o.polwithcheck::text) ~ (",
    "SELECT format(':(funcid|opfuncid|aggfnoid|winfnoid) (%s) ', string_agg(p.oid::text, '|')) FROM pg_proc p WHERE p.oid NOT IN (",
    trusted!(),
    ") AND (p.provolatile = 'v' OR p.prokind = 'a' AND p.oid >= 16384) AND NOT (p.oid < 16384 AND ",
    harmless!(),
    "))), ",
    // Do casts or types call volatile functions?
    "EXISTS (SELECT FROM pg_proc p WHERE p.oid >= 16384 AND p.provolatile = 'v' AND p.oid NOT IN (",
    trusted!(),
    ") AND (p.oid IN (SELECT castfunc FROM pg_cast) OR p.oid IN (SELECT typinput::oid FROM pg_type) OR p.oid IN (",
    "SELECT d.refobjid FROM pg_constraint c JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid ",
    "AND d.refclassid = 'pg_proc'::regclass WHERE c.contypid <> 0))), ",
    // Is there anything but relations in the session's temporary schema?
    "EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass AND refobjid = pg_my_temp_schema() ",
    "AND classid <> 'pg_class'::regclass), ",
    // Does anything notify beside statements?
    "EXISTS (SELECT FROM pg_proc p WHERE oid >= 16384 AND pronamespace IS DISTINCT FROM to_regnamespace('raidb') AND (prosrc ~* 'notify' ",
    "OR (to_jsonb(p) ->> 'prosqlbody') IS NOT NULL OR prolang NOT IN (",
    "SELECT oid FROM pg_language WHERE lanname IN ('internal', 'c', 'sql', 'plpgsql'))) AND oid NOT IN (",
    trusted!(),
    ")) OR EXISTS (SELECT FROM pg_rewrite WHERE oid >= 16384 AND ev_action::text ~ 'NOTIFYSTMT');",
    // 5: relations
    "SELECT c.oid, ",
    schema_name!(),
    ", c.relname, c.relkind, c.relpersistence <> 'p', c.relrowsecurity, ",
    "c.relhasrules AND EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN' ",
    "AND r.ev_enabled IN ('O', 'A')), ",
    "c.relhastriggers AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal ",
    "AND t.tgenabled IN ('O', 'A') AND ",
    not_ours!(),
    "), ",
    "(SELECT count(*) FROM pg_trigger t WHERE c.relhastriggers AND t.tgrelid = c.oid AND t.tgenabled = 'A' AND NOT ",
    not_ours!(),
    "), ",
    "(c.relhasrules AND EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN' ",
    "AND r.ev_enabled IN ('A', 'R'))) OR ",
    "(c.relhastriggers AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal ",
    "AND t.tgenabled IN ('A', 'R') AND ",
    not_ours!(),
    ")) ",
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace ",
    "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(temp|toast)' OR ",
    // Of those that are temporary, indexes too: what drops one must be known to drop nothing else.
    "c.relkind IN ('r', 'p', 'v', 'S', 'i', 'I') AND ",
    of_session!(),
    ";",
    // 6: columns of what is not a system relation
    "SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnotnull, ",
    "a.attgenerated, a.attidentity, coalesce(CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, 0) END, CASE WHEN t.typtype = 'd' THEN t.typdefault END), ",
    "coalesce(l.collisdeterministic, true), t.typtype = 'd' AND t.typnotnull ",
    "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid ",
    "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef ",
    "LEFT JOIN pg_collation l ON l.oid = a.attcollation ",
    "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.oid >= 16384 ",
    "ORDER BY a.attrelid, a.attnum;",
    // 7: unique and exclusion indexes
    "SELECT i.indrelid, i.indisprimary, i.indisunique AND i.indisvalid AND i.indisready AND i.indimmediate ",
    "AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (",
    "SELECT FROM generate_series(0, i.indnkeyatts - 1) k JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] ",
    "WHERE i.indcollation[k] <> a.attcollation), ",
    "(SELECT string_agg(i.indkey[k]::text, ' ' ORDER BY k) FROM generate_series(0, i.indnkeyatts - 1) k), ",
    // All columns that it is made of (an index of a constraint depends on that), or 0: the row as a whole.
    "coalesce((SELECT string_agg(DISTINCT d.refobjsubid::text, ' ') FROM (",
    "SELECT 'pg_class'::regclass::oid AS classid, i.indexrelid AS objid UNION ALL ",
    "SELECT 'pg_constraint'::regclass::oid, k.oid FROM pg_constraint k WHERE k.conrelid = i.indrelid AND k.conindid = i.indexrelid) o ",
    "JOIN pg_depend d ON d.classid = o.classid AND d.objid = o.objid ",
    "WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0 ",
    "AND concat(i.indexprs::text, i.indpred::text) !~ ':varattno 0 '), '0') ",
    "FROM pg_index i WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384 ",
    "ORDER BY i.indrelid, NOT i.indisprimary, i.indexrelid;",
    // 8: edges: foreign keys, inheritance (child first)
    "SELECT 'f', conrelid, confrelid, condeferrable FROM pg_constraint WHERE contype = 'f' ",
    "UNION ALL SELECT 'i', inhrelid, inhparent, false FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid ",
    "WHERE c.relkind IN ('r', 'p', 'f') ",
    "UNION ALL SELECT 'd', conrelid, conrelid, true FROM pg_constraint WHERE condeferrable AND contype <> 'f' AND conrelid <> 0 ",
    "UNION ALL SELECT DISTINCT 'v', r.ev_class, d.refobjid, false FROM pg_rewrite r JOIN pg_depend d ",
    "ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass ",
    "JOIN pg_class c ON c.oid = d.refobjid WHERE r.rulename = '_RETURN' AND c.relkind = 'v' AND r.ev_class <> c.oid ",
    "AND c.oid >= 16384;",
    // 9: relations whose checks, indexes, generated columns or view definition call untrusted functions of users
    "SELECT DISTINCT coalesce(k.conrelid, i.indrelid, ad.adrelid, r.ev_class), false FROM pg_depend d ",
    "LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.conrelid <> 0 ",
    "LEFT JOIN pg_index i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid ",
    "LEFT JOIN pg_attrdef ad ON d.classid = 'pg_attrdef'::regclass AND ad.oid = d.objid AND EXISTS (",
    "SELECT FROM pg_attribute a WHERE a.attrelid = ad.adrelid AND a.attnum = ad.adnum AND a.attgenerated <> '') ",
    "LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND r.rulename = '_RETURN' ",
    "LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid ",
    "WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) ",
    "AND coalesce(o.oprcode::oid, d.refobjid) >= 16384 ",
    "AND coalesce(o.oprcode::oid, d.refobjid) NOT IN (",
    trusted!(),
    ") AND coalesce(k.conrelid, i.indrelid, ad.adrelid, r.ev_class) IS NOT NULL ",
    // No dependency tells of the built-in functions that a view calls.
    "UNION SELECT r.ev_class, true FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE r.rulename = '_RETURN' ",
    "AND c.relkind = 'v' AND c.oid >= 16384 AND r.ev_action::text ~ (",
    "SELECT format(':(funcid|opfuncid) (%s) ', string_agg(p.oid::text, '|')) FROM pg_proc p WHERE p.oid < 16384 AND p.provolatile = 'v' ",
    "AND NOT ",
    harmless!(),
    ");",
    // 10: sequences that columns own or use
    "SELECT DISTINCT d.refobjid, d.refobjsubid, ",
    schema_name!(),
    ", s.relname FROM pg_depend d JOIN pg_class s ON s.oid = d.objid ",
    "AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace WHERE d.classid = 'pg_class'::regclass ",
    "AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') ",
    "UNION SELECT ad.adrelid, ad.adnum, ",
    schema_name!(),
    ", s.relname FROM pg_depend d JOIN pg_attrdef ad ON ad.oid = d.objid ",
    "JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace ",
    "WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass;",
    // 11: check constraints, whose calls are judged by name as well. Their text takes a lock of the relation (that of a default does
    // not, if it is told no relation): where somebody else has or wants it for himself, the calls alone are read, since he may
    // be waiting for this answer to go on.
    "SELECT c.conrelid, CASE WHEN c.conrelid IN (SELECT l.relation FROM pg_locks l WHERE l.mode = 'AccessExclusiveLock' ",
    "AND l.relation IS NOT NULL AND l.pid IS DISTINCT FROM pg_backend_pid()) ",
    "THEN (SELECT concat_ws(' + ', '0', string_agg(format('%I()', p.proname), ' + '), ",
    "CASE WHEN c.conbin::text ~ '[{](SQLVALUEFUNCTION|COERCEVIAIO)' THEN 'CURRENT_TIMESTAMP' END) ",
    "FROM regexp_matches(c.conbin::text, '[{]FUNCEXPR :funcid ([0-9]+)', 'g') m JOIN pg_proc p ON p.oid = m[1]::oid) ",
    "ELSE pg_get_constraintdef(c.oid) END FROM pg_constraint c WHERE c.contype = 'c' AND c.conrelid >= 16384",
);
