//! The backends' side of a gateway.

use hyper::header::{AUTHORIZATION, HeaderName, ORIGIN};
use hyper::{Method, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::http::Http;

/// A backend that calls one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    /// Says that it may.
    credential: (HeaderName, String),
    http: Http,
}

/// Where a publication stands in its topic.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct Published {
    /// Identity of the stream, eight hex digits.
    pub epoch: String,
    /// Its number.
    pub offset: u64,
}

impl Api {
    /// `base` is such as `http://127.0.0.1:8081`.
    pub fn new(base: &str, key: &str) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            credential: (AUTHORIZATION, format!("Bearer {key}")),
            http: Http::new(),
        }
    }

    /// The page of a local fleet, which takes publications from itself alone.
    pub(crate) fn of_page(url: &str) -> Self {
        let own = url.parse::<Uri>().ok();
        let own = own.and_then(|it| it.authority().map(ToString::to_string));
        Self {
            base: url.to_owned(),
            credential: (ORIGIN, format!("http://{}", own.unwrap_or_default())),
            http: Http::new(),
        }
    }

    /// Publishes a message on a topic. `idempotency_key` names this publish: a second one with the
    /// same key publishes nothing and answers the same.
    ///
    /// # Errors
    /// [`Error::Answered`] when the gateway says no, [`Error::Unreachable`] when it says nothing.
    pub async fn publish(
        &self,
        topic: &str,
        message: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Published, Error> {
        let mut body = json!({ "topic": topic, "message": message });
        if let Some(key) = idempotency_key {
            body["idempotencyKey"] = key.into();
        }
        let answer = self.post("/publish", &body).await?;
        serde_json::from_str(&answer)
            .map_err(|error| Error::Protocol(format!("POST /publish answered {answer}: {error}")))
    }

    /// Any other call: `path` begins with `/`.
    ///
    /// # Errors
    /// As [`Api::publish`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<String, Error> {
        let url = format!("{}{path}", self.base);
        let body = body.to_string().into_bytes();
        let answer = self
            .http
            .call(Method::POST, &url, Some(&self.credential), Some(body));
        answer.await
    }

    /// Asks for what lies at `path`, which begins with `/`.
    ///
    /// # Errors
    /// As [`Api::publish`]; [`Error::Protocol`] when the answer is not JSON.
    pub async fn ask(&self, path: &str) -> Result<Value, Error> {
        let url = format!("{}{path}", self.base);
        let answer = self
            .http
            .call(Method::GET, &url, Some(&self.credential), None);
        let answer = answer.await?;
        serde_json::from_str(&answer)
            .map_err(|error| Error::Protocol(format!("GET {url} answered {answer}: {error}")))
    }
}
