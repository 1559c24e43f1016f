//! Looking at sessions and ending them.

#![allow(unused_qualifications, reason = "code that `IntoParams` derives")]

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Path, Query};
use super::failure::Failure;
use crate::backplane::NodeId;
use crate::hub::{ConnectionId, ConnectionInfo, Who};

/// Entries of a list when the caller names no limit.
pub(super) const LIMIT_DEFAULT: usize = 100;
/// Longest list.
pub(super) const LIMIT_MOST: usize = 1_000;
/// Longest reason that fits in a Close frame beside the code (RFC 6455 section 5.5.1).
const REASON_BYTES: usize = 123;
/// Longest user id, in bytes.
const USER_BYTES: usize = 1_024;

/// Which connections to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Only this user's.
    user: Option<String>,
    /// At most this many; 100 when absent, at most 1,000.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1_000)]
    limit: Option<usize>,
}

/// How to end connections.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Ending {
    /// Close code, 4403 when absent. 4000 to 4999 are allowed except 4408, 4429 and 4508, which say
    /// what the gateway saw. The published clients come back after every code but 4401 and 4403.
    #[param(value_type = Option<u32>, minimum = 4_000, maximum = 4_999)]
    code: Option<u16>,
    /// Reason in the Close frame, at most 123 bytes.
    reason: Option<String>,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Connection)]
pub(super) struct Connection {
    /// Its id.
    id: String,
    /// The pod that holds it.
    node: String,
    /// Its token's `sub`.
    user: String,
    /// The peer's address and port.
    remote: String,
    /// Seconds since the upgrade.
    age_seconds: u64,
    /// Topics and patterns that it has.
    subscriptions: Vec<String>,
    /// Bytes waiting for it to read.
    queued_bytes: usize,
}

/// Some of the sessions.
#[derive(Serialize, ToSchema)]
pub(super) struct Connections {
    connections: Vec<Connection>,
    /// Pods that did not answer in time, or had no room for the call: theirs are not in the list.
    missing: Vec<String>,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub(super) struct Disconnected {
    disconnected: u64,
    /// Pods that did not answer in time, or had no room for the call: theirs are not counted, and perhaps not ended.
    missing: Vec<String>,
}

/// List connections.
#[utoipa::path(
    get,
    path = "/connections",
    operation_id = "listConnections",
    tag = "connections",
    params(Listing),
    responses((status = 200, body = Connections, description = "The connections"), Failure),
)]
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Query(listing): Query<Listing>,
) -> Result<Json<Connections>, Failure> {
    let limit = parse_limit(listing.limit)?;
    let user = listing.user.map(parse_user).transpose()?;
    let found = api.calls.connections(user, limit).await?;
    Ok(Json(Connections {
        connections: found.value.into_iter().map(Connection::from).collect(),
        missing: names(&found.missing),
    }))
}

/// Look at one connection.
#[utoipa::path(
    get,
    path = "/connections/{id}",
    operation_id = "connection",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id")),
    responses(
        (status = 200, body = Connection, description = "The connection"),
        (status = 404, body = super::failure::ErrorAnswer, description = "No such connection"),
        Failure,
    ),
)]
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
) -> Result<Json<Connection>, Failure> {
    let id = parse_id(&id)?;
    let found = api.calls.connection(id.clone()).await?;
    match found.value {
        Some(info) => Ok(Json(info.into())),
        None => Err(unknown(&id, &found.missing)),
    }
}

/// Close one connection.
#[utoipa::path(
    delete,
    path = "/connections/{id}",
    operation_id = "disconnect",
    tag = "connections",
    params(("id" = String, Path, description = "Connection id"), Ending),
    responses(
        (status = 200, body = Disconnected, description = "It is closed"),
        (status = 404, body = super::failure::ErrorAnswer, description = "No such connection"),
        Failure,
    ),
)]
pub(super) async fn disconnect(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Query(ending): Query<Ending>,
) -> Result<Json<Disconnected>, Failure> {
    let id = parse_id(&id)?;
    let (code, reason) = ending.check()?;
    let who = Who::Connection(id.clone());
    let ended = api.calls.disconnect(who, code, reason).await?;
    if ended.value == 0 {
        return Err(unknown(&id, &ended.missing));
    }
    Ok(Json(Disconnected {
        disconnected: ended.value,
        missing: names(&ended.missing),
    }))
}

/// Close every connection of a user.
#[utoipa::path(
    delete,
    path = "/users/{user}/connections",
    operation_id = "disconnectUser",
    tag = "connections",
    params(("user" = String, Path, description = "The token's `sub`, percent-encoded"), Ending),
    responses((status = 200, body = Disconnected, description = "They are closed"), Failure),
)]
pub(super) async fn disconnect_user(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    Query(ending): Query<Ending>,
) -> Result<Json<Disconnected>, Failure> {
    let user = parse_user(user)?;
    let (code, reason) = ending.check()?;
    let ended = api.calls.disconnect(Who::User(user), code, reason).await?;
    Ok(Json(Disconnected {
        disconnected: ended.value,
        missing: names(&ended.missing),
    }))
}

impl Ending {
    fn check(self) -> Result<(u16, String), Failure> {
        let code = self.code.unwrap_or(4403);
        let why = match code {
            1000 | 1001 | 1008 => Some("the published clients do not reconnect after it"),
            4408 | 4429 | 4508 => Some("it says what the gateway saw: idle, too fast or too slow"),
            4000..=4999 => None,
            _ => Some("applications have 4000 to 4999 (RFC 6455 section 7.4.2)"),
        };
        if let Some(why) = why {
            return Err(Failure::bad(
                "CLOSE_CODE_INVALID",
                format!("close code {code} cannot be used: {why}"),
            ));
        }
        let reason = self.reason.unwrap_or_default();
        if reason.len() > REASON_BYTES {
            return Err(Failure::bad(
                "CLOSE_REASON_INVALID",
                format!("a close reason has at most {REASON_BYTES} bytes"),
            ));
        }
        Ok((code, reason))
    }
}

impl From<ConnectionInfo> for Connection {
    fn from(info: ConnectionInfo) -> Self {
        Self {
            id: info.id,
            node: info.node,
            user: info.user,
            remote: info.remote,
            age_seconds: info.age_seconds,
            subscriptions: info.subscriptions,
            queued_bytes: info.queued_bytes,
        }
    }
}

pub(super) fn parse_id(id: &str) -> Result<ConnectionId, Failure> {
    ConnectionId::parse(id).ok_or_else(|| {
        Failure::bad(
            "CONNECTION_ID_INVALID",
            "no gateway could have made this connection id",
        )
    })
}

pub(super) fn parse_user(user: String) -> Result<String, Failure> {
    if user.is_empty() || user.len() > USER_BYTES {
        return Err(Failure::bad(
            "USER_INVALID",
            format!("a user id has 1 to {USER_BYTES} bytes"),
        ));
    }
    Ok(user)
}

pub(super) fn parse_limit(limit: Option<usize>) -> Result<usize, Failure> {
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIMIT_MOST {
        return Err(Failure::bad(
            "LIMIT_INVALID",
            format!("a limit is 1 to {LIMIT_MOST}"),
        ));
    }
    Ok(limit)
}

pub(super) fn names(missing: &[NodeId]) -> Vec<String> {
    missing.iter().map(ToString::to_string).collect()
}

fn unknown(id: &ConnectionId, missing: &[NodeId]) -> Failure {
    Failure::not_found("CONNECTION_NOT_FOUND", &format!("connection {id}"), missing)
}
