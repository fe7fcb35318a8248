//! One measured number with its surroundings, and medians over several.

/// What pgbench measured in one run of one load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) tps: f64,
    pub(crate) failed: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// What came of one run of one load; an error is a result too.
pub(crate) type Outcome = Result<Measured, String>;

/// Which cell of the table a number belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) load: crate::load::Load,
    pub(crate) clients: u32,
    pub(crate) target: crate::targets::Name,
}

/// One run of one cell.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) cell: Cell,
    pub(crate) run: u32,
    pub(crate) outcome: Outcome,
}

/// The middle of some numbers; for an even count the mean of the middle two.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    if numbers.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(numbers[middle - 1], upper)) }
}

/// Means of what was measured on several members at the same time: the rate that each of them had.
pub(crate) fn mean(parts: &[Measured]) -> Measured {
    #[expect(clippy::cast_precision_loss, reason = "a handful of members")]
    let count = parts.len() as f64;
    let average = |get: fn(&Measured) -> f64| parts.iter().map(get).sum::<f64>() / count;
    Measured {
        tps: average(|part| part.tps),
        failed: parts.iter().map(|part| part.failed).sum(),
        p50_ms: average(|part| part.p50_ms),
        p99_ms: average(|part| part.p99_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
