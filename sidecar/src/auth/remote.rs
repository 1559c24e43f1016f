//! A key set behind a URL. One task fetches it again and again; whoever verifies reads what is there.
//! A set that cannot be fetched is used until it can.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::keys::VerifyingKey;
use super::{Error, Metrics, jwks};

/// The outcomes of a fetch, as labels.
pub(super) const OK: &str = "ok";
pub(super) const FAILED: &str = "failed";

/// Largest set.
const SET_BYTES: usize = 1 << 20;

/// Handshakes that may wait for a fetch at once. More are sent away to come back, so that tokens with
/// invented key ids cannot fill the gateway.
const WAITERS: usize = 128;

/// When a set is fetched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    /// Between two fetches, when all is well.
    pub refresh: Duration,
    /// Between two fetches at the least: after a failure, and for an unknown `kid`.
    pub retry: Duration,
    /// The longest a fetch takes.
    pub timeout: Duration,
}

impl Pace {
    /// Refreshes every `refresh_seconds`; 0 is every five minutes, which is how long providers commonly
    /// let their sets be cached.
    pub(super) fn every(refresh_seconds: u64) -> Self {
        let retry = Duration::from_secs(10);
        let refresh = match refresh_seconds {
            0 => Duration::from_secs(300),
            seconds => Duration::from_secs(seconds).max(retry),
        };
        Self {
            refresh,
            retry,
            timeout: Duration::from_secs(5),
        }
    }
}

/// What became of the fetches so far.
#[derive(Clone, Copy, Debug, Default)]
struct Fetches {
    done: u64,
    last: Option<Instant>,
    last_good: Option<Instant>,
}

/// A key set that is fetched.
#[derive(Debug)]
pub(super) struct Remote {
    url: Uri,
    pace: Pace,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    keys: ArcSwap<Vec<VerifyingKey>>,
    fetches: watch::Sender<Fetches>,
    /// Wakes the task: a fetch is wanted early, or the set is no longer needed.
    wake: Arc<Notify>,
    waiters: Semaphore,
    metrics: Arc<Metrics>,
}

