//! The crate fastwebsockets under hyper.

mod common;

use std::rc::Rc;

use bytes::Bytes;
use common::Clients;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError};
use http_body_util::Full;
use tokio::io::BufWriter;
use tokio::sync::mpsc::{Receiver, Sender};

async fn client(upgraded: UpgradeFut, clients: Rc<Clients>) -> Result<(), WebSocketError> {
    let mut socket = upgraded.await?;
    socket.write_frame(Frame::text(Payload::Borrowed(common::READY.as_bytes()))).await?;
    let (reader, mut writer) = socket.split(|stream| {
        let (reader, writer) = tokio::io::split(stream);
        (reader, BufWriter::new(writer))
    });
    let (number, sender, mut texts): (u64, Sender<Bytes>, Receiver<Bytes>) = clients.enter();
    let writing = tokio::task::spawn_local(async move {
        while let Some(mut text) = texts.recv().await {
            // All that waits goes out together.
            loop {
                writer.write_frame(Frame::text(Payload::Borrowed(&text))).await?;
                match texts.try_recv() {
                    Ok(next) => text = next,
                    Err(_) => break,
                }
            }
            writer.flush().await?;
        }
        Ok::<(), WebSocketError>(())
    });
    let mut reader = FragmentCollectorRead::new(reader);
    let ended = loop {
        let frame = reader.read_frame(&mut |_| async { Ok::<(), WebSocketError>(()) }).await;
        match frame {
            Err(error) => break Err(error),
            Ok(frame) => match frame.opcode {
                OpCode::Close => break Ok(()),
                OpCode::Text => match common::heard(&frame.payload) {
                    Ok(Some(answer)) => drop(sender.send(answer.into()).await),
                    Ok(None) => {}
                    Err(_) => break Err(WebSocketError::InvalidValue),
                },
                _ => {}
            },
        }
    };
    clients.leave(number);
    writing.abort();
    ended
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    common::serve(|mut request, clients| async move {
        match upgrade(&mut request) {
            Ok((response, upgraded)) => {
                tokio::task::spawn_local(client(upgraded, clients));
                response.map(|_| Full::default())
            }
            Err(_) => common::refusal(),
        }
    })
    .await
}
