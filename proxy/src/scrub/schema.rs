//! Everything in a database but rows and the state of sequences, as lines of text that are equal if and only if the members
//! are. A difference here is not repaired: tables could not take the rows, or would mean something else by them.
//!
//! Roles belong to the server, not to the database, and are not looked at; a right that is given to a role is.

use std::collections::BTreeSet;

use super::ScrubError;
use super::connection::Connection;
use super::tables::USERS_SCHEMAS;

/// Differing lines that an error shows.
const LINES_SHOWN: usize = 3;
/// Characters of each.
const LINE_CHARS_SHOWN: usize = 160;

/// Rights, in an order of their own: they are kept in the order in which they were given. (Rights that were given and taken
/// leave in writing what holds without a word, hence `acldefault` below.)
fn rights(acl: &str) -> String {
    format!("(SELECT string_agg(g::text, ',' ORDER BY g::text COLLATE \"C\") FROM unnest({acl}) g)")
}

/// One query for each kind of thing; each gives one text for each thing.
fn queries() -> Vec<String> {
    let mut queries = relations();
    queries.extend(code());
    queries.extend(others());
    queries
}

/// Tables and what belongs to them. `c`: the relation, `n`: its schema.
fn relations() -> Vec<String> {
    let of_relation =
        format!("JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't' AND {USERS_SCHEMAS}");
    let name = "format('%I.%I', n.nspname, c.relname)";
    vec![
        format!(
            "SELECT concat_ws(' ', 'relation', {name}, c.relkind, c.relpersistence, 'owner', pg_get_userbyid(c.relowner), \
               c.reloptions::text, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.relispopulated, {}, \
               pg_get_expr(c.relpartbound, c.oid), CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, \
               CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, \
               (SELECT string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid)) \
             FROM pg_class c {of_relation} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')",
            rights("coalesce(c.relacl, acldefault('r', c.relowner))")
        ),
        format!(
            "SELECT concat_ws(' ', 'column', {name}, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), quote_ident(a.attname), \
               format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attcollation::regcollation, \
               pg_get_expr(d.adbin, d.adrelid), {}) \
             FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped \
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum {of_relation} \
             AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')",
            rights("a.attacl")
        ),
        format!(
            "SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisreplident) \
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid {of_relation}"
        ),
        format!(
            "SELECT concat_ws(' ', 'constraint', nullif(o.conrelid, 0)::regclass, nullif(o.contypid, 0)::regtype, \
               quote_ident(o.conname), pg_get_constraintdef(o.oid), o.convalidated) \
             FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace WHERE {USERS_SCHEMAS}"
        ),
        format!(
            "SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled) \
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid {of_relation} AND NOT t.tgisinternal"
        ),
        format!(
            "SELECT concat_ws(' ', 'rule', pg_get_ruledef(r.oid), r.ev_enabled) \
             FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class {of_relation} AND r.rulename <> '_RETURN'"
        ),
        format!(
            "SELECT concat_ws(' ', 'policy', {name}, quote_ident(p.polname), p.polcmd, p.polpermissive, \
               ARRAY(SELECT pg_get_userbyid(r) FROM unnest(p.polroles) r ORDER BY 1)::text, \
               pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) \
             FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid {of_relation}"
        ),
        format!(
            "SELECT concat_ws(' ', 'sequence', {name}, pg_get_userbyid(c.relowner), s.seqtypid::regtype, s.seqstart, s.seqincrement, \
               s.seqmin, s.seqmax, s.seqcache, s.seqcycle, {}, (SELECT d.refobjid::regclass || '.' || d.refobjsubid FROM pg_depend d \
               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass \
               AND d.deptype IN ('a', 'i') LIMIT 1)) \
             FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid {of_relation}",
            rights("coalesce(c.relacl, acldefault('s', c.relowner))")
        ),
    ]
}

