//! Tables for people.

/// Prints rows under headings, columns aligned; nothing but the headings' absence when empty.
pub fn table(headings: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        println!("none");
        return;
    }
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (w, cell) in widths.iter_mut().zip(row) {
            *w = (*w).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        println!("{}", text.trim_end());
    };
    line(&mut headings.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// A name that fits a column: ids of nodes left out, then the middle. Whole names are in `--json`.
pub fn shortened(name: &str, most: usize) -> String {
    let parts: Vec<&str> = name
        .split('.')
        .map(|part| match uuid::Uuid::try_parse(part) {
            Ok(_) => "…",
            Err(_) => part,
        })
        .collect();
    let name = parts.join(".");
    let length = name.chars().count();
    if length <= most {
        return name;
    }
    let half = most.saturating_sub(1) / 2;
    let end: String = name.chars().skip(length - half).collect();
    name.chars().take(half).chain(['…']).collect::<String>() + &end
}

/// `2026-01-15T12:00:00.000Z` as `2026-01-15 12:00:00`.
pub fn time(v: &serde_json::Value) -> String {
    let text = v.as_str().unwrap_or("");
    text.get(..19).unwrap_or(text).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_long_name_keeps_its_ends() {
        assert_eq!(shortened("queue.health-checks", 60), "queue.health-checks");
        let node = "a.broadcast.019f8c1e-0000-7000-8000-000000000000.b";
        assert_eq!(shortened(node, 60), "a.broadcast.….b");
        let long = shortened(&"0123456789".repeat(10), 21);
        assert_eq!(long, "0123456789…0123456789");
    }
}
