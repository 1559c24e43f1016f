//! The run itself: look, plan, carry out, wait; and the end of it.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Socket, Type};
use tokio::sync::watch;
use wse_sidecar::config::{AuthMode, Config, Origins};

use super::fleet::Fleet;
use super::page::{self, Session, Snapshot};
use super::redis::Redis;
use super::report::{self, Told, Welcome};
use super::scratch::{Scratch, random_text};
use super::signals::Signals;
use super::wanted::{Wanted, localise};
use super::{Error, Options, token, tried};
use crate::api::SecretKeyRef;
use crate::ask::Ask;
use crate::plan::{Condition, ConditionType, Memory, Observation, Plan, Subject, plan};

/// How often the file and the processes are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long after their deadline processes may still take to end: calls under way get 5 s, the last
/// sessions and the lease 3 s.
const MARGIN: Duration = Duration::from_secs(10);

/// Runs a fleet until a signal ends it.
///
/// # Errors
/// When it cannot start, or the machine refuses something that it cannot go on without. All that was
/// started has ended then.
pub async fn up(options: Options) -> Result<(), Error> {
    let mut run = Run::start(&options).await?;
    let result = run.follow().await;
    run.end().await;
    result
}

struct Run {
    wanted: Wanted,
    scratch: Scratch,
    redis: Option<Redis>,
    fleet: Fleet,
    signals: Signals,
    page: SocketAddr,
    /// Part of the page's address, so that other users of this machine cannot ask for its token.
    page_key: String,
    session: watch::Sender<Session>,
    seen: watch::Sender<Snapshot>,
    memory: Memory,
    /// How long gateways drain at most, as they were told last.
    deadline: Duration,
    /// What the terminal was told last.
    told: Told,
    /// Entries of Secrets that the file no longer has, and gateways may still read.
    superseded: BTreeSet<SecretKeyRef>,
    /// The API port that the terminal names. None: nothing was ready yet.
    named: Option<SocketAddr>,
}

impl Run {
    async fn start(options: &Options) -> Result<Self, Error> {
        let sidecar = find_sidecar(options.sidecar.as_deref())?;
        let mut wanted = Wanted::read(options)?;
        let needs_redis = wanted.needs_redis();
        if !needs_redis {
            wanted.check()?;
        }
        let signals = Signals::new()?;
        let scratch = Scratch::new()?;
        let mut redis = None;
        if needs_redis {
            let started = Redis::start(&scratch).await?;
            wanted.share_over(started.url());
            wanted.check()?;
            redis = Some(started);
        }
        for label in &wanted.input().unused {
            report::news(
                "file",
                &format!("{label} is for Kubernetes and not used here"),
            );
        }

        let (first, memory) = decide(
            &wanted,
            &scratch,
            &Observation::default(),
            &Memory::default(),
        );
        let public = bind(options.port, first.config.listen.backlog)?;
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = tried("cannot open a port for the page", listener)?;
        let page = tried("cannot name the page's port", listener.local_addr())?;
        let ask = Ask::new();
        let session = watch::Sender::new(session(&wanted, &public, &first.config)?);
        let seen = watch::Sender::new(Snapshot::default());
        let page_key = random_text()?;
        tokio::spawn(page::serve(
            listener,
            page_key.clone(),
            session.subscribe(),
            seen.subscribe(),
            ask.clone(),
        ));
        scratch.write_secrets(wanted.secrets(), &Default::default())?;
        let fleet = Fleet {
            prefix: wanted.input().name().to_owned(),
            sidecar,
            public,
            ask,
            children: Vec::new(),
            serves: None,
            desired: None,
            told: None,
        };
        Ok(Self {
            wanted,
            scratch,
            redis,
            fleet,
            signals,
            page,
            page_key,
            session,
            seen,
            memory,
            deadline: deadline(&first.config),
            told: Told::default(),
            superseded: BTreeSet::new(),
            named: None,
        })
    }

    /// Every pass from scratch, until a signal.
    async fn follow(&mut self) -> Result<(), Error> {
        loop {
            self.read_again()?;
            if let Some(redis) = &mut self.redis {
                redis.look(&self.scratch)?;
            }
            let now = Instant::now();
            let observation = self.fleet.observe(now).await;
            let (plan, memory) = decide(&self.wanted, &self.scratch, &observation, &self.memory);
            self.memory = memory;
            let public = tried(
                "cannot name the public port",
                self.fleet.public.local_addr(),
            )?;
            let config = localise(&plan.config, public.port(), self.page.port());
            self.deadline = deadline(&config);
            let carried = self.fleet.carry_out(&plan, &config, &self.scratch, now);
            carried.await?;
            self.sweep(now)?;
            self.tell(&plan, &observation);
            let wait = plan.wake_after.min(LOOK);
            if self.signals.end_within(wait).await {
                return Ok(());
            }
        }
    }

    fn read_again(&mut self) -> Result<(), Error> {
        let before = self.wanted.secrets().clone();
        match self.wanted.follow() {
            Ok(false) => {}
            Ok(true) => {
                report::news("file", "its edit is followed");
                let secrets = self.wanted.secrets();
                self.scratch.write_secrets(secrets, &before)?;
                self.superseded.extend(before.into_keys());
                self.superseded.retain(|it| !secrets.contains_key(it));
                let (plan, _) = decide(
                    &self.wanted,
                    &self.scratch,
                    &Observation::default(),
                    &self.memory,
                );
                let session = session(&self.wanted, &self.fleet.public, &plan.config)?;
                self.session.send_replace(session);
            }
            Err(refused) => {
                report::trouble(&format!("the file's edit is not followed:\n{refused}"));
            }
        }
        Ok(())
    }

