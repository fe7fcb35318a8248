//! The report of a run as one HTML page that needs nothing else: what it came to, how it went over time, what was done
//! meanwhile, and the command that repeats it.

mod plot;

use std::fmt::Write as _;
use std::path::Path;

use crate::timeline::{Mark, Timeline};
use crate::{Against, Allowed, Failure, Options, Result, Summary};

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:1040px;margin:2em auto;padding:0 1em;color:#222}\
    h1{font-size:1.5em;margin-bottom:0}h2{font-size:1.1em;margin-top:2em}\
    table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.25em .7em;text-align:left;vertical-align:top}\
    pre{background:#f4f4f4;padding:.8em;overflow-x:auto;white-space:pre-wrap}\
    .ok{color:#17692c}.failed{color:#b00020}svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#444}\
    svg .grid{stroke:#ddd}svg .axis{stroke:#888}svg polyline{fill:none;stroke-width:1.5}\
    svg .done{stroke:#1f6fb2}svg .bad{stroke:#b00020}svg .p50{stroke:#17692c}svg .p99{stroke:#c46a00}\
    svg .mark{fill:#b00020;fill-opacity:.13;stroke:#b00020;stroke-opacity:.5}";

/// A run, as far as its report tells of it.
pub struct Run<'a> {
    /// The scenario.
    pub name: &'a str,
    /// How it was run.
    pub options: &'a Options,
    /// When it began, and how long it took, in words.
    pub when: &'a str,
    /// What came of it.
    pub result: &'a Result<Summary>,
}

/// True if a report of that name is this page; the reports of other names are Markdown, of those scenarios that have one.
#[must_use]
pub fn is_page(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "html" || extension == "htm")
}

impl Run<'_> {
    /// Writes the page.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        std::fs::write(file, self.page()).map_err(|error| Failure::from(error).during(file.display()))
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let (verdict, class) = if self.result.is_ok() { ("passed", "ok") } else { ("FAILED", "failed") };
        let name = escaped(self.name);
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{name}: {verdict}</title>\
             <style>{STYLE}</style></head><body>\n<h1>{name}: <span class=\"{class}\">{verdict}</span></h1>\n\
             <p>seed {}, {}</p>\n",
            self.options.seed,
            escaped(self.when)
        );
        match self.result {
            Ok(summary) => page.push_str(&figures(summary)),
            Err(failure) => {
                let _ = writeln!(page, "<h2>What is wrong</h2>\n<pre>{}</pre>", escaped(&failure.to_string()));
            }
        }
        page.push_str(&over_time(&self.options.timeline));
        let _ = writeln!(page, "<h2>To run it again</h2>\n<pre>{}</pre>", escaped(&command(self.name, self.options)));
        page.push_str("</body></html>\n");
        page
    }
}

fn figures(summary: &Summary) -> String {
    let row =
        |(key, value): &(String, String)| format!("<tr><td>{}</td><td>{}</td></tr>\n", escaped(key), escaped(value));
    format!("<h2>Figures</h2>\n<table>\n{}</table>\n", summary.figures().iter().map(row).collect::<String>())
}

fn over_time(timeline: &Timeline) -> String {
    let (points, marks) = (timeline.points(), timeline.marks());
    if points.len() < 2 {
        return "<p>This scenario has no load that is drawn over time.</p>\n".to_owned();
    }
    let mut text = format!("<h2>Over time</h2>\n{}\n", plot::svg(&points, &marks));
    if !marks.is_empty() {
        text.push_str(
            "<h2>What was done meanwhile</h2>\n<table>\n<tr><th></th><th>from s</th><th>to s</th><th>what</th></tr>\n",
        );
        text.extend(marks.iter().zip(1..).map(mark_row));
        text.push_str("</table>\n");
    }
    text
}

fn mark_row((mark, number): (&Mark, usize)) -> String {
    let (from, to) = (mark.from.as_secs_f64(), mark.to.as_secs_f64());
    let (name, what) = (escaped(&mark.name), escaped(&mark.what));
    format!("<tr><td>{number}</td><td>{from:.1}</td><td>{to:.1}</td><td>{name}: {what}</td></tr>\n")
}

/// The command line that runs the same again.
#[must_use]
pub fn command(name: &str, options: &Options) -> String {
    let default = Options::default();
    let mut text = format!("scenarios run {name} --seed {} --seconds {}", options.seed, options.seconds);
    let mut add = |is_other: bool, argument: String| {
        if is_other {
            text.push(' ');
            text.push_str(&argument);
        }
    };
    add(options.clients != default.clients, format!("--clients {}", options.clients));
    add(options.transactions != default.transactions, format!("--transactions {}", options.transactions));
    add(options.scale != default.scale, format!("--scale {}", options.scale));
    add(options.cycles != default.cycles, format!("--cycles {}", options.cycles));
    add(options.bare, "--bare".to_owned());
    for (flag, value) in [("--only", &options.only), ("--faults", &options.faults)] {
        add(value.is_some(), format!("{flag} {}", value.as_deref().unwrap_or_default()));
    }
    if let Some(path) = &options.raidb {
        add(true, format!("--raidb {}", path.display()));
    }
    if let Some(Against { config, database, allow }) = &options.against {
        add(true, format!("--against {}", config.display()));
        add(database.is_some(), format!("--database {}", database.as_deref().unwrap_or_default()));
        add(allow.contains(&Allowed::MemberDisable), "--allow member-disable".to_owned());
    }
    text
}

/// Seconds since 1970 as date and time.
#[must_use]
pub fn utc(seconds: u64) -> String {
    // Howard Hinnant's days to civil, with years that begin in March.
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", time / 3600, time / 60 % 60)
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_date_is_that_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_802_580, "2026-11-27 18:03 UTC"),
            (4_107_542_399, "2100-02-28 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), date);
        }
    }

    #[test]
    fn a_page_shows_what_it_was_given_and_needs_nothing_else() {
        let options = Options { seed: 7, only: Some("a<b".to_owned()), ..Options::default() };
        let start = Instant::now();
        options.timeline.begin(Duration::from_secs(1));
        for _ in 0..5 {
            options.timeline.done(start);
            std::thread::sleep(Duration::from_millis(70));
        }
        options.timeline.mark((start, Instant::now()), "member_kill", "kill -9 of <pg1>");
        let result = Ok(Summary::default().with("lost", 0));
        let page = Run { name: "bank", options: &options, when: "today", result: &result }.page();
        for part in [
            "bank: <span class=\"ok\">passed",
            "<td>lost</td><td>0</td>",
            "<svg",
            "kill -9 of &lt;pg1&gt;",
            "--only a&lt;b",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
        assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"));
        let result = Err(Failure::new("it <broke>"));
        let page = Run { name: "bank", options: &options, when: "today", result: &result }.page();
        assert!(page.contains("FAILED") && page.contains("it &lt;broke&gt;"));
    }
}
