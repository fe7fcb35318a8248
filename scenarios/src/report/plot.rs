//! Throughput and latency over time as one drawing in SVG, with what was done meanwhile as bands behind them.

use std::fmt::Write as _;
use std::time::Duration;

use super::escaped;
use crate::timeline::{Mark, Point};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const PANEL_HEIGHT: f64 = 200.0;
/// Upper ends of the two panels.
const THROUGHPUT_TOP: f64 = 40.0;
const LATENCY_TOP: f64 = 300.0;
const HEIGHT: f64 = 540.0;
/// Narrowest band: a moment is to be seen as well.
const BAND_MIN: f64 = 2.0;
/// Lines across a linear panel, and numbers below the time, about.
const LINES: f64 = 5.0;

/// The whole drawing.
pub(super) fn svg(points: &[Point], marks: &[Mark]) -> String {
    let seconds = points.last().map_or(1.0, |point| point.at.as_secs_f64()).max(0.1);
    let x = |at: Duration| LEFT + (at.as_secs_f64() / seconds).min(1.0) * (WIDTH - LEFT - RIGHT);
    let mut text = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"throughput and latency over time\">\n"
    );
    for (mark, number) in marks.iter().zip(1..) {
        band(&mut text, (x(mark.from), x(mark.to)), mark, number);
    }
    let most = points.iter().map(|point| point.per_second.max(point.failed_per_second)).fold(1.0, f64::max);
    throughput(&mut text, points, (&x, most));
    latency(&mut text, points, &x);
    for second in ticks(seconds) {
        let at = x(Duration::from_secs_f64(second));
        let _ = writeln!(
            text,
            "<text x=\"{at:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{second} s</text>",
            LATENCY_TOP + PANEL_HEIGHT + 20.0
        );
    }
    text.push_str("</svg>");
    text
}

fn band(text: &mut String, (from, to): (f64, f64), mark: &Mark, number: usize) {
    let (width, name) = ((to - from).max(BAND_MIN), escaped(&format!("{}: {}", mark.name, mark.what)));
    for top in [THROUGHPUT_TOP, LATENCY_TOP] {
        let _ = writeln!(
            text,
            "<rect class=\"mark\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{PANEL_HEIGHT}\"><title>{name}</title></rect>"
        );
    }
    let _ = writeln!(text, "<text x=\"{from:.1}\" y=\"{:.0}\">{number}</text>", THROUGHPUT_TOP - 4.0);
}

fn throughput(text: &mut String, points: &[Point], (x, most): (&impl Fn(Duration) -> f64, f64)) {
    let y = |value: f64| THROUGHPUT_TOP + PANEL_HEIGHT * (1.0 - value / most);
    heading(text, THROUGHPUT_TOP, "transactions a second (blue), failed (red)");
    for value in ticks(most) {
        line_across(text, y(value), &value.to_string());
    }
    curve(text, "done", points.iter().map(|point| (x(point.at), y(point.per_second))));
    if points.iter().any(|point| point.failed_per_second > 0.0) {
        curve(text, "bad", points.iter().map(|point| (x(point.at), y(point.failed_per_second))));
    }
}

/// Logarithmic: a pause of a second must not hide a millisecond.
fn latency(text: &mut String, points: &[Point], x: &impl Fn(Duration) -> f64) {
    let all = || points.iter().flat_map(|point| [point.p50, point.p99]).flatten().map(|time| time.as_secs_f64() * 1e3);
    let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
    if least > most {
        return;
    }
    let (low, high) = (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0));
    let y = |millis: f64| LATENCY_TOP + PANEL_HEIGHT * (1.0 - (millis.log10() - low) / (high - low));
    heading(text, LATENCY_TOP, "latency in ms: p50 (green), p99 (orange)");
    for power in (low as i32)..=(high as i32) {
        let millis = 10_f64.powi(power);
        line_across(text, y(millis), &millis.to_string());
    }
    for (class, of) in
        [("p50", (|point: &Point| point.p50) as fn(&Point) -> Option<Duration>), ("p99", |point| point.p99)]
    {
        // An interval without a transaction is a gap.
        for part in points.split(|point| of(point).is_none()) {
            let times = part.iter().filter_map(|point| Some((x(point.at), y(of(point)?.as_secs_f64() * 1e3))));
            curve(text, class, times);
        }
    }
}

fn heading(text: &mut String, top: f64, what: &str) {
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{:.0}\">{what}</text>", top - 20.0);
}

fn line_across(text: &mut String, y: f64, label: &str) {
    let right = WIDTH - RIGHT;
    let _ = writeln!(text, "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>");
    let _ = writeln!(text, "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, y + 4.0);
}

fn curve(text: &mut String, class: &str, points: impl Iterator<Item = (f64, f64)>) {
    let points: Vec<_> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    if !points.is_empty() {
        let _ = writeln!(text, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
    }
}

/// Round numbers from zero to `most`: about five.
fn ticks(most: f64) -> Vec<f64> {
    let rough = most / LINES;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(most);
    (0..).map(|number| f64::from(number) * step).take_while(|value| *value <= most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(20.0), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(ticks(1234.0), [0.0, 500.0, 1000.0]);
    }

    #[test]
    fn a_gap_in_the_latency_is_a_gap_in_the_curve() {
        let point = |second, p50: Option<u64>| Point {
            at: Duration::from_secs(second),
            per_second: 1.0,
            failed_per_second: 0.0,
            p50: p50.map(Duration::from_millis),
            p99: p50.map(Duration::from_millis),
        };
        let drawn = svg(&[point(0, Some(1)), point(1, None), point(2, Some(30))], &[]);
        assert_eq!(drawn.matches("class=\"p50\"").count(), 2);
        assert_eq!(drawn.matches("class=\"done\"").count(), 1);
    }
}
