//! Who acts: the one that holds the Lease. The others watch, and so know everything when it is theirs.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Error;
use super::error::words;

/// Seconds after its last renewal that a Lease is free for others.
const DURATION_SECONDS: u64 = 15;
/// Seconds before that in which it is renewed.
const GRACE_SECONDS: u64 = 5;
/// How often whoever holds it looks whether it was renewed, and how long the answer may take.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Waits before the race is entered again when the API server did not let this process in.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// Between two tries to take or renew it. The grace has room for several.
const RETRY: Duration = Duration::from_secs(1);

/// The race for the Lease.
pub(super) struct Lease {
    api: Api<LeaseObject>,
    name: String,
    identity: String,
    held: watch::Receiver<bool>,
    race: JoinHandle<Result<(), LeaseManagerError>>,
}

impl Lease {
    /// Enters it as soon as the API server lets this process.
    pub(super) async fn enter(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        let mut retry = FIRST_RETRY;
        let manager = loop {
            let builder = LeaseManagerBuilder::new(client.clone(), name)
                .with_namespace(namespace)
                .with_identity(identity)
                .with_field_manager(format!("wse-operator-{identity}"))
                .with_duration(DURATION_SECONDS)
                .with_grace(GRACE_SECONDS);
            match builder.build().await {
                Ok(manager) => break manager,
                Err(error) => tracing::error!(
                    lease = format!("{namespace}/{name}"),
                    retry_seconds = retry.as_secs(),
                    "cannot get or create the lease: {error}"
                ),
            }
            sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        };
        let (sender, held) = watch::channel(false);
        let race = tokio::spawn(async move {
            follow(|| manager.changed(), sender).await;
            manager.release().await
        });
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            held,
            race,
        }
    }

    /// Waits until it is held.
    pub(super) async fn won(&mut self) -> Result<(), Error> {
        let won = self.held.wait_for(|held| *held).await;
        won.map(|_| ())
            .map_err(|_| Error::Ended("the race for the Lease"))
    }

    /// Waits until it is lost, which should never happen.
    pub(super) async fn lost(&self) -> Error {
        let mut held = self.held.clone();
        tokio::select! {
            lost = held.wait_for(|held| !*held) => match lost {
                Ok(_) => Error::LeaseLost("another process holds it".into()),
                Err(_) => Error::Ended("the race for the Lease"),
            },
            problem = self.run_out() => Error::LeaseLost(problem),
        }
    }

    /// Gives it back, so that the next need not wait until it has run out.
    pub(super) async fn leave(self) {
        drop(self.held);
        match self.race.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not given back"),
            Err(error) => tracing::warn!(%error, "the race for the Lease ended badly"),
        }
    }

    /// Waits until its term has run out. The race says only what the API server told it, and so nothing
    /// to whoever is cut off from there, while another may hold the Lease already.
    async fn run_out(&self) -> String {
        let mut term = Term::beginning(SystemTime::now());
        loop {
            sleep(LOOK_EVERY).await;
            let heard = match timeout(LOOK_EVERY, self.api.get(&self.name)).await {
                Ok(Ok(lease)) => Ok(lease),
                Ok(Err(error)) => Err(words(&error)),
                Err(_) => Err("the API server does not answer".to_owned()),
            };
            if let Some(problem) = term.ends(heard, &self.identity, SystemTime::now()) {
                return problem;
            }
        }
    }
}

/// Tells of each change, until nobody listens. Every error is followed by the same short pause: the
/// manager's own `watch` waits longer after each, as long as this process leads, and at the fourth
/// error of its life too long to renew in time.
async fn follow<C, E>(changed: impl Fn() -> C, held: watch::Sender<bool>)
where
    C: Future<Output = Result<bool, E>>,
    E: Display,
{
    loop {
        let change = tokio::select! {
            biased;
            () = held.closed() => return,
            change = changed() => change,
        };
        match change {
            Ok(now) => {
                held.send_replace(now);
            }
            Err(error) => {
                tracing::error!("cannot take or renew the lease: {error}");
                tokio::select! {
                    () = held.closed() => return,
                    () = sleep(RETRY) => {}
                }
            }
        }
    }
}

/// For how long the Lease is good, as it was seen last.
struct Term {
    until: SystemTime,
}

impl Term {
    fn beginning(now: SystemTime) -> Self {
        let until = now + Duration::from_secs(DURATION_SECONDS);
        Self { until }
    }

    /// Why it is over, if it is, by the Lease or by what kept it from being seen.
    fn ends(
        &mut self,
        heard: Result<LeaseObject, String>,
        identity: &str,
        now: SystemTime,
    ) -> Option<String> {
        let problem = match heard {
            Ok(lease) => match held_until(&lease, identity) {
                Some(until) => {
                    self.until = until;
                    "it was not renewed in time".to_owned()
                }
                None => return Some("it is not held by this process any more".to_owned()),
            },
            Err(problem) => problem,
        };
        (now >= self.until).then_some(problem)
    }
}

/// Until when a Lease is this process's.
fn held_until(lease: &LeaseObject, identity: &str) -> Option<SystemTime> {
    let spec = lease.spec.as_ref()?;
    if spec.holder_identity.as_deref() != Some(identity) {
        return None;
    }
    let seconds = u64::try_from(spec.lease_duration_seconds?).ok()?;
    let renewed = SystemTime::from(spec.renew_time.as_ref()?.0);
    Some(renewed + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;

    fn lease(holder: &str, renewed: u64) -> LeaseObject {
        let renewed = format!("1970-01-01T00:00:{renewed:02}.000000Z");
        let spec = json!({
            "holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed,
        });
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_term_lasts_as_long_as_it_is_renewed() {
        let mut term = Term::beginning(at(0));
        assert_eq!(term.ends(Ok(lease("a", 10)), "a", at(11)), None);
        assert_eq!(term.ends(Ok(lease("a", 10)), "a", at(24)), None);
        let over = term.ends(Ok(lease("a", 10)), "a", at(25));
        assert_eq!(over.as_deref(), Some("it was not renewed in time"));
    }

    #[test]
    fn whoever_is_cut_off_ends_with_the_term_it_knows_of() {
        let mut term = Term::beginning(at(0));
        let cut_off = || Err("no route".to_owned());
        assert_eq!(term.ends(cut_off(), "a", at(14)), None);
        assert_eq!(
            term.ends(cut_off(), "a", at(15)).as_deref(),
            Some("no route")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_errors_came_before_it_is_tried_again_in_time_to_renew() {
        use std::cell::Cell;

        let (sender, mut held) = watch::channel(true);
        let (tries, last) = (Cell::new(0), Cell::new(tokio::time::Instant::now()));
        let changed = || async {
            assert!(last.get().elapsed() < Duration::from_secs(GRACE_SECONDS) / 2);
            tries.set(tries.get() + 1);
            last.set(tokio::time::Instant::now());
            match tries.get() {
                20 => Ok(false),
                _ => Err("the API server is away"),
            }
        };
        let lost = async move {
            held.wait_for(|held| !*held).await.unwrap();
        };
        // It ends because nobody listens any more.
        tokio::join!(follow(changed, sender), lost);
        assert_eq!(tries.get(), 20 + 1);
    }

    #[test]
    fn a_lease_of_another_is_over_at_once() {
        let mut term = Term::beginning(at(0));
        assert!(term.ends(Ok(lease("b", 1)), "a", at(2)).is_some());
    }
}
