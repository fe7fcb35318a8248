//! The queries of `raidb check`. Each returns name and value, both as text.
//!
//! Left out everywhere: the server's own schemas, temporary ones, and `raidb`, which holds each member's
//! own applied marker. Names come quoted from the server (`format('%I.%I', …)`).

use std::fmt;

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// Version of the server.
    Version,
    /// Encoding and collation of the database.
    Database,
    /// Versions of the collations.
    Collation,
    /// Settings that change what a statement means or shows.
    Setting,
    /// Installed extensions.
    Extension,
    /// Tables, views and the like.
    Relation,
    /// Columns.
    Column,
    /// Indexes.
    Index,
    /// Constraints.
    Constraint,
    /// Triggers.
    Trigger,
    /// Functions and procedures, by a hash of their definition.
    Function,
    /// Definitions of sequences.
    Sequence,
    /// Where sequences stand.
    SequenceValue,
    /// Rows of each table.
    Rows,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "version",
            Self::Database => "database",
            Self::Collation => "collation",
            Self::Setting => "setting",
            Self::Extension => "extension",
            Self::Relation => "relation",
            Self::Column => "column",
            Self::Index => "index",
            Self::Constraint => "constraint",
            Self::Trigger => "trigger",
            Self::Function => "function",
            Self::Sequence => "sequence",
            Self::SequenceValue => "sequence at",
            Self::Rows => "rows",
        })
    }
}

/// Run after the settings were read: from here on the server writes names with their schema.
pub(super) const QUALIFY_NAMES: &str = "SET search_path = pg_catalog";

/// Tables whose rows are counted; a partition counts by itself.
pub(super) const COUNTED_TABLES: &str = "
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'raidb') AND n.nspname !~ '^pg_(toast|temp)'
ORDER BY 1";

/// What is asked, in order. Settings come before [`QUALIFY_NAMES`], everything with names after it.
pub(super) const TOPICS: [(Topic, &str); 13] = [
    (Topic::Version, "SELECT 'server', current_setting('server_version_num')"),
    (
        Topic::Database,
        "SELECT v.name, v.value FROM pg_database d, LATERAL (VALUES
           ('encoding', pg_encoding_to_char(d.encoding)), ('datcollate', d.datcollate), ('datctype', d.datctype)
         ) v(name, value) WHERE d.datname = current_database()",
    ),
    (
        Topic::Collation,
        "SELECT 'provider', d.datlocprovider::text FROM pg_database d WHERE d.datname = current_database()
         UNION ALL
         SELECT 'collversion', coalesce(pg_database_collation_actual_version(d.oid), '')
         FROM pg_database d WHERE d.datname = current_database()
         UNION ALL
         SELECT format('%I.%I', n.nspname, c.collname), coalesce(pg_collation_actual_version(c.oid), '')
         FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')",
    ),
    (
        Topic::Setting,
        "SELECT name, current_setting(name) FROM unnest(ARRAY[
           'TimeZone', 'DateStyle', 'IntervalStyle', 'search_path', 'standard_conforming_strings', 'bytea_output',
           'extra_float_digits', 'lc_monetary', 'lc_numeric', 'lc_time', 'default_text_search_config', 'xmloption',
           'default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable',
           'default_tablespace', 'default_table_access_method', 'array_nulls', 'backslash_quote',
           'quote_all_identifiers', 'transform_null_equals', 'session_replication_role', 'row_security',
           'integer_datetimes', 'max_identifier_length', 'max_prepared_transactions']) name",
    ),
    (Topic::Extension, "SELECT extname, extversion FROM pg_extension"),
    (
        Topic::Relation,
        "SELECT format('%I.%I', n.nspname, c.relname),
           CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
             WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE c.relkind::text END
           || CASE WHEN c.relpersistence = 'u' THEN ', unlogged' ELSE '' END
           || CASE WHEN c.relispartition THEN ', ' || pg_get_expr(c.relpartbound, c.oid) ELSE '' END
           || CASE WHEN c.relrowsecurity THEN ', row security' ELSE '' END
           || CASE WHEN c.relkind IN ('v', 'm') THEN ', ' || md5(pg_get_viewdef(c.oid)) ELSE '' END
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'raidb') AND n.nspname !~ '^pg_(toast|temp)'",
    ),
    (
        Topic::Column,
        "SELECT format('%I.%I.%I', n.nspname, c.relname, a.attname),
           format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
           || CASE WHEN a.attcollation <> t.typcollation THEN ' collate ' || l.collname ELSE '' END
           || CASE a.attidentity WHEN 'a' THEN ' identity always' WHEN 'd' THEN ' identity' ELSE '' END
           || CASE WHEN a.attgenerated <> '' THEN ' generated' ELSE '' END
           || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_type t ON t.oid = a.atttypid
           LEFT JOIN pg_collation l ON l.oid = a.attcollation
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attnum > 0 AND NOT a.attisdropped
           AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'raidb') AND n.nspname !~ '^pg_(toast|temp)'",
    ),
    (
        Topic::Index,
        "SELECT format('%I.%I', n.nspname, c.relname),
           pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ', invalid' END
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'raidb') AND n.nspname !~ '^pg_(toast|temp)'",
    ),
    (
        Topic::Constraint,
        "SELECT coalesce(o.conrelid::regclass::text, o.contypid::regtype::text) || '.' || quote_ident(o.conname),
           pg_get_constraintdef(o.oid) || CASE WHEN o.convalidated THEN '' ELSE ', not validated' END
         FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'raidb') AND n.nspname !~ '^pg_(toast|temp)'",
    ),
    (
        Topic::Trigger,
        "SELECT t.tgrelid::regclass::text || '.' || quote_ident(t.tgname),
           pg_get_triggerdef(t.oid) || ', ' || t.tgenabled
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT t.tgisinternal AND n.nspname <> 'raidb'",
    ),
    (
        Topic::Function,
        "SELECT p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid))
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.prokind IN ('f', 'p', 'w')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'raidb') AND n.nspname !~ '^pg_(toast|temp)'
           AND NOT EXISTS (SELECT FROM pg_depend d
             WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')",
    ),
    (
        Topic::Sequence,
        "SELECT format('%I.%I', schemaname, sequencename),
           format('%s from %s to %s by %s, start %s, cache %s%s', data_type, min_value, max_value, increment_by,
             start_value, cache_size, CASE WHEN cycle THEN ', cycle' ELSE '' END)
         FROM pg_sequences WHERE schemaname <> 'raidb'",
    ),
    (
        Topic::SequenceValue,
        "SELECT format('%I.%I', schemaname, sequencename), coalesce(last_value::text, 'unused')
         FROM pg_sequences WHERE schemaname <> 'raidb'",
    ),
];
