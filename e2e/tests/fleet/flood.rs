//! A hundred clients that send as fast as the gateway reads take nothing from another one, nor from those
//! who run it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use wse_e2e::Error;
use wse_e2e::fleet::{Config, Gateway, Setup};

use crate::bystander::Bystander;
use crate::raw::{self, CLOSE, FIN, PING, PONG, Raw, TEXT};
use crate::{Outcome, alone, growth, has_grown};

const FLOODERS: usize = 100;
/// What a flooder sends with one write.
const BLOCK_BYTES: usize = 64 << 10;

/// What a flooder was told so far.
#[derive(Default)]
struct Told {
    /// Answers to the ping at the end of each block: so many blocks were read.
    pongs: AtomicU64,
    /// Errors that say `RATE_LIMITED`.
    limited: AtomicU64,
    /// The code of the Close frame, and 0 before.
    closed: AtomicU64,
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_above_the_rate_limit_end_and_nobody_else_notices() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let before = gateway.metrics().await?;
    let mut calm = Calm::arrive(&setup, &gateway).await?;
    let bystander = Bystander::arrive(&setup, &gateway).await?;
    let flood = Flood::begin(&setup, &gateway).await?;
    let mut rounds = 0;
    // A gateway puts up with it for ten seconds.
    while flood.count(|told| told.closed.load(Ordering::Relaxed) == 0) > 0 {
        calm.ask_everybody(&gateway).await?;
        rounds += 1;
    }
    println!("{rounds} rounds while the flood went on");

