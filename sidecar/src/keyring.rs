//! Secrets that callers of the HTTP ports present: the backends' API keys and the admin token. Only
//! their digests stay in memory, and a comparison takes the same time whatever was presented.

use std::path::PathBuf;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

/// Accepted secrets. Empty: nobody is let in.
#[derive(Clone, Default)]
pub struct KeyRing {
    digests: Vec<[u8; 32]>,
}

impl KeyRing {
    /// Reads one secret from each file; white space around it is not part of it.
    ///
    /// # Errors
    /// Names the first file that cannot be read or holds nothing.
    pub fn read<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Result<Self, String> {
        let mut digests = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            let secret = text.trim();
            if secret.is_empty() {
                return Err(format!("{} holds no secret", file.display()));
            }
            digests.push(hash(secret.as_bytes()));
        }
        Ok(Self { digests })
    }

    /// Of secrets that are at hand.
    #[cfg(test)]
    pub(crate) fn of(secrets: &[&str]) -> Self {
        let digests = secrets.iter().map(|s| hash(s.as_bytes())).collect();
        Self { digests }
    }

    /// Whether a caller presented one of the secrets. All are compared, so that the time says nothing
    /// about which one it was.
    pub fn accepts(&self, presented: &[u8]) -> bool {
        let presented = hash(presented);
        self.digests.iter().fold(false, |found, known| {
            verify_slices_are_equal(known, &presented).is_ok() | found
        })
    }

    /// Whether there is no secret at all.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750 section 2.1); the scheme's case does not
/// matter.
pub fn bearer(headers: &http::HeaderMap) -> Option<&[u8]> {
    let value = headers.get(http::header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

fn hash(secret: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, secret).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_each_key_and_nothing_else() {
        let keys = KeyRing::of(&["one", "two"]);
        assert!(keys.accepts(b"one"));
        assert!(keys.accepts(b"two"));
        for wrong in ["", "on", "one ", "onetwo", "ONE"] {
            assert!(!keys.accepts(wrong.as_bytes()), "{wrong:?}");
        }
        assert!(!KeyRing::default().accepts(b""));
    }

    #[test]
    fn reads_files_without_their_last_newline() {
        let dir = std::env::temp_dir().join(format!("wse-keyring-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&dir).unwrap();
        let (good, empty) = (dir.join("good"), dir.join("empty"));
        std::fs::write(&good, "secret\n").unwrap();
        std::fs::write(&empty, " \n").unwrap();
        assert!(KeyRing::read([&good]).unwrap().accepts(b"secret"));
        assert!(KeyRing::read([&good, &empty]).is_err());
        assert!(KeyRing::read([&dir.join("none")]).is_err());
        assert!(KeyRing::read([]).unwrap().is_empty());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn finds_a_bearer_token() {
        let cases: [(&str, Option<&[u8]>); 6] = [
            ("Bearer abc", Some(b"abc")),
            ("bearer  abc ", Some(b"abc")),
            ("Bearer ", Some(b"")),
            ("Basic abc", None),
            ("Bearer", None),
            ("abc", None),
        ];
        for (value, expected) in cases {
            let mut headers = http::HeaderMap::new();
            headers.insert("authorization", value.parse().unwrap());
            assert_eq!(bearer(&headers), expected, "{value:?}");
        }
        assert_eq!(bearer(&http::HeaderMap::new()), None);
    }
}
