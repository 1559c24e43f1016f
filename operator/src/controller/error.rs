//! What can go wrong.

use std::io;

use kube::core::Status;

/// Why the controller cannot go on, or a pass could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server was not reached, or refused.
    #[error("cannot {verb} {what}: {}", words(source))]
    Api {
        /// What was tried, as RBAC calls it.
        verb: &'static str,
        /// On what.
        what: String,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// There is nothing to reach Kubernetes with.
    #[error("no way to reach Kubernetes: {0}")]
    Client(String),
    /// A part that runs for as long as the process ended before it.
    #[error("{0} ended")]
    Ended(&'static str),
    /// The Lease is somebody else's now, or could not be renewed in time.
    #[error("lost the lease: {0}")]
    LeaseLost(String),
    /// The port of probes and metrics is not to be had.
    #[error("cannot listen on {0}: {1}")]
    Listen(std::net::SocketAddr, io::Error),
    /// The log filter is none.
    #[error("--log: {0}")]
    Log(String),
    /// An object of this name is not the cluster's.
    #[error(
        "{0} exists and was not made for this WseCluster: delete it, or give the WseCluster another name"
    )]
    NameTaken(String),
    /// `spec.podTemplate` is not what it should be.
    #[error("{0}")]
    PodTemplate(String),
    /// Signals cannot be heard.
    #[error("cannot listen for signals: {0}")]
    Signal(io::Error),
    /// The system has no randomness to give.
    #[error("cannot make a token: {0}")]
    Random(io::Error),
}

impl Error {
    /// For `map_err` of a call.
    pub(super) fn api(
        verb: &'static str,
        what: impl Into<String>,
    ) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api {
            verb,
            what,
            source: Box::new(source),
        }
    }

    /// One word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match status(source).map(|status| status.code) {
                None => "Unreachable",
                Some(401) => "Unauthorized",
                Some(403) => "Forbidden",
                Some(404) => "NotFound",
                Some(409) => "Conflict",
                Some(429) => "TooManyRequests",
                Some(400..=499) => "Refused",
                Some(_) => "ServerError",
            },
            Self::Client(_) => "Client",
            Self::Ended(_) => "Ended",
            Self::LeaseLost(_) => "LeaseLost",
            Self::Listen(..) => "Listen",
            Self::Log(_) => "Log",
            Self::NameTaken(_) => "NameTaken",
            Self::PodTemplate(_) => "PodTemplate",
            Self::Random(_) => "Random",
            Self::Signal(_) => "Signal",
        }
    }

    /// What a person has to put right before the pass can be finished, as the reason of a condition.
    /// None: it may be finished by trying again.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Api { source, .. } => refused(status(source)?),
            Self::NameTaken(_) => Some("NameTaken"),
            Self::PodTemplate(_) => Some("PodTemplateInvalid"),
            _ => None,
        }
    }
}

/// What the API server said, if it said anything.
pub(super) fn status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// An error of the client in words; its own text of an answer shows the answer twice.
pub(super) fn words(error: &kube::Error) -> String {
    match status(error) {
        Some(status) if status.message.is_empty() => format!("{} {}", status.code, status.reason),
        Some(status) => status.message.clone(),
        None => {
            let mut words = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(error) = source {
                let text = error.to_string();
                if !words.contains(&text) {
                    words = format!("{words}: {text}");
                }
                source = error.source();
            }
            words
        }
    }
}

fn refused(status: &Status) -> Option<&'static str> {
    // A field of the wrong type in an applied object is answered as if the server were at fault.
    let mistyped = status.code == 500 && status.message.contains("typed patch");
    match status.code {
        403 => Some("Forbidden"),
        401 | 404 | 408 | 409 | 429 => None,
        400..=499 => Some("Refused"),
        _ => mistyped.then_some("Refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, message: &str) -> Error {
        let status = Status {
            code,
            ..Status::failure(message, "")
        };
        Error::api("patch", "Service a/chat")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn tells_what_a_person_must_put_right_from_what_passes() {
        for (code, message, refusal) in [
            (400, "strict decoding error", Some("Refused")),
            (401, "", None),
            (
                403,
                "admission webhook denied the request",
                Some("Forbidden"),
            ),
            (404, "", None),
            (409, "", None),
            (422, "invalid", Some("Refused")),
            (429, "", None),
            (
                500,
                "failed to create typed patch object: x",
                Some("Refused"),
            ),
            (500, "etcd", None),
            (503, "", None),
        ] {
            assert_eq!(
                answered(code, message).refusal(),
                refusal,
                "{code} {message}"
            );
        }
    }

    #[test]
    fn says_what_was_tried_and_the_answer_once() {
        let text = answered(422, "port is invalid").to_string();
        assert_eq!(text, "cannot patch Service a/chat: port is invalid");
    }
}
