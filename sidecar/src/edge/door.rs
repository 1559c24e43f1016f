//! One connection, from accept to hand-over.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use prometheus::Registry;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::admission::{Arriving, Bucket, Permit};
use super::answer::No;
use super::certificate::Certificate;
use super::metrics::{Metrics, Outcome};
use super::pending::{Pending, Place};
use super::transport::Transport;
use super::{Arrival, Policy, Reception};
use crate::auth::{Denied, Identity, Refusal};
use crate::reactor::Socket;
use crate::wire::deflate::Agreed;
use crate::wire::handshake;

/// Largest request head. The Python client sends its token twice, and a token has up to 8 KiB.
const HEAD_BYTES: usize = 64 << 10;

/// What hyper may buffer: a whole head, and what comes with it.
const BUFFER_BYTES: usize = HEAD_BYTES + (8 << 10);

/// From the end of the request head to the end of the connection or its hand-over: more than a token
/// waits for keys.
const SERVICE: Duration = Duration::from_secs(10);

/// How long, and for how many bytes, a client that was refused in the middle of its request is listened
/// to: closing with bytes unread would reset the connection, and the client would not see the answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// What every connection needs.
pub(super) struct Door {
    pub(super) policy: ArcSwap<Policy>,
    pub(super) refusing: watch::Sender<bool>,
    pub(super) pending: Arc<Pending>,
    pub(super) metrics: Metrics,
    sessions: Box<dyn Fn() -> usize + Send + Sync>,
    reception: Arc<dyn Reception>,
    arriving: Arriving,
    bucket: Bucket,
}

/// A client whose request was accepted, until its connection has been upgraded.
struct Admitted<'a> {
    upgrade: OnUpgrade,
    identity: Result<Identity, Refusal>,
    query: String,
    deflate: Option<Agreed>,
    _permit: Permit<'a>,
}

/// A client whose request was not.
struct Refused {
    outcome: Outcome,
    /// What it would have been upgraded to.
    upgrade: OnUpgrade,
}

/// What the request's service leaves for the connection's task.
type Verdict<'a> = Mutex<Option<Result<Admitted<'a>, Refused>>>;

impl Door {
    pub(super) fn new(
        policy: Policy,
        sessions: Box<dyn Fn() -> usize + Send + Sync>,
        reception: Arc<dyn Reception>,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let metrics = Metrics::new(registry)?;
        Ok(Self {
            policy: ArcSwap::from_pointee(policy),
            refusing: watch::Sender::new(false),
            pending: Pending::new(metrics.pending.clone()),
            metrics,
            sessions,
            reception,
            arriving: Arriving::default(),
            bucket: Bucket::new(Instant::now()),
        })
    }

    /// Attends to one connection until it is handed over or closed.
    pub(super) async fn attend(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        place: Place,
    ) {
        let outcome = self.handle(stream, remote, &place).await;
        self.metrics.count(outcome);
        match outcome {
            Outcome::Upgraded => {
                let elapsed = place.arrived().elapsed();
                self.metrics.seconds.observe(elapsed.as_secs_f64());
            }
            _ => tracing::debug!(%remote, ?outcome, "connection closed without a session"),
        }
    }

    async fn handle(&self, stream: TcpStream, remote: SocketAddr, place: &Place) -> Outcome {
        let deadline = place.arrived() + self.policy.load().timeout;
        match first_byte(&stream, place, deadline).await {
            Ok(()) => place.heard(),
            Err(outcome) => return outcome,
        }
        // What follows is in boxes: a connection that has sent nothing is no larger for it, and a task that
        // begins is moved several times.
        let certificate = self.policy.load().certificate.clone();
        match certificate {
            None => Box::pin(self.converse(stream, remote, place, deadline)).await,
            Some(certificate) => {
                let secured = self.secure(certificate, stream, remote, place, deadline);
                Box::pin(secured).await
            }
        }
    }

