//! Shares a shed out over the pod's reactors.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Router;
use super::command::{Command, Shed};

impl Router {
    /// Has so many sessions leave of those that are not leaving, and returns how many were chosen. Fewer
    /// than asked when there are fewer, or when some went between the count and the choice. Waits for
    /// every reactor: a caller that cannot wait for one that is stuck sets a timeout.
    pub(super) async fn shed(&self, sessions: usize, window: Duration) -> usize {
        let begin = Instant::now();
        let staying = self.each(|_, answer| Command::Staying(answer)).await;
        let shares = shares(sessions, &staying, fastrand::usize(..));
        let chosen = self.each(|reactor, chosen| {
            Command::Shed(Shed {
                sessions: shares[reactor],
                begin,
                window,
                chosen,
            })
        });
        chosen.await.into_iter().sum()
    }

    /// Asks every reactor for a number. One that has ended holds no session: 0.
    async fn each(&self, ask: impl Fn(usize, oneshot::Sender<usize>) -> Command) -> Vec<usize> {
        let mut asked = Vec::new();
        for (number, reactor) in self.0.reactors().iter().enumerate() {
            let (answer, answered) = oneshot::channel();
            // One shed is made after the other, so that few of these wait.
            reactor.inbox.urge(ask(number, answer), 0);
            asked.push(answered);
        }
        let mut answers = Vec::new();
        for answered in asked {
            answers.push(answered.await.unwrap_or(0));
        }
        answers
    }
}

/// How many each reactor gives of `sessions`, when so many are `staying` in each: all that is asked for if
/// it is there, in proportion to within one, and none has to give what it has not. `offset` is any
/// number; over all of them every session has the same chance, however few are asked for (systematic
/// sampling).
fn shares(sessions: usize, staying: &[usize], offset: usize) -> Vec<usize> {
    let total: usize = staying.iter().sum();
    if total == 0 {
        return vec![0; staying.len()];
    }
    let wanted = sessions.min(total);
    let offset = offset % total;
    // A process opens at most 2^30 files (fs.nr_open), so the product fits.
    let upto = |counted: usize| (wanted * counted + offset) / total;
    let mut counted = 0;
    let share = |staying: &usize| {
        let before = upto(counted);
        counted += staying;
        upto(counted) - before
    };
    staying.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::backplane::{BoxFuture, NodeId};
    use crate::config::Config;
    use crate::hub::{Inbox, Metrics, NotTaken, Reactor, Settings};

    /// A reactor with so many sessions that stay. None: it has ended.
    #[derive(Clone)]
    struct Door(Arc<Mutex<Option<usize>>>);

    impl Inbox for Door {
        fn command(&self, command: Command, bytes: usize) -> Result<(), NotTaken> {
            self.urge(command, bytes);
            Ok(())
        }

        fn urge(&self, command: Command, _: usize) {
            let mut staying = self.0.lock().unwrap();
            let Some(staying) = &mut *staying else {
                return;
            };
            match command {
                Command::Shed(shed) => {
                    assert!(shed.sessions <= *staying);
                    *staying -= shed.sessions;
                    shed.chosen.send(shed.sessions).unwrap();
                }
                Command::Staying(answer) => answer.send(*staying).unwrap(),
                other => panic!("{other:?}"),
            }
        }

        fn room(&self) -> BoxFuture<()> {
            Box::pin(std::future::ready(()))
        }

        fn sessions(&self) -> usize {
            unreachable!("counts those that are leaving as well")
        }
    }

    #[tokio::test]
    async fn what_is_asked_for_is_shed_until_nobody_stays() {
        let settings = Arc::new(Settings::new(&Config::default()).unwrap());
        let metrics = Metrics::new(&prometheus::Registry::new());
        let router = Router::new(NodeId::new("pod"), settings, metrics);
        let doors = [Some(100), None, Some(60), Some(0)].map(|staying| {
            let staying = Arc::new(Mutex::new(staying));
            Door(staying)
        });
        let reactor = |door: &Door| Reactor {
            inbox: Box::new(door.clone()),
            shown: Arc::default(),
        };
        router.attach(doors.iter().map(reactor).collect());
        let window = Duration::from_secs(1);
        assert_eq!(router.shed(80, window).await, 80);
        let staying = doors.clone().map(|door| *door.0.lock().unwrap());
        assert_eq!(staying, [Some(50), None, Some(30), Some(0)]);
        assert_eq!(router.shed(1, window).await, 1);
        assert_eq!(router.shed(100, window).await, 79);
        assert_eq!(router.shed(100, window).await, 0);
    }

    proptest! {
        #[test]
        fn shares_are_exact_proportional_and_possible(
            sessions in 0_usize..3_000,
            staying in prop::collection::vec(0_usize..1_000, 1..8),
            offset in any::<usize>(),
        ) {
            let total: usize = staying.iter().sum();
            let shares = shares(sessions, &staying, offset);
            prop_assert_eq!(shares.iter().sum::<usize>(), sessions.min(total));
            for (share, staying) in shares.iter().zip(&staying) {
                prop_assert!(share <= staying);
                let proportion = sessions.min(total) * staying;
                prop_assert!((share * total).abs_diff(proportion) < total.max(1));
            }
        }

        #[test]
        fn every_session_has_the_same_chance(
            sessions in 0_usize..40,
            staying in prop::collection::vec(0_usize..30, 1..5),
        ) {
            let total: usize = staying.iter().sum();
            let mut given = vec![0; staying.len()];
            for offset in 0..total {
                for (given, share) in given.iter_mut().zip(shares(sessions, &staying, offset)) {
                    *given += share;
                }
            }
            let chance = sessions.min(total);
            let expected: Vec<_> = staying.iter().map(|staying| staying * chance).collect();
            prop_assert_eq!(given, expected);
        }
    }
}
