//! What is known of functions by name: which stable ones every member computes alike, which volatile ones have no
//! effect, and which have effects that even a READ ONLY transaction lets through.
//!
//! The lists name built-in functions of PostgreSQL 12 to 18. A name that is on no list is judged by its volatility:
//! immutable is deterministic; stable has no effect but is known to the lead alone; volatile is not trusted.

use super::analysis::{Refusal, Severity};

/// Stable only because they read settings (TimeZone, DateStyle, lc_*) that are the same on all connections of a
/// session. `now`-like functions, catalog look-ups and text search with a default configuration are not among them,
/// nor are functions that turn text into dates, since the text may be `now`.
const SETTINGS_ONLY: &[&str] = &[
    "anytextcat",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "date_cmp_timestamptz",
    "date_part",
    "date_trunc",
    "extract",
    "format",
    "generate_series",
    "in_range",
    "interval_pl_timestamptz",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "length",
    "make_timestamptz",
    "money",
    "numeric",
    "overlaps",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "textanycat",
    "timestamptz_mi_interval",
    "timestamptz_pl_interval",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "xml",
];

/// Volatile, without effect on data or on other sessions.
const HARMLESS_VOLATILE: &[&str] = &[
    "clock_timestamp",
    "current_query",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "random",
    "random_normal",
    "setseed",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "timeofday",
    "currval",
    "lastval",
    "pg_blocking_pids",
    "pg_collation_actual_version",
    "pg_control_checkpoint",
    "pg_control_init",
    "pg_control_recovery",
    "pg_control_system",
    "pg_current_logfile",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_notification_queue_usage",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_relation_size",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_last_value",
    "pg_show_all_file_settings",
    "pg_hba_file_rules",
    "pg_stat_clear_snapshot",
    "pg_stat_get_xact_blocks_fetched",
    "pg_stat_get_xact_blocks_hit",
    "pg_stat_get_xact_function_calls",
    "pg_stat_get_xact_function_self_time",
    "pg_stat_get_xact_function_total_time",
    "pg_stat_get_xact_numscans",
    "pg_stat_get_xact_tuples_deleted",
    "pg_stat_get_xact_tuples_fetched",
    "pg_stat_get_xact_tuples_hot_updated",
    "pg_stat_get_xact_tuples_inserted",
    "pg_stat_get_xact_tuples_returned",
    "pg_stat_get_xact_tuples_updated",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_xact_status",
    "txid_status",
    "pg_prepared_xact",
    "pg_show_replication_origin_status",
];

/// Declared stable, yet they have an effect (a transaction id) or run SQL given as text.
const STABLE_WITH_EFFECTS: &[&str] = &[
    "txid_current",
    "pg_current_xact_id",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "ts_stat",
    "ts_rewrite",
];

/// Words that are function calls without parentheses.
pub(crate) const SPECIAL_VALUES: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "current_role",
    "session_user",
    "user",
    "system_user",
    "current_catalog",
    "current_schema",
];

/// Types whose values are object identifiers of one member.
pub(crate) const OBJECT_ID_TYPES: &[&str] = &[
    "regclass",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regtype",
    "regrole",
    "regnamespace",
    "regconfig",
    "regdictionary",
    "regcollation",
];

/// System columns whose values differ between members.
pub(crate) const SYSTEM_COLUMNS: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// Date and time types, whose input takes `now` and the like.
pub(crate) const DATE_TIME_TYPES: &[&str] = &["timestamp", "timestamptz", "date", "time", "timetz"];

/// Aggregates and window functions whose result may depend on the order of the rows.
const ORDER_DEPENDENT: &[&str] = &[
    "array_agg",
    "string_agg",
    "xmlagg",
    "sum",
    "avg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "var_samp",
    "corr",
    "covar_pop",
    "covar_samp",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "range_agg",
    "any_value",
    "json_arrayagg",
    "json_objectagg",
];

/// Whether every member computes the same from the same arguments although it is declared stable.
pub(crate) fn settings_only(name: &str) -> bool {
    SETTINGS_ONLY.contains(&name)
}