    async fn secure(
        &self,
        certificate: Certificate,
        stream: TcpStream,
        remote: SocketAddr,
        place: &Place,
        deadline: Instant,
    ) -> Outcome {
        let secured = tokio::select! {
            biased;
            secured = certificate.secure(stream) => secured,
            outcome = dismissed(place, deadline) => return outcome,
        };
        let (error, stream) = match secured {
            Ok(stream) => return self.converse(stream, remote, place, deadline).await,
            Err(failed) => failed,
        };
        tracing::debug!(%remote, %error, "no TLS handshake");
        // What rustls says of what came; all else is the connection's fault.
        if error.kind() != io::ErrorKind::InvalidData {
            return Outcome::Io;
        }
        linger_in(place, stream).await;
        Outcome::Tls
    }

    /// Hears the request and answers it.
    async fn converse<T: Transport>(
        &self,
        stream: T,
        remote: SocketAddr,
        place: &Place,
        deadline: Instant,
    ) -> Outcome {
        let verdict = Verdict::default();
        let service = service_fn(|request| self.serve(request, place, &verdict));
        let mut connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_header_size(HEAD_BYTES)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let ended = tokio::select! {
            // The connection first: a request that is there must not lose to a clock.
            biased;
            ended = &mut connection => ended,
            outcome = dismissed(place, deadline) => return outcome,
        };
        if let Err(error) = ended {
            let outcome = failure(&error);
            if outcome != Outcome::Io
                && let Some(parts) = connection.into_parts()
            {
                linger_in(place, parts.io.into_inner()).await;
            }
            return outcome;
        }
        drop(connection);
        // The service is gone, and it does not panic while it holds the lock.
        match verdict.into_inner().expect("the service does not panic") {
            Some(Ok(admitted)) => self.hand_over::<T>(admitted, remote).await,
            Some(Err(refused)) => refused.end().await,
            None => Outcome::Io,
        }
    }

    /// Answers the connection's one request, and leaves the verdict for its task.
    async fn serve<'a>(
        &'a self,
        mut request: Request<Incoming>,
        place: &Place,
        verdict: &Verdict<'a>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        place.served();
        let (response, decided) = match self.decide(&mut request).await {
            Ok((headers, admitted)) => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                *response.headers_mut() = headers;
                (response, Ok(admitted))
            }
            Err(no) => {
                let refused = Refused {
                    outcome: no.outcome(),
                    upgrade: hyper::upgrade::on(&mut request),
                };
                (no.response(), Err(refused))
            }
        };
        *verdict.lock().expect("no holder panics") = Some(decided);
        Ok(response)
    }

    /// Cheap checks first; a token is verified only for a client that there is room for.
    async fn decide(
        &self,
        request: &mut Request<Incoming>,
    ) -> Result<(HeaderMap, Admitted<'_>), No> {
        let policy = self.policy.load_full();
        let (method, version) = (request.method(), request.version());
        let answer = handshake::accept(method, version, request.headers(), policy.deflate)
            .map_err(No::Handshake)?;
        if !request.body().is_end_stream() {
            return Err(No::Body);
        }
        if *self.refusing.borrow() {
            return Err(No::Draining);
        }
        if !policy.origins.permit(request.headers()) {
            return Err(No::Origin);
        }
        let permit = self
            .arriving
            .admit((self.sessions)(), policy.capacity)
            .ok_or(No::Capacity)?;
        if !self.bucket.take(policy.per_second, Instant::now()) {
            return Err(No::Rate);
        }
        let now = SystemTime::now();
        let identity = match policy.verifier.authenticate(request.headers(), now).await {
            Ok(identity) => Ok(identity),
            Err(Denied::Refused(refusal)) => Err(refusal),
            Err(Denied::KeysUnavailable) => return Err(No::Keys),
        };
        let admitted = Admitted {
            identity,
            query: request.uri().query().unwrap_or_default().to_owned(),
            upgrade: hyper::upgrade::on(request),
            deflate: answer.deflate,
            _permit: permit,
        };
        Ok((answer.headers, admitted))
    }

    async fn hand_over<T: Transport>(&self, admitted: Admitted<'_>, remote: SocketAddr) -> Outcome {
        let Ok(upgraded) = admitted.upgrade.await else {
            return Outcome::Io;
        };
        // The type is the one that was served above.
        let Ok(parts) = upgraded.downcast::<TokioIo<T>>() else {
            return Outcome::Io;
        };
        let Ok(socket) = parts.io.into_inner().into_socket() else {
            return Outcome::Io;
        };
        self.reception.receive(Arrival {
            socket: Socket {
                read_ahead: parts.read_buf,
                deflate: admitted.deflate,
                ..socket
            },
            remote,
            identity: admitted.identity,
            query: admitted.query,
        });
        Outcome::Upgraded
    }
}

