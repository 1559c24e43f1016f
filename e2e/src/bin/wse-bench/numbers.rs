//! Numbers of messages that one connection received.

use std::collections::BTreeMap;

/// Numbers that arrived, as runs from a first to a last: memory is for gaps, not for messages.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// The run of the highest numbers, which is where the next one most often belongs.
    tail: Option<(u64, u64)>,
    /// The runs before it.
    runs: BTreeMap<u64, u64>,
    /// Those that came again.
    pub(crate) repeated: u64,
}

impl Numbers {
    pub(crate) fn add(&mut self, number: u64) {
        match &mut self.tail {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some((first, last)) if number > *last => {
                self.runs.insert(*first, *last);
                (*first, *last) = (number, number);
            }
            Some((first, _)) if number >= *first => self.repeated += 1,
            Some(_) => self.fill(number),
            None => self.tail = Some((number, number)),
        }
    }

    /// How many lie between those that came.
    pub(crate) fn missing(&self) -> u64 {
        let firsts = self.runs.keys().copied();
        let firsts = firsts.chain(self.tail.map(|(first, _)| first)).skip(1);
        let gaps = self.runs.values().zip(firsts);
        gaps.map(|(last, first)| first - last - 1).sum()
    }

    /// One that belongs before the tail.
    fn fill(&mut self, number: u64) {
        let before = self.runs.range(..=number).next_back();
        let before = before.map(|(&first, &last)| (first, last));
        if before.is_some_and(|(_, last)| number <= last) {
            self.repeated += 1;
            return;
        }
        let joins = before.filter(|&(_, last)| last + 1 == number);
        let first = joins.map_or(number, |(first, _)| first);
        match &mut self.tail {
            Some((begin, _)) if number + 1 == *begin => {
                self.runs.remove(&first);
                *begin = first;
            }
            _ => {
                let after = self.runs.remove(&(number + 1));
                self.runs.insert(first, after.unwrap_or(number));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_repeats_are_counted_in_any_order() {
        let cases: [(&[u64], u64, u64); 9] = [
            (&[], 0, 0),
            (&[7], 0, 0),
            (&[5, 6, 7], 0, 0),
            (&[5, 7, 6], 0, 0),
            (&[0, 1, 4, 9], 6, 0),
            (&[3, 3, 4, 3], 0, 2),
            (&[5, 9, 7, 8, 6, 7, 10], 0, 1),
            (&[9, 3, 4, 5, 4, 9], 3, 2),
            (&[u64::MAX, 0, 1, 1], u64::MAX - 2, 1),
        ];
        for (received, missing, repeated) in cases {
            let mut numbers = Numbers::default();
            for &number in received {
                numbers.add(number);
            }
            assert_eq!(numbers.missing(), missing, "{received:?}");
            assert_eq!(numbers.repeated, repeated, "{received:?}");
        }
    }
}
