//! Which client speaks to Redis. The server says what it is when it is first asked: a single server
//! gets two connections of its own, a cluster gets the cluster client. Everything else sees a
//! [`Conn`].

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    ProtocolVersion, PushInfo, RedisError, RedisFuture, RedisResult, Value, cmd,
};

use crate::backplane::Error;
use crate::config;

/// Time for one connection to come up.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// One connection, or one for each node of a cluster. Commands of many callers are pipelined. Cheap
/// to clone.
#[derive(Clone)]
pub(super) enum Conn {
    Cluster(ClusterConnection),
    Single(MultiplexedConnection),
}

impl Conn {
    /// Whether commands of different slots may share a pipeline.
    pub(super) fn mixes_slots(&self) -> bool {
        matches!(self, Self::Single(_))
    }
}

impl ConnectionLike for Conn {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Cluster(conn) => conn.req_packed_command(cmd),
            Self::Single(conn) => conn.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Cluster(conn) => conn.req_packed_commands(pipeline, offset, count),
            Self::Single(conn) => conn.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Cluster(conn) => conn.get_db(),
            Self::Single(conn) => conn.get_db(),
        }
    }
}

/// Where Redis is.
pub(super) enum Address {
    /// A mounted file, read again for every connection: a password changes without a restart.
    File(PathBuf),
    Url(String),
}

impl Address {
    /// # Errors
    /// When there is no URL, or it is none.
    pub(super) fn new(config: &config::RedisBackplane) -> Result<Self, Error> {
        let address = match &config.url_file {
            Some(path) => Self::File(path.clone()),
            None => Self::Url(config.url.clone()),
        };
        match address.read() {
            Ok(_) => Ok(address),
            Err(error) => Err(Error::Refused(error.to_string())),
        }
    }

    /// Two connections: for commands, and for subscriptions, whose messages `push` takes.
    pub(super) async fn connect(
        &self,
        push: impl Fn(PushInfo) -> Result<(), ()> + Clone + Send + Sync + 'static,
    ) -> RedisResult<(Conn, Conn)> {
        let info = self.read()?;
        let client = redis::Client::open(info.clone())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None);
        let mut commands = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        match mode(&mut commands).await?.as_str() {
            "cluster" => {
                let builder = || {
                    ClusterClient::builder([info.clone()])
                        .use_protocol(ProtocolVersion::RESP3)
                        .connection_timeout(CONNECT_TIMEOUT)
                        .response_timeout(CONNECT_TIMEOUT)
                        .retries(3)
                };
                let commands = builder().build()?.get_async_connection().await?;
                let subscriptions = builder().push_sender(push).build()?;
                let subscriptions = subscriptions.get_async_connection().await?;
                Ok((Conn::Cluster(commands), Conn::Cluster(subscriptions)))
            }
            "standalone" => {
                let config = config.set_push_sender(push);
                let subscriptions = client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?;
                Ok((Conn::Single(commands), Conn::Single(subscriptions)))
            }
            other => Err(RedisError::from((
                ErrorKind::InvalidClientConfig,
                "the URL must lead to a Redis server or a node of a Redis Cluster",
                format!("this one is in {other} mode"),
            ))),
        }
    }

    /// One more connection for commands, for those that make the server wait.
    pub(super) async fn connect_commands(&self) -> RedisResult<Conn> {
        let (commands, _) = self.connect(|_| Ok(())).await?;
        Ok(commands)
    }

    fn read(&self) -> RedisResult<ConnectionInfo> {
        let info = match self {
            Self::File(path) => {
                let url = std::fs::read_to_string(path)?;
                url.trim().into_connection_info()?
            }
            Self::Url(url) => url.as_str().into_connection_info()?,
        };
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        Ok(info.set_redis_settings(settings))
    }
}

/// What the server says it is: `standalone`, `cluster` or `sentinel` (HELLO).
async fn mode(conn: &mut impl ConnectionLike) -> RedisResult<String> {
    let hello: Value = cmd("HELLO").query_async(conn).await?;
    let Value::Map(fields) = hello else {
        return Ok("unknown".to_owned());
    };
    let mode = fields.into_iter().find_map(|(name, value)| {
        let name: String = redis::from_redis_value(name).ok()?;
        if name == "mode" {
            redis::from_redis_value(value).ok()
        } else {
            None
        }
    });
    Ok(mode.unwrap_or_else(|| "unknown".to_owned()))
}