impl Refused {
    /// Ends the connection in order. To hyper one whose client asked for an upgrade is no more its own,
    /// whatever the answer was, and dropping it would end TLS without a word.
    async fn end(self) -> Outcome {
        if let Ok(upgraded) = self.upgrade.await {
            let mut stream = TokioIo::new(upgraded);
            // However it ends, the connection is closed.
            let _ = timeout(LINGER, stream.shutdown()).await;
        }
        self.outcome
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("policy", &self.policy)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

/// Waits for the first byte. Until then nothing is allocated for the connection.
async fn first_byte(stream: &TcpStream, place: &Place, deadline: Instant) -> Result<(), Outcome> {
    let mut byte = [0];
    let peeked = tokio::select! {
        biased;
        peeked = stream.peek(&mut byte) => peeked,
        // The runtime may not have been told yet of bytes that the kernel has.
        () = place.asked_to_leave() => SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]),
        () = sleep_until(deadline.into()) => return Err(Outcome::Timeout),
    };
    match peeked {
        Ok(0) => Err(Outcome::Io),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Outcome::Evicted),
        Err(_) => Err(Outcome::Io),
    }
}

/// Ends when the connection has lost its place: its request took too long, or others need the room.
async fn dismissed(place: &Place, deadline: Instant) -> Outcome {
    tokio::select! {
        () = place.asked_to_leave() => return Outcome::Evicted,
        () = sleep_until(deadline.into()) => {}
    }
    if place.is_served() {
        sleep_until((deadline + SERVICE).into()).await;
    }
    Outcome::Timeout
}

fn failure(error: &hyper::Error) -> Outcome {
    if error.is_parse_too_large() {
        Outcome::TooLarge
    } else if error.is_parse() {
        Outcome::BadHandshake
    } else {
        Outcome::Io
    }
}

/// As [`linger`], while nobody needs the place.
async fn linger_in(place: &Place, stream: impl Transport) {
    tokio::select! {
        // Few need it, and it is large.
        () = Box::pin(linger(stream)) => {}
        () = place.asked_to_leave() => {}
    }
}

/// Ends a connection so that its client sees the answer, although it is still sending.
async fn linger(mut stream: impl Transport) {
    let drained = async {
        stream.shutdown().await?;
        let mut sink = [0; 4096];
        let mut rest = LINGER_BYTES;
        while rest > 0 {
            match stream.read(&mut sink).await? {
                0 => break,
                count => rest = rest.saturating_sub(count),
            }
        }
        Ok::<(), io::Error>(())
    };
    // However it ends, the connection is closed.
    let _ = timeout(LINGER, drained).await;
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream as StdStream};

    use prometheus::IntGauge;

    use super::*;

    /// What becomes of a connection that is asked to leave before the runtime has looked at it.
    async fn asked_at_once(sent: &[u8]) -> Result<(), Outcome> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        client.write_all(sent).unwrap();
        accepted.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(accepted).unwrap();

        let pending = Pending::new(IntGauge::new("pending", "pending").unwrap());
        let place = pending.enter(1).await;
        pending.shed();
        first_byte(&stream, &place, Instant::now() + SERVICE).await
    }

    #[tokio::test]
    async fn bytes_that_only_the_kernel_has_seen_keep_a_place() {
        assert_eq!(asked_at_once(b"G").await, Ok(()));
        assert_eq!(asked_at_once(b"").await, Err(Outcome::Evicted));
    }
}
