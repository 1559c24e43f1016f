use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use prometheus::Registry;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::super::minting::Signer;
use super::super::{Denied, Refusal, Verifier};
use super::*;
use crate::config::{Auth, Jwks};

/// A provider that serves whatever it is told to, and counts how often it was asked.
struct Provider {
    url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (now, count) = (answer.clone(), asked.clone());
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                count.fetch_add(1, Ordering::SeqCst);
                let bytes = now.lock().unwrap().clone();
                let _ = stream.write_all(&bytes).await;
            }
        });
        Self {
            url,
            answer,
            asked,
            task,
        }
    }

    fn serve(&self, signers: &[&Signer]) {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        self.serve_text("200 OK", &json!({"keys": keys}).to_string());
    }

    fn serve_text(&self, status: &str, body: &str) {
        *self.answer.lock().unwrap() = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// No waiting between fetches, except that none happens unasked.
const EAGER: Pace = Pace {
    refresh: Duration::from_secs(3600),
    retry: Duration::ZERO,
    timeout: Duration::from_secs(5),
};

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(&Registry::new()).unwrap())
}

async fn start(provider: &Provider, pace: Pace) -> Arc<Remote> {
    let remote = Remote::start(&provider.url, pace, metrics()).unwrap();
    remote.tried().await;
    remote
}

fn kids(remote: &Remote) -> Vec<String> {
    let keys = remote.keys();
    keys.iter().filter_map(|key| key.kid.clone()).collect()
}

fn config(provider: &Provider) -> Auth {
    Auth {
        jwks: Some(Jwks {
            url: Some(provider.url.clone()),
            ..Jwks::default()
        }),
        ..Auth::default()
    }
}