/// Functions and types.
fn code() -> Vec<String> {
    vec![
        format!(
            "SELECT concat_ws(' ', 'function', p.oid::regprocedure, p.prokind, pg_get_userbyid(p.proowner), {}, \
               CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END) \
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {USERS_SCHEMAS}",
            rights("coalesce(p.proacl, acldefault('f', p.proowner))")
        ),
        format!(
            "SELECT concat_ws(' ', 'aggregate', a.aggfnoid::regprocedure, a.aggkind, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, \
               a.aggtranstype::regtype, a.agginitval, a.aggsortop::regoperator) \
             FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace \
             WHERE {USERS_SCHEMAS}"
        ),
        format!(
            "SELECT concat_ws(' ', 'type', format_type(t.oid, NULL), t.typtype, pg_get_userbyid(t.typowner), \
               format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull, t.typdefault, t.typcollation::regcollation, {}, \
               (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid), \
               (SELECT concat_ws(' ', r.rngsubtype::regtype, r.rngcollation::regcollation, r.rngcanonical, r.rngsubdiff) \
                FROM pg_range r WHERE r.rngtypid = t.oid)) \
             FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {USERS_SCHEMAS}",
            rights("coalesce(t.typacl, acldefault('T', t.typowner))")
        ),
    ]
}

/// The rest; rare things by their names.
fn others() -> Vec<String> {
    let by_name = [
        "pg_cast",
        "pg_collation",
        "pg_conversion",
        "pg_event_trigger",
        "pg_foreign_data_wrapper",
        "pg_foreign_server",
        "pg_language",
        "pg_operator",
        "pg_opclass",
        "pg_opfamily",
        "pg_publication",
        "pg_publication_rel",
        "pg_transform",
        "pg_ts_config",
        "pg_ts_dict",
        "pg_ts_parser",
        "pg_ts_template",
        "pg_user_mapping",
    ];
    // What initdb made has a number below this.
    let named = |catalog: &str| {
        format!("SELECT pg_describe_object('{catalog}'::regclass, oid, 0) FROM {catalog} WHERE oid >= 16384")
    };
    let mut queries: Vec<String> = by_name.into_iter().map(named).collect();
    queries.extend([
        format!(
            "SELECT concat_ws(' ', 'schema', quote_ident(n.nspname), pg_get_userbyid(n.nspowner), {}) FROM pg_namespace n \
             WHERE {USERS_SCHEMAS}",
            rights("coalesce(n.nspacl, acldefault('n', n.nspowner))")
        ),
        format!(
            "SELECT concat_ws(' ', 'default rights', pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype, {}) \
             FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace",
            rights("d.defaclacl")
        ),
        format!(
            "SELECT concat_ws(' ', 'statistics', pg_get_statisticsobjdef(s.oid)) FROM pg_statistic_ext s \
             JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {USERS_SCHEMAS}"
        ),
        "SELECT concat_ws(' ', 'extension', extname, extversion, extnamespace::regnamespace) FROM pg_extension".into(),
        "SELECT concat_ws(' ', 'comment', pg_describe_object(classoid, objoid, objsubid), description) FROM pg_description \
         WHERE objoid >= 16384"
            .into(),
        "SELECT concat_ws(' ', 'setting', setrole::regrole, setconfig::text) FROM pg_db_role_setting \
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
            .into(),
        "SELECT concat_ws(' ', 'database', encoding, datcollate, datctype, to_jsonb(d) ->> 'datlocprovider', \
           to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale', \
           pg_database_collation_actual_version(oid)) FROM pg_database d WHERE datname = current_database()"
            .into(),
    ]);
    queries
}

/// Compares.
pub(super) async fn compare(base: &mut Connection, target: &mut Connection) -> Result<(), ScrubError> {
    let mut here = BTreeSet::new();
    let mut there = BTreeSet::new();
    for query in queries() {
        let (a, b) = tokio::join!(base.rows("schema", &query), target.rows("schema", &query));
        here.extend(a?.into_iter().flatten().flatten());
        there.extend(b?.into_iter().flatten().flatten());
    }
    let only_here = here.difference(&there).map(|line| (base.member(), line));
    let only_there = there.difference(&here).map(|line| (target.member(), line));
    let mut lines: Vec<String> = only_here
        .chain(only_there)
        .map(|(member, line)| {
            format!("only on \"{member}\": {}", line.chars().take(LINE_CHARS_SHOWN).collect::<String>())
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let all = lines.len();
    lines.truncate(LINES_SHOWN);
    Err(ScrubError::NeedsCopy(format!("the schemas differ in {all} places: {}", lines.join("; "))))
}
