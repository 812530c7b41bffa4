//! Masking of plain texts.

use masking::{MAX_TEXT_BYTES, MaskSet, TOO_LARGE};
use proptest::prelude::*;

fn check(secrets: &[&str], text: &str, expect: &str) {
    let set = MaskSet::of(secrets);
    assert_eq!(
        set.mask_text(text).as_ref(),
        expect,
        "{secrets:?} in {text:?}"
    );
    assert_eq!(set.finds_in(text), text != expect);
}

#[test]
fn secrets_10_2_literal_values_are_replaced_everywhere() {
    check(&["hunter2"], "a hunter2 b hunter2", "a **** b ****");
    check(&["hunter2"], "Hunter2", "Hunter2");
    check(&["pässwörd"], "x=pässwörd;", "x=****;");
    check(&[], "hunter2", "hunter2");
}

#[test]
fn secrets_10_2_short_and_starred_values_are_left_out() {
    check(&["abc"], "abc", "abc");
    check(&["äöü"], "äöü", "äöü");
    check(&["****", "*****"], "******", "******");
    assert!(MaskSet::of(["abc", "****", "   \n "]).is_empty());
}

#[test]
fn secrets_10_2_longest_wins_and_overlaps_merge() {
    check(&["secret", "supersecret"], "supersecret", "****");
    check(&["abcd", "cdef"], "xabcdefx", "x****x");
    check(&["abcd", "efgh"], "abcdefgh", "********");
    // A late long match swallows several spans found before it.
    check(
        &["aaaa", "bbbb", "aaaa bbbb cccc"],
        "aaaa bbbb cccc",
        "****",
    );
}

#[test]
fn secrets_10_2_trailing_newline_does_not_defeat_masking() {
    check(&["hunter2\n"], "hunter2", "****");
    check(&[" abc "], "abc", "abc");
}

#[test]
fn secrets_10_2_lines_of_a_key_are_found_but_not_its_armour() {
    let pem = "-----BEGIN KEY-----\nMIIEvQIBADAN\n  9w0BAQEFAASC\nshort\n-----END KEY-----\n";
    check(&[pem], "got 9w0BAQEFAASC", "got ****");
    check(&[pem], "short", "short");
    check(&[pem], "-----BEGIN KEY-----", "-----BEGIN KEY-----");
    check(&[pem], pem.trim(), "****");
}

#[test]
fn secrets_10_2_a_replacement_that_completes_another_secret_is_masked_too() {
    check(&["SECR", "*abc"], "SECRabc", "*******");
}

#[test]
fn secrets_10_2_oversized_text_is_omitted_rather_than_let_through() {
    let huge = "x".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(
        MaskSet::of(["hunter2"]).mask_text(&*huge).as_ref(),
        TOO_LARGE
    );
    assert_eq!(MaskSet::empty().mask_text(&*huge).as_ref(), &huge);
}

#[test]
fn secrets_10_2_the_first_part_of_a_secret_is_removed_from_the_end_of_a_cut_text() {
    let cut = |secrets: &[&str], text: &str, expect: &str| {
        let masked = MaskSet::of(secrets).mask_cut_text(text);
        assert_eq!(masked.as_ref(), expect, "{secrets:?} in {text:?}");
    };
    cut(&["hunter2"], "a hunter2 b hunt", "a **** b ");
    cut(&["hunter2"], "a hunter2", "a ****");
    cut(&["hunter2"], "no secret", "no secret");
    cut(&["hunter2", "no secret at all"], "no secret", "");
    cut(&["pässwörd"], "x=pä", "x=");
    cut(&["hunter2"], "h", "");
    cut(&["hunter2"], "", "");
    cut(&[], "hunt", "hunt");
    // Of several patterns the one that reaches back farthest counts.
    cut(&["bcde", "abcx"], "_abc", "_");
    // A line of the key, and the key itself, which begins before it.
    let key = "MIIEvQIBADAN\n9w0BAQEFAASC";
    cut(&[key], "got 9w0BAQ", "got ");
    cut(&[key], "got MIIEvQIBADAN\n9w0BAQ", "got ");
    // The first secret is whole, but its end is the beginning of the second.
    cut(&["abcd", "cdef"], "_abcd", "_");
}

#[test]
fn debug_output_never_shows_a_secret() {
    let shown = format!("{:?}", MaskSet::of(["hunter2"]));
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    /// Small alphabets make overlaps, nesting and `*` at the edges likely.
    #[test]
    fn no_secret_survives_and_masking_is_idempotent(
        secrets in prop::collection::vec("[ab*é]{4,7}", 1..6),
        text in "[ab*é ]{0,60}",
    ) {
        let set = MaskSet::of(&secrets);
        let once = set.mask_text(text.as_str()).into_inner();
        for secret in secrets.iter().filter(|s| s.chars().any(|c| c != '*')) {
            prop_assert!(!once.contains(secret.as_str()), "{secret:?} survives in {once:?}");
        }
        prop_assert_eq!(set.mask_text(once.as_str()).into_inner(), once);
    }

    /// Without `*`, whose replacements can complete secrets that the whole text does not hold.
    #[test]
    fn a_cut_text_shows_nothing_that_the_whole_text_would_not(
        secrets in prop::collection::vec("[abé]{4,9}", 1..6),
        text in "[abé ]{0,60}",
        at in any::<prop::sample::Index>(),
    ) {
        let set = MaskSet::of(&secrets);
        let kept = &text[..text.floor_char_boundary(at.index(text.len() + 1))];
        let whole = set.mask_text(text.as_str()).into_inner();
        let cut = set.mask_cut_text(kept).into_inner();
        prop_assert!(whole.starts_with(&cut), "{cut:?} of {kept:?} in {whole:?}");
    }

    #[test]
    fn text_without_a_secret_is_untouched(text in "\\PC{0,80}") {
        let set = MaskSet::of(["\u{1}never\u{1}"]);
        prop_assert_eq!(set.mask_text(text.as_str()).into_inner(), text);
    }
}