impl Remote {
    /// Starts to fetch the set, until what is returned is dropped.
    ///
    /// # Errors
    /// When the URL is not `https`, nor `http` to a loopback address.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub(super) fn start(url: &str, pace: Pace, metrics: Arc<Metrics>) -> Result<Arc<Self>, Error> {
        let url = address(url)?;
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| Error::Tls(std::io::Error::other(error)))?;
        Ok(Self {
            url,
            pace,
            client: Client::builder(TokioExecutor::new())
                .build(tls.https_or_http().enable_http1().build()),
            keys: ArcSwap::default(),
            fetches: watch::Sender::default(),
            wake: Arc::default(),
            waiters: Semaphore::new(WAITERS),
            metrics,
        }
        .spawn())
    }

    /// The set at a pace: this one, or one that begins with its keys. They are good until the provider
    /// says otherwise, and it may be away.
    pub(super) fn at(self: &Arc<Self>, pace: Pace) -> Arc<Self> {
        if self.pace == pace {
            return self.clone();
        }
        Self {
            url: self.url.clone(),
            pace,
            client: self.client.clone(),
            keys: ArcSwap::new(self.keys()),
            fetches: watch::Sender::new(*self.fetches.borrow()),
            wake: Arc::default(),
            waiters: Semaphore::new(WAITERS),
            metrics: self.metrics.clone(),
        }
        .spawn()
    }

    /// Whether the set is fetched from there.
    pub(super) fn is_from(&self, url: &str) -> bool {
        self.url == url
    }

    /// The keys fetched last.
    pub(super) fn keys(&self) -> Arc<Vec<VerifyingKey>> {
        self.keys.load_full()
    }

    /// Whether the set was ever fetched.
    pub(super) fn is_known(&self) -> bool {
        self.fetches.borrow().last_good.is_some()
    }

    /// Ends when the first fetch has succeeded or failed.
    pub(super) async fn tried(&self) {
        // The sender lives as long as `self`.
        let _ = self.fetches.subscribe().wait_for(|now| now.done > 0).await;
    }

    /// Makes sure that the set is fresh, for a token with an unknown `kid`: a provider may have just
    /// begun to use a new key. Fetches it unless that was done a moment ago. False when it cannot be
    /// had, or too many handshakes are waiting for it already.
    pub(super) async fn freshen(&self) -> bool {
        let mut fetches = self.fetches.subscribe();
        let before = *fetches.borrow_and_update();
        let recent = |then: Option<Instant>| then.is_some_and(|at| at.elapsed() < self.pace.retry);
        if recent(before.last_good) {
            return true;
        }
        if recent(before.last) {
            return false;
        }
        let Ok(_waiting) = self.waiters.try_acquire() else {
            return false;
        };
        self.wake.notify_one();
        let next = fetches.wait_for(|now| now.done > before.done);
        match timeout(self.pace.timeout, next).await {
            Ok(Ok(now)) => now.last_good == now.last,
            _ => false,
        }
    }

    fn spawn(self) -> Arc<Self> {
        let remote = Arc::new(self);
        tokio::spawn(keep_fetching(Arc::downgrade(&remote)));
        remote
    }

    /// Fetches once. Returns when that was and whether it succeeded.
    async fn fetch(&self) -> (Instant, bool) {
        let got = match timeout(self.pace.timeout, self.request()).await {
            Ok(got) => got,
            Err(_) => Err("took too long".into()),
        };
        let good = match got.and_then(|body| jwks::parse(&body)) {
            Ok(keys) => {
                self.metrics.fetched_keys.set(keys.len() as i64);
                self.keys.store(Arc::new(keys));
                true
            }
            Err(reason) => {
                tracing::warn!(url = %self.url, reason, "the JWKS cannot be fetched");
                false
            }
        };
        let outcome = if good { OK } else { FAILED };
        self.metrics.fetches.with_label_values(&[outcome]).inc();
        let now = Instant::now();
        self.fetches.send_modify(|fetches| {
            fetches.done += 1;
            fetches.last = Some(now);
            if good {
                fetches.last_good = Some(now);
            }
        });
        (now, good)
    }

    async fn request(&self) -> Result<Bytes, String> {
        let request = Request::get(&self.url)
            .header(ACCEPT, "application/jwk-set+json, application/json")
            .header(USER_AGENT, "wse-sidecar")
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })?;
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), SET_BYTES);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok(body.to_bytes())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// The task. It holds the set only while it fetches, so that it ends with the last user.
async fn keep_fetching(remote: Weak<Remote>) {
    let Some(wake) = remote.upgrade().map(|remote| remote.wake.clone()) else {
        return;
    };
    loop {
        let Some(current) = remote.upgrade() else {
            return;
        };
        let (fetched, good) = current.fetch().await;
        let Pace { refresh, retry, .. } = current.pace;
        drop(current);

        let next = fetched + if good { refresh } else { retry };
        loop {
            tokio::select! {
                () = sleep_until(next) => break,
                () = wake.notified() => {
                    let wanted_late_enough = fetched.elapsed() >= retry;
                    if wanted_late_enough || remote.strong_count() == 0 {
                        break;
                    }
                }
            }
        }
    }
}

/// `https`, or `http` to a loopback address: anybody on the way could put a key of their own into a
/// set that comes in the clear.
fn address(url: &str) -> Result<Uri, Error> {
    let refused = |reason| Error::Url {
        url: url.to_owned(),
        reason,
    };
    let uri: Uri = url.parse().map_err(|_| refused("is no URL"))?;
    let host = uri.host().ok_or_else(|| refused("names no host"))?;
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => Err(refused("must be https: http is for loopback addresses")),
        _ => Err(refused("must be https")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests;
