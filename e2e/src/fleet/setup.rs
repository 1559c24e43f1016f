//! What the gateways of one test share.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use wse_sidecar::config::{
    Admin, Algorithm, Api, Auth, Backplane, Config, Drain, Key, Listen, RedisBackplane, VERSION,
};

use super::Scratch;
use crate::token::Claims;
use crate::{Error, ports};

/// The keys of one cluster, on disk, and the configuration that its gateways begin with.
#[derive(Debug)]
pub struct Setup {
    dir: Scratch,
    secret: String,
    api_key: String,
    admin_token: String,
    base: Config,
}

impl Setup {
    /// Issuer and audience of the tokens.
    pub const ISSUER: &str = "https://issuer.test";
    /// See [`Setup::ISSUER`].
    pub const AUDIENCE: &str = "wse-test";

    /// Keys and a configuration on the memory backplane.
    ///
    /// # Errors
    /// [`Error::Process`] when the files cannot be written.
    pub fn new() -> Result<Self, Error> {
        let random = || format!("{:032x}", fastrand::u128(..));
        let dir = Scratch::new("fleet")?;
        let (secret, api_key, admin_token) = (random() + &random(), random(), random());
        let key = Key {
            algorithm: Algorithm::HS256,
            file: dir.write("jwt.secret", &secret)?,
            kid: None,
        };
        let base = Config {
            version: VERSION,
            cluster: format!("test/{}", random()),
            reactors: 2,
            log: "info".into(),
            auth: Auth {
                keys: vec![key],
                issuers: vec![Self::ISSUER.into()],
                audiences: vec![Self::AUDIENCE.into()],
                leeway_seconds: 0,
                ..Auth::default()
            },
            api: Api {
                key_files: vec![dir.write("api.key", &api_key)?],
                ..Api::default()
            },
            admin: Admin {
                token_file: Some(dir.write("admin.token", &admin_token)?),
            },
            drain: Drain {
                wait_seconds: 1,
                window_seconds: 1,
                deadline_seconds: 5,
            },
            ..Config::default()
        };
        Ok(Self {
            dir,
            secret,
            api_key,
            admin_token,
            base,
        })
    }

    /// The same, with the pods sharing state over a Redis.
    ///
    /// # Errors
    /// As [`Setup::new`].
    pub fn over_redis(url: &str) -> Result<Self, Error> {
        let mut setup = Self::new()?;
        setup.base.backplane = Backplane::Redis(RedisBackplane {
            url: url.to_owned(),
            ..RedisBackplane::default()
        });
        Ok(setup)
    }

    /// A configuration for one gateway, with ports of its own.
    pub fn config(&self, node: &str) -> Config {
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Config {
            node: node.to_owned(),
            listen: Listen {
                public: here(ports::free()),
                api: here(ports::free()),
                admin: here(ports::free()),
                ..Listen::default()
            },
            ..self.base.clone()
        }
    }

    /// Claims that the gateways accept, for a user who may subscribe to what the globs match.
    pub fn claims(&self, user: &str, globs: &[&str]) -> Claims {
        Claims::new(user, Self::ISSUER, Self::AUDIENCE).allow(globs)
    }

    /// [`Setup::claims`], signed.
    pub fn token(&self, user: &str, globs: &[&str]) -> String {
        self.claims(user, globs).sign(self.secret.as_bytes())
    }

    /// The secret that signs tokens.
    pub fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// The backends' key.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// The operator's token.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Writes another file beside the keys.
    ///
    /// # Errors
    /// [`Error::Process`] when it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        self.dir.write(name, text)
    }
}
