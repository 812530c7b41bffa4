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

/// `2026-01-15T12:00:00.000Z` as `2026-01-15 12:00:00`.
pub fn time(v: &serde_json::Value) -> String {
    let text = v.as_str().unwrap_or("");
    text.get(..19).unwrap_or(text).replace('T', " ")
}
