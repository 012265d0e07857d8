//! The author guide shows this crate word for word, and it stays small.

use jackfield_example_door as _;

const GUIDE: &str = include_str!("../../../sdk/README.md");
const DOOR: &str = include_str!("../src/lib.rs");
const TESTS: &str = include_str!("door.rs");
const HOST: &str = include_str!("../../custom-host/src/main.rs");

/// The text of every code block that opens with `fence`.
fn blocks<'a>(text: &'a str, fence: &str) -> Vec<&'a str> {
    let opening = format!("```{fence}\n");
    text.split(&opening)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

#[test]
fn the_first_plugin_is_this_crate() {
    assert_eq!(blocks(GUIDE, "rust").first(), Some(&DOOR));
}

#[test]
fn it_has_a_route_a_webhook_a_setting_and_a_health_check_in_at_most_40_lines() {
    assert!(DOOR.lines().count() <= 40, "{} lines", DOOR.lines().count());
    for part in ["fn routes", "fn webhooks", "#[config(default", "async fn health"] {
        assert!(DOOR.contains(part), "{part}");
    }
    let builtin = jackfield_sdk::manifest::builtins()
        .into_iter()
        .find(|builtin| builtin.manifest.id == "door");
    let declared = builtin.map(|builtin| (builtin.descriptor)()).unwrap();
    assert_eq!((declared.routes.len(), declared.webhooks.len()), (1, 1));
}

#[test]
fn the_host_and_the_tests_in_the_guide_are_real() {
    let shown = blocks(GUIDE, "rust,ignore");
    let code = |text: &str| {
        let kept = text
            .lines()
            .filter(|line| !line.starts_with("//") && !line.trim().is_empty());
        kept.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(shown.len(), 2, "every other Rust block is a doctest");
    let host = shown[0].replace("use door as _", "use jackfield_example_pager as _");
    assert_eq!(code(&host), code(HOST));
    assert_eq!(shown[1].replace("use door::", "use jackfield_example_door::"), TESTS);
}
