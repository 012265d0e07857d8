#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

fn mentions(text: &str) -> bool {
    Mention::of("openhands").occurs(text)
}

#[test]
fn mentions_that_count() {
    for text in [
        "@openhands",
        "@OpenHands!",
        "@OPENHANDS please",
        "(@openhands)",
        "@openhands.",
        "@openhands/x",
        "hey\n@openhands",
        "hey,@openhands: go",
        "**@openhands** fix it",
        "- [ ] @openhands",
        "1. @openhands",
        "# @openhands",
        "| a | b |\n|---|---|\n| @openhands | x |",
        "[@openhands](https://example.com)",
        "ümlaut @openhands ümlaut",
        "`code` @openhands `code`",
        "the `<code>` tag\n\n@openhands",
        "a <code> tag that stays open\n\n@openhands",
        "<details>\n<summary>log</summary>\n@openhands fix this\n</details>",
        "<div><!-- quiet --> @openhands</div>",
        "1 < 2 @openhands",
        "<!-- quiet -->\n\n@openhands",
        "> quoted\n\n@openhands do it",
        "> quoted\n@openhands do it",
        "> @openhands\n\n@openhands",
    ] {
        assert!(mentions(text), "should count: {text:?}");
    }
}

#[test]
fn mentions_that_do_not_count() {
    for text in [
        "",
        "openhands",
        "user@openhands.com",
        "@@openhands",
        "_@openhands",
        "@openhands-exp",
        "@openhands_bot",
        "@openhandsé",
        "é@openhands",
        "@open hands",
        "`@openhands`",
        "``a ` @openhands``",
        "```\n@openhands\n```",
        "```\n@openhands",
        "~~~rust\n// @openhands\n~~~",
        "text\n\n    @openhands in indented code",
        "> @openhands",
        ">@openhands",
        "  > first\n  > **then** @openhands",
        "> > @openhands",
        "- > @openhands",
        "1. > @openhands",
        "> - list\n>   @openhands",
        "> [!NOTE]\n> @openhands",
        "> `a`\n> b @openhands",
        "<!-- @openhands -->",
        "<!--\n@openhands\n-->",
        "text <!-- @openhands --> text",
        "<!-- never closed @openhands\n\n@openhands",
        "<div><!-- @openhands --></div>",
        "<blockquote>\n\n@openhands\n\n</blockquote>",
        "<pre>\n@openhands\n</pre>",
        "say <code>@openhands</code>",
        "![@openhands](picture.png)",
        "<https://example.com/@openhands>",
        "[here](https://example.com/@openhands)",
        "[here]: https://example.com/@openhands",
    ] {
        assert!(!mentions(text), "should not count: {text:?}");
    }
}

#[test]
fn the_experimental_name_is_another_name() {
    let experimental = Mention::of("openhands-exp");
    assert!(experimental.occurs("@openhands-exp"));
    assert!(!experimental.occurs("@openhands"));
    assert!(!experimental.occurs("@openhands-exp-2"));
}

/// The rule without Markdown, written over a list of characters.
fn naive(text: &str) -> bool {
    let all: Vec<char> = text.chars().collect();
    let name: Vec<char> = "@openhands".chars().collect();
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    (0..all.len().saturating_sub(name.len() - 1)).any(|at| {
        let end = at + name.len();
        let same = all[at..end].iter().zip(&name).all(|(a, b)| a.eq_ignore_ascii_case(b));
        let left = at == 0 || !(word(&all[at - 1]) || all[at - 1] == '@');
        let right = end == all.len() || !(word(&all[end]) || all[end] == '-');
        same && left && right
    })
}

/// Pieces that mean nothing in Markdown, on one line.
fn plain_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => Just("@openhands"),
        1 => Just("@OpenHands"),
        1 => Just("openhands"),
        8 => prop::sample::select(vec!["@", " ", ".", ",", "-", "/", "(", ")", "a", "Z", "7", "é", "_x", "?", "😀"]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("x {}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plain_text_is_matched_as_without_markdown(text in plain_text()) {
        prop_assert_eq!(mentions(&text), naive(&text));
    }

    #[test]
    fn quoted_coded_and_hidden_text_never_counts(text in plain_text()) {
        prop_assert!(!mentions(&format!("> {text}")), "{}", text);
        prop_assert!(!mentions(&format!("```\n{text}\n```\n")), "{}", text);
        prop_assert!(!mentions(&format!("`` {text} ``")), "{}", text);
        prop_assert!(!mentions(&format!("<!-- {} -->", text.replace('-', "+"))), "{}", text);
    }

    #[test]
    fn nothing_counts_that_is_no_mention_without_markdown(text in "[@openhads\\-_`*>#<!\\[\\]()\n /&;1.]{0,60}") {
        prop_assert!(naive(&text) || !mentions(&text));
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        let _ = mentions(&format!("{text}@openhands{text}"));
    }
}
