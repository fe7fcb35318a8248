//! A text of SQL, from its cutting into statements to what followers would get.

use std::sync::OnceLock;

use raidb_core::sql::analysis::{Command, WriteForm};
use raidb_core::sql::catalog::Catalog;
use raidb_core::sql::key_hash::footprint_of;
use raidb_core::sql::literals::Literals;
use raidb_core::sql::parametrised::Parametrised;
use raidb_core::sql::skeleton::{Skeleton, is_shareable};
use raidb_core::sql::split::{end_of_last_token, split, start_of_token};
use raidb_core::sql::{Settings, analyse};

use crate::catalog::catalog;

/// The text as a simple query and as one statement, under both meanings of a backslash.
pub fn run(data: &[u8]) {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    let catalog = CATALOG.get_or_init(catalog);
    for standard_conforming_strings in [true, false] {
        let settings = Settings { search_path: vec!["public".to_owned()], standard_conforming_strings };
        statement(data, catalog, &settings);
        let pieces = split(data, standard_conforming_strings);
        let mut behind = 0;
        for piece in pieces {
            assert!(behind <= piece.start && piece.start < piece.end && piece.end <= data.len());
            behind = piece.end;
            statement(&data[piece], catalog, &settings);
        }
    }
}

fn statement(text: &[u8], catalog: &Catalog, settings: &Settings) {
    let standard = settings.standard_conforming_strings;
    assert!(end_of_last_token(text, standard) <= text.len());
    let analysis = analyse(text, catalog, settings);
    let skeleton = Skeleton::of(text, settings);
    if skeleton.is_some() && is_shareable(&analysis) {
        assert_eq!(skeleton, Skeleton::of(text, settings));
    }
    let literals = Literals::of(text, &analysis);
    match &analysis.command {
        Command::Write(write) => {
            let _ = footprint_of(&write.footprint, &write.table, &literals, &|_| None);
            if let WriteForm::Captured(capture) = &write.form {
                assert!(capture.columns.iter().all(|column| *column < write.table.columns.len()));
                assert!(capture.key_columns <= capture.columns.len());
            }
        }
        Command::RowLock(lock) => {
            if let Some(capture) = &lock.capture {
                assert!(start_of_token(text, capture.insert_before, standard) < text.len());
            }
        }
        Command::Prepare { inner, analysis, .. } => {
            assert!(*inner <= text.len());
            // Shared by EXECUTE: never a PREPARE again.
            assert!(!matches!(analysis.command, Command::Prepare { .. }));
        }
        _ => {}
    }
    if let Some(read) = Parametrised::of(text) {
        assert!(!read.parameters.is_empty());
    }
}
