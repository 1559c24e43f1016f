//! Publishing on topics.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use utoipa::ToSchema;

use super::Api;
use super::extract::Body;
use super::failure::{Failure, Told};
use crate::backplane::Position;
use crate::panics;
use crate::topic::Topic;

/// Most publications in one batch.
const BATCH: usize = 1_000;
/// Topics of one batch that are published on at the same time.
const TOPICS_AT_ONCE: usize = 64;
/// Longest idempotency key, in bytes: the backplane keeps it as long as the topic's history.
const KEY_BYTES: usize = 128;

/// A message for a topic's subscribers.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Publish {
    /// Topic name. Patterns and names that begin with `$` are refused.
    #[schema(example = "chat.lobby")]
    topic: String,
    /// An object with a type `t`; it is delivered as it is, with a category `c` if it has none.
    #[schema(value_type = Object, example = json!({"t": "message", "p": {"text": "hello"}}))]
    message: Box<RawValue>,
    /// A second publish with the same key on the same topic, within the time that its history is
    /// kept, is not delivered again and answers with the first one's position. At most 128 bytes.
    idempotency_key: Option<String>,
}

/// Publications of one call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// At most 1,000. Those of one topic are published in this order.
    publications: Vec<Publish>,
}

/// A message for every session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    /// An object with a type `t`; it is delivered as it is, with a category `c` if it has none.
    #[schema(value_type = Object, example = json!({"t": "message", "p": {"text": "hello"}}))]
    pub(super) message: Box<RawValue>,
}

/// Where a message was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// Identity of the topic's stream: eight hexadecimal digits. Null when the message went only to
    /// the answering pod's sessions, because the backplane is away and the topic's policy is `Local`.
    #[schema(example = "5f3a9c01")]
    epoch: Option<String>,
    /// Number of the message in the stream; null as `epoch`.
    offset: Option<u64>,
}

impl From<Option<Position>> for Published {
    fn from(position: Option<Position>) -> Self {
        Self {
            epoch: position.map(|at| format!("{:08x}", at.epoch)),
            offset: position.map(|at| at.offset),
        }
    }
}

/// One result for each publication, in the batch's order.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchResults {
    results: Vec<BatchResult>,
}

/// What became of one publication of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BatchResult {
    /// It was not published.
    Failed {
        /// Why.
        error: Told,
    },
    /// It was published.
    Published(Published),
}

/// Publish a message on a topic.
#[utoipa::path(
    post,
    path = "/publish",
    tag = "publish",
    request_body = Publish,
    responses((status = 200, body = Published, description = "The fleet has it"), Failure),
)]
pub(super) async fn publish(
    State(api): State<Arc<Api>>,
    Body(publish): Body<Publish>,
) -> Result<Json<Published>, Failure> {
    let ready = Ready::new(&api, publish)?;
    Ok(Json(ready.publish(&api).await?))
}

/// Publish many messages.
///
/// One publication's failure does not fail the call: see each result. After a publication that the
/// fleet could not take, the later ones of the same topic in the batch are not attempted.
#[utoipa::path(
    post,
    path = "/publish/batch",
    tag = "publish",
    request_body = Batch,
    responses((status = 200, body = BatchResults, description = "One result each"), Failure),
)]
pub(super) async fn publish_batch(
    State(api): State<Arc<Api>>,
    Body(batch): Body<Batch>,
) -> Result<Json<BatchResults>, Failure> {
    if batch.publications.len() > BATCH {
        return Err(Failure::bad(
            "BATCH_TOO_LARGE",
            format!("a batch has at most {BATCH} publications"),
        ));
    }
    let results = run(&api, batch.publications).await;
    Ok(Json(BatchResults { results }))
}

/// Send a message to every session.
#[utoipa::path(
    post,
    path = "/broadcast",
    tag = "publish",
    request_body = Message,
    responses((status = 200, body = Published, description = "The fleet has it"), Failure),
)]
pub(super) async fn broadcast(
    State(api): State<Arc<Api>>,
    Body(Message { message }): Body<Message>,
) -> Result<Json<Published>, Failure> {
    let envelope = api.prepare(&message)?;
    let position = api.calls.publish(Topic::all(), envelope, None).await?;
    Ok(Json(position.into()))
}

/// A publication that was checked.
struct Ready {
    topic: Topic,
    envelope: bytes::Bytes,
    key: Option<String>,
}

impl Ready {
    fn new(api: &Api, publish: Publish) -> Result<Self, Failure> {
        let topic = Topic::parse(&publish.topic, api.settings.load().topic_bytes)?;
        let key = publish.idempotency_key;
        if key
            .as_ref()
            .is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES)
        {
            return Err(Failure::bad(
                "IDEMPOTENCY_KEY_INVALID",
                format!("an idempotency key has 1 to {KEY_BYTES} bytes"),
            ));
        }
        Ok(Self {
            topic,
            envelope: api.prepare(&publish.message)?,
            key,
        })
    }

    async fn publish(self, api: &Api) -> Result<Published, Failure> {
        let position = api.calls.publish(self.topic, self.envelope, self.key);
        Ok(position.await?.into())
    }
}

/// Publishes topic by topic at the same time, each topic's one after the other: only so is their order
/// certain when the backplane has to retry.
async fn run(api: &Arc<Api>, publications: Vec<Publish>) -> Vec<BatchResult> {
    let mut results: Vec<Option<BatchResult>> = Vec::new();
    results.resize_with(publications.len(), || None);
    let mut topics: HashMap<Topic, Vec<(usize, Ready)>> = HashMap::new();
    for (index, publish) in publications.into_iter().enumerate() {
        match Ready::new(api, publish) {
            Ok(ready) => topics
                .entry(ready.topic.clone())
                .or_default()
                .push((index, ready)),
            Err(failure) => {
                results[index] = Some(BatchResult::Failed {
                    error: failure.told,
                });
            }
        }
    }
    let slots = Arc::new(Semaphore::new(TOPICS_AT_ONCE));
    let mut running = JoinSet::new();
    for (_, queue) in topics {
        let (api, slots) = (api.clone(), slots.clone());
        running.spawn(panics::contained(async move {
            // Closed never: `slots` lives as long as this future.
            let _slot = slots.acquire().await;
            one_topic(&api, queue).await
        }));
    }
    for (index, result) in running.join_all().await.into_iter().flatten() {
        results[index] = Some(result);
    }
    // Every index was either refused above or given to a topic's queue.
    results.into_iter().flatten().collect()
}

async fn one_topic(api: &Api, queue: Vec<(usize, Ready)>) -> Vec<(usize, BatchResult)> {
    let mut done = Vec::with_capacity(queue.len());
    let mut failed: Option<Told> = None;
    for (index, ready) in queue {
        let result = match &failed {
            Some(first) => Err(Told {
                code: first.code,
                message: format!(
                    "not attempted, because an earlier one failed: {}",
                    first.message
                ),
            }),
            None => ready.publish(api).await.map_err(|failure| failure.told),
        };
        done.push(match result {
            Ok(published) => (index, BatchResult::Published(published)),
            Err(error) => {
                failed.get_or_insert_with(|| error.clone());
                (index, BatchResult::Failed { error })
            }
        });
    }
    done
}
