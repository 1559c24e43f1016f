//! Who was in the fleet before an outage and has not come back from it. What was held goes out at once
//! and in any number; a pod that still catches up then would have to find it all in a topic's history,
//! which is short. So after an outage publishes wait until the others read again, for a bounded time.
//!
//! A lease does not tell: Redis may keep it over the outage, or lose those of pods that never were
//! away. A pod that has caught up says so to all, and those that have caught up before answer: both
//! arrive only where a session is alive.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use tokio::time::timeout;

use super::session::Session;
use super::{Access, Core, client, link};
use crate::backplane::NodeId;

/// How long publishes wait for other pods after an outage, at most: one whose last attempt to connect
/// began just before Redis was back needs an attempt, a pause, and time to catch up.
const SETTLE: Duration = client::CONNECT_TIMEOUT
    .saturating_add(link::LONGEST_PAUSE)
    .saturating_add(Duration::from_millis(500));

/// The other pods of the fleet. Pure: no clock, no connection.
#[derive(Debug, Default)]
pub(super) struct RollCall {
    /// Those with a lease, and those that were heard of since the leases were read.
    known: HashSet<NodeId>,
    /// Known before the outage and not heard of since.
    missing: HashSet<NodeId>,
}

impl RollCall {
    /// This pod has lost its connection: what it knew of the others may be over.
    pub(super) fn lost(&mut self) {
        self.missing.extend(self.known.iter().cloned());
    }

    /// The leases of others were read. They say nothing of who is back. True when something is new.
    pub(super) fn leases(&mut self, others: HashSet<NodeId>) -> bool {
        let is_new = self.known != others;
        self.known = others;
        is_new
    }

    /// Another pod has said that it reads. True when something is new.
    pub(super) fn heard(&mut self, node: &NodeId) -> bool {
        self.missing.remove(node) | self.known.insert(node.clone())
    }

    /// Whether nobody needs to be waited for.
    pub(super) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Waits for nobody any more. Returns who did not come.
    fn give_up(&mut self) -> Vec<NodeId> {
        self.missing.drain().collect()
    }
}

impl Core {
    /// Tells the others that this pod reads, and lets publishes go out once those that were there
    /// before the outage read too, or have had their time.
    pub(super) async fn settle(&self, session: &Arc<Session>) -> Infallible {
        // Lost has closed the session; in any other case the others wait in vain, as long as for a
        // pod that is gone.
        let _ = self.announce(session).await;
        let mut roll_call = self.roll_call.subscribe();
        let complete = timeout(SETTLE, roll_call.wait_for(RollCall::is_complete));
        if complete.await.is_err() {
            let mut missing = Vec::new();
            self.roll_call
                .send_modify(|roll_call| missing = roll_call.give_up());
            self.metrics.absent.inc_by(missing.len() as u64);
            tracing::warn!(
                ?missing,
                "publishing again without pods that have not come back; \
                 what they miss they must find in the history"
            );
        }
        self.admit(Access::Open(Arc::clone(session)));
        std::future::pending().await
    }

    pub(super) fn heard(&self, node: &NodeId) {
        self.roll_call
            .send_if_modified(|roll_call| roll_call.heard(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        GiveUp,
        Heard(&'static str),
        Leases(&'static [&'static str]),
        Lost,
    }

    use Step::{GiveUp, Heard, Leases, Lost};

    /// What happened, and who is waited for afterwards.
    const TABLE: [(&str, &[Step], &[&str]); 13] = [
        ("a first start", &[], &[]),
        ("a fleet that starts", &[Leases(&["b"]), Heard("c")], &[]),
        ("alone", &[Leases(&[]), Lost], &[]),
        ("an outage", &[Leases(&["b", "c"]), Lost], &["b", "c"]),
        (
            "one is back",
            &[Leases(&["b", "c"]), Lost, Heard("b")],
            &["c"],
        ),
        (
            "all are back",
            &[Leases(&["b", "c"]), Lost, Heard("b"), Heard("c")],
            &[],
        ),
        (
            "one that came after the leases were read",
            &[Leases(&["b"]), Heard("c"), Lost],
            &["b", "c"],
        ),
        (
            "one that left before",
            &[Leases(&["b", "c"]), Leases(&["b"]), Lost],
            &["b"],
        ),
        (
            "a redis that is back empty",
            &[Leases(&["b"]), Lost, Leases(&[])],
            &["b"],
        ),
        (
            "a redis that kept the leases",
            &[Leases(&["b"]), Lost, Leases(&["b"])],
            &["b"],
        ),
        (
            "away again before the others were back",
            &[Leases(&["b"]), Lost, Leases(&[]), Lost],
            &["b"],
        ),
        (
            "away again when the others were back",
            &[Leases(&["b"]), Lost, Leases(&[]), Heard("b"), Lost],
            &["b"],
        ),
        (
            "one that is gone",
            &[Leases(&["b"]), Lost, GiveUp, Leases(&[]), Lost],
            &[],
        ),
    ];

    #[test]
    fn those_that_were_there_before_are_waited_for() {
        for (what, steps, missing) in TABLE {
            let mut roll_call = RollCall::default();
            for step in steps {
                match step {
                    GiveUp => {
                        roll_call.give_up();
                    }
                    Heard(node) => {
                        roll_call.heard(&NodeId::new(node));
                    }
                    Leases(nodes) => {
                        let nodes = nodes.iter().map(|&node| NodeId::new(node));
                        roll_call.leases(nodes.collect());
                    }
                    Lost => roll_call.lost(),
                }
            }
            assert_eq!(roll_call.is_complete(), missing.is_empty(), "{what}");
            let mut left = roll_call.give_up();
            left.sort();
            let left: Vec<&str> = left.iter().map(NodeId::as_str).collect();
            assert_eq!(left, missing, "{what}");
        }
    }
}
