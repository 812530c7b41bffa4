//! "Did you mean …?"

/// The candidate nearest to `given`, if one is near enough to be a likely misspelling.
pub fn nearest<'c>(given: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Long inputs are no typos of short names; this also bounds the work.
    if given.is_empty() || given.chars().count() > 80 {
        return None;
    }
    let allowed = (given.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|c| {
            let distance = if c.eq_ignore_ascii_case(given) || same_letters(c, given) {
                0
            } else {
                distance(given, c)
            };
            (distance, c)
        })
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Equal but for case and separators: `maxRuns` and `max_runs`.
fn same_letters(a: &str, b: &str) -> bool {
    let letters = |s: &str| -> String {
        s.chars()
            .filter(|c| c.is_alphanumeric())
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    letters(a) == letters(b)
}

/// Edit distance with transpositions of neighbours counting one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(ca != cb))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_found_and_far_names_are_not() {
        let fields = ["continue_on_error", "description", "enabled", "config"];
        assert_eq!(
            nearest("continue_on_eror", fields),
            Some("continue_on_error")
        );
        assert_eq!(
            nearest("continueOnError", fields),
            Some("continue_on_error")
        );
        assert_eq!(nearest("cofnig", fields), Some("config"));
        assert_eq!(nearest("group", fields), None);
        assert_eq!(nearest("", fields), None);
    }
}
