//! Who may be asked while others are: no cluster takes all slots, and pods that may not answer take
//! only some.

use std::collections::HashMap;

use super::Cluster;
use super::book::Asked;

/// Open questions, counted.
pub(super) struct Slots {
    /// How many there may be.
    limit: usize,
    all: Open,
    clusters: HashMap<Cluster, Open>,
}

#[derive(Clone, Copy, Default)]
struct Open {
    all: usize,
    /// To pods that left their last question unanswered, or were never asked.
    unproven: usize,
}

impl Open {
    fn with(self, one: &Asked) -> Self {
        Self {
            all: self.all + 1,
            unproven: self.unproven + usize::from(!one.proven),
        }
    }

    fn without(self, one: &Asked) -> Self {
        Self {
            all: self.all - 1,
            unproven: self.unproven - usize::from(!one.proven),
        }
    }

    fn is_within(self, all: usize, unproven: usize) -> bool {
        self.all <= all.max(1) && self.unproven <= unproven.max(1)
    }
}

impl Slots {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            all: Open::default(),
            clusters: HashMap::new(),
        }
    }

    /// Whether it may be asked now. Of all slots, pods that may not answer have three quarters, any
    /// one cluster has a quarter, and its pods that may not answer have an eighth.
    pub(super) fn has_room(&self, one: &Asked) -> bool {
        let limit = self.limit;
        if !self.all.with(one).is_within(limit, limit * 3 / 4) {
            return false;
        }
        let of_cluster = self.clusters.get(&one.cluster).copied().unwrap_or_default();
        // A question to a pod that answers is not held up by those to its neighbours that do not.
        let fits = of_cluster.with(one).is_within(limit / 4, usize::MAX);
        let proven = one.proven || of_cluster.with(one).is_within(usize::MAX, limit / 8);
        fits && proven
    }

    pub(super) fn take(&mut self, one: &Asked) {
        self.all = self.all.with(one);
        let of_cluster = self.clusters.entry(one.cluster.clone()).or_default();
        *of_cluster = of_cluster.with(one);
    }

    pub(super) fn free(&mut self, one: &Asked) {
        self.all = self.all.without(one);
        if let Some(of_cluster) = self.clusters.get_mut(&one.cluster) {
            *of_cluster = of_cluster.without(one);
            if of_cluster.all == 0 {
                self.clusters.remove(&one.cluster);
            }
        }
    }
}