/// Whether it has no effect although it is declared volatile.
pub(crate) fn harmless(name: &str) -> bool {
    HARMLESS_VOLATILE.contains(&name) || name.starts_with("pg_ls_") || name.starts_with("pg_get_wal_")
}

/// Whether it may have an effect although it is declared stable.
pub(crate) fn runs_text(name: &str) -> bool {
    STABLE_WITH_EFFECTS.contains(&name)
}

/// Whether its result may depend on the order in which it meets rows.
pub(crate) fn order_dependent(name: &str) -> bool {
    ORDER_DEPENDENT.contains(&name) || name.starts_with("regr_")
}

/// Why a function must not be called through the proxy, if so.
pub(crate) fn denied(name: &str) -> Option<Refusal> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|p| name.starts_with(p));
    let hint = if (name.starts_with("lo_") && name != "lo_get") || matches!(name, "lowrite" | "loread") {
        "large objects are not replicated: keep the bytes in a bytea column"
    } else if starts(&["pg_advisory", "pg_try_advisory"]) {
        "send SELECT pg_advisory_lock(…) and its like alone, with constants or parameters as arguments"
    } else if name == "pg_notify" {
        "send SELECT pg_notify('channel', 'payload') alone, with constants or parameters, or NOTIFY"
    } else if name == "pg_listening_channels" {
        "the proxy listens, no member does: remember in the application what it listens to"
    } else if starts(&["dblink", "postgres_fdw_"]) {
        "what it does on the other server would be done once for each member: connect to that server directly"
    } else if matches!(name, "pg_terminate_backend" | "pg_cancel_backend" | "pg_log_backend_memory_contexts") {
        "process ids belong to one member: connect to that member, or use raidb's admin interface"
    } else if name == "set_config" {
        "use SET or SET LOCAL, or SELECT set_config('name', 'value', false) alone with constants"
    } else if starts(&[
        "pg_logical_",
        "pg_replication_",
        "pg_stat_reset",
        "pg_wal_replay_",
        "pg_backup_",
        "pg_start_backup",
        "pg_stop_backup",
        "binary_upgrade_",
        "pg_rotate_logfile",
        "pg_file_",
        "pg_create_",
        "pg_copy_logical",
        "pg_copy_physical",
        "pg_drop_replication",
        "brin_summarize",
        "brin_desummarize",
        "pg_sync_replication",
    ]) || matches!(
        name,
        "pg_reload_conf"
            | "pg_switch_wal"
            | "pg_promote"
            | "pg_import_system_collations"
            | "pg_logfile_rotate"
            | "gin_clean_pending_list"
            | "pg_extension_config_dump"
            | "pg_nextoid"
            | "pg_export_snapshot"
            | "pg_stat_force_next_flush"
            | "pg_set_attribute_stats"
            | "pg_restore_relation_stats"
    ) {
        "it administers one server: connect to that member directly"
    } else {
        return None;
    };
    Some(Refusal {
        severity: Severity::Impossible,
        reason: format!("{name}() has effects that cannot be replicated"),
        hint: hint.to_owned(),
    })
}

/// Whether a text could mean the current time when it is read as a date or time: PostgreSQL takes `now`, `today`,
/// `tomorrow` and `yesterday` there, alone or among other words. A parameter in text format can hold it as well:
/// the session asks this of parameters bound to date and time columns.
#[must_use]
pub fn may_mean_now(text: &[u8]) -> bool {
    /// PostgreSQL's date input reads no longer texts (MAXDATELEN and MAXDATEFIELDS).
    const DATE_BYTES_MAX: usize = 160;
    text.len() <= DATE_BYTES_MAX && names_now(text)
}

/// The same of a text of any length.
pub(crate) fn names_now(text: &[u8]) -> bool {
    text.split(|b| !b.is_ascii_alphabetic()).any(|word| match word.len() {
        3 => word.eq_ignore_ascii_case(b"now"),
        5 => word.eq_ignore_ascii_case(b"today"),
        8 => word.eq_ignore_ascii_case(b"tomorrow"),
        9 => word.eq_ignore_ascii_case(b"yesterday"),
        _ => false,
    })
}
