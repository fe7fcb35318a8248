//! Analyses by text: prepared statements are judged once, not once a session.

use std::sync::Arc;

use quick_cache::sync::Cache;
use raidb_core::sql::analysis::Analysis;
use raidb_core::sql::catalog::Catalog;
use raidb_core::sql::{Settings, analyse};

/// Texts kept; the least used go first.
const ANALYSES_MAX: usize = 4096;

/// What an analysis depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    catalog: u64,
    settings: Settings,
    text: Box<[u8]>,
}

/// See the module.
pub struct Analyses(Cache<Key, Arc<Analysis>>);

impl Default for Analyses {
    fn default() -> Self {
        Analyses(Cache::new(ANALYSES_MAX))
    }
}

impl Analyses {
    /// The analysis of a text under these settings and this catalog.
    #[must_use]
    pub fn get(&self, text: &[u8], settings: &Settings, catalog: &Catalog) -> Arc<Analysis> {
        let key = Key { catalog: catalog.version, settings: settings.clone(), text: text.into() };
        if let Some(known) = self.0.get(&key) {
            return known;
        }
        let analysis = Arc::new(analyse(text, catalog, settings));
        self.0.insert(key, analysis.clone());
        analysis
    }
}
