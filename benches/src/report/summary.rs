//! One table: medians, and what matters more, ratios.

use crate::sample::{Cell, Measured, Sample, median};
use crate::targets::Name;
use std::collections::BTreeMap;

const HEAD: &str = "\
| load | clients | target | tps | p50 ms | p99 ms | to postgres | to three-at-once | to pgpool | failed |
|---|---:|---|---:|---:|---:|---:|---:|---:|---:|
";

pub(super) fn table(samples: &[Sample]) -> String {
    let mut cells: BTreeMap<&Cell, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        cells.entry(&sample.cell).or_default().push(sample);
    }
    let tps: BTreeMap<&Cell, f64> =
        cells.iter().filter_map(|(&cell, samples)| Some((cell, middle(samples, |measured| measured.tps)?))).collect();
    cells.iter().fold(HEAD.to_owned(), |text, (cell, samples)| text + &row(cell, samples, &tps))
}

fn row(cell: &Cell, samples: &[&Sample], tps: &BTreeMap<&Cell, f64>) -> String {
    let own = tps.get(cell).copied();
    let ratio = |other: Name| {
        let other = tps.get(&Cell { target: other, ..cell.clone() }).copied();
        own.zip(other).map(|(own, other)| own / other)
    };
    let errors = samples.iter().filter(|sample| sample.outcome.is_err()).count();
    let failed: u64 = samples.iter().filter_map(|s| s.outcome.as_ref().ok()).map(|m| m.failed).sum();
    let failures = if errors == 0 { failed.to_string() } else { format!("{errors} of {} runs", samples.len()) };
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {failures} |\n",
        cell.load.name(),
        cell.clients,
        cell.target.as_str(),
        shown(own, 0),
        shown(middle(samples, |measured| measured.p50_ms), 2),
        shown(middle(samples, |measured| measured.p99_ms), 2),
        shown(ratio(Name::Postgres), 2),
        shown(ratio(Name::ThreeAtOnce), 2),
        shown(ratio(Name::Pgpool), 2),
    )
}

fn middle(samples: &[&Sample], value: fn(&Measured) -> f64) -> Option<f64> {
    median(samples.iter().filter_map(|sample| Some(value(sample.outcome.as_ref().ok()?))).collect())
}

fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Load;

    fn sample(target: Name, outcome: Result<f64, &str>) -> Sample {
        let outcome = outcome.map(|tps| Measured { tps, failed: 0, p50_ms: 1.0, p99_ms: 2.0 }).map_err(str::to_owned);
        Sample { cell: Cell { load: Load::Insert, clients: 8, target }, run: 1, outcome }
    }

    #[test]
    fn ratios_and_failures() {
        let samples =
            [sample(Name::Pgpool, Ok(100.0)), sample(Name::Raidb, Ok(250.0)), sample(Name::Postgres, Err("it died"))];
        let table = table(&samples);
        assert!(table.contains("| insert | 8 | raidb | 250 | 1.00 | 2.00 | – | – | 2.50 | 0 |"), "{table}");
        assert!(table.contains("| insert | 8 | postgres | – | – | – | – | – | – | 1 of 1 runs |"), "{table}");
    }
}
