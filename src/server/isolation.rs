//! Which texts may share what was computed of them: the salts of keys and of requests.
//!
//! A salt is a SHA-256 hash. It is the same after a restart, so that files of texts are found again, and a key that cannot be
//! guessed cannot be found from it.

use sha2::{Digest, Sha256};

use crate::engine::CacheSalt;

/// The first bytes of all that is hashed here.
const DOMAIN: &[u8] = b"llm_rs2 cache salt 1";

/// A hash of `parts`, in which none can be taken for a piece of another.
fn salt(parts: &[&[u8]]) -> CacheSalt {
    let mut hash = Sha256::new_with_prefix(DOMAIN);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    CacheSalt(hash.finalize().into())
}

/// The salt of all texts of a key.
pub(super) fn of_key(key: &str) -> CacheSalt {
    salt(&[b"key", key.as_bytes()])
}

/// The salt of a text whose request brings `own`, where all texts of its key have `key`.
pub(super) fn combined(key: Option<CacheSalt>, own: Option<&str>) -> Option<CacheSalt> {
    match (key, own) {
        (key, None) => key,
        (None, Some(own)) => Some(salt(&[b"request", own.as_bytes()])),
        (Some(CacheSalt(key)), Some(own)) => Some(salt(&[b"key and request", &key, own.as_bytes()])),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_and_every_request_has_a_salt_of_its_own() {
        let keys = [None, Some(of_key("a")), Some(of_key("ab"))];
        let all = keys
            .iter()
            .flat_map(|&key| [None, Some("a"), Some("b"), Some("ba")].map(|own| combined(key, own)));
        let all: BTreeSet<_> = all.map(|salt| salt.map(|CacheSalt(bytes)| bytes)).collect();
        assert_eq!(all.len(), 12);
        assert_eq!(combined(None, None), None);
    }

    #[test]
    fn a_salt_stays_the_same() {
        // printf '%b' 'llm_rs2 cache salt 1\x03\0\0\0\0\0\0\0key\x06\0\0\0\0\0\0\0secret' | sha256sum
        let CacheSalt(bytes) = of_key("secret");
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, "c7b15e46e4d816b32d342d9ddfe89192373c559a16659b7b4e7d15409f82c4a5");
    }
}
