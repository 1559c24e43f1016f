//! Who leaves, and when: everybody in a drain, some in a shed. Pure: time and chance are arguments.

use std::time::{Duration, Instant};

use super::session::Session;
use crate::hub::Leave;

/// When a session is to leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Leaving {
    /// Its own moment.
    pub(super) at: Instant,
    /// When it is ended at once if it is still here. None: it was shed, and the pod is in no hurry.
    pub(super) deadline: Option<Instant>,
}

impl Leaving {
    /// One session's part of a drain, with a moment by `chance` (below 1).
    pub(super) fn drained(leave: &Leave, now: Instant, chance: f64) -> Self {
        let window = leave.window.min(leave.deadline);
        Self {
            at: moment(leave.begin, window, now, chance),
            deadline: Some(leave.begin + leave.deadline),
        }
    }

    /// One session's part of a shed, with a moment by `chance` (below 1).
    fn shed(begin: Instant, window: Duration, now: Instant, chance: f64) -> Self {
        Self {
            at: moment(begin, window, now, chance),
            deadline: None,
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        self.deadline
            .map_or(self.at, |deadline| deadline.min(self.at))
    }

    /// What the client is told.
    pub(super) fn reason(&self) -> &'static str {
        match self.deadline {
            Some(_) => "draining",
            None => "rebalancing",
        }
    }
}

/// Has `count` of the sessions leave that are not leaving yet, each with the same chance and at its own
/// moment of the window; all of them when they are no more than that. Returns those.
pub(super) fn shed<'a, K>(
    sessions: impl Iterator<Item = (K, &'a mut Session)>,
    count: usize,
    (begin, window): (Instant, Duration),
    now: Instant,
    random: &mut fastrand::Rng,
) -> Vec<(K, &'a mut Session)> {
    let staying = sessions.filter(|(_, session)| !session.is_leaving());
    let mut chosen = random.choose_multiple(staying, count);
    for (_, session) in &mut chosen {
        session.leave(Leaving::shed(begin, window, now, random.f64()));
    }
    chosen
}

/// A uniformly random moment (`chance` is below 1) between now and the window's end. When the window is
/// over: now.
fn moment(begin: Instant, window: Duration, now: Instant, chance: f64) -> Instant {
    let from = now.max(begin);
    let left = (begin + window).saturating_duration_since(from);
    from + left.mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::backplane::NodeId;
    use crate::config::Limits;
    use crate::hub::ConnectionId;

    /// Shorter than the time to the first ping: an alarm inside it is for leaving.
    const WINDOW: Duration = Duration::from_secs(10);

    fn sessions(count: usize, now: Instant) -> Vec<Session> {
        let node = NodeId::new("pod");
        let limits = Limits::default();
        let times = (now, SystemTime::UNIX_EPOCH);
        let session = |_| Session::new(ConnectionId::new(&node), None, 0.5, times, &limits);
        (0..count).map(session).collect()
    }

    /// Sheds, and says who was chosen and when each leaves.
    fn chosen(
        sessions: &mut [Session],
        count: usize,
        now: Instant,
        random: &mut fastrand::Rng,
    ) -> Vec<(usize, Instant)> {
        let all = sessions.iter_mut().enumerate();
        let chosen = shed(all, count, (now, WINDOW), now, random);
        let mut moments = Vec::new();
        for (number, session) in chosen {
            moments.push((number, session.next_alarm(now, &Limits::default())));
        }
        moments.sort_unstable();
        moments
    }

    #[test]
    fn a_drains_moment_is_in_its_window_and_not_past_its_deadline() {
        let begin = Instant::now();
        let seconds = Duration::from_secs;
        let at = |window, deadline, now, chance| {
            let leave = Leave {
                begin,
                window: seconds(window),
                deadline: seconds(deadline),
            };
            let leaving = Leaving::drained(&leave, begin + seconds(now), chance);
            assert_eq!(leaving.deadline, Some(begin + seconds(deadline)));
            (leaving.at - begin).as_secs()
        };
        for (window, deadline, now, chance, expected) in [
            (30, 60, 0, 0.0, 0),
            (30, 60, 0, 0.5, 15),
            (30, 20, 0, 0.5, 10),
            (30, 60, 10, 0.5, 20),
            (30, 60, 40, 0.5, 40),
        ] {
            assert_eq!(
                at(window, deadline, now, chance),
                expected,
                "{window} {now}"
            );
        }
    }

    #[test]
    fn a_shed_is_spread_over_its_window() {
        let now = Instant::now();
        let mut sessions = sessions(2_000, now);
        let mut random = fastrand::Rng::with_seed(1);
        let chosen = chosen(&mut sessions, 1_000, now, &mut random);
        let mut tenths = [0; 10];
        for (_, at) in &chosen {
            tenths[usize::try_from((*at - now).as_secs()).unwrap()] += 1;
        }
        // A hundred each, give or take five standard deviations.
        assert!(
            tenths.iter().all(|tenth| (53..=147).contains(tenth)),
            "{tenths:?}"
        );
        let first_half = chosen.iter().filter(|(number, _)| *number < 1_000).count();
        assert!((400..=600).contains(&first_half), "{first_half}");
    }

    proptest! {
        /// Sheds one after the other choose exactly as many as asked, nobody twice, as long as there is
        /// somebody; who is left has no moment.
        #[test]
        fn sheds_choose_so_many_and_nobody_twice(
            total in 0_usize..60,
            counts in prop::collection::vec(0_usize..40, 1..5),
            seed in any::<u64>(),
        ) {
            let now = Instant::now();
            let mut sessions = sessions(total, now);
            let mut random = fastrand::Rng::with_seed(seed);
            let mut gone = std::collections::BTreeSet::new();
            for count in counts {
                let expected = count.min(total - gone.len());
                let chosen = chosen(&mut sessions, count, now, &mut random);
                prop_assert_eq!(chosen.len(), expected);
                for (number, at) in chosen {
                    prop_assert!(gone.insert(number));
                    prop_assert!(now <= at && at < now + WINDOW);
                }
            }
            for (number, session) in sessions.iter().enumerate() {
                prop_assert_eq!(session.is_leaving(), gone.contains(&number));
            }
        }
    }
}
