//! Patterns, indexed by what their topics begin with.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::topic::{Pattern, Topic};

/// A value for each pattern. Finding those that match a topic costs one look-up for each *length* of
/// literal prefix in use, and a match for each pattern under the prefixes that fit: never a scan of
/// all patterns.
#[derive(Debug)]
pub(super) struct PatternIndex<T> {
    by_prefix: HashMap<String, Vec<(Pattern, T)>>,
    /// Prefix length in bytes -> number of prefixes that long.
    lengths: BTreeMap<usize, usize>,
}

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self {
            by_prefix: HashMap::new(),
            lengths: BTreeMap::new(),
        }
    }
}

impl<T> PatternIndex<T> {
    /// Whether the pattern has a value.
    pub(super) fn contains(&self, pattern: &Pattern) -> bool {
        self.by_prefix
            .get(pattern.literal_prefix())
            .is_some_and(|same| same.iter().any(|(have, _)| have == pattern))
    }

    /// The pattern's value.
    pub(super) fn get_mut(&mut self, pattern: &Pattern) -> Option<&mut T> {
        self.by_prefix
            .get_mut(pattern.literal_prefix())?
            .iter_mut()
            .find(|(have, _)| have == pattern)
            .map(|(_, value)| value)
    }

    /// The pattern's value, made when there is none.
    pub(super) fn get_or_insert_with(
        &mut self,
        pattern: &Pattern,
        make: impl FnOnce() -> T,
    ) -> &mut T {
        let prefix = pattern.literal_prefix();
        let lengths = &mut self.lengths;
        let same_prefix = self.by_prefix.entry_ref(prefix).or_insert_with(|| {
            *lengths.entry(prefix.len()).or_default() += 1;
            Vec::new()
        });
        let place = same_prefix
            .iter()
            .position(|(have, _)| have == pattern)
            .unwrap_or_else(|| {
                same_prefix.push((pattern.clone(), make()));
                same_prefix.len() - 1
            });
        &mut same_prefix[place].1
    }

    /// Takes a pattern out.
    pub(super) fn remove(&mut self, pattern: &Pattern) -> Option<T> {
        let prefix = pattern.literal_prefix();
        let same_prefix = self.by_prefix.get_mut(prefix)?;
        let place = same_prefix.iter().position(|(have, _)| have == pattern)?;
        let (_, value) = same_prefix.swap_remove(place);
        if same_prefix.is_empty() {
            self.by_prefix.remove(prefix);
            if let Some(count) = self.lengths.get_mut(&prefix.len()) {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&prefix.len());
                }
            }
        }
        Some(value)
    }

    /// Calls `found` for the value of each pattern that matches the topic.
    pub(super) fn each_match(&self, topic: &Topic, mut found: impl FnMut(&T)) {
        for &length in self.lengths.keys() {
            // A length that is no boundary of characters in this topic is no prefix of it either.
            let Some(prefix) = topic.as_str().get(..length) else {
                continue;
            };
            for (pattern, value) in self.by_prefix.get(prefix).into_iter().flatten() {
                if pattern.matches(topic) {
                    found(value);
                }
            }
        }
    }

    /// As [`PatternIndex::each_match`], to change the values.
    pub(super) fn each_match_mut(&mut self, topic: &Topic, mut found: impl FnMut(&mut T)) {
        for &length in self.lengths.keys() {
            let Some(prefix) = topic.as_str().get(..length) else {
                continue;
            };
            for (pattern, value) in self.by_prefix.get_mut(prefix).into_iter().flatten() {
                if pattern.matches(topic) {
                    found(value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_scan_of_all_finds(
            globs in prop::collection::vec("[abé*?]{1,5}", 1..12),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            name in "[abé]{1,6}",
        ) {
            let mut all: Vec<Pattern> = globs.iter().map(|glob| Pattern::parse(glob, 255).unwrap()).collect();
            let mut index = PatternIndex::default();
            for pattern in &all {
                index.get_or_insert_with(pattern, || pattern.clone());
            }
            for place in removed {
                if all.is_empty() {
                    break;
                }
                let gone = all[place.index(all.len())].clone();
                prop_assert!(index.remove(&gone).is_some());
                prop_assert!(index.get_mut(&gone).is_none() && !index.contains(&gone));
                all.retain(|pattern| *pattern != gone);
            }
            let topic = Topic::parse(&name, 255).unwrap();
            let mut found = Vec::new();
            index.each_match(&topic, |pattern| found.push(pattern.clone()));
            found.sort();
            let mut expected: Vec<Pattern> = all.into_iter().filter(|pattern| pattern.matches(&topic)).collect();
            expected.sort();
            expected.dedup();
            prop_assert_eq!(found, expected.clone());
            prop_assert_eq!(index.by_prefix.len(), index.lengths.values().sum::<usize>());
        }
    }
}
