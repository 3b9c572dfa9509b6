//! Which web pages may ask, besides those that come from this server.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::refusal::{Kind, Refusal};

/// Every page.
const ALL: &str = "*";

/// Every page that this machine serves to itself.
const LOCAL: &str = "localhost";

/// Whether a page with this origin comes from this machine itself, from whichever port.
fn is_local(origin: &str) -> bool {
    let Some(("http" | "https", place)) = origin.split_once("://") else { return false };
    // What follows the last colon is a port, unless it belongs to an address in brackets.
    let host = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
                return false;
            }
            host
        }
        _ => place,
    };
    matches!(host.to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "[::1]")
}

/// Whether pages with this origin are named in `allowed`: as they are, by `*`, or by `localhost`.
fn is_allowed(origin: &str, allowed: &[String]) -> bool {
    let names = |allowed: &String| match allowed.as_str() {
        ALL => true,
        LOCAL => is_local(origin),
        named => named == origin,
    };
    allowed.iter().any(names)
}

/// The headers for browsers, where other pages may ask.
pub(super) fn layer(allowed: &[String]) -> Option<CorsLayer> {
    if allowed.is_empty() {
        return None;
    }
    let origins = if allowed.iter().any(|allowed| allowed == ALL) {
        AllowOrigin::any()
    } else {
        let allowed = allowed.to_vec();
        AllowOrigin::predicate(move |origin: &HeaderValue, _| {
            origin.to_str().is_ok_and(|origin| is_allowed(origin, &allowed))
        })
    };
    let layer = CorsLayer::new().allow_origin(origins);
    Some(
        layer
            .allow_methods([Method::GET, Method::POST, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request()),
    )
}

/// Pages of other places may not ask, even where a browser would not show them the answer.
///
/// # Errors
/// The request comes from such a page.
pub(super) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let text = |name: &header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(&header::ORIGIN) else { return Ok(()) };
    let own = text(&header::HOST).is_some_and(|host| {
        origin.split_once("://").is_some_and(|(_, of_origin)| of_origin.eq_ignore_ascii_case(host))
    });
    if own || is_allowed(origin, allowed) {
        return Ok(());
    }
    let why = "web pages of other places may not ask this server; --cors-origin names those that may";
    Err(Refusal::new(Kind::Origin, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_places_may_not_ask() {
        let headers = |list: &[(&'static str, &str)]| -> HeaderMap {
            list.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect()
        };
        let ok = |origin: &str, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|a| (*a).to_owned()).collect();
            check(&headers(&[("host", "localhost:8080"), ("origin", origin)]), &allowed).is_ok()
        };
        assert!(ok("http://localhost:8080", &[]));
        assert!(!ok("http://localhost:8081", &[]) && !ok("https://example.com", &[]) && !ok("null", &[]));
        assert!(ok("https://example.com", &["https://example.com"]) && ok("null", &["*"]));
        assert!(check(&headers(&[("host", "x")]), &[]).is_ok(), "no browser");
    }

    #[test]
    fn pages_of_this_machine_are_known_by_their_host_alone() {
        for origin in [
            "http://localhost",
            "https://localhost:8081",
            "http://127.0.0.1:3000",
            "http://[::1]",
            "http://[::1]:3000",
            "http://LocalHost",
        ] {
            assert!(is_local(origin), "{origin}");
        }
        for origin in [
            "http://notlocalhost",
            "http://localhost.evil.com",
            "http://evil.com",
            "http://localhost:80.evil.com",
            "http://localhost:",
            "http://user@localhost",
            "http://evil.com/localhost",
            "http://127.0.0.1.evil.com:80",
            "file://localhost",
            "localhost",
            "null",
            "",
        ] {
            assert!(!is_local(origin), "{origin}");
        }
    }
}
