//! Questions to a hub over HTTP.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::choice::Listed;
use super::{HubError, Name};

/// A hub with Hugging Face's interface.
pub struct Hub {
    address: String,
    token: Option<String>,
    agent: Agent,
}

/// How often a hub may send elsewhere for one file.
const MOST_REDIRECTS: usize = 10;

/// The most bytes of a page of a listing.
const MOST_OF_PAGE: u64 = 32 << 20;

/// The most pages of a listing.
const MOST_PAGES: usize = 100;

/// How long a hub may send nothing.
const PATIENCE: Duration = Duration::from_secs(60);

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Scheme and host of an address.
fn origin(address: &str) -> Option<&str> {
    let rest = address.split_once("://")?.1;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = &rest[..end];
    let of_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':' | b'[' | b']' | b'_');
    (!host.is_empty() && host.bytes().all(of_host)).then(|| &address[..address.len() - rest.len() + end])
}

/// Where `location` leads from `address`; nowhere if it is no address, or without TLS from one with it.
fn redirected(address: &str, location: &str) -> Option<String> {
    let from = origin(address)?;
    let to = match location {
        _ if location.starts_with("//") => format!("{}:{location}", from.split_once(':')?.0),
        _ if location.starts_with('/') => format!("{from}{location}"),
        _ => location.to_owned(),
    };
    let scheme = origin(&to)?.split_once("://")?.0.to_owned();
    (scheme == "https" || (scheme == "http" && from.starts_with("http://"))).then_some(to)
}

/// A path in an address.
fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

