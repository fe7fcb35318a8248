//! The record of a run: `summary.md` for people, `raw.csv` for programs, `settings.txt` for whoever doubts it.

mod raw;
mod settings;
mod summary;

use crate::options::Options;
use crate::programs;
use crate::sample::Sample;
use scenarios::{Failure, Result};
use std::path::{Path, PathBuf};

/// Writes all three files and prints the table.
pub(crate) fn write(options: &Options, bin: &Path, notes: Vec<(&str, String)>, samples: &[Sample]) -> Result<()> {
    let dir = options.out.clone().map_or_else(default_dir, Ok)?;
    std::fs::create_dir_all(&dir)?;
    let settings = settings::text(options, bin, notes);
    let table = summary::table(samples);
    save(&dir.join("raw.csv"), &raw::csv(samples))?;
    save(&dir.join("settings.txt"), &settings)?;
    save(&dir.join("summary.md"), &format!("# Benchmark\n\n```text\n{settings}```\n\n{table}"))?;
    println!("{table}\nrecord: {}", dir.display());
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<()> {
    Ok(std::fs::write(path, text)?)
}

/// `benches/runs/<date>-<host>`, with a number behind it when that day already has one.
fn default_dir() -> Result<PathBuf> {
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("runs");
    let name = format!("{}-{}", programs::first_line("date", &["-u", "+%F"]), programs::first_line("uname", &["-n"]));
    let candidates = std::iter::once(name.clone()).chain((2..1000).map(|n| format!("{name}-{n}")));
    candidates
        .map(|name| runs.join(name))
        .find(|dir| !dir.exists())
        .ok_or_else(|| Failure::new("too many runs today; name a folder with --out"))
}
