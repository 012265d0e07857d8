//! The delivery that is measured: a `push` of 14 KB from an installation, which the GitHub plugin ends at once.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

/// Secret that deliveries are signed with.
pub(super) const SECRET: &str = "what the bench signs its deliveries with";

/// The body.
pub(super) fn push() -> Vec<u8> {
    let hash = |number: u64| {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        format!(
            "{mixed:016x}{:016x}{:08x}",
            mixed.wrapping_mul(0xff51_afd7_ed55_8ccd),
            number
        )
    };
    let person =
        |name: &str| json!({ "name": name, "email": format!("{name}@users.noreply.github.com"), "username": name });
    let commits: Vec<serde_json::Value> = (1..=18)
        .map(|number| {
            let id = hash(number);
            json!({
                "id": id,
                "tree_id": hash(number + 1000),
                "distinct": true,
                "message": format!("Handle case {number} of the parser\n\nIt was found by the fuzzer, run {}.", hash(number + 2000)),
                "timestamp": format!("2026-11-{number:02}T10:{number:02}:00+01:00"),
                "url": format!("https://github.com/octo-org/octo-repo/commit/{id}"),
                "author": person("octocat"),
                "committer": person("web-flow"),
                "added": [format!("src/parser/case_{number}.rs")],
                "removed": [],
                "modified": ["src/parser/mod.rs", format!("tests/parser/{}.snap", &id[..12])],
            })
        })
        .collect();
    let event = json!({
        "ref": "refs/heads/main",
        "before": hash(0),
        "after": hash(18),
        "created": false,
        "deleted": false,
        "forced": false,
        "compare": format!("https://github.com/octo-org/octo-repo/compare/{}...{}", &hash(0)[..12], &hash(18)[..12]),
        "head_commit": commits.last(),
        "commits": commits,
        "pusher": person("octocat"),
        "repository": {
            "id": 186_853_002,
            "node_id": "MDEwOlJlcG9zaXRvcnkxODY4NTMwMDI=",
            "name": "octo-repo",
            "full_name": "octo-org/octo-repo",
            "private": true,
            "owner": { "login": "octo-org", "id": 38_302_899, "type": "Organization", "site_admin": false },
            "html_url": "https://github.com/octo-org/octo-repo",
            "description": "What the bench pushes to",
            "default_branch": "main",
            "visibility": "private",
        },
        "sender": { "login": "octocat", "id": 21_031_067, "type": "User", "site_admin": false },
        "installation": { "id": 5_001_234, "node_id": "MDIzOkludGVncmF0aW9uSW5zdGFsbGF0aW9uNTAwMTIzNA==" },
    });
    serde_json::to_vec(&event).unwrap_or_default()
}

/// `X-Hub-Signature-256` of a body.
pub(super) fn signature(body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else {
        unreachable!("HMAC takes keys of every length");
    };
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_of_fourteen_kilobytes() {
        let body = push();
        assert!((13_500..=14_700).contains(&body.len()), "{}", body.len());
        assert_eq!(body, push());
        let event: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        assert_eq!(event["installation"]["id"], 5_001_234);
    }

    #[test]
    fn signed_as_github_signs() {
        let signature = signature(b"Hello, World!");
        assert!(signature.starts_with("sha256=") && signature.len() == 7 + 64);
        assert_ne!(signature, super::signature(b"Hello, World?"));
    }
}
