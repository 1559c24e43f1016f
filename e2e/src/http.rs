//! One HTTP client for the API and the admin port.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::Error;

/// Keeps its connections alive between calls. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// Asks, and gives the answer whatever its status.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        header: Option<&(HeaderName, String)>,
        json: Option<Vec<u8>>,
    ) -> Result<Answer, Error> {
        let mut request = Request::builder().method(method).uri(url);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if json.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::from(json.unwrap_or_default()))
            .map_err(|error| Error::Protocol(format!("{url}: {error}")))?;
        let response = self.client.request(request).await.map_err(|error| {
            let error = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            Error::Unreachable {
                address: url.to_owned(),
                error: std::io::Error::other(error),
            }
        })?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| Error::Lost(format!("{url}: {error}")))?
            .to_bytes();
        Ok(Answer {
            status,
            retry_after,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Asks, and takes a status other than 2xx as an error.
    pub(crate) async fn call(
        &self,
        method: Method,
        url: &str,
        header: Option<&(HeaderName, String)>,
        json: Option<Vec<u8>>,
    ) -> Result<String, Error> {
        let answer = self.ask(method.clone(), url, header, json).await?;
        if !(200..300).contains(&answer.status) {
            return Err(Error::Answered {
                method: method.to_string(),
                url: url.to_owned(),
                status: answer.status,
                retry_after: answer.retry_after,
                body: answer.body,
            });
        }
        Ok(answer.body)
    }
}
