//! Messages for one user or one connection.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::connections::{parse_id, parse_user};
use super::extract::{Body, Path};
use super::failure::Failure;
use super::publish::{Message, Published};
use crate::topic::Topic;

/// A message was queued.
#[derive(Serialize, ToSchema)]
pub(super) struct Delivered {
    /// Always true: a connection that is not there is an error.
    delivered: bool,
}

/// Send a message to every session of a user.
///
/// Success does not say that the user has a session.
#[utoipa::path(
    post,
    path = "/users/{user}/messages",
    tag = "messages",
    params(("user" = String, Path, description = "The token's `sub`, percent-encoded")),
    request_body = Message,
    responses((status = 200, body = Published, description = "The fleet has it"), Failure),
)]
pub(super) async fn send_to_user(
    State(api): State<Arc<Api>>,
    Path(user): Path<String>,
    Body(Message { message }): Body<Message>,
) -> Result<Json<Published>, Failure> {
    let user = parse_user(user)?;
    let envelope = api.prepare(&message)?;
    let position = api
        .calls
        .publish(Topic::user(&user), envelope, None)
        .await?;
    Ok(Json(position.into()))
}

/// Send a message to one connection.
#[utoipa::path(
    post,
    path = "/connections/{id}/messages",
    tag = "messages",
    params(("id" = String, Path, description = "Connection id")),
    request_body = Message,
    responses(
        (status = 200, body = Delivered, description = "It is queued for the connection"),
        (status = 404, body = super::failure::ErrorAnswer, description = "No such connection"),
        Failure,
    ),
)]
pub(super) async fn send_to_connection(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    Body(Message { message }): Body<Message>,
) -> Result<Json<Delivered>, Failure> {
    let id = parse_id(&id)?;
    let envelope = api.prepare(&message)?;
    let sent = api.calls.send(id.clone(), envelope).await?;
    if !sent.value {
        return Err(Failure::not_found(
            "CONNECTION_NOT_FOUND",
            &format!("connection {id}"),
            &sent.missing,
        ));
    }
    Ok(Json(Delivered { delivered: true }))
}
