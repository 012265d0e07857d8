//! A folder with a small app, asked as browsers ask.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use jackfield_frontend::{FolderError, Frontend};

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "jackfield-frontend-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn app() -> Self {
        let folder = Self::empty();
        folder.put("index.html", PAGE);
        folder.put("assets/app-1.js", script());
        folder.put("assets/font-1.woff2", "not really a font, but nobody looks");
        folder.put("favicon.svg", "<svg xmlns='http://www.w3.org/2000/svg'/>");
        folder.put("site.webmanifest", "{}");
        folder.put("guide/index.html", "<p>Guide</p>");
        folder.put("a b/ü.txt", "found");
        folder.put(".env", "SECRET=1");
        folder.put(".git/config", "secret");
        folder
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PAGE: &str = "<!doctype html><title>App</title><script>document.documentElement.dataset.theme = 'dark'</script>\
    <script type=module src=/assets/app-1.js></script>";

fn script() -> String {
    "export const greet = (name) => `Hello, ${name}`;\n".repeat(200)
}

fn app() -> Frontend {
    Frontend::folder(&Folder::app().0, &[]).unwrap()
}

type Answer = Response<Bytes>;

async fn ask(app: &Frontend, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, body) = app.answer(request.body(Body::empty()).unwrap()).await.into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

async fn get(app: &Frontend, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(app, "GET", path, headers).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn files_have_their_types_and_pages_are_the_app() {
    let app = app();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/assets/app-1.js", "text/javascript; charset=utf-8"),
        ("/assets/font-1.woff2", "font/woff2"),
        ("/favicon.svg", "image/svg+xml"),
        ("/site.webmanifest", "application/manifest+json"),
        ("/a%20b/%C3%BC.txt?v=1", "text/plain; charset=utf-8"),
        ("/guide/", "text/html; charset=utf-8"),
    ] {
        let answer = get(&app, path, &[]).await;
        assert_eq!(
            (answer.status(), header(&answer, "content-type")),
            (StatusCode::OK, kind),
            "{path}"
        );
        assert_eq!(
            header(&answer, "content-length"),
            answer.body().len().to_string(),
            "{path}"
        );
        assert!(!header(&answer, "last-modified").is_empty(), "{path}");
    }
    for path in [
        "/conversations/7?tab=files",
        "/settings/api-keys",
        "/favicon.ico",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/%ff",
        "/.env",
        "/.git/config",
        "/nul%00",
    ] {
        let answer = get(&app, path, &[]).await;
        assert_eq!(
            (answer.status(), &answer.body()[..]),
            (StatusCode::OK, PAGE.as_bytes()),
            "{path}"
        );
    }
    let moved = get(&app, "/guide?q=1", &[]).await;
    assert_eq!(
        (moved.status(), header(&moved, "location")),
        (StatusCode::TEMPORARY_REDIRECT, "/guide/?q=1")
    );
}

