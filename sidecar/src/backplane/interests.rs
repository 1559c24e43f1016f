//! The set of what a pod wants to receive.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::Interest;
use crate::topic::{Pattern, Topic};

/// Topics and patterns, each at most once.
#[derive(Debug, Default)]
pub(super) struct Interests {
    pub(super) topics: HashSet<Topic>,
    pub(super) patterns: Patterns,
}

impl Interests {
    /// False when it was there.
    pub(super) fn add(&mut self, interest: &Interest) -> bool {
        match interest {
            Interest::Pattern(pattern) => self.patterns.add(pattern.clone()),
            Interest::Topic(topic) => self.topics.insert(topic.clone()),
        }
    }

    /// False when it was not there.
    pub(super) fn remove(&mut self, interest: &Interest) -> bool {
        match interest {
            Interest::Pattern(pattern) => self.patterns.remove(pattern),
            Interest::Topic(topic) => self.topics.remove(topic),
        }
    }

    pub(super) fn contains(&self, interest: &Interest) -> bool {
        match interest {
            Interest::Pattern(pattern) => self.patterns.contains(pattern),
            Interest::Topic(topic) => self.topics.contains(topic),
        }
    }

    /// Whether a publication on the topic is wanted.
    pub(super) fn want(&self, topic: &Topic) -> bool {
        self.topics.contains(topic) || self.patterns.matches(topic)
    }
}

/// Patterns, found by the text before their first wildcard: a topic is tried against those whose
/// literal prefix it begins with, never against all.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    by_prefix: HashMap<Box<str>, Vec<Pattern>>,
    /// Number of prefixes of each length in bytes.
    lengths: BTreeMap<usize, usize>,
}

impl Patterns {
    /// False when it was there.
    pub(super) fn add(&mut self, pattern: Pattern) -> bool {
        let prefix = pattern.literal_prefix();
        let Some(same) = self.by_prefix.get_mut(prefix) else {
            *self.lengths.entry(prefix.len()).or_default() += 1;
            self.by_prefix.insert(prefix.into(), vec![pattern]);
            return true;
        };
        if same.contains(&pattern) {
            return false;
        }
        same.push(pattern);
        true
    }

    /// False when it was not there.
    pub(super) fn remove(&mut self, pattern: &Pattern) -> bool {
        let prefix = pattern.literal_prefix();
        let Some(same) = self.by_prefix.get_mut(prefix) else {
            return false;
        };
        let Some(at) = same.iter().position(|other| other == pattern) else {
            return false;
        };
        same.swap_remove(at);
        if same.is_empty() {
            self.by_prefix.remove(prefix);
            if let Some(count) = self.lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&prefix.len());
                }
            }
        }
        true
    }

    pub(super) fn contains(&self, pattern: &Pattern) -> bool {
        self.by_prefix
            .get(pattern.literal_prefix())
            .is_some_and(|same| same.contains(pattern))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_prefix.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.by_prefix.values().flatten()
    }

    /// Whether any of them matches.
    pub(super) fn matches(&self, topic: &Topic) -> bool {
        let name = topic.as_str();
        self.lengths
            .range(..=name.len())
            .filter_map(|(&length, _)| self.by_prefix.get(name.get(..length)?))
            .flatten()
            .any(|pattern| pattern.matches(topic))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_index_finds_what_a_scan_finds(
            globs in proptest::collection::vec("[ab*?]{1,5}", 0..12),
            gone in proptest::collection::vec(0..12_usize, 0..6),
            name in "[ab]{1,6}",
        ) {
            let mut patterns = Patterns::default();
            let mut plain: Vec<Pattern> = Vec::new();
            for glob in &globs {
                let pattern = Pattern::parse(glob, 255).unwrap();
                let new = !plain.contains(&pattern);
                prop_assert_eq!(patterns.add(pattern.clone()), new);
                if new {
                    plain.push(pattern);
                }
            }
            for at in gone {
                if at < plain.len() {
                    let pattern = plain.remove(at);
                    prop_assert!(patterns.remove(&pattern));
                    prop_assert!(!patterns.remove(&pattern));
                }
            }
            let topic = Topic::parse(&name, 255).unwrap();
            prop_assert_eq!(
                patterns.matches(&topic),
                plain.iter().any(|pattern| pattern.matches(&topic))
            );
            prop_assert_eq!(patterns.iter().count(), plain.len());
            prop_assert_eq!(patterns.is_empty(), plain.is_empty());
            prop_assert_eq!(patterns.lengths.is_empty(), plain.is_empty());
        }
    }
}
