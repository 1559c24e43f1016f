//! How new a kubelet or a kernel is.

use std::fmt;

/// A major and a minor version; what follows them does not matter here.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Of a text such as `v1.33.5-gke.1080000` or `6.1.0-18-amd64`. None: it says none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (major, rest) = number(text)?;
        let (minor, _) = number(rest.strip_prefix('.')?)?;
        Some(Self(major, minor))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The number that a text begins with, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|it: char| !it.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_texts_that_nodes_give_are_understood() {
        for (text, expected) in [
            ("v1.34.4", Some(Version(1, 34))),
            ("v1.33.5-gke.1080000", Some(Version(1, 33))),
            ("v1.31.0-eks-a737599", Some(Version(1, 31))),
            ("v1.30.5+k3s1", Some(Version(1, 30))),
            ("6.1.0-18-amd64", Some(Version(6, 1))),
            ("5.15.167.4-microsoft-standard-WSL2", Some(Version(5, 15))),
            ("4.18.0-553.el8_10.x86_64", Some(Version(4, 18))),
            ("6.6", Some(Version(6, 6))),
            ("6.12-rc3", Some(Version(6, 12))),
            ("", None),
            ("v", None),
            ("v1", None),
            ("v1.", None),
            ("1.x", None),
            (".5", None),
            ("-1.5", None),
            ("latest", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(Version::parse(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_is_nonsense(text in ".*") {
            let _ = Version::parse(&text);
        }

        #[test]
        fn a_later_minor_is_a_later_version(major in 0..10u32, a in 0..200u32, b in 0..200u32) {
            let of = |minor: u32| Version::parse(&format!("v{major}.{minor}.0")).unwrap();
            prop_assert_eq!(a.cmp(&b), of(a).cmp(&of(b)));
        }
    }
}