#[tokio::test]
async fn a_missing_asset_is_no_page() {
    let app = app();
    for path in [
        "/assets/app-2.js",
        "/assets",
        "/assets/",
        "/assets/%2e%2e/index.html",
        "/assetsomething",
    ] {
        let answer = get(&app, path, &[]).await;
        assert_eq!(
            (answer.status(), header(&answer, "content-type")),
            (StatusCode::NOT_FOUND, "application/json")
        );
        assert_eq!(answer.body(), &br#"{"detail":"Not Found"}"#[..]);
    }
}

#[tokio::test]
async fn only_reading_is_answered() {
    let app = app();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = ask(&app, method, "/", &[]).await;
        assert_eq!(
            (answer.status(), header(&answer, "allow")),
            (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD")
        );
        assert_eq!(answer.body(), &br#"{"detail":"Method Not Allowed"}"#[..]);
    }
    let head = ask(&app, "HEAD", "/assets/app-1.js", &[("range", "bytes=0-1")]).await;
    assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
    assert_eq!(header(&head, "content-length"), script().len().to_string());
}

#[tokio::test]
async fn each_coding_is_what_it_says_with_a_tag_of_its_own() {
    let app = app();
    app.compress();
    let text = script();
    let mut tags = Vec::new();
    for coding in ["", "br", "zstd", "gzip"] {
        let answer = get(&app, "/assets/app-1.js", &[("accept-encoding", coding)]).await;
        assert_eq!(header(&answer, "content-encoding"), coding);
        assert_eq!(header(&answer, "vary"), "accept-encoding");
        let body = &answer.body()[..];
        let mut plain = Vec::new();
        match coding {
            "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut plain).unwrap(),
            "zstd" => zstd::Decoder::new(body).unwrap().read_to_end(&mut plain).unwrap(),
            "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap(),
            _ => body.to_vec().as_slice().read_to_end(&mut plain).unwrap(),
        };
        assert_eq!(plain, text.as_bytes(), "{coding}");
        assert!(
            coding.is_empty() || body.len() < text.len() / 4,
            "{coding}: {}",
            body.len()
        );
        let tag = header(&answer, "etag").to_owned();
        assert!(tag.starts_with('"') && !tags.contains(&tag), "{tag}");
        let again = [("accept-encoding", coding), ("if-none-match", &tag)];
        let fresh = get(&app, "/assets/app-1.js", &again).await;
        assert_eq!((fresh.status(), fresh.body().len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(
            (header(&fresh, "etag"), header(&fresh, "vary")),
            (&*tag, "accept-encoding")
        );
        tags.push(tag);
    }
    let liked = [("accept-encoding", "br;q=0.1, gzip;q=0.9, zstd;q=0")];
    assert_eq!(
        header(&get(&app, "/assets/app-1.js", &liked).await, "content-encoding"),
        "gzip"
    );
    // What is compressed already has one form.
    let font = get(&app, "/assets/font-1.woff2", &[("accept-encoding", "br, gzip")]).await;
    assert_eq!((header(&font, "content-encoding"), header(&font, "vary")), ("", ""));
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    let app = app();
    let first = get(&app, "/", &[]).await;
    let (tag, date) = (header(&first, "etag"), header(&first, "last-modified"));
    let many = format!("\"other\", W/{tag}");
    for (name, value, status) in [
        ("if-none-match", tag, 304),
        ("if-none-match", many.as_str(), 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", date, 304),
        ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("if-modified-since", "yesterday", 200),
    ] {
        assert_eq!(
            get(&app, "/", &[(name, value)]).await.status(),
            status,
            "{name}: {value}"
        );
    }
    // The tag decides where both are given.
    let both = [("if-none-match", "\"other\""), ("if-modified-since", date)];
    assert_eq!(get(&app, "/", &both).await.status(), 200);
}

#[tokio::test]
async fn parts_of_a_file() {
    let app = app();
    let text = script();
    let all = text.len();
    let tag = header(&get(&app, "/assets/app-1.js", &[]).await, "etag").to_owned();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=10-", 10, all - 1),
        ("bytes=-5", all - 5, all - 1),
        ("bytes=10-99999999", 10, all - 1),
    ] {
        let answer = get(&app, "/assets/app-1.js", &[("range", range), ("if-range", &tag)]).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(header(&answer, "content-range"), format!("bytes {first}-{last}/{all}"));
        assert_eq!(header(&answer, "content-length"), (last + 1 - first).to_string());
        assert_eq!(answer.body(), &text.as_bytes()[first..=last], "{range}");
    }
    let beyond = get(&app, "/assets/app-1.js", &[("range", "bytes=99999999-")]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        (header(&beyond, "content-range"), beyond.body().len()),
        (&*format!("bytes */{all}"), 0)
    );
    for asked in [
        [("range", "bytes=0-1"), ("if-range", "\"older\"")],
        [("range", "bytes=0-1, 5-6"), ("accept", "*/*")],
        [("range", "lines=1-2"), ("accept", "*/*")],
        [("range", "bytes=5-1"), ("accept", "*/*")],
    ] {
        let answer = get(&app, "/assets/app-1.js", &asked).await;
        assert_eq!(
            (answer.status(), answer.body().len()),
            (StatusCode::OK, all),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn inline_scripts_of_a_page_are_allowed_by_their_hash() {
    let page = get(&app(), "/login", &[]).await;
    insta::assert_snapshot!(
        header(&page, "content-security-policy"),
        @"default-src 'self'; img-src 'self' data: https:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'; script-src 'self' 'sha256-OtwzC4kLCUqUC1CG1s30zaJDdDxZwQK0GoeqKYn4JMc='"
    );
}

#[tokio::test]
async fn what_a_build_compressed_is_taken() {
    let folder = Folder::app();
    folder.put("assets/app-1.js.br", "brotli, for all we know");
    folder.put("assets/app-1.js.zst", "zstd, for all we know it");
    let app = Frontend::folder(&folder.0, &[]).unwrap();
    app.compress();
    for (accepted, sent) in [("gzip", ""), ("gzip, zstd", "zstd"), ("zstd, br", "br")] {
        let answer = get(&app, "/assets/app-1.js", &[("accept-encoding", accepted)]).await;
        assert_eq!(header(&answer, "content-encoding"), sent);
    }
}

/// As a ConfigMap is mounted: `index.html -> ..data/index.html`, `..data -> ..2026`.
#[tokio::test]
async fn links_are_followed_and_hidden_folders_are_not() {
    use std::os::unix::fs::symlink;
    let folder = Folder::empty();
    folder.put("..2026/index.html", PAGE);
    symlink("..2026", folder.0.join("..data")).unwrap();
    symlink("..data/index.html", folder.0.join("index.html")).unwrap();
    let app = Frontend::folder(&folder.0, &[]).unwrap();
    assert_eq!(get(&app, "/index.html", &[]).await.body(), PAGE);
    symlink(".", folder.0.join("again")).unwrap();
    assert!(
        matches!(Frontend::folder(&folder.0, &[]), Err(FolderError::Read { .. })),
        "a loop"
    );
}

#[test]
fn a_folder_without_an_app_is_named() {
    let folder = Folder::empty();
    let error = Frontend::folder(&folder.0, &[]).err().unwrap();
    assert!(
        matches!(&error, FolderError::NoIndex(path) if *path == folder.0),
        "{error}"
    );
    let missing = Path::new("/nowhere/at/all");
    let error = Frontend::folder(missing, &[]).err().unwrap();
    assert!(error.to_string().contains("/nowhere/at/all") && error.to_string().contains("JACKFIELD_FRONTEND_DIR"));
}

/// The app that `npm run build` has made; without one nothing is compiled in.
#[tokio::test]
async fn what_was_built_is_compiled_in() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../frontend/dist/index.html");
    let Some(app) = Frontend::embedded(&[]) else {
        assert!(!built.exists(), "{} is not compiled in", built.display());
        return;
    };
    let page = get(&app, "/settings/api-keys", &[]).await;
    assert_eq!(page.body(), &std::fs::read(built).unwrap());
    assert!(
        header(&page, "content-security-policy").contains("'sha256-"),
        "its theme is set by an inline script"
    );
    let packed = get(&app, "/", &[("accept-encoding", "br")]).await;
    assert_eq!(header(&packed, "content-encoding"), "br");
    assert!(
        header(&packed, "last-modified").is_empty(),
        "a build says nothing of when its files changed"
    );
    assert_eq!(
        get(&app, "/.vite/manifest.json", &[]).await.body(),
        page.body(),
        "hidden files are no part of it"
    );
}
