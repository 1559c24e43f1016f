//! A way to Redis that can keep the answers back, or break.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Forwards connections to a server on this machine.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    /// While true, what the server says is kept back.
    keep_back: watch::Sender<bool>,
    /// Changes when every connection is to be closed.
    cut: watch::Sender<u32>,
    task: AbortHandle,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (keep_back, kept) = watch::channel(false);
        let (cut, cuts) = watch::channel(0);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (kept, mut cuts) = (kept.clone(), cuts.clone());
                cuts.mark_unchanged();
                connections.spawn(async move {
                    // Cut first, even when what was kept back may go on at the same moment.
                    tokio::select! {
                        biased;
                        _ = cuts.changed() => {}
                        () = forward(client, server, kept) => {}
                    }
                });
            }
        });
        Self {
            port,
            keep_back,
            cut,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn keep_back(&self, keep_back: bool) {
        self.keep_back.send_replace(keep_back);
    }

    /// Closes every connection, with what was kept back.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, server: u16, mut kept: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let ask = async { tokio::io::copy(&mut from_client, &mut to_server).await };
    let answer = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from_server.read(&mut buffer).await.unwrap_or(0);
            if kept.wait_for(|kept| !kept).await.is_err() || read == 0 {
                return;
            }
            if to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        _ = ask => {}
        () = answer => {}
    }
}
