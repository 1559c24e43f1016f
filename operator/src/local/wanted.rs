//! What is wanted: the file as it is now, under the options of this run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wse_sidecar::config::{Config, Origins};

use super::{Input, Options, Refused};
use crate::api::{
    Backplane, BackplaneType, Redis, Scaling, ScalingMode, SecretKeyRef, WseCluster, check,
    check_change,
};

/// The file and the options together.
pub(super) struct Wanted {
    path: PathBuf,
    /// What was read last, good or bad; the error when it could not be.
    read: Result<String, Refused>,
    input: Input,
    /// The cluster as the file has it.
    written: WseCluster,
    /// One gateway that shares with nobody, whatever the file says: a laptop needs nothing else.
    alone: bool,
    /// The number follows the load, as the file says.
    autoscale: bool,
    /// The count that the options gave, and what the file said then: it stands until the file says
    /// something else.
    replicas: Option<(u32, u32)>,
    /// What gateways share over, instead of what the file says: that is for where the file is applied.
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
        let written = input.cluster.spec.scaling.most();
        let mut wanted = Self {
            path: options.file.clone(),
            read: Ok(text),
            alone: options.redis.is_none()
                && !options.autoscale
                && options.replicas.is_none_or(|count| count == 1),
            autoscale: options.autoscale,
            replicas: options.replicas.map(|count| (count, written)),
            redis: options.redis.clone(),
            written: input.cluster.clone(),
            input: input.clone(),
        };
        wanted.fit(&mut input.cluster);
        wanted.input = input;
        Ok(wanted)
    }

    /// Whether gateways share and nobody said over what.
    pub(super) fn needs_redis(&self) -> bool {
        !self.alone && self.redis.is_none()
    }

    /// What the file asks for and this run leaves out.
    pub(super) fn left_out(&self) -> Option<String> {
        let spec = &self.written.spec;
        let shares = spec.backplane.r#type == BackplaneType::Redis;
        (self.alone && shares).then(|| {
            let count = spec.scaling.most().max(2);
            let more = match spec.scaling.mode {
                ScalingMode::Autoscale => "--autoscale lets their number follow the load".into(),
                ScalingMode::External | ScalingMode::Fixed => {
                    format!("--replicas {count} starts as many")
                }
            };
            format!("one gateway that keeps topics in memory; {more}, and starts a redis-server")
        })
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
        self.input.accept(check(&self.written))?;
        self.follows(&self.written)?;
        self.input.accept(check(&self.input.cluster))
    }

    /// Reads the file again. True: it says something else now, and is followed.
    ///
    /// # Errors
    /// What is wrong with it, told once; what was wanted before stays.
    pub(super) fn follow(&mut self) -> Result<bool, Refused> {
        let read = text(&self.path);
        if read == self.read {
            return Ok(false);
        }
        self.read.clone_from(&read);
        let mut input = Input::parse(&read?)?;
        if input.full_name() != self.input.full_name() {
            let old = self.input.full_name();
            return Err(
                format!("the WseCluster's name was {old}: start `up` again for another").into(),
            );
        }
        let written = input.cluster.clone();
        input.accept(check_change(&self.written, &written))?;
        self.follows(&written)?;
        let before = self.replicas;
        self.replicas = before.filter(|(_, written)| *written == input.cluster.spec.scaling.most());
        self.fit(&mut input.cluster);
        let accepted = input.accept(check_change(&self.input.cluster, &input.cluster));
        match accepted {
            Ok(()) => {
                self.input = input;
                self.written = written;
            }
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

    /// Refuses a cluster whose number cannot follow the load when it should.
    fn follows(&self, cluster: &WseCluster) -> Result<(), Refused> {
        let mode = cluster.spec.scaling.mode;
        if !self.autoscale || mode == ScalingMode::Autoscale {
            return Ok(());
        }
        Err(format!(
            "--autoscale follows `spec.scaling` in the mode Autoscale, and the file's is {mode:?}: write \
             `scaling: {{mode: Autoscale, minReplicas: 1, maxReplicas: 4}}` there, or leave --autoscale \
             out and give --replicas"
        )
        .into())
    }

    fn fit(&self, cluster: &mut WseCluster) {
        let spec = &mut cluster.spec;
        if let Some((count, _)) = self.replicas {
            spec.scaling = Scaling::fixed(count);
        }
        if self.alone {
            spec.scaling = Scaling::fixed(1);
            spec.backplane = Backplane {
                r#type: BackplaneType::Memory,
                redis: None,
            };
        } else if let Some(url) = &self.redis {
            let partitions = spec.backplane.redis.as_ref().map(|it| it.partitions);
            spec.backplane = Backplane {
                r#type: BackplaneType::Redis,
                redis: Some(Redis {
                    url: Some(url.clone()),
                    url_secret_ref: None,
                    partitions: partitions.unwrap_or_else(Redis::partitions),
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
        let wanted = Wanted::read(&options(file.path(), replicas)).unwrap();
        (file, wanted)
    }

    fn options(file: &std::path::Path, replicas: Option<u32>) -> Options {
        Options {
            file: file.to_owned(),
            replicas,
            autoscale: false,
            redis: None,
            port: 0,
            sidecar: None,
        }
    }

    fn autoscaled() -> String {
        let fixed = "    mode: Fixed\n    replicas: 2\n";
        assert!(EXAMPLE.contains(fixed));
        let mode = "    mode: Autoscale\n    minReplicas: 1\n    maxReplicas: 7\n";
        EXAMPLE.replace(fixed, mode)
    }

    fn replicas(wanted: &Wanted) -> u32 {
        wanted.input.cluster.spec.scaling.most()
    }

    #[test]
    fn one_gateway_needs_no_redis_whatever_the_file_says() {
        let (file, mut wanted) = wanted(None);
        assert!(!wanted.needs_redis());
        wanted.check().unwrap();
        assert_eq!(replicas(&wanted), 1);
        assert!(wanted.left_out().unwrap().contains("--replicas 2"));

        fs::write(file.path(), EXAMPLE.replace("replicas: 2", "replicas: 3")).unwrap();
        assert!(wanted.follow().unwrap());
        assert_eq!(replicas(&wanted), 1);
    }

    #[test]
    fn an_option_stands_until_the_file_says_another_count() {
        let (file, mut wanted) = wanted(Some(4));
        assert!(wanted.needs_redis());
        wanted.share_over("redis://127.0.0.1:1".into());
        wanted.check().unwrap();
        assert_eq!(replicas(&wanted), 4);
        assert_eq!(wanted.left_out(), None);

        let edit = EXAMPLE.replace("windowSeconds: 5", "windowSeconds: 6");
        fs::write(file.path(), edit).unwrap();
        assert!(wanted.follow().unwrap());
        assert_eq!(replicas(&wanted), 4);
        assert!(!wanted.follow().unwrap());

        fs::write(file.path(), EXAMPLE.replace("replicas: 2", "replicas: 3")).unwrap();
        assert!(wanted.follow().unwrap());
        assert_eq!(replicas(&wanted), 3);
        assert!(!wanted.needs_redis(), "it has one");
    }

    #[test]
    fn the_number_follows_the_load_where_the_file_says_so() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = Options {
            autoscale: true,
            ..options(file.path(), None)
        };
        fs::write(file.path(), EXAMPLE).unwrap();
        let refused = Wanted::read(&options).unwrap().check().unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("the file's is Fixed"), "{told}");
        assert!(told.contains("minReplicas: 1"), "{told}");

        fs::write(file.path(), autoscaled()).unwrap();
        let mut wanted = Wanted::read(&options).unwrap();
        assert!(wanted.needs_redis());
        wanted.share_over("redis://127.0.0.1:1".into());
        wanted.check().unwrap();
        let scaling = wanted.input.cluster.spec.scaling.clone();
        assert_eq!(scaling, wanted.written.spec.scaling);
        assert_eq!(replicas(&wanted), 7);

        let edit = autoscaled().replace("maxReplicas: 7", "maxReplicas: 9");
        fs::write(file.path(), edit).unwrap();
        assert!(wanted.follow().unwrap());
        assert_eq!(replicas(&wanted), 9);
        fs::write(file.path(), EXAMPLE).unwrap();
        wanted.follow().unwrap_err();
        assert_eq!(replicas(&wanted), 9);
    }

    #[test]
    fn a_file_that_scales_by_load_says_how_it_does_here() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), autoscaled()).unwrap();
        let wanted = Wanted::read(&options(file.path(), None)).unwrap();
        wanted.check().unwrap();
        assert_eq!(replicas(&wanted), 1);
        assert!(wanted.left_out().unwrap().contains("--autoscale"));
    }

    #[test]
    fn a_bad_edit_is_told_once_and_changes_nothing() {
        let (file, mut wanted) = wanted(None);
        for bad in [
            EXAMPLE.replace("replicas: 2", "replicas: 0"),
            EXAMPLE.replace("replicas: 2", "replicas: many"),
            EXAMPLE.replace("  name: chat\n", "  name: other\n"),
        ] {
            fs::write(file.path(), bad).unwrap();
            wanted.follow().unwrap_err();
            assert!(!wanted.follow().unwrap());
            assert_eq!(replicas(&wanted), 1);
        }
        fs::remove_file(file.path()).unwrap();
        wanted.follow().unwrap_err();
        assert!(!wanted.follow().unwrap());
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
