//! The crate tokio-tungstenite under hyper.

mod common;

use std::rc::Rc;

use common::Clients;
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

type Outcome = Result<(), Box<dyn std::error::Error>>;

async fn client(upgraded: OnUpgrade, clients: Rc<Clients>) -> Outcome {
    let stream = TokioIo::new(upgraded.await?);
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let (mut writer, mut reader) = socket.split();
    writer.send(Message::text(common::READY)).await?;
    let (number, sender, mut texts) = clients.enter();
    let writing = tokio::task::spawn_local(async move {
        while let Some(mut text) = texts.recv().await {
            // All that waits goes out together.
            loop {
                let text_frame = Utf8Bytes::try_from(text).expect("JSON is UTF-8");
                if writer.feed(Message::Text(text_frame)).await.is_err() {
                    return;
                }
                match texts.try_recv() {
                    Ok(next) => text = next,
                    Err(_) => break,
                }
            }
            if writer.flush().await.is_err() {
                return;
            }
        }
    });
    let ended = loop {
        match reader.next().await {
            None | Some(Ok(Message::Close(_))) => break Ok(()),
            Some(Err(error)) => break Err(error.into()),
            Some(Ok(Message::Text(text))) => match common::heard(text.as_bytes()) {
                Ok(Some(answer)) => drop(sender.send(answer.into()).await),
                Ok(None) => {}
                Err(error) => break Err(error.into()),
            },
            Some(Ok(_)) => {}
        }
    };
    clients.leave(number);
    writing.abort();
    ended
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    common::serve(|mut request, clients| async move {
        let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
            return common::refusal();
        };
        let accept = derive_accept_key(key.as_bytes());
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::from_str(&accept).expect("base64 is a header's value");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::task::spawn_local(async move { client(upgraded, clients).await.is_ok() });
        response
    })
    .await
}
