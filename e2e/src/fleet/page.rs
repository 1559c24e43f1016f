//! The page of a fleet that `wse-operator up` runs.

use hyper::Method;
use serde::Deserialize;

use crate::Error;
use crate::api::Api;
use crate::http::Http;

/// A page, by its address. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Page {
    url: String,
    http: Http,
}

/// The fleet as its page shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Shown {
    /// The load tier.
    pub tier: String,
    /// Pods that there should be.
    pub desired: u32,
    /// Every pod.
    pub pods: Vec<ShownPod>,
    /// What holds and what does not.
    pub conditions: Vec<ShownCondition>,
}

/// A pod on the page.
#[derive(Clone, Debug, Deserialize)]
pub struct ShownPod {
    /// Its name.
    pub name: String,
    /// Such as `ready` or `draining`.
    pub state: String,
    /// Clients in it. None: it does not say.
    pub sessions: Option<u32>,
}

/// A condition on the page.
#[derive(Clone, Debug, Deserialize)]
pub struct ShownCondition {
    /// What it is about.
    pub r#type: String,
    /// Whether it is as it should be.
    pub holds: bool,
    /// In words.
    pub message: String,
}

impl Page {
    /// `url` is as `up` prints it, such as `http://127.0.0.1:41234/KEY/`.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            http: Http::new(),
        }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it shows.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Answered`] when it is another page, [`Error::Protocol`] when
    /// the answer is not the page's JSON.
    pub async fn shown(&self) -> Result<Shown, Error> {
        let url = format!("{}/fleet", self.url);
        let body = self.http.call(Method::GET, &url, None, None).await?;
        serde_json::from_str(&body)
            .map_err(|error| Error::Protocol(format!("{url} answered {body}: {error}")))
    }

    /// A backend that publishes through it, which needs no key: whichever gateways are ready take it.
    pub fn api(&self) -> Api {
        Api::of_page(&self.url)
    }
}
