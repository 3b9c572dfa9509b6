//! The web page: what is sent of it, and how it behaves in a browser.

use std::path::Path;
use std::process::Command;

use super::client::Server;
use crate::skip::skipped;

#[test]
fn the_page_needs_no_key_and_may_be_kept() {
    let server = Server::start(&["--api-key", "secret"]);
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let tag = page.header("etag").expect("a tag").to_owned();
    for tags in [tag.clone(), format!("\"x\", W/{tag}")] {
        let same = server.request("GET", "/", &[("if-none-match", &tags)], b"");
        assert_eq!((same.status, same.body.len(), same.header("etag")), (304, 0, Some(tag.as_str())));
    }
    assert_eq!(server.request("GET", "/", &[("if-none-match", "\"x\"")], b"").body, page.body);
    let head = server.request("HEAD", "/", &[], b"");
    let length = page.body.len().to_string();
    assert_eq!(
        (head.status, head.body.len(), head.header("content-length")),
        (200, 0, Some(length.as_str()))
    );
    let icon = server.get("/favicon.ico");
    assert_eq!((icon.status, icon.header("content-type")), (200, Some("image/svg+xml")));
    assert_eq!(server.request("POST", "/", &[("x-api-key", "secret")], b"").status, 405);
    // What it shows needs one.
    assert_eq!(server.get("/props").status, 401);
    let server = Server::start(&["--no-webui"]);
    assert_eq!((server.get("/").status, server.get("/favicon.ico").status), (404, 404));
    assert_eq!(server.request("HEAD", "/health", &[], b"").status, 200);
}

#[test]
fn the_page_works_in_a_browser() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let python = |args: &[&str]| {
        let mut command = Command::new("python3");
        command.arg("-B").args(args).env("PYTHONPATH", folder.join("scripts"));
        command.output()
    };
    let found = python(&["-c", "import browser, sys; sys.exit(browser.path() is None)"]);
    if !found.is_ok_and(|output| output.status.success()) {
        return skipped("the_page_works_in_a_browser", "there is no python3 or no Chromium");
    }
    let directory = tempfile::tempdir().unwrap();
    let template = directory.path().join("story.jinja");
    std::fs::write(&template, "{% for m in messages %}{{ m.content }}{% endfor %}").unwrap();
    let template = template.to_str().unwrap();
    let open = Server::start(&["--chat-template", template]);
    let closed = Server::start(&["--chat-template", template, "--api-key", "secret"]);
    let url = |server: &Server| format!("http://{}", server.address);
    let script = folder.join("it/cli/serve/page.py");
    let args = [script.to_str().unwrap(), &url(&open), &url(&closed), "secret"];
    let output = python(&args).expect("python3 starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
