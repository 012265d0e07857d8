//! The content security policy of an HTML file: its inline scripts and styles by their hashes (CSP 3 §2.3.1).

use base64::{Engine, engine::general_purpose::STANDARD};
use html5gum::{DefaultEmitter, Token, Tokenizer};
use http::HeaderValue;
use jackfield_edge::content_security_policy;
use sha2::{Digest, Sha256};

/// The policy for this text, where pages may use these `sources` too.
pub(crate) fn policy(html: &[u8], sources: &[&str]) -> HeaderValue {
    let (scripts, styles) = hashes(html);
    let policy = content_security_policy(sources, &scripts, &styles);
    // Of base64, origins and what we wrote: always a header.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'self'"))
}

/// Hashes of inline scripts and of inline styles.
fn hashes(html: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut scripts, mut styles) = (Vec::new(), Vec::new());
    let mut emitter = DefaultEmitter::default();
    // What is in a script, a style or a title is no markup.
    emitter.naively_switch_states(true);
    let tokens = Tokenizer::new_with_emitter(html, emitter);
    // What is open now, and what was in it so far; a script that has a source counts for nothing.
    let mut open: Option<(&'static [u8], Sha256)> = None;
    for Ok(token) in tokens {
        match token {
            Token::StartTag(tag) if tag.name.0 == b"script" && !tag.attributes.contains_key(&b"src"[..]) => {
                open = Some((b"script", Sha256::new()));
            }
            Token::StartTag(tag) if tag.name.0 == b"style" => open = Some((b"style", Sha256::new())),
            Token::String(text) => {
                if let Some((_, hash)) = &mut open {
                    hash.update(&text.0);
                }
            }
            Token::EndTag(tag) => {
                if let Some((name, hash)) = open.take_if(|(name, _)| tag.name.0 == *name) {
                    let hash = format!("'sha256-{}'", STANDARD.encode(hash.finalize()));
                    let list = if name == b"script" { &mut scripts } else { &mut styles };
                    if !list.contains(&hash) {
                        list.push(hash);
                    }
                }
            }
            _ => {}
        }
    }
    (scripts, styles)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> String {
        format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
    }

    #[test]
    fn inline_scripts_and_styles_are_found_as_a_browser_finds_them() {
        let html = "<!doctype html><html><head><!-- <script>no()</script> --><title><script>no()</script></title>\
            <SCRIPT>if (1 < 2 && '<p>') { a() }\n</SCRIPT><script src=/a.js>no()</script>\
            <script type=module>b(\"<!-- x -->\")</script><style>p > a { color: red }</style>\
            <textarea><script>no()</script></textarea><script>if (1 < 2 && '<p>') { a() }\n</script>";
        let (scripts, styles) = hashes(html.as_bytes());
        let first = hash("if (1 < 2 && '<p>') { a() }\n");
        assert_eq!(scripts, [first, hash("b(\"<!-- x -->\")")]);
        assert_eq!(styles, [hash("p > a { color: red }")]);
    }

    #[test]
    fn the_policy_allows_them_and_nothing_else_inline() {
        let policy = policy(b"<script>a()</script>", &["https://cdn.example.com"]);
        let policy = policy.to_str().unwrap();
        assert!(
            policy.contains(&format!("script-src 'self' https://cdn.example.com {}", hash("a()"))),
            "{policy}"
        );
        assert!(
            policy.starts_with("default-src 'self' https://cdn.example.com;"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
