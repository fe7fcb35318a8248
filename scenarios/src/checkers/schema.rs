//! A database's schema as sorted lines of text, for comparison.

use tokio_postgres::Client;

use crate::Result;
use crate::sql::rows;

/// Schemas that are the server's or the proxy's own.
pub(super) const NOT_OURS: &str = "n.nspname <> 'information_schema' and n.nspname <> 'raidb' and n.nspname !~ '^pg_'";

/// One line for each definition of a column, index, constraint, trigger, rule, policy, view, function, type and
/// sequence, for each relation's properties, owner and rights, each role, and each page of a large object.
pub(super) async fn schema_lines(client: &Client) -> Result<Vec<String>> {
    let of_tables = format!("from pg_class c join pg_namespace n on n.oid = c.relnamespace where {NOT_OURS}");
    let name = "quote_ident(n.nspname) || '.' || quote_ident(c.relname)";
    let queries = [
        format!(
            "select 'column ' || {name} || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) \
             || case when a.attnotnull then ' not null' else '' end \
             || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') || ' ' || a.attidentity::text || a.attgenerated::text \
             from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace \
             left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum \
             where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f') and {NOT_OURS}"
        ),
        format!("select 'index ' || pg_get_indexdef(c.oid) {of_tables} and c.relkind in ('i', 'I')"),
        format!("select 'view ' || {name} || ' ' || pg_get_viewdef(c.oid) {of_tables} and c.relkind in ('v', 'm')"),
        format!(
            "select 'sequence ' || {name} || ' ' || s.seqtypid::regtype::text || ' ' || s.seqstart || ' ' || s.seqincrement \
             || ' ' || s.seqmin || ' ' || s.seqmax || ' ' || s.seqcache || ' ' || s.seqcycle \
             from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace \
             where {NOT_OURS}"
        ),
        format!(
            "select 'constraint ' || k.conrelid::regclass::text || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid) \
             from pg_constraint k join pg_namespace n on n.oid = k.connamespace where {NOT_OURS}"
        ),
        format!(
            "select 'trigger ' || pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text from pg_trigger t \
             join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace \
             where not t.tgisinternal and {NOT_OURS}"
        ),
        format!(
            "select 'function ' || pg_get_functiondef(p.oid) from pg_proc p \
             join pg_namespace n on n.oid = p.pronamespace where p.prokind in ('f', 'p') and {NOT_OURS}"
        ),
        format!(
            "select 'type ' || format_type(t.oid, null) || ' ' || t.typtype::text || coalesce((select \
             string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid), '') \
             from pg_type t join pg_namespace n on n.oid = t.typnamespace where {NOT_OURS}"
        ),
        format!(
            "select 'rule ' || pg_get_ruledef(r.oid) || ' ' || r.ev_enabled::text from pg_rewrite r \
             join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace \
             where r.rulename <> '_RETURN' and {NOT_OURS}"
        ),
        format!(
            "select 'relation ' || {name} || ' ' || c.relkind::text || c.relpersistence::text || c.relreplident::text \
             || c.relrowsecurity::text || c.relforcerowsecurity::text || c.relispopulated::text || ' owner ' || pg_get_userbyid(c.relowner) \
             || coalesce(' options ' || c.reloptions::text, '') || coalesce(' access ' || c.relacl::text, '') \
             || coalesce(' comment ' || obj_description(c.oid, 'pg_class'), '') {of_tables}"
        ),
        format!(
            "select 'policy ' || k.polname || ' on ' || {name} || ' ' || k.polcmd::text || k.polpermissive::text || ' ' \
             || coalesce(pg_get_expr(k.polqual, c.oid), '') || ' ' || coalesce(pg_get_expr(k.polwithcheck, c.oid), '') \
             from pg_policy k join pg_class c on c.oid = k.polrelid join pg_namespace n on n.oid = c.relnamespace where {NOT_OURS}"
        ),
        format!(
            "select 'schema ' || n.nspname || ' owner ' || pg_get_userbyid(n.nspowner) || coalesce(' access ' || n.nspacl::text, '') \
             || coalesce(' comment ' || obj_description(n.oid, 'pg_namespace'), '') from pg_namespace n where {NOT_OURS}"
        ),
        "select 'role ' || rolname || ' ' || rolsuper::text || rolinherit::text || rolcreaterole::text || rolcreatedb::text \
         || rolcanlogin::text || ' ' || rolconnlimit || coalesce(' until ' || rolvaliduntil::text, '') from pg_roles \
         where rolname !~ '^pg_'"
            .to_owned(),
        "select 'membership ' || roleid::regrole::text || ' ' || member::regrole::text || admin_option::text \
         from pg_auth_members where roleid >= 16384"
            .to_owned(),
        "select 'large object ' || loid || ' ' || pageno || ' ' || md5(data) from pg_largeobject".to_owned(),
    ];
    let mut lines = Vec::new();
    for query in queries {
        let found = rows(client, &query).await?;
        lines.extend(found.into_iter().flatten().flatten());
    }
    lines.sort();
    Ok(lines)
}