    /// Removes the entries that nobody reads any more.
    fn sweep(&mut self, now: Instant) -> Result<(), Error> {
        let is_read = |it: &SecretKeyRef| self.fleet.reads(&self.scratch.secret_file(it), now);
        let (read, unread) = std::mem::take(&mut self.superseded)
            .into_iter()
            .partition::<BTreeSet<_>, _>(is_read);
        self.superseded = read;
        unread
            .iter()
            .try_for_each(|gone| self.scratch.remove_secret(gone))
    }

    /// Tells the page all, and the terminal what changed.
    fn tell(&mut self, plan: &Plan, observation: &Observation) {
        let mut snapshot = Snapshot::new(plan, observation);
        let ready = self
            .fleet
            .children
            .iter()
            .filter(|child| child.takes_clients());
        snapshot.apis = ready.map(|child| child.listen.api).collect();
        snapshot.key = self.api_key();
        let apis = snapshot.apis.clone();
        self.seen.send_replace(snapshot);

        let is_ready = |it: &Condition| it.r#type == ConditionType::Ready && it.holds;
        let Some(old) = self.named else {
            if let Some(&api) = apis
                .first()
                .filter(|_| plan.conditions.iter().any(is_ready))
            {
                self.welcome(plan, api);
                self.named = Some(api);
                self.told = Told::of(plan);
            }
            return;
        };
        for line in self.told.news(plan) {
            report::news("fleet", &line);
        }
        if let Some(&api) = apis.first().filter(|_| !apis.contains(&old)) {
            report::news(
                "fleet",
                &format!("publish at http://{api}/publish from now on"),
            );
            self.named = Some(api);
        }
        self.told = Told::of(plan);
    }

    fn welcome(&self, plan: &Plan, api: SocketAddr) {
        let key = &self.wanted.input().cluster.spec.api.keys[0].secret_key_ref;
        let welcome = Welcome {
            session: &self.session.borrow(),
            page: format!("http://{}/{}/", self.page, self.page_key),
            publish: format!("http://{api}/publish"),
            key_file: &self.scratch.secret_file(key),
            folder: self.scratch.path(),
            redis: self
                .redis
                .as_ref()
                .map(|redis| (redis.address(), redis.id())),
            left_out: self.wanted.left_out(),
        };
        report::welcome(&welcome, plan);
    }

    /// The first API key; the rules want at least one.
    fn api_key(&self) -> String {
        let key = &self.wanted.input().cluster.spec.api.keys[0].secret_key_ref;
        let bytes = self
            .wanted
            .secrets()
            .get(key)
            .map_or(&[][..], Vec::as_slice);
        String::from_utf8_lossy(bytes).trim().to_owned()
    }

    /// Drains and ends all processes, redis-server last.
    async fn end(&mut self) {
        self.fleet.leave();
        let end = Instant::now() + self.deadline + MARGIN;
        report::news("fleet", "drains; Ctrl-C again ends it at once");
        loop {
            self.fleet.observe(Instant::now()).await;
            if self.fleet.children.is_empty() {
                break;
            }
            if Instant::now() >= end {
                report::trouble("a gateway has not ended by its deadline and is killed");
                self.fleet.kill();
            }
            if self.signals.end_within(LOOK).await {
                self.fleet.kill();
            }
        }
        self.redis = None;
    }
}

fn decide(
    wanted: &Wanted,
    scratch: &Scratch,
    observation: &Observation,
    memory: &Memory,
) -> (Plan, Memory) {
    let input = wanted.input();
    let subject = Subject {
        cluster: &input.full_name(),
        spec: &input.cluster.spec,
        secrets: &scratch.secrets(),
        admin_token: &scratch.admin_token_file(),
        default_image: "",
    };
    plan(&subject, observation, memory, SystemTime::now())
}

/// The plan's, because full pods take longer than a file may say.
fn deadline(config: &Config) -> Duration {
    Duration::from_secs(config.drain.deadline_seconds.into())
}

fn session(wanted: &Wanted, public: &TcpListener, config: &Config) -> Result<Session, Error> {
    let address = tried("cannot name the public port", public.local_addr())?;
    let spec = &wanted.input().cluster.spec;
    let auth = &spec.auth;
    let scheme = if spec.tls.is_some() { "wss" } else { "ws" };
    let first = config.auth.default_topics.first();
    Ok(Session {
        cluster: config.cluster.clone(),
        url: format!("{scheme}://{address}/wse"),
        token: token::mint(auth, wanted.secrets(), SystemTime::now()),
        anonymous: config.auth.mode == AuthMode::None,
        cookie: auth.cookie.clone(),
        cookie_refused: config.auth.mode == AuthMode::Jwt
            && config.auth.allowed_origins == Origins::Any,
        topic: first.map_or_else(
            || "demo".into(),
            |pattern| pattern.replace(['*', '?'], "lobby"),
        ),
    })
}

/// The public socket, which all gateways accept on. Its queue is the tier's: std would ask for 128.
fn bind(port: u16, backlog: u32) -> Result<TcpListener, Error> {
    let open = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
        Ok(socket.into())
    };
    tried(
        format!("cannot listen on port {port} (choose another with --port)"),
        open(),
    )
}

fn find_sidecar(named: Option<&Path>) -> Result<PathBuf, Error> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => {
            let own = tried("cannot find this executable", std::env::current_exe())?;
            own.with_file_name("wse-sidecar")
        }
    };
    // Absolute, because a shell would look for a bare name on PATH.
    match path.canonicalize() {
        Ok(path) if path.is_file() => Ok(path),
        _ => Err(Error::NoSidecar(path)),
    }
}
