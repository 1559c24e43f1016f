//! One pod of the fleet: a gateway process that is started again when it dies.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use wse_sidecar::config::{Config, Listen};

use super::journal::Journal;
use super::process::{Process, free_address};
use super::scratch::Scratch;
use super::{Error, report, tried};
use crate::plan::{Load, Pod, PodState};

/// A process that lived this long was well; its next death is a first one.
const WELL: Duration = Duration::from_secs(30);
/// Longest pause before a start.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After so many deaths in a row somebody else may have taken the ports.
const DEATHS_OF_A_PORT: u32 = 3;

/// A gateway looks at its configuration every second; by then a busy one has taken a new one, too.
const TAKEN: Duration = Duration::from_secs(10);

/// A pod.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: String,
    pub(super) revision: String,
    /// Ports of the process that runs, or ran last.
    pub(super) listen: Listen,
    /// Whether it was told to end.
    pub(super) leaves: bool,
    /// Whether the plan asked it to drain; the process that was asked is gone when it dies.
    pub(super) asked_to_drain: bool,
    /// What it answered last.
    pub(super) load: Option<Load>,
    pub(super) ready: bool,
    process: Option<Process>,
    written: Option<Config>,
    /// When that was.
    told: Instant,
    started: Instant,
    deaths: u32,
    journal: Journal,
}

impl Child {
    /// A pod whose process is not started yet.
    pub(super) fn new(name: String, revision: &str, scratch: &Scratch, now: Instant) -> Self {
        Self {
            revision: revision.to_owned(),
            listen: Listen::default(),
            leaves: false,
            asked_to_drain: false,
            load: None,
            ready: false,
            process: None,
            written: None,
            told: now,
            started: now,
            deaths: 0,
            journal: Journal::new(scratch.log_file(&name)),
            name,
        }
    }

    /// How it looks to the plan.
    pub(super) fn pod(&self) -> Pod {
        let state = match (&self.process, self.leaves, self.ready) {
            (_, true, _) => PodState::Leave,
            (None, ..) => PodState::Down,
            (Some(_), _, true) => PodState::Ready,
            (Some(_), _, false) => PodState::Unready,
        };
        Pod {
            name: self.name.clone(),
            revision: self.revision.clone(),
            state,
            asked_to_drain: self.asked_to_drain,
            load: self.load,
        }
    }

    /// The admin port, while there is a process.
    pub(super) fn admin(&self) -> Option<SocketAddr> {
        self.process.as_ref().map(|_| self.listen.admin)
    }

    /// Whether it is ready and may stay so.
    pub(super) fn takes_clients(&self) -> bool {
        self.ready && !self.leaves
    }

    /// Whether it has no process.
    pub(super) fn is_down(&self) -> bool {
        self.process.is_none()
    }

    /// Whether it is down and its pause is over.
    pub(super) fn may_start(&self, now: Instant) -> bool {
        self.process.is_none() && now >= self.started + pause(self.deaths)
    }

    /// Starts its process, on ports of its own and the shared public socket.
    pub(super) fn start(
        &mut self,
        config: &Config,
        public: &TcpListener,
        sidecar: &Path,
        scratch: &Scratch,
        now: Instant,
    ) -> Result<(), Error> {
        // It keeps its ports, so that what was printed stays true, unless they may be what it dies of.
        if self.deaths.is_multiple_of(DEATHS_OF_A_PORT) {
            let address = || tried("cannot find a free port", free_address());
            self.listen = Listen {
                public: tried("cannot name the public port", public.local_addr())?,
                api: address()?,
                admin: address()?,
                backlog: config.listen.backlog,
                tls: None,
            };
        }
        self.configure(config, scratch, now)?;
        let path = scratch.log_file(&self.name);
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = tried(format!("cannot write {}", path.display()), log)?;
        let file = scratch.config_file(&self.name);
        let arguments = ["--config".as_ref(), file.as_os_str()];
        let process = Process::start_listening(sidecar, arguments, public, log);
        self.process = Some(tried(
            format!("cannot start {}", sidecar.display()),
            process,
        )?);
        self.started = now;
        Ok(())
    }

    /// Tells it its configuration, if it differs from what it was told last.
    pub(super) fn configure(
        &mut self,
        config: &Config,
        scratch: &Scratch,
        now: Instant,
    ) -> Result<(), Error> {
        let config = Config {
            node: self.name.clone(),
            listen: Listen {
                tls: config.listen.tls.clone(),
                ..self.listen.clone()
            },
            ..config.clone()
        };
        if self.written.as_ref() != Some(&config) {
            scratch.write_config(&self.name, &config)?;
            self.written = Some(config);
            self.told = now;
        }
        Ok(())
    }

    /// Whether its process may still read this file beside its configuration.
    pub(super) fn reads(&self, file: &Path, now: Instant) -> bool {
        let taken = now.saturating_duration_since(self.told) >= TAKEN;
        let named = self.written.as_ref().is_some_and(|it| names(it, file));
        self.process.is_some() && (named || !taken)
    }

    /// Asks its process to drain and end.
    pub(super) fn leave(&mut self) {
        self.leaves = true;
        if let Some(process) = &self.process {
            process.terminate();
        }
    }

    /// Ends its process.
    pub(super) fn kill(&self) {
        if let Some(process) = &self.process {
            process.kill();
        }
    }

    /// Notices its process's death and shows its news.
    pub(super) fn look(&mut self, now: Instant) {
        let ended = self.process.as_mut().and_then(Process::ended);
        for line in self.journal.news() {
            report::news(&self.name, &line);
        }
        let Some(status) = ended else {
            return;
        };
        self.process = None;
        self.load = None;
        self.ready = false;
        self.asked_to_drain = false;
        if self.leaves {
            report::news(&self.name, "has left");
            return;
        }
        let first = now.saturating_duration_since(self.started) >= WELL;
        self.deaths = if first {
            1
        } else {
            self.deaths.saturating_add(1)
        };
        self.started = now;
        let pause = pause(self.deaths).as_secs_f32();
        report::news(
            &self.name,
            &format!("ended with {status}; it starts again in {pause} s"),
        );
    }
}

/// Whether the configuration has this path in it, wherever that is.
fn names(config: &Config, file: &Path) -> bool {
    let has = |text: &str| Path::new(text) == file;
    let value = serde_json::to_value(config).expect("a configuration serialises to JSON");
    let mut open = vec![&value];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.values()),
            Value::String(text) if has(text) => return true,
            _ => {}
        }
    }
    false
}

/// How long to wait before the start that follows so many deaths in a row.
fn pause(deaths: u32) -> Duration {
    let doubled = 2u32.saturating_pow(deaths.saturating_sub(1)).min(1_000);
    match deaths {
        0 => Duration::ZERO,
        _ => (Duration::from_millis(500) * doubled).min(LONGEST_PAUSE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_while_the_configuration_names_it() {
        let mut config = Config::default();
        config.api.key_files = vec!["/s/api/key2".into()];
        assert!(names(&config, Path::new("/s/api/key2")));
        assert!(!names(&config, Path::new("/s/api/key")));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds: Vec<f32> = (0..9).map(|deaths| pause(deaths).as_secs_f32()).collect();
        assert_eq!(seconds, [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
