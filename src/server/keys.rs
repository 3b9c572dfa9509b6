//! Who may ask.

use subtle::{Choice, ConstantTimeEq};

/// Keys, one of which a request has to bring; none for everybody. They are never printed.
#[derive(Clone, Default)]
pub struct Keys {
    keys: Vec<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("count", &self.keys.len()).finish()
    }
}

impl Keys {
    /// These keys.
    pub fn new(keys: Vec<String>) -> Self {
        Self { keys }
    }

    /// Whether no key is needed.
    pub fn are_none(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether this is one of them. Takes as long for a key that is nearly right as for any other of its length.
    pub fn allow(&self, given: Option<&str>) -> bool {
        if self.are_none() {
            return true;
        }
        let Some(given) = given else { return false };
        let same = |key: &String| key.as_bytes().ct_eq(given.as_bytes());
        self.keys.iter().map(same).fold(Choice::from(0), |any, same| any | same).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_keys_is_needed() {
        let keys = Keys::new(vec!["secret-a".into(), "secret-b".into()]);
        assert!(keys.allow(Some("secret-a")) && keys.allow(Some("secret-b")));
        for wrong in [None, Some(""), Some("secret-c"), Some("secret-"), Some("secret-ab")] {
            assert!(!keys.allow(wrong), "{wrong:?}");
        }
        assert!(Keys::default().allow(None) && Keys::default().allow(Some("x")));
        assert!(!format!("{keys:?}").contains("secret"));
    }
}
