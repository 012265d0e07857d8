//! Recorded payloads for `deliveries send`, by the name people type. Small, and without an installation, so that nothing is
//! asked of a provider.

/// One payload.
pub(crate) struct Fixture {
    /// `github/ping`.
    pub(crate) name: &'static str,
    /// Whom it is for.
    pub(crate) plugin: &'static str,
    /// Kind of event.
    pub(crate) event: &'static str,
    /// Body.
    pub(crate) body: &'static [u8],
}

/// All of them.
pub(crate) const ALL: [Fixture; 3] = [
    Fixture {
        name: "github/ping",
        plugin: "github",
        event: "ping",
        body: include_bytes!("../fixtures/github/ping.json"),
    },
    Fixture {
        name: "github/issues-opened",
        plugin: "github",
        event: "issues",
        body: include_bytes!("../fixtures/github/issues-opened.json"),
    },
    Fixture {
        name: "github/issue-comment-created",
        plugin: "github",
        event: "issue_comment",
        body: include_bytes!("../fixtures/github/issue-comment-created.json"),
    },
];

/// The payload of this name.
pub(crate) fn named(name: &str) -> Option<&'static Fixture> {
    ALL.iter().find(|fixture| fixture.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_json_and_found_by_name() {
        for fixture in &ALL {
            assert!(
                serde_json::from_slice::<serde_json::Value>(fixture.body).is_ok(),
                "{}",
                fixture.name
            );
            assert!(fixture.name.starts_with(fixture.plugin));
            assert!(named(fixture.name).is_some_and(|found| found.event == fixture.event));
        }
        assert!(named("github").is_none());
    }
}