impl Hub {
    /// A hub at `address`, which hears `token` and passes it on to no other host.
    ///
    /// # Errors
    /// An address that is none, or that needs TLS where this program has none.
    pub fn new(address: &str, token: Option<String>) -> Result<Self, HubError> {
        let address = address.trim_end_matches('/');
        let wrong = || HubError::Address(address.chars().take(200).collect());
        let (scheme, _) = address.split_once("://").ok_or_else(wrong)?;
        origin(address).ok_or_else(wrong)?;
        match scheme {
            "http" => {}
            "https" if cfg!(feature = "pull") => {}
            "https" => return Err(HubError::NoTls(address.to_owned())),
            _ => return Err(wrong()),
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Where a redirection leads is looked at here, since the token may not go everywhere.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .user_agent(concat!("llm_rs2/", env!("CARGO_PKG_VERSION")))
            .build();
        let token = token.filter(|token| !token.is_empty());
        Ok(Self { address: address.to_owned(), token, agent: config.new_agent() })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What went wrong with `what`.
    pub(super) fn broken(&self, what: &str, why: impl fmt::Display) -> HubError {
        HubError::Connection { hub: self.address.clone(), what: what.to_owned(), why: why.to_string() }
    }

    fn answered(&self, what: &str, why: impl Into<String>) -> HubError {
        HubError::Answer { hub: self.address.clone(), what: what.to_owned(), why: why.into() }
    }

    /// Asks for an address, and follows where it leads. `from` is the first byte that is wanted.
    fn get(&self, address: String, what: &str, from: u64) -> Result<Response<Body>, HubError> {
        let mut address = address;
        for _ in 0..MOST_REDIRECTS {
            let mut request = self.agent.get(&address);
            // Elsewhere it would be another's to use.
            if let Some(token) = &self.token
                && origin(&address) == origin(&self.address)
            {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            let response = request.call().map_err(|error| self.broken(what, error))?;
            let status = response.status();
            if !status.is_redirection() {
                return self.checked(response, what);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|location| redirected(&address, location));
            address = next.ok_or_else(|| self.answered(what, "a redirection that leads nowhere"))?;
        }
        Err(self.answered(what, "too many redirections"))
    }

    fn checked(&self, response: Response<Body>, what: &str) -> Result<Response<Body>, HubError> {
        let (hub, what) = (self.address.clone(), what.to_owned());
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Ok(response),
            StatusCode::NOT_FOUND => Err(HubError::NotFound { hub, what }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(HubError::Refused { hub, what }),
            status => Err(HubError::Answer { hub, what, why: format!("the status {status}") }),
        }
    }

    /// The files of a repository.
    ///
    /// # Errors
    /// No such repository, none for this token, no connection, or a listing that is none.
    pub(super) fn listing(&self, name: &Name) -> Result<Vec<Listed>, HubError> {
        let repository = name.repository();
        let mut address = format!("{}/api/models/{repository}/tree/main?recursive=1", self.address);
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut response = self.get(address.clone(), &repository, 0)?;
            let read = response.body_mut().with_config().limit(MOST_OF_PAGE).read_to_vec();
            let bytes = read.map_err(|error| self.broken(&repository, error))?;
            let page: Value = serde_json::from_slice(&bytes)
                .map_err(|error| self.answered(&repository, format!("no JSON ({error})")))?;
            let files = page.as_array().ok_or_else(|| self.answered(&repository, "no list of files"))?;
            all.extend(files.iter().filter_map(Listed::read));
            let link = response.headers().get(header::LINK).and_then(|link| link.to_str().ok());
            let Some(next) = link.and_then(next_page).and_then(|next| redirected(&address, next)) else {
                return Ok(all);
            };
            address = next;
        }
        Err(self.answered(&repository, "a list of files without end"))
    }

    /// A file from byte `from` on; from its first one if the hub sends that instead, which the number says.
    ///
    /// # Errors
    /// No such file, or no connection.
    pub(super) fn file(&self, name: &Name, path: &str, from: u64) -> Result<(Response<Body>, u64), HubError> {
        let repository = name.repository();
        let address = format!("{}/{repository}/resolve/main/{}", self.address, escaped(path));
        let what = format!("{repository}/{path}");
        let response = self.get(address.clone(), &what, from)?;
        let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        match response.status() {
            StatusCode::OK => Ok((response, 0)),
            StatusCode::PARTIAL_CONTENT
                if range.is_some_and(|range| range.starts_with(&format!("bytes {from}-"))) =>
            {
                Ok((response, from))
            }
            _ if from > 0 => match self.get(address, &what, 0)? {
                response if response.status() == StatusCode::OK => Ok((response, 0)),
                response => Err(self.answered(&what, format!("the status {}", response.status()))),
            },
            status => Err(self.answered(&what, format!("the status {status}"))),
        }
    }
}

/// The address of the next page in a `Link` header.
fn next_page(link: &str) -> Option<&str> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    next.split_once('<')?.1.split_once('>').map(|(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_lead_to_addresses_and_never_away_from_tls() {
        let to = |from: &str, location: &str| redirected(from, location);
        let of = |text: &str| Some(text.to_owned());
        assert_eq!(to("https://a.b/x/y", "/z?q"), of("https://a.b/z?q"));
        assert_eq!(to("https://a.b/x", "//c.d/z"), of("https://c.d/z"));
        assert_eq!(to("http://a.b:1/x", "https://c/z"), of("https://c/z"));
        assert_eq!(to("http://a.b:1/x", "http://c/z"), of("http://c/z"));
        for (from, location) in [
            ("https://a/x", "http://a/x"),
            ("http://a/x", "file:///etc/passwd"),
            ("http://a/x", ""),
            ("http://a/x", "y"),
        ] {
            assert_eq!(to(from, location), None, "{from} {location}");
        }
        assert_eq!(origin("https://u:p@a/x"), None);
        assert_eq!(
            (origin("http://a:1/x"), origin("http://a:1?x")),
            (Some("http://a:1"), Some("http://a:1"))
        );
    }

    #[test]
    fn addresses_of_hubs_are_checked() {
        for bad in ["", "huggingface.co", "ftp://a", "http://", "http://u:p@a", "http:///x"] {
            assert!(Hub::new(bad, None).is_err(), "{bad}");
        }
        let hub = Hub::new("http://a/", Some("secret".into())).unwrap();
        assert_eq!(hub.address(), "http://a");
        assert!(!format!("{hub:?}").contains("secret"));
        assert_eq!(Hub::new("https://a", None).is_ok(), cfg!(feature = "pull"));
    }

    #[test]
    fn pages_and_paths() {
        assert_eq!(next_page("<https://a/b?cursor=1>; rel=\"next\""), Some("https://a/b?cursor=1"));
        assert_eq!(next_page("<https://a>; rel=\"prev\""), None);
        assert_eq!(escaped("a b/c%#?ü.gguf"), "a%20b/c%25%23%3F%C3%BC.gguf");
    }
}
