//! What a crew does, and how it is shared among its workers.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use hyper::Uri;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wse_e2e::client::{Auth, Dial};
use wse_e2e::raw::Dialect;

use crate::worker::plan::{Arrival, Plan, Work};

/// Files that a worker needs beside its connections.
const SPARE_FILES: u64 = 100;

/// What a crew does.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Ways in, taken in turn; who connects is the same for all.
    pub(crate) doors: Vec<Dial>,
    /// What a worker checks the server with, over TLS; see [`wse_e2e::tls::trust`].
    pub(crate) ca: Option<PathBuf>,
    /// What raw clients speak.
    pub(crate) dialect: Dialect,
    pub(crate) connections: usize,
    /// Worker processes. 0: as few as their open-file limit allows.
    pub(crate) workers: usize,
    /// Connections a second, on a fixed schedule. None: see `at_once`.
    pub(crate) rate: Option<f64>,
    /// Whether all are due at the first moment; else each whenever another may be under way.
    pub(crate) at_once: bool,
    /// Handshakes under way at once in each worker.
    pub(crate) concurrency: usize,
    pub(crate) topics: Vec<String>,
    pub(crate) work: Work,
}

impl Job {
    /// Connections of each worker.
    ///
    /// # Errors
    /// When the limit of open files cannot be raised.
    pub(super) fn shares(&self) -> Result<Vec<usize>, String> {
        let limit = raise_file_limit()?;
        Ok(shares(self.connections, self.workers, limit))
    }

    /// What one worker is to do.
    pub(super) fn plan(
        &self,
        number: usize,
        workers: usize,
        connections: usize,
        began_us: u64,
    ) -> Result<Plan, String> {
        let first = self
            .doors
            .first()
            .ok_or("there is no server to connect to")?;
        let Auth::Cookie(token) = &first.auth else {
            return Err("clients of a benchmark carry their token in the cookie".into());
        };
        let mut work = self.work.clone();
        if let Work::Fan(fan) = &mut work {
            fan.publisher = fan.publisher.take().filter(|_| number == 0);
            let subscribers = fan.subscribers.map(|all| share(all, number, workers));
            fan.subscribers = subscribers;
        }
        Ok(Plan {
            doors: self.doors.iter().map(|door| door.url.clone()).collect(),
            token: token.clone(),
            ca: self.ca.clone(),
            dialect: self.dialect,
            source: source(&first.url, number),
            number,
            workers,
            connections,
            arrival: match self.rate {
                Some(rate) => Arrival::Apart {
                    first_us: (1e6 / rate * number as f64) as u64,
                    every_us: (1e6 / rate * workers as f64) as u64,
                },
                None if self.at_once => Arrival::AtOnce,
                None => Arrival::Unscheduled,
            },
            concurrency: self.concurrency.max(1),
            topics: self.topics.clone(),
            work,
            began_us,
        })
    }
}

/// Splits the connections evenly over as many workers as asked for, or as are needed.
fn shares(connections: usize, workers: usize, file_limit: u64) -> Vec<usize> {
    let most = usize::try_from(file_limit.saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX);
    let needed = connections.div_ceil(most.max(1)).max(1);
    let workers = workers.max(needed);
    (0..workers)
        .map(|number| share(connections, number, workers))
        .collect()
}

/// Of one worker.
fn share(all: usize, number: usize, workers: usize) -> usize {
    all / workers + usize::from(number < all % workers)
}

/// Towards a gateway on this machine every worker has addresses of its own (127/8 is all ours), of which
/// this is the first. It is another one each time: among the ports of those that have just closed the
/// kernel looks long for a free one.
fn source(url: &str, worker: usize) -> Option<Ipv4Addr> {
    let url: Uri = url.parse().ok()?;
    let host: Ipv4Addr = url.host()?.parse().ok()?;
    let worker = u8::try_from(worker + 1).ok()?;
    host.is_loopback()
        .then(|| Ipv4Addr::new(127, fastrand::u8(1..=254), worker, 1))
}

/// As far as the kernel lets this process, and those that it starts.
///
/// # Errors
/// When the kernel does not.
pub(crate) fn raise_file_limit() -> Result<u64, String> {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, all)
        .map_err(|error| format!("cannot raise the limit of open files: {error}"))?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_evenly_within_the_limit() {
        let cases: [(usize, usize, u64, &[usize]); 5] = [
            (10, 0, 20_000, &[10]),
            (10, 3, 20_000, &[4, 3, 3]),
            (39_800, 0, 20_000, &[19_900, 19_900]),
            (39_801, 0, 20_000, &[13_267, 13_267, 13_267]),
            (0, 0, 20_000, &[0]),
        ];
        for (connections, workers, limit, expected) in cases {
            assert_eq!(shares(connections, workers, limit), expected);
        }
    }
}