fn bearer(token: &str) -> HeaderMap {
    let value = format!("Bearer {token}").parse().unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

#[tokio::test]
async fn an_unknown_key_is_fetched_once_it_is_published() {
    let provider = Provider::start().await;
    let (old, new) = (Signer::es256("old"), Signer::eddsa("new"));
    provider.serve(&[&old]);
    let remote = start(&provider, EAGER).await;
    assert_eq!(kids(&remote), ["old"]);

    provider.serve(&[&old, &new]);
    assert!(remote.freshen().await);
    assert_eq!(kids(&remote), ["old", "new"]);
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn a_set_that_cannot_be_fetched_is_used_until_it_can() {
    let provider = Provider::start().await;
    let key = Signer::es256("k");
    provider.serve(&[&key]);
    let remote = start(&provider, EAGER).await;
    for (status, body) in [
        ("500 Internal Server Error", ""),
        ("302 Found", ""),
        ("200 OK", "<html>"),
        ("200 OK", "{\"keys\": []}"),
        ("200 OK", &" ".repeat(SET_BYTES + 1)),
    ] {
        provider.serve_text(status, body);
        assert!(!remote.freshen().await, "{status}");
        assert_eq!(kids(&remote), ["k"]);
    }
    provider.serve(&[&Signer::es256("l")]);
    assert!(remote.freshen().await);
    assert_eq!(kids(&remote), ["l"]);
    let count = |outcome| remote.metrics.fetches.with_label_values(&[outcome]).get();
    assert_eq!((count(OK), count(FAILED)), (2, 5));
}

#[tokio::test]
async fn unknown_keys_do_not_fetch_more_often_than_the_pace() {
    let provider = Provider::start().await;
    provider.serve(&[&Signer::es256("k")]);
    let remote = start(&provider, Pace::every(0)).await;
    for _ in 0..100 {
        assert!(remote.freshen().await);
    }
    assert_eq!(provider.asked(), 1);

    provider.serve_text("500 Internal Server Error", "");
    let away = start(&provider, Pace::every(0)).await;
    for _ in 0..100 {
        assert!(!away.freshen().await);
    }
    assert_eq!(provider.asked(), 2);
}

#[tokio::test]
async fn a_provider_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let pace = Pace {
        timeout: Duration::from_millis(50),
        ..EAGER
    };
    let remote = Remote::start(&url, pace, metrics()).unwrap();
    remote.tried().await;
    assert!(!remote.is_known());
    assert!(!remote.freshen().await);
}

#[tokio::test]
async fn a_provider_that_speaks_no_tls_is_not_believed() {
    let provider = Provider::start().await;
    provider.serve(&[&Signer::es256("k")]);
    let url = provider.url.replace("http:", "https:");
    let remote = Remote::start(&url, EAGER, metrics()).unwrap();
    remote.tried().await;
    assert!(!remote.is_known());
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn more_waiters_than_allowed_are_sent_away() {
    let provider = Provider::start().await;
    provider.serve(&[&Signer::es256("k")]);
    let remote = start(&provider, EAGER).await;
    let _all = remote.waiters.try_acquire_many(WAITERS as u32).unwrap();
    assert!(!remote.freshen().await);
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn the_task_ends_with_the_last_user() {
    let provider = Provider::start().await;
    provider.serve(&[&Signer::es256("k")]);
    let remote = start(&provider, EAGER).await;
    let metrics = remote.metrics.clone();
    let client = Arc::downgrade(&remote.wake);
    drop(remote);
    // The task holds the last `wake`.
    while client.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metrics.fetches.with_label_values(&[OK]).get(), 1);
}

#[tokio::test]
async fn tokens_wait_for_keys_and_are_not_refused_for_want_of_them() {
    let provider = Provider::start().await;
    provider.serve_text("503 Service Unavailable", "");
    let verifier = Verifier::load(&config(&provider), None, metrics())
        .await
        .unwrap();
    let key = Signer::es256("k");
    let request = bearer(&key.token("ada"));
    assert!(!verifier.is_ready());
    assert_eq!(
        verifier
            .authenticate(&request, SystemTime::now())
            .await
            .unwrap_err(),
        Denied::KeysUnavailable
    );

    provider.serve(&[&key]);
    let verifier = Verifier::load(&config(&provider), None, metrics())
        .await
        .unwrap();
    assert!(verifier.is_ready());
    verifier
        .authenticate(&request, SystemTime::now())
        .await
        .unwrap();
    // The set is fresh: a key that it does not have is refused.
    let stranger = bearer(&Signer::es256("x").token("ada"));
    assert_eq!(
        verifier
            .authenticate(&stranger, SystemTime::now())
            .await
            .unwrap_err(),
        Denied::Refused(Refusal::Failed("unknown_key"))
    );
}

#[tokio::test]
async fn a_reload_takes_the_set_over_while_the_provider_is_away() {
    let provider = Provider::start().await;
    let key = Signer::es256("k");
    provider.serve(&[&key]);
    let mut config = config(&provider);
    let metrics = metrics();
    let first = Verifier::load(&config, None, metrics.clone())
        .await
        .unwrap();
    provider.serve_text("500 Internal Server Error", "");
    config.leeway_seconds = 1;
    let second = Verifier::load(&config, Some(&first), metrics)
        .await
        .unwrap();
    drop(first);
    assert!(second.verify(&key.token("ada"), SystemTime::now()).is_ok());
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn another_pace_begins_with_the_keys_while_the_provider_is_away() {
    let provider = Provider::start().await;
    let key = Signer::es256("k");
    provider.serve(&[&key]);
    let mut config = config(&provider);
    let metrics = metrics();
    let first = Verifier::load(&config, None, metrics.clone())
        .await
        .unwrap();
    provider.serve_text("500 Internal Server Error", "");
    config.jwks.as_mut().unwrap().refresh_seconds = 60;
    let second = Verifier::load(&config, Some(&first), metrics.clone())
        .await
        .unwrap();
    drop(first);
    let request = bearer(&key.token("ada"));
    let accepts = async || {
        second
            .authenticate(&request, SystemTime::now())
            .await
            .is_ok()
    };
    assert!(second.is_ready() && accepts().await);
    // By its own pace it fetches from the start, which fails and changes nothing.
    while metrics.fetches.with_label_values(&[FAILED]).get() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(second.is_ready() && accepts().await);
}

#[test]
fn keys_are_fetched_in_the_clear_from_loopback_only() {
    for (url, allowed) in [
        ("https://idp.example.com/keys", true),
        ("http://127.0.0.1:9/keys", true),
        ("http://127.8.0.1/keys", true),
        ("http://[::1]:9/keys", true),
        ("http://LOCALHOST/keys", true),
        ("http://idp.example.com/keys", false),
        ("http://127.0.0.1.example.com/keys", false),
        ("http://127.0.0.1@example.com/keys", false),
        ("http://10.0.0.1/keys", false),
        ("ftp://localhost/keys", false),
        ("/keys", false),
        ("", false),
    ] {
        assert_eq!(address(url).is_ok(), allowed, "{url}");
    }
}
