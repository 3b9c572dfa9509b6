//! The web page at `/`: a chat, in one file that loads nothing from anywhere.

use std::sync::OnceLock;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use super::router::Call;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// One script in parts, each of which uses those before it.
const SCRIPTS: [&str; 7] = [
    include_str!("dom.js"),
    include_str!("markdown.js"),
    include_str!("store.js"),
    include_str!("api.js"),
    include_str!("messages.js"),
    include_str!("settings.js"),
    include_str!("app.js"),
];
const ICON: &str = include_str!("favicon.svg");

/// The page, and what is said of it.
struct Page {
    html: String,
    policy: HeaderValue,
    tag: HeaderValue,
}

fn page_of_program() -> &'static Page {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| {
        // A style needs no blanks between its signs.
        let style = bare(STYLE).replace(": ", ":").replace("; ", ";").replace(" { ", "{");
        let script = SCRIPTS.map(bare).concat();
        // Nothing runs but what is in the page, no text becomes markup, and requests go to this server alone.
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            source(&script),
            source(&style)
        );
        let html = HTML.replace("/*STYLE*/", &style).replace("/*SCRIPT*/", &script);
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&html)));
        let ascii = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Page { policy: ascii(&policy), tag: ascii(&tag), html }
    })
}

/// A text without what is for its readers alone: indentation, and lines that are comments.
fn bare(text: &str) -> String {
    let is_comment = |line: &&str| line.starts_with("//") || (line.starts_with("/*") && line.ends_with("*/"));
    let lines = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !is_comment(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// What a policy calls a script or style of the page.
fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// `GET /`.
pub(super) async fn page(call: Call) -> Result<Response, Refusal> {
    let page = page_of_program();
    let mut response = file(&call, &page.html, "text/html; charset=utf-8", &page.tag);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, page.policy.clone());
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    Ok(response)
}

/// `GET /favicon.ico`.
pub(super) async fn icon(call: Call) -> Result<Response, Refusal> {
    Ok(file(&call, ICON, "image/svg+xml", &page_of_program().tag))
}

/// A file of the page: its text, or that it is the one which the browser has.
fn file(call: &Call, text: &'static str, kind: &'static str, tag: &HeaderValue) -> Response {
    let known =
        call.headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
    let is_known =
        known.split(',').any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes());
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(text) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::ETAG, tag.clone());
    // Asked again each time: another version of the program has another page.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_loads_nothing() {
        let page = page_of_program();
        assert!(page.html.len() < 60_000, "{} bytes", page.html.len());
        assert!(!page.html.contains("/*S"), "everything is in its place");
        for loads in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "import(",
            "url(",
            "src=",
        ] {
            assert!(!page.html.contains(loads), "{loads}");
        }
        // One address, which is that of no request: what drawings are called.
        assert_eq!(page.html.matches("://").count(), page.html.matches("http://www.w3.org/2000/svg").count());
        assert!(page.policy.to_str().unwrap().starts_with("default-src 'none'; script-src 'sha256-"));
    }

    #[test]
    fn what_is_left_out_is_for_readers() {
        assert_eq!(bare("// a\n/** b */\n  x = 1; // c\n\n/* d */ y\n"), "x = 1; // c\n/* d */ y\n");
    }
}
