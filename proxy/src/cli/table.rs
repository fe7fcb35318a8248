//! Columns of text, each as wide as its widest cell.

/// Longest cell, in characters. At the limit: cut, with `…`.
const CELL_CHARS_MAX: usize = 60;

/// Renders rows below a head; rows may be shorter than the head.
pub(super) fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let head = head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> =
        std::iter::once(&head).chain(rows).map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn shown(cell: &str) -> String {
    let line = cell.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= CELL_CHARS_MAX {
        return line;
    }
    let mut cut: String = line.chars().take(CELL_CHARS_MAX - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn aligns_columns() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["long é".into()], vec!["x\n y".into(), "z".repeat(70)]];
        let expect = format!("N       V\na       1\nlong é\nx y     {}…\n", "z".repeat(59));
        assert_eq!(render(&["N", "V"], &rows), expect);
    }
}
