//! The catalog from rows as a server gives them.

use super::super::catalog::{ColumnDefault, Volatility};
use super::*;

type Rows = Vec<Vec<Option<String>>>;

/// Rows from lines of fields separated by `|`; `~` is NULL.
fn rows(lines: &[&str]) -> Rows {
    let field = |f: &str| (f != "~").then(|| f.to_owned());
    lines.iter().map(|line| line.split('|').map(field).collect()).collect()
}

fn results() -> Vec<Rows> {
    vec![
        rows(&["public"]),
        rows(&["pg_catalog"]),
        rows(&["f|f|2|f|f", "uuid_generate_v4|f|2|t|f"]),
        rows(&["~=="]),
        rows(&["f|t|t|t|f|t|t"]),
        rows(&[
            "16400|public|parent|r|f|f|f|f|2|f",
            "16401|public|child|r|f|f|f|t|0|t",
            "16402|public|v|v|f|f|f|f|0|f",
            "16403|public|w|v|f|f|f|f|0|f",
            "1259|pg_catalog|pg_class|r|f|f|f|f|0|f",
        ]),
        rows(&[
            "16400|1|id|integer|23|t|||~|t|f",
            "16400|3|at|timestamp with time zone|1184|f|||now()|t|f",
            "16401|1|id|integer|23|t||a|~|t|f",
            "16401|2|a|text|25|f|||public.uuid_generate_v4()|t|f",
            "16401|3|b|text|25|f|||public.f()|t|f",
            "16401|4|c|text|25|f|s||lower('x'::text)|t|f",
            "16401|5|d|text|25|f|||lower('X'::text)|f|f",
        ]),
        rows(&["16400|t|t|1|1", "16400|f|t|3|3 1", "16401|t|t|1|0"]),
        rows(&["f|16401|16400|t", "v|16403|16402|f"]),
        rows(&["16402|f", "16402|t"]),
        rows(&["16401|1|public|child_id_seq"]),
        rows(&["16401|CHECK ((at < now()))"]),
    ]
}

#[test]
fn a_catalog_from_rows() {
    let builtins = parse_builtins(&[rows(&["now|1", "lower|0", "nextval|2"])]).expect("builtins");
    let catalog = parse(&results(), &builtins).expect("a catalog");
    let find = |name: &str| catalog.resolve(None, name, &catalog.default_search_path).expect("a table").clone();
    let (parent, child) = (find("parent"), find("child"));
    assert_eq!(parent.group, child.group);
    assert!(parent.has_deferrable && parent.has_foreign_keys && !parent.inherits);
    assert!(parent.captured && !parent.fires_on_replica && !child.captured && child.fires_on_replica);
    assert_eq!((parent.keys.len(), parent.unique_indexes), (1, 2));
    assert_eq!((&parent.unique_columns[..], &child.unique_columns[..]), (&[0, 1][..], &[0, 1, 2, 3, 4][..]));
    assert_eq!(parent.columns[1].default, ColumnDefault::LeadOnly);
    let defaults: Vec<_> = child.columns.iter().map(|c| c.default.clone()).collect();
    use ColumnDefault::{Generated, Immutable, LeadOnly, Unproven};
    assert_eq!(defaults, [LeadOnly, LeadOnly, Unproven, Generated, Immutable]);
    assert!(child.has_user_functions, "a check with now() is not the same everywhere");
    assert_eq!(child.sequences, [(0, "\"public\".\"child_id_seq\"".to_owned())]);
    assert!(find("v").has_user_functions && find("w").has_user_functions && find("w").calls_volatile);
    assert!(
        catalog.user_operators.contains("~==")
            && !catalog.user_types
            && catalog.probe_tells_little
            && catalog.temporary_others
            && catalog.advisory_functions
            && catalog.notifying_functions
            && catalog.policies_may_write
    );
    assert_eq!(catalog.functions.get("now").expect("now").volatility, Volatility::Stable);
    assert!(catalog.resolve(None, "pg_class", &[]).is_some());
}

#[test]
fn wrong_results_are_errors() {
    let builtins = parse_builtins(&[rows(&[])]).expect("builtins");
    assert_eq!(parse(&[], &builtins).err(), Some(CatalogError::Results(0)));
    let mut wrong = results();
    wrong[5][0][0] = None;
    assert!(matches!(parse(&wrong, &builtins), Err(CatalogError::Value { result: 5, column: 0, value: None })));
}
