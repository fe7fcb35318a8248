//! Analyses kept: a text is judged once, not once a session, and texts that differ only in their literals share one.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use raidb_core::sql::analysis::Analysis;
use raidb_core::sql::catalog::Catalog;
use raidb_core::sql::skeleton::{Skeleton, is_shareable};
use raidb_core::sql::{Settings, analyse};

/// Analyses kept; the least used go first.
const ANALYSES_MAX: usize = 4096;
/// Bytes that they may take, as far as they grow with their texts; the least used go first.
const ANALYSES_BYTES_MAX: u64 = 64 << 20;
/// What an analysis takes, in lengths of its text.
const ANALYSIS_FACTOR: usize = 4;

/// What an analysis depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    catalog: u64,
    settings: Arc<Settings>,
    of: Of,
}

/// What has one analysis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Of {
    /// One text.
    Text(Box<[u8]>),
    /// All texts with this skeleton.
    Shape(Skeleton),
}

/// Weighs bytes, and at least so many that the most that fit are [`ANALYSES_MAX`].
#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Key, Arc<Analysis>> for Bytes {
    fn weight(&self, key: &Key, _: &Arc<Analysis>) -> u64 {
        let text = match &key.of {
            Of::Text(text) => text.len(),
            Of::Shape(skeleton) => skeleton.size(),
        };
        ((text * (1 + ANALYSIS_FACTOR)) as u64).max(ANALYSES_BYTES_MAX / ANALYSES_MAX as u64)
    }
}

/// See the module.
pub struct Analyses(Cache<Key, Arc<Analysis>, Bytes>);

impl Default for Analyses {
    fn default() -> Self {
        Analyses(Cache::with_weighter(ANALYSES_MAX, ANALYSES_BYTES_MAX, Bytes))
    }
}

impl Analyses {
    /// The analysis of a text under these settings and this catalog. `keep`: the text is likely to come again as it is,
    /// so that it is also kept if it shares its analysis with no other.
    #[must_use]
    pub fn get(&self, text: &[u8], keep: bool, settings: &Arc<Settings>, catalog: &Catalog) -> Arc<Analysis> {
        let key = |of| Key { catalog: catalog.version, settings: settings.clone(), of };
        let shape = Skeleton::of(text, settings).map(|skeleton| key(Of::Shape(skeleton)));
        if let Some(known) = shape.as_ref().and_then(|shape| self.0.get(shape)) {
            return known;
        }
        let exact = keep.then(|| key(Of::Text(text.into())));
        if let Some(known) = exact.as_ref().and_then(|exact| self.0.get(exact)) {
            return known;
        }
        let analysis = Arc::new(analyse(text, catalog, settings));
        if let Some(key) = shape.filter(|_| is_shareable(&analysis)).or(exact) {
            self.0.insert(key, analysis.clone());
        }
        analysis
    }

    /// More is known of a text, or of all texts of its shape, than it tells: this is its analysis.
    pub fn learn(&self, text: &[u8], settings: &Arc<Settings>, catalog: &Catalog, analysis: Arc<Analysis>) {
        let of = match Skeleton::of(text, settings).filter(|_| is_shareable(&analysis)) {
            Some(skeleton) => Of::Shape(skeleton),
            None => Of::Text(text.into()),
        };
        self.0.insert(Key { catalog: catalog.version, settings: settings.clone(), of }, analysis);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_one_shape_share_an_analysis() {
        let analyses = Analyses::default();
        let catalog = Catalog { version: 1, ..Catalog::default() };
        let settings = Arc::new(Settings { search_path: Vec::new(), standard_conforming_strings: true });
        let same = |a: &str, b: &str, keep| {
            let get = |text: &str| analyses.get(text.as_bytes(), keep, &settings, &catalog);
            Arc::ptr_eq(&get(a), &get(b))
        };
        assert!(same("select 1 + 'a'", "select  22 + /* x */ ''", false));
        assert!(!same("select 1", "select 'a'", false));
        assert!(!same("select 1 from nowhere", "select 1 from nowhere", false));
        assert!(same("select 1 from nowhere", "select 1 from nowhere", true));
        assert!(!same("select 'now'", "select 'now'", false));
        assert!(!same("begin", "begin", false));
        let later = Catalog { version: 2, ..Catalog::default() };
        let under = |catalog| analyses.get(b"select 1", false, &settings, catalog);
        assert!(!Arc::ptr_eq(&under(&catalog), &under(&later)));
    }
}
