//! The backend's part: publishes on a fixed schedule, however long the answers take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use wse_e2e::Error;
use wse_e2e::api::{Api, Published};

use crate::cli::Messages;
use crate::report::Sent;
use crate::worker::now_us;

/// Calls under way at once; a call that waits for its turn is late, and its latency says so.
const CALLS: usize = 256;
/// Before a call that failed is made again.
const PAUSE: Duration = Duration::from_millis(100);

/// The topics, when all of them can be published on.
///
/// # Errors
/// When there is none, or a pattern among them.
pub(crate) fn names(topics: &[String]) -> Result<&[String], String> {
    if topics.is_empty() || topics.iter().any(|topic| topic.contains(['*', '?'])) {
        return Err("publish needs --topic, and names, not patterns".into());
    }
    Ok(topics)
}

/// What was sent so far.
pub(crate) type Sending = Arc<Mutex<Sent>>;

/// Publishes round robin on `names`.
///
/// # Errors
/// When the first publish fails: the rest would too.
pub(crate) async fn run(api: &Api, names: &[String], messages: &Messages) -> Result<Sent, String> {
    let sent = Sending::default();
    run_into(&sent, api, names, messages).await?;
    Ok(take(&sent))
}

/// [`run`] that may be left at any moment.
///
/// # Errors
/// As [`run`].
pub(crate) async fn run_into(
    sent: &Sending,
    api: &Api,
    names: &[String],
    messages: &Messages,
) -> Result<(), String> {
    let text: Arc<str> = "x".repeat(messages.size).into();
    let slots = Arc::new(Semaphore::new(CALLS));
    // Another run's keys are others.
    let run = messages.in_order.then(|| fastrand::u64(..));
    let apart = Duration::from_secs_f64(1.0 / messages.messages_per_second.max(0.001));
    let (began, began_us) = (Instant::now(), now_us());
    let mut calls = JoinSet::new();
    for number in 0..messages.messages {
        let after = apart.mul_f64(number as f64);
        let due = began + after;
        sleep_until(due).await;
        let due_us = began_us + u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let topic = names[usize::try_from(number).unwrap_or(0) % names.len()].clone();
        let message =
            json!({ "t": "bench", "p": { "seq": number, "ts_us": due_us, "text": &*text } });
        let (api, sent, slots) = (api.clone(), sent.clone(), slots.clone());
        let call = async move {
            let _slot = slots.acquire().await;
            let key = run.map(|run| format!("{run:x}.{number}"));
            loop {
                let answer = api.publish(&topic, &message, key.as_deref()).await;
                note(&sent, &answer, due);
                if answer.is_ok() || key.is_none() || number == 0 {
                    return answer;
                }
                sleep(PAUSE).await;
            }
        };
        if number == 0 || messages.in_order {
            call.await.map_err(|error| error.to_string())?;
        } else {
            calls.spawn(call);
        }
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
    sent.lock().unwrap_or_else(PoisonError::into_inner).seconds = began.elapsed().as_secs_f64();
    Ok(())
}

/// Takes out what was sent.
pub(crate) fn take(sent: &Sending) -> Sent {
    std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner))
}

fn note(sent: &Mutex<Sent>, answer: &Result<Published, Error>, due: Instant) {
    let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
    match answer {
        Ok(_) => {
            sent.accepted += 1;
            sent.call.record(due.elapsed());
        }
        Err(error) => *sent.failures.entry(error.to_string()).or_default() += 1,
    }
}
