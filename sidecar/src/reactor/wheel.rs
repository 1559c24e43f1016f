//! Alarms: a hashed timing wheel. Setting and unsetting are constant time, whatever their number.
//! Pure: time comes in as ticks.

/// Slots of the wheel. With ticks of 16 ms one round is eight seconds; an alarm further away is
/// looked at once a round.
const SLOTS: usize = 512;

const NONE: u32 = u32::MAX;

/// One alarm at most for each index. Alarms of a slot are a doubly linked list through `nodes`.
#[derive(Debug)]
pub(super) struct Wheel {
    /// First index of each slot's list.
    heads: Vec<u32>,
    nodes: Vec<Node>,
    /// Which slots have alarms, a bit each.
    occupied: [u64; SLOTS / 64],
    /// Every tick up to this one has been looked at.
    done: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    next: u32,
    previous: u32,
    /// None when the alarm is not set.
    tick: Option<u64>,
}

const UNSET: Node = Node {
    next: NONE,
    previous: NONE,
    tick: None,
};

impl Default for Wheel {
    fn default() -> Self {
        Self {
            heads: vec![NONE; SLOTS],
            nodes: Vec::new(),
            occupied: [0; SLOTS / 64],
            done: 0,
        }
    }
}

impl Wheel {
    /// Sets the alarm of an index, replacing the one before. A tick that has passed is due at the next
    /// [`Wheel::advance`].
    pub(super) fn set(&mut self, index: u32, tick: u64) {
        self.unset(index);
        let at = index as usize;
        if self.nodes.len() <= at {
            self.nodes.resize(at + 1, UNSET);
        }
        let tick = tick.max(self.done + 1);
        let slot = slot(tick);
        let head = self.heads[slot];
        self.nodes[at] = Node {
            next: head,
            previous: NONE,
            tick: Some(tick),
        };
        if head != NONE {
            self.nodes[head as usize].previous = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    /// Unsets it, if it is set.
    pub(super) fn unset(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize) else {
            return;
        };
        let Some(tick) = node.tick else {
            return;
        };
        let Node { next, previous, .. } = std::mem::replace(node, UNSET);
        let slot = slot(tick);
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        } else {
            self.heads[slot] = next;
            if next == NONE {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        }
    }

    /// Moves time on and appends the indexes whose alarm is due; those are unset.
    pub(super) fn advance(&mut self, now: u64, due: &mut Vec<u32>) {
        if now <= self.done {
            return;
        }
        let steps = (now - self.done).min(SLOTS as u64);
        let from = due.len();
        for step in 0..steps {
            let mut index = self.heads[slot(now - step)];
            while index != NONE {
                let node = self.nodes[index as usize];
                if node.tick.is_some_and(|tick| tick <= now) {
                    due.push(index);
                }
                index = node.next;
            }
        }
        self.done = now;
        for &index in &due[from..] {
            self.unset(index);
        }
    }

    /// The next tick at which [`Wheel::advance`] may find something. None when no alarm is set.
    pub(super) fn next_tick(&self) -> Option<u64> {
        let first = slot(self.done + 1);
        let words = self.occupied.len();
        // The word that `first` lies in is looked at twice: its upper bits first, its lower last.
        (0..=words).find_map(|step| {
            let word = (first / 64 + step) % words;
            let upper = u64::MAX << (first % 64);
            let seen = match step {
                0 => upper,
                _ if step == words => !upper,
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & seen;
            let found = word * 64 + bits.trailing_zeros() as usize;
            (bits != 0).then(|| self.done + 1 + ((found + SLOTS - first) % SLOTS) as u64)
        })
    }
}

fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn goes_off_once_at_its_tick() {
        let mut wheel = Wheel::default();
        let mut due = Vec::new();
        wheel.set(3, 10);
        wheel.set(4, 10 + 2 * SLOTS as u64);
        assert_eq!(wheel.next_tick(), Some(10));
        wheel.advance(9, &mut due);
        assert!(due.is_empty());
        wheel.advance(10, &mut due);
        wheel.advance(11, &mut due);
        assert_eq!(due, [3]);
        due.clear();
        wheel.advance(9 + 2 * SLOTS as u64, &mut due);
        assert!(due.is_empty());
        wheel.advance(10 + 2 * SLOTS as u64, &mut due);
        assert_eq!((due.as_slice(), wheel.next_tick()), ([4].as_slice(), None));
    }

    #[test]
    fn a_tick_that_has_passed_is_due_at_once() {
        let mut wheel = Wheel::default();
        let mut due = Vec::new();
        wheel.advance(1_000, &mut due);
        wheel.set(0, 5);
        wheel.advance(1_001, &mut due);
        assert_eq!(due, [0]);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Advance(u64),
        Set(u32, u64),
        Unset(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => prop_oneof![1_u64..40, 1_u64..3_000].prop_map(Step::Advance),
            4 => (0_u32..20, 0_u64..4_000).prop_map(|(index, after)| Step::Set(index, after)),
            1 => (0_u32..20).prop_map(Step::Unset),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(steps in prop::collection::vec(step(), 0..80)) {
            let mut wheel = Wheel::default();
            let mut model = BTreeMap::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Advance(by) => {
                        now += by;
                        let mut due = Vec::new();
                        wheel.advance(now, &mut due);
                        due.sort_unstable();
                        let expected: Vec<u32> =
                            model.iter().filter(|(_, tick)| **tick <= now).map(|(index, _)| *index).collect();
                        model.retain(|_, tick| *tick > now);
                        prop_assert_eq!(due, expected);
                    }
                    Step::Set(index, after) => {
                        wheel.set(index, now + after);
                        model.insert(index, (now + after).max(now + 1));
                    }
                    Step::Unset(index) => {
                        wheel.unset(index);
                        model.remove(&index);
                    }
                }
                prop_assert_eq!(wheel.next_tick().is_none(), model.is_empty());
                if let (Some(next), Some(first)) = (wheel.next_tick(), model.values().min()) {
                    prop_assert!(next <= *first);
                }
            }
        }
    }
}
