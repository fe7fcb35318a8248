//! On what was measured: machine, versions, commit.

use crate::members::SETTINGS;
use crate::options::Options;
use crate::programs::first_line;
use std::path::Path;

pub(super) fn text(options: &Options, bin: &Path, notes: Vec<(&str, String)>) -> String {
    let mut lines = vec![
        ("date".to_owned(), first_line("date", &["-u", "+%FT%TZ"])),
        ("commit".to_owned(), commit()),
        ("machine".to_owned(), machine()),
        ("kernel".to_owned(), first_line("uname", &["-sr"])),
        ("members".to_owned(), format!("3, {}", first_line(bin.join("postgres"), &["--version"]))),
        ("member settings".to_owned(), SETTINGS.join(" ")),
        (
            "load".to_owned(),
            format!(
                "scale {}, {} s, {} runs, medians; client, proxy and members on one machine",
                options.scale, options.seconds, options.runs
            ),
        ),
    ];
    lines.extend(notes.into_iter().map(|(name, version)| (name.to_owned(), version)));
    lines.into_iter().map(|(name, value)| format!("{name:<16} {value}\n")).collect()
}

fn commit() -> String {
    let repo = env!("CARGO_MANIFEST_DIR");
    let head = first_line("git", &["-C", repo, "rev-parse", "--short=12", "HEAD"]);
    let changed = first_line("git", &["-C", repo, "status", "--porcelain", "--untracked-files=no"]);
    if changed == "unknown" { head } else { format!("{head} with uncommitted changes") }
}

fn machine() -> String {
    let field = |file: &str, name: &str| -> Option<String> {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".into());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".into());
    format!("{cores} cores, {model}, memory {memory}")
}
