//! A client that stays, and counts what it receives.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use wse_e2e::Error;
use wse_e2e::client::Client;

pub(crate) struct Listener {
    listening: JoinHandle<Result<BTreeMap<u64, u64>, Error>>,
}

impl Listener {
    pub(crate) fn start(client: Client) -> Self {
        Self {
            listening: tokio::spawn(listen(client)),
        }
    }

    /// How often it received each number, once it has received the last message.
    pub(crate) async fn finish(self) -> Result<BTreeMap<u64, u64>, Error> {
        let listened = timeout(Duration::from_secs(60), self.listening).await;
        listened
            .map_err(|_| Error::Timeout("the last message".into()))?
            .map_err(|error| Error::Process(format!("a listener: {error}")))?
    }
}

async fn listen(mut client: Client) -> Result<BTreeMap<u64, u64>, Error> {
    let mut received = BTreeMap::new();
    loop {
        let event = client.next().await?;
        match event.t.as_str() {
            "numbered" => {
                let number = event.p["number"].as_u64().unwrap_or(u64::MAX);
                *received.entry(number).or_default() += 1;
            }
            "last" => break,
            _ => {}
        }
    }
    // A duplicate would come about now.
    while let Ok(event) = timeout(Duration::from_secs(2), client.next()).await {
        if let Some(number) = event?.p["number"].as_u64() {
            *received.entry(number).or_default() += 1;
        }
    }
    Ok(received)
}
