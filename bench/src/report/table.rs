//! Rows for people.

use super::{Figure, Row};
use std::fmt::Write;

/// The heading of the table; the lines of [`lines`] fit under it.
pub fn heading() -> String {
    let heads = ["benchmark", "case", "database", "figure", "value", "unit"];
    let line = cells(heads, ["floor", "ratio"], "aim");
    format!("{line}\n{}", "─".repeat(line.chars().count() + 16))
}

/// One line a figure.
pub fn lines(row: &Row) -> String {
    let mut text = String::new();
    for (i, figure) in row.figures.iter().enumerate() {
        let (benchmark, case, database) = match i {
            0 => (&*row.benchmark, &*row.case, &*row.database),
            _ => ("", "", ""),
        };
        let value = figure.value.map_or_else(|| "–".to_owned(), number);
        let heads = [
            benchmark,
            case,
            database,
            &figure.name,
            &value,
            &figure.unit,
        ];
        let (floor, ratio) = match &figure.floor {
            Some(f) => (number(f.value), number(f.ratio)),
            None => Default::default(),
        };
        let line = cells(heads, [&floor, &ratio], &last(figure));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn last(figure: &Figure) -> String {
    let aim = figure.aim.as_ref();
    let aim = aim.map(|a| format!("{} {}", if a.met { "✓" } else { "✗" }, a.text));
    [aim, figure.note.clone()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}

fn cells(heads: [&str; 6], beside: [&str; 2], last: &str) -> String {
    let [benchmark, case, database, figure, value, unit] = heads;
    let [floor, ratio] = beside;
    format!(
        "{benchmark:<19} {case:<30} {database:<14} {figure:<30} {value:>10} {unit:<5} {floor:>10} {ratio:>7}  {last}"
    )
}

/// A number with about three digits that count, large ones with separators.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = match value.abs() {
        v if v >= 1000.0 => return grouped(value.round()),
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.01 => 3,
        _ => 5,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// A whole number in groups of three.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    if value < 0.0 {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (12_345_678.4, "12 345 678"),
            (1000.0, "1 000"),
            (999.6, "1000"),
            (99.96, "100"),
            (2.0, "2"),
            (2.345, "2.35"),
            (0.1234, "0.123"),
            (0.0012, "0.0012"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_row_is_named_once_and_every_figure_has_its_line() {
        let row = Row::new("queue", "16 in flight", "sqlite")
            .with(
                Figure::new("jobs", 5000.0, "1/s")
                    .beside("by hand", 50_000.0)
                    .at_least_of_floor(0.5),
            )
            .with(Figure::missing("p50", "none came"));
        let text = lines(&row);
        assert_eq!(text.lines().count(), 2);
        assert_eq!(text.matches("queue").count(), 1);
        assert!(text.contains("✗ ≥ 0.5 × by hand"), "{text}");
        assert!(text.contains("none came"), "{text}");
    }
}
