//! Looking at topics.

#![allow(unused_qualifications, reason = "code that `IntoParams` derives")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::connections::{names, parse_limit};
use super::extract::{Path, Query};
use super::failure::Failure;
use crate::topic::Topic;

/// Which topics to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Only those that begin with this.
    prefix: Option<String>,
    /// At most this many; 100 when absent, at most 1,000.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000)]
    limit: Option<usize>,
}

/// A topic that somebody is subscribed to.
#[derive(Serialize, ToSchema)]
pub(super) struct Listed {
    /// Its name.
    topic: String,
    /// Sessions subscribed to it by name, in the whole fleet.
    subscribers: u64,
}

/// Some of the topics, the largest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Topics {
    topics: Vec<Listed>,
    /// Pods that did not answer in time, or had no room for the call: theirs are not counted.
    missing: Vec<String>,
}

/// One topic.
#[derive(Serialize, ToSchema)]
pub(super) struct OneTopic {
    /// Its name.
    topic: String,
    /// Sessions subscribed to it by name, in the whole fleet.
    subscribers: u64,
    /// Identity of its stream: eight hexadecimal digits. Null while the backplane is away.
    epoch: Option<String>,
    /// Number of the last message in the stream, 0 before the first; null as `epoch`.
    offset: Option<u64>,
    /// Pods that did not answer in time, or had no room for the call: theirs are not counted.
    missing: Vec<String>,
}

/// List topics that have subscribers.
#[utoipa::path(
    get,
    path = "/topics",
    operation_id = "listTopics",
    tag = "topics",
    params(Listing),
    responses((status = 200, body = Topics, description = "The topics"), Failure),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(listing): Query<Listing>,
) -> Result<Json<Topics>, Failure> {
    let limit = parse_limit(listing.limit)?;
    let prefix = listing.prefix.unwrap_or_default();
    let found = api.calls.topics(prefix, limit).await?;
    let listed = |info: crate::hub::TopicInfo| Listed {
        topic: info.topic.to_string(),
        subscribers: info.subscribers,
    };
    Ok(Json(Topics {
        topics: found.value.into_iter().map(listed).collect(),
        missing: names(&found.missing),
    }))
}

/// Look at one topic.
#[utoipa::path(
    get,
    path = "/topics/{topic}",
    operation_id = "topic",
    tag = "topics",
    params(("topic" = String, Path, description = "Topic name, percent-encoded: `/` as `%2F`")),
    responses((status = 200, body = OneTopic, description = "The topic"), Failure),
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path(topic): Path<String>,
) -> Result<Json<OneTopic>, Failure> {
    let topic = Topic::parse(&topic, api.settings.load().topic_bytes)?;
    let found = api.calls.topic(topic).await?;
    let head = found.value.head;
    Ok(Json(OneTopic {
        topic: found.value.topic.to_string(),
        subscribers: found.value.subscribers,
        epoch: head.map(|at| format!("{:08x}", at.epoch)),
        offset: head.map(|at| at.offset),
        missing: names(&found.missing),
    }))
}
