//! A proxy that loses some of the messages that a gateway sends, and passes others on twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use wse_e2e::Error;

/// Of so many numbered messages, one is lost and one is sent twice.
const ROUND: u64 = 10;

pub(super) struct Meddler {
    pub(super) port: u16,
    did: Arc<Did>,
    _forwarding: JoinSet<()>,
}

#[derive(Default)]
struct Did {
    numbered: AtomicU64,
    lost: AtomicU64,
    repeated: AtomicU64,
}

impl Meddler {
    pub(super) async fn stand_before(gateway: SocketAddr) -> Result<Self, Error> {
        let failed = |error| Error::Process(format!("the meddler: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let did = Arc::new(Did::default());
        let shared = did.clone();
        let mut forwarding = JoinSet::new();
        forwarding.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let did = shared.clone();
                connections.spawn(async move {
                    let (from_gateway, mut to_gateway) =
                        TcpStream::connect(gateway).await?.into_split();
                    let (mut from_client, to_client) = client.into_split();
                    tokio::select! {
                        copied = copy(&mut from_client, &mut to_gateway) => copied.map(|_| ()),
                        meddled = meddle(from_gateway, to_client, &did) => meddled,
                    }
                });
            }
        });
        Ok(Self {
            port,
            did,
            _forwarding: forwarding,
        })
    }

    pub(super) fn lost(&self) -> u64 {
        self.did.lost.load(Ordering::Relaxed)
    }

    pub(super) fn repeated(&self) -> u64 {
        self.did.repeated.load(Ordering::Relaxed)
    }
}

async fn meddle(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, did: &Did) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    to.write_all(&head).await?;
    loop {
        let frame = frame(&mut from).await?;
        let is_numbered = frame.windows(6).any(|window| window == br#""seq":"#)
            && frame.windows(8).any(|window| window == br#""ts_us":"#);
        let place = match is_numbered {
            true => did.numbered.fetch_add(1, Ordering::Relaxed) % ROUND,
            false => 0,
        };
        let times = match place {
            3 => 0,
            7 => 2,
            _ => 1,
        };
        did.lost.fetch_add(u64::from(times == 0), Ordering::Relaxed);
        did.repeated
            .fetch_add(u64::from(times == 2), Ordering::Relaxed);
        for _ in 0..times {
            to.write_all(&frame).await?;
        }
    }
}

/// The next frame, as a server sends it: without a mask (RFC 6455 section 5.2).
async fn frame(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 2];
    from.read_exact(&mut frame).await?;
    let extended = match frame[1] {
        127 => 8,
        126 => 2,
        _ => 0,
    };
    frame.resize(2 + extended, 0);
    from.read_exact(&mut frame[2..]).await?;
    let length = match extended {
        0 => frame[1].into(),
        _ => frame[2..]
            .iter()
            .fold(0, |sum, &byte| sum << 8 | usize::from(byte)),
    };
    let begin = frame.len();
    frame.resize(begin + length, 0);
    from.read_exact(&mut frame[begin..]).await?;
    Ok(frame)
}
