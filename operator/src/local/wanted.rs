//! What is wanted: the file as it is now, under the options of this run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wse_sidecar::config::{Config, Origins};

use super::{Input, Options, Refused};
use crate::api::{Backplane, BackplaneType, Redis, SecretKeyRef, WseCluster, check, check_change};

/// The file and the options together.
pub(super) struct Wanted {
    path: PathBuf,
    text: String,
    input: Input,
    /// The count that the options gave, and what the file said then: it stands until the file says
    /// something else.
    replicas: Option<(u32, u32)>,
    /// Set when this run has a Redis of its own.
    redis: Option<String>,
}

impl Wanted {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with its form; [`Wanted::check`] looks at the rules.
    pub(super) fn read(options: &Options) -> Result<Self, Refused> {
        let text = text(&options.file)?;
        let mut input = Input::parse(&text)?;
        let written = input.cluster.spec.scaling.replicas;
        let mut wanted = Self {
            path: options.file.clone(),
            text,
            replicas: options.replicas.map(|count| (count, written)),
            redis: None,
            input: input.clone(),
        };
        wanted.fit(&mut input.cluster);
        wanted.input = input;
        Ok(wanted)
    }

    /// Whether there are several pods on a backplane that they cannot share because the options asked
    /// for them. (When the file itself asks, its rules say what to do.)
    pub(super) fn needs_redis(&self) -> bool {
        let spec = &self.input.cluster.spec;
        let by_options = self.replicas.is_some_and(|(count, _)| count > 1);
        by_options && spec.backplane.r#type == BackplaneType::Memory
    }

    /// Shares over this Redis from now on.
    pub(super) fn share_over(&mut self, url: String) {
        self.redis = Some(url);
        let mut cluster = self.input.cluster.clone();
        self.fit(&mut cluster);
        self.input.cluster = cluster;
    }

    /// Checks the rules.
    ///
    /// # Errors
    /// Everything that an API server would refuse.
    pub(super) fn check(&self) -> Result<(), Refused> {
        self.input.accept(check(&self.input.cluster))
    }

    /// Reads the file again. True: it says something else now, and is followed.
    ///
    /// # Errors
    /// What is wrong with it; what was wanted before stays. Told once for each text.
    pub(super) fn follow(&mut self) -> Result<bool, Refused> {
        let text = text(&self.path)?;
        if text == self.text {
            return Ok(false);
        }
        self.text = text;
        let mut input = Input::parse(&self.text)?;
        if input.full_name() != self.input.full_name() {
            let old = self.input.full_name();
            return Err(
                format!("the WseCluster's name was {old}: start `up` again for another").into(),
            );
        }
        let before = self.replicas;
        self.replicas =
            before.filter(|(_, written)| *written == input.cluster.spec.scaling.replicas);
        self.fit(&mut input.cluster);
        let accepted = input.accept(check_change(&self.input.cluster, &input.cluster));
        match accepted {
            Ok(()) => self.input = input,
            Err(refused) => {
                self.replicas = before;
                return Err(refused);
            }
        }
        Ok(true)
    }

    pub(super) fn input(&self) -> &Input {
        &self.input
    }

    pub(super) fn secrets(&self) -> &BTreeMap<SecretKeyRef, Vec<u8>> {
        &self.input.secrets
    }

    fn fit(&self, cluster: &mut WseCluster) {
        if let Some((count, _)) = self.replicas {
            cluster.spec.scaling.replicas = count;
        }
        if let Some(url) = &self.redis {
            cluster.spec.backplane = Backplane {
                r#type: BackplaneType::Redis,
                redis: Some(Redis {
                    url: Some(url.clone()),
                    url_secret_ref: None,
                    partitions: Redis::partitions(),
                }),
            };
        }
    }
}

/// Fits a configuration to this machine: no load balancer has to follow a drain, and the page of this
/// run may connect.
pub(super) fn localise(config: &Config, public_port: u16, page_port: u16) -> Config {
    let mut config = config.clone();
    config.drain.wait_seconds = 0;
    let page = format!("http://127.0.0.1:{page_port}");
    match &mut config.auth.allowed_origins {
        Origins::Any => {}
        Origins::List(origins) => origins.push(page),
        same_host @ Origins::SameHost => {
            let public =
                ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{public_port}"));
            *same_host = Origins::List(public.into_iter().chain([page]).collect());
        }
    }
    config
}

fn text(path: &std::path::Path) -> Result<String, Refused> {
    let read = std::fs::read_to_string(path);
    read.map_err(|error| Refused::from(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const EXAMPLE: &str = include_str!("../../../crds/examples/chat.yaml");

    fn wanted(replicas: Option<u32>) -> (tempfile::NamedTempFile, Wanted) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), EXAMPLE).unwrap();
        let options = Options {
            file: file.path().to_owned(),
            replicas,
            port: 0,
            sidecar: None,
        };
        let wanted = Wanted::read(&options).unwrap();
        (file, wanted)
    }

    fn replicas(wanted: &Wanted) -> u32 {
        wanted.input.cluster.spec.scaling.replicas
    }

    #[test]
    fn an_option_stands_until_the_file_says_another_count() {
        let (file, mut wanted) = wanted(Some(2));
        assert!(wanted.needs_redis());
        wanted.check().unwrap_err();
        wanted.share_over("redis://127.0.0.1:1".into());
        wanted.check().unwrap();
        assert_eq!(replicas(&wanted), 2);

        fs::write(
            file.path(),
            EXAMPLE.replace("windowSeconds: 5", "windowSeconds: 6"),
        )
        .unwrap();
        assert!(wanted.follow().unwrap());
        assert_eq!(replicas(&wanted), 2);
        assert!(!wanted.follow().unwrap());

        fs::write(file.path(), EXAMPLE.replace("replicas: 1", "replicas: 3")).unwrap();
        assert!(wanted.follow().unwrap());
        assert_eq!(replicas(&wanted), 3);
        assert!(!wanted.needs_redis(), "it has one");
    }

    #[test]
    fn a_bad_edit_is_told_once_and_changes_nothing() {
        let (file, mut wanted) = wanted(None);
        assert!(!wanted.needs_redis());
        for bad in [
            EXAMPLE.replace("replicas: 1", "replicas: 3"),
            EXAMPLE.replace("replicas: 1", "replicas: many"),
            EXAMPLE.replace("  name: chat\n", "  name: other\n"),
        ] {
            fs::write(file.path(), bad).unwrap();
            wanted.follow().unwrap_err();
            assert!(!wanted.follow().unwrap());
            assert_eq!(replicas(&wanted), 1);
        }
        fs::write(file.path(), EXAMPLE).unwrap();
        assert!(wanted.follow().unwrap());
    }

    #[test]
    fn the_page_may_connect_unless_every_page_may() {
        let mut config = Config::default();
        let here = "http://127.0.0.1:2".to_owned();
        let origins = |config: &Config| match localise(config, 1, 2).auth.allowed_origins {
            Origins::List(list) => list,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            origins(&config),
            ["http://127.0.0.1:1", "http://localhost:1", &here]
        );
        config.auth.allowed_origins = Origins::List(vec!["https://a.example".into()]);
        assert_eq!(origins(&config), ["https://a.example", &here]);
        config.auth.allowed_origins = Origins::Any;
        assert_eq!(localise(&config, 1, 2).auth.allowed_origins, Origins::Any);
        assert_eq!(localise(&config, 1, 2).drain.wait_seconds, 0);
    }
}