    assert!(rounds > 10);
    for told in &flood.told {
        assert_eq!(told.closed.load(Ordering::Relaxed), 4429);
        assert!(told.limited.load(Ordering::Relaxed) > 0);
    }
    calm.ask_everybody(&gateway).await?;
    assert!(bystander.leave().await? > 0);
    let all = FLOODERS as f64;
    let ended = "wse_sessions_closed_total";
    has_grown(&gateway, &before, ended, &[("code", "4429")], all).await?;
    // The bystander says goodbye with no code at all; nobody else has ended.
    has_grown(&gateway, &before, ended, &[("code", "lost")], 1.0).await?;
    assert_eq!(growth(&gateway, &before, ended, &[]).await?, all + 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_is_allowed_starves_nobody() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let config = setup.config("a");
    let gateway = Gateway::start(&setup, unlimited(config)).await?;
    let before = gateway.metrics().await?;
    let mut calm = Calm::arrive(&setup, &gateway).await?;
    let bystander = Bystander::arrive(&setup, &gateway).await?;
    let flood = Flood::begin(&setup, &gateway).await?;
    // As long as all of the flood goes on, and until each of its clients was served again and again.
    let mut rounds = 0;
    while rounds <= 20 || flood.count(|told| told.pongs.load(Ordering::Relaxed) < 3) > 0 {
        calm.ask_everybody(&gateway).await?;
        rounds += 1;
        assert!(rounds < 200, "some of the flood are not read");
    }
    let read = [("outcome", "no_backend")];
    let read = growth(&gateway, &before, "wse_inbound_messages_total", &read).await?;
    println!("{rounds} rounds while {read} messages of the flood were read");

    assert!(bystander.leave().await? > 0);
    for told in &flood.told {
        assert_eq!(told.closed.load(Ordering::Relaxed), 0);
        assert_eq!(told.limited.load(Ordering::Relaxed), 0);
    }
    Ok(())
}

fn unlimited(mut config: Config) -> Config {
    config.limits.messages_per_second = 0;
    config.limits.bytes_per_second = 0;
    config
}

/// Ends when it is dropped.
struct Flood {
    told: Vec<Arc<Told>>,
    _clients: JoinSet<()>,
}

impl Flood {
    async fn begin(setup: &Setup, gateway: &Gateway) -> Result<Self, Error> {
        let message = raw::frame(
            FIN | TEXT,
            br#"{"c":"U","t":"flood","p":"twenty bytes of it"}"#,
        );
        let ping = raw::frame(FIN | TEXT, br#"{"c":"WSE","t":"ping","p":{"timestamp":0}}"#);
        let mut block = message.repeat(BLOCK_BYTES / message.len());
        block.extend(ping);
        let block: Arc<[u8]> = block.into();
        let token = setup.token("flooder", &["chat.*"]);
        let mut flood = Self {
            told: Vec::new(),
            _clients: JoinSet::new(),
        };
        for _ in 0..FLOODERS {
            let mut client = Raw::open(gateway, &token).await?;
            let (told, block) = (Arc::new(Told::default()), Arc::clone(&block));
            flood.told.push(Arc::clone(&told));
            flood._clients.spawn(async move {
                client
                    .pour(&block, |opcode, payload| told.hear(opcode, payload))
                    .await;
                // Without a Close frame.
                let _ = told
                    .closed
                    .compare_exchange(0, 1006, Ordering::Relaxed, Ordering::Relaxed);
            });
        }
        Ok(flood)
    }

    /// How many of its clients are so.
    fn count(&self, is_so: impl Fn(&Told) -> bool) -> usize {
        self.told.iter().filter(|told| is_so(told)).count()
    }
}

impl Told {
    fn hear(&self, opcode: u8, payload: &[u8]) {
        let says = |text: &[u8]| payload.windows(text.len()).any(|part| part == text);
        match opcode {
            CLOSE => {
                let code = raw::code_in(payload);
                self.closed.store(code.into(), Ordering::Relaxed);
            }
            TEXT if says(b"RATE_LIMITED") => _ = self.limited.fetch_add(1, Ordering::Relaxed),
            TEXT if says(b"PONG") => _ = self.pongs.fetch_add(1, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// A client that sends two pings at a time and must get their answers, and nothing else.
struct Calm {
    socket: Raw,
    asked: u64,
}

impl Calm {
    async fn arrive(setup: &Setup, gateway: &Gateway) -> Result<Self, Error> {
        let token = setup.token("calm", &["chat.*"]);
        let socket = Raw::open(gateway, &token).await?;
        let mut calm = Self { socket, asked: 0 };
        assert!(
            calm.answer()
                .await?
                .1
                .starts_with(br#"{"c":"WSE","t":"server_ready""#)
        );
        Ok(calm)
    }

    /// Pings by the protocol and by WebSocket; asks the admin port and the API as well.
    async fn ask_everybody(&mut self, gateway: &Gateway) -> Outcome {
        self.asked += 1;
        let number = self.asked.to_string();
        let ping = format!(r#"{{"c":"WSE","t":"ping","p":{{"timestamp":{number}}}}}"#);
        let ping = raw::frame(FIN | TEXT, ping.as_bytes());
        let control = raw::frame(FIN | PING, number.as_bytes());
        self.socket.send(&[ping, control].concat()).await?;
        // The answer to a message waits for the end of the turn; a pong goes out with what it came with.
        let mut answers = [self.answer().await?, self.answer().await?];
        answers.sort();
        let [(TEXT, text), (PONG, same)] = answers else {
            return Err(Error::Protocol(format!("no two answers: {answers:?}")));
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.starts_with(r#"{"c":"WSE","t":"PONG""#), "{text}");
        assert!(
            text.contains(&format!(r#""client_timestamp":{number}"#)),
            "{text}"
        );
        assert_eq!(same, number.as_bytes());
        for path in ["/live", "/ready", "/load", "/metrics"] {
            assert_eq!(gateway.admin(path).await?.status, 200, "{path}");
        }
        let connections = gateway.api().ask("/connections?user=calm").await?;
        assert_eq!(connections["connections"].as_array().map(Vec::len), Some(1));
        Ok(())
    }

    /// The next frame that is not the server's own ping.
    async fn answer(&mut self) -> Result<(u8, Vec<u8>), Error> {
        loop {
            let frame = self.socket.next().await?;
            let frame = frame.ok_or_else(|| Error::Lost("the calm client".into()))?;
            if !frame.1.starts_with(br#"{"c":"WSE","t":"ping""#) {
                return Ok(frame);
            }
        }
    }
}
