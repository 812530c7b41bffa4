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

    #[test]
    fn text_without_a_secret_is_untouched(text in "\\PC{0,80}") {
        let set = MaskSet::of(["\u{1}never\u{1}"]);
        prop_assert_eq!(set.mask_text(text.as_str()).into_inner(), text);
    }
}
