//! By which name a server may be called.
//!
//! A web page of another place can have its own name point to this machine after it was loaded (DNS rebinding). To a browser its
//! requests then are its own server's: no header of another origin comes with them, and it may read the answers. Such a request
//! names the page's host, though, and no name of this server's.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

use super::refusal::{Kind, Refusal};

/// Whether a request calls this machine by a name of its own or one of `allowed`; '*' among these stands for all.
///
/// # Errors
/// Another name.
pub(super) fn check(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> Result<(), Refusal> {
    let given = headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    // No browser leaves it out.
    let Some(given) = given.or_else(|| uri.authority().map(|authority| authority.to_string())) else {
        return Ok(());
    };
    let name = name(&given);
    let is_own = name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if is_own || allowed.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let shown: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    let why = format!("this server does not go by the name '{shown}'; --allowed-host gives it more names");
    Err(Refusal::new(Kind::Origin, why))
}

/// A host without its port, and without the dot that may end it.
fn name(host: &str) -> &str {
    let bare = match host.rsplit_once(':') {
        // Of an address with colons without brackets the last part is no port.
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    };
    bare.strip_suffix('.').unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_refused() {
        let ok = |host: &str, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|a| (*a).to_owned()).collect();
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            check(&headers, &Uri::from_static("/"), &allowed).is_ok()
        };
        for own in [
            "localhost",
            "LocalHost:1",
            "localhost.:80",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(ok(own, &[]), "{own}");
        }
        for other in [
            "evil.example",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example",
            "192.168.1.2",
            "0.0.0.0:80",
            "",
            "[::2]",
            "localhost:80:80",
        ] {
            assert!(!ok(other, &[]), "{other}");
        }
        assert!(
            ok("Chat.Example:443", &["chat.example"])
                && !ok("x.chat.example", &["chat.example"])
                && ok("any", &["*"])
        );
        let absolute = Uri::from_static("http://evil.example/v1/models");
        assert!(check(&HeaderMap::new(), &absolute, &[]).is_err());
        assert!(check(&HeaderMap::new(), &Uri::from_static("/"), &[]).is_ok(), "no browser");
    }
}
