//! A fleet of this machine, by its page.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use wse_e2e::fleet::{Page, ShownPod};

use super::{Pod, Seen, State};

#[derive(Debug)]
pub(in crate::fleet) struct Local(Page);

impl Local {
    /// # Errors
    /// When it is no address.
    pub(super) fn new(page: &str) -> Result<Self, String> {
        match page.starts_with("http://") {
            true => Ok(Self(Page::new(page))),
            false => Err(format!(
                "--page {page}: it is to be as `wse-operator up` prints it, http://127.0.0.1:PORT/KEY/"
            )),
        }
    }

    /// Without the page's key: whoever has it has a token, and reports are shown around.
    pub(super) fn name(&self) -> String {
        let url = self.0.url();
        let key = url.rfind('/').unwrap_or(url.len());
        format!("the local fleet of {}", &url[..key])
    }

    pub(super) async fn look(&self) -> Result<Seen, String> {
        let hint = |error| {
            format!("{error}; is --page as `wse-operator up` prints it, and does that run?")
        };
        let shown = self.0.shown().await.map_err(hint)?;
        let pods = shown.pods.into_iter().map(pod);
        Ok(Seen {
            tier: Some(shown.tier),
            desired: Some(shown.desired),
            pods: pods.collect::<Result<_, _>>()?,
        })
    }
}

fn pod(shown: ShownPod) -> Result<Pod, String> {
    let state = State::deserialize(shown.state.as_str().into_deserializer());
    let state = state.map_err(|error: Error| format!("the page shows {}: {error}", shown.name))?;
    let runs = matches!(state, State::Ready | State::Draining);
    let silence = runs.then(|| "the page does not know".to_owned());
    Ok(Pod {
        name: shown.name,
        state,
        sessions: shown.sessions.map(u64::from).ok_or(silence),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_of_the_page_is_understood_or_named() {
        let shown = |state: &str, sessions| ShownPod {
            name: "chat-0".into(),
            state: state.into(),
            sessions,
        };
        let draining = pod(shown("draining", Some(7))).unwrap();
        assert_eq!(
            (draining.state, draining.sessions),
            (State::Draining, Ok(7))
        );
        assert_eq!(pod(shown("starting", None)).unwrap().sessions, Err(None));
        assert!(matches!(
            pod(shown("ready", None)).unwrap().sessions,
            Err(Some(_))
        ));
        assert!(
            pod(shown("elsewhere", None))
                .unwrap_err()
                .contains("chat-0")
        );
    }

    #[test]
    fn the_key_of_a_page_is_in_no_report() {
        let local = Local::new("http://127.0.0.1:4000/a-secret/").unwrap();
        assert_eq!(local.name(), "the local fleet of http://127.0.0.1:4000");
        assert!(Local::new("127.0.0.1:4000").is_err());
    }
}
