//! A client to which nothing may happen, whatever is done to others.

use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use wse_e2e::Error;
use wse_e2e::api::Api;
use wse_e2e::client::{Client, Dial};
use wse_e2e::fleet::{Gateway, Setup};

const TOPIC: &str = "bystander";

pub(crate) struct Bystander {
    leave: oneshot::Sender<()>,
    watching: JoinHandle<Result<u64, Error>>,
}

impl Bystander {
    /// Subscribes and keeps receiving what it publishes itself, one message after the other.
    pub(crate) async fn arrive(setup: &Setup, gateway: &Gateway) -> Result<Self, Error> {
        let token = setup.token("bystander", &[TOPIC]);
        let mut client = Client::connect(&Dial::new(&gateway.url(), &token)).await?;
        client.subscribe(&[TOPIC]).await?;
        let api = gateway.api();
        receive(&mut client, &api, 0).await?;
        let (leave, left) = oneshot::channel();
        Ok(Self {
            leave,
            watching: tokio::spawn(watch(client, api, left)),
        })
    }

    /// Ends it: how many messages it received, each once and in order.
    pub(crate) async fn leave(self) -> Result<u64, Error> {
        // It may have ended early; why is what it returns.
        let _ = self.leave.send(());
        let watched = self.watching.await;
        watched.map_err(|error| Error::Process(format!("the bystander: {error}")))?
    }
}

async fn watch(
    mut client: Client,
    api: Api,
    mut left: oneshot::Receiver<()>,
) -> Result<u64, Error> {
    for number in 1.. {
        receive(&mut client, &api, number).await?;
        sleep(Duration::from_millis(20)).await;
        if left.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
            return Ok(number);
        }
    }
    Ok(0)
}

async fn receive(client: &mut Client, api: &Api, number: u64) -> Result<(), Error> {
    let message = json!({ "t": "numbered", "p": { "number": number } });
    api.publish(TOPIC, &message, None).await?;
    let event = timeout(Duration::from_secs(60), client.next()).await;
    let event =
        event.map_err(|_| Error::Timeout(format!("the bystander's message {number}")))??;
    if event.p["number"] != number {
        return Err(Error::Protocol(format!(
            "the bystander received {:?} instead of {number}",
            event.p
        )));
    }
    Ok(())
}
