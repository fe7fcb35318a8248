//! The cases: Martin Kleppmann's Hermitage suite in the form for PostgreSQL, and a few more of its kind.
//!
//! `test` holds (1, 10) and (2, 20). Session 0 looks on outside a transaction; every other one begins before the first step.

/// A case: its name, and who says what, in order.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) steps: &'static [(usize, &'static str)],
}

const ALL_ROWS: &str = "select * from test order by id";
const ONE: &str = "select * from test where id = 1";
const TWO: &str = "select * from test where id = 2";
const BOTH: &str = "select * from test where id in (1, 2) order by id";
const BY_THREE: &str = "select * from test where value % 3 = 0 order by id";

pub(super) const CASES: &[Case] = &[
    Case {
        name: "g0",
        steps: &[
            (1, "update test set value = 11 where id = 1"),
            (2, "update test set value = 12 where id = 1"),
            (1, "update test set value = 21 where id = 2"),
            (1, "commit"),
            (0, ALL_ROWS),
            (2, "update test set value = 22 where id = 2"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "g1a",
        steps: &[
            (1, "update test set value = 101 where id = 1"),
            (2, ALL_ROWS),
            (1, "rollback"),
            (2, ALL_ROWS),
            (2, "commit"),
        ],
    },
    Case {
        name: "g1b",
        steps: &[
            (1, "update test set value = 101 where id = 1"),
            (2, ALL_ROWS),
            (1, "update test set value = 11 where id = 1"),
            (1, "commit"),
            (2, ALL_ROWS),
            (2, "commit"),
        ],
    },
    Case {
        name: "g1c",
        steps: &[
            (1, "update test set value = 11 where id = 1"),
            (2, "update test set value = 22 where id = 2"),
            (1, TWO),
            (2, ONE),
            (1, "commit"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "otv",
        steps: &[
            (1, "update test set value = 11 where id = 1"),
            (1, "update test set value = 19 where id = 2"),
            (2, "update test set value = 12 where id = 1"),
            (1, "commit"),
            (3, ONE),
            (2, "update test set value = 18 where id = 2"),
            (3, TWO),
            (2, "commit"),
            (3, TWO),
            (3, ONE),
            (3, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "pmp",
        steps: &[
            (1, "select * from test where value = 30"),
            (2, "insert into test(id, value) values (3, 30)"),
            (2, "commit"),
            (1, BY_THREE),
            (1, "commit"),
        ],
    },
    Case {
        name: "pmp_write",
        steps: &[
            (1, "update test set value = value + 10"),
            (2, "delete from test where value = 20"),
            (1, "commit"),
            (2, "select * from test where value = 20"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "p4",
        steps: &[
            (1, ONE),
            (2, ONE),
            (1, "update test set value = 11 where id = 1"),
            (2, "update test set value = 11 where id = 1"),
            (1, "commit"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "g_single",
        steps: &[
            (1, ONE),
            (2, ONE),
            (2, TWO),
            (2, "update test set value = 12 where id = 1"),
            (2, "update test set value = 18 where id = 2"),
            (2, "commit"),
            (1, TWO),
            (1, "commit"),
        ],
    },
    Case {
        name: "g_single_dependencies",
        steps: &[
            (1, "select * from test where value % 5 = 0 order by id"),
            (2, "update test set value = 12 where value = 10"),
            (2, "commit"),
            (1, BY_THREE),
            (1, "commit"),
        ],
    },
    Case {
        name: "g_single_write_1",
        steps: &[
            (1, ONE),
            (2, ALL_ROWS),
            (2, "update test set value = 12 where id = 1"),
            (2, "update test set value = 18 where id = 2"),
            (2, "commit"),
            (1, "delete from test where value = 20"),
            (1, ALL_ROWS),
            (1, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "g_single_write_2",
        steps: &[
            (1, ONE),
            (2, ALL_ROWS),
            (2, "update test set value = 12 where id = 1"),
            (1, "delete from test where value = 20"),
            (2, "update test set value = 18 where id = 2"),
            (1, "rollback"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "g2_item",
        steps: &[
            (1, BOTH),
            (2, BOTH),
            (1, "update test set value = 11 where id = 1"),
            (2, "update test set value = 21 where id = 2"),
            (1, "commit"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "g2",
        steps: &[
            (1, BY_THREE),
            (2, BY_THREE),
            (1, "insert into test(id, value) values (3, 30)"),
            (2, "insert into test(id, value) values (4, 42)"),
            (1, "commit"),
            (2, "commit"),
            (0, BY_THREE),
        ],
    },
    Case {
        name: "g2_two_edges",
        steps: &[
            (1, ALL_ROWS),
            (2, "update test set value = value + 5 where id = 2"),
            (2, "commit"),
            (3, ALL_ROWS),
            (3, "commit"),
            (1, "update test set value = 0 where id = 1"),
            (1, "commit"),
            (0, ALL_ROWS),
        ],
    },
    // Those from here on are not Hermitage's.
    Case {
        name: "same_key_inserted_commit",
        steps: &[
            (1, "insert into test(id, value) values (3, 30)"),
            (2, "insert into test(id, value) values (3, 31)"),
            (1, "commit"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "same_key_inserted_rollback",
        steps: &[
            (1, "insert into test(id, value) values (3, 30)"),
            (2, "insert into test(id, value) values (3, 31)"),
            (1, "rollback"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "same_key_upserted",
        steps: &[
            (1, "insert into test(id, value) values (3, 30)"),
            (2, "insert into test(id, value) values (3, 31) on conflict (id) do update set value = test.value + 100"),
            (1, "commit"),
            (2, ALL_ROWS),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "p4_for_update",
        steps: &[
            (1, "select * from test where id = 1 for update"),
            (2, "select * from test where id = 1 for update"),
            (1, "update test set value = value + 1 where id = 1"),
            (1, "commit"),
            (2, "update test set value = value + 1 where id = 1"),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
    Case {
        name: "deleted_under_an_update",
        steps: &[
            (1, "delete from test where id = 1"),
            (2, "update test set value = value + 1 where id = 1"),
            (1, "commit"),
            (2, ALL_ROWS),
            (2, "commit"),
            (0, ALL_ROWS),
        ],
    },
];
