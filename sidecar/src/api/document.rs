//! The routes, and the OpenAPI document that is made from them.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::failure::ErrorAnswer;
use super::{Api, connections, messages, publish, topics};

/// The OpenAPI document of this build, as text.
pub fn openapi() -> String {
    let document = routes().1.to_pretty_json();
    // Serializing fails only for maps whose keys are not text, which the document has not.
    let mut text = document.unwrap_or_default();
    text.push('\n');
    text
}

/// The routes without their guard, and what documents them.
pub(super) fn routes() -> (Router<Arc<Api>>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Head::openapi())
        .routes(routes!(publish::publish))
        .routes(routes!(publish::publish_batch))
        .routes(routes!(publish::broadcast))
        .routes(routes!(messages::send_to_user))
        .routes(routes!(messages::send_to_connection))
        .routes(routes!(connections::list))
        .routes(routes!(connections::one, connections::disconnect))
        .routes(routes!(connections::disconnect_user))
        .routes(routes!(topics::list))
        .routes(routes!(topics::one))
        .routes(routes!(serve))
        .split_for_parts()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "WSE gateway API",
        description = "What backends call. Every call is for the whole fleet, whichever pod answers; \
                       the answer's `x-wse-node` header names that pod.",
    ),
    components(schemas(ErrorAnswer)),
    modifiers(&Keys),
    security(("bearer" = []), ("header" = [])),
)]
struct Head;

struct Keys;

impl Modify for Keys {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("header", SecurityScheme::ApiKey(header));
    }
}

/// This document.
///
/// Needs no key.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "document",
    security(()),
    responses((status = 200, description = "The document", content_type = "application/json", body = serde_json::Value)),
)]
async fn serve() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(openapi);
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            committed,
            openapi(),
            "run `wse-sidecar openapi > docs/openapi.json`"
        );
    }
}
