//! The Lua scripts, and how they are called: by their hash, with their text when the server does not
//! know them (it was restarted, or its scripts were flushed).

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value, cmd};

/// One script.
pub(super) struct Script {
    hash: String,
    source: &'static str,
}

/// All of them.
pub(super) struct Scripts {
    pub(super) head: Script,
    pub(super) nodes: Script,
    pub(super) partition: Script,
    pub(super) publish: Script,
    pub(super) read: Script,
    pub(super) since: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            head: Script::new(include_str!("head.lua")),
            nodes: Script::new(include_str!("nodes.lua")),
            partition: Script::new(include_str!("partition.lua")),
            publish: Script::new(include_str!("publish.lua")),
            read: Script::new(include_str!("read.lua")),
            since: Script::new(include_str!("since.lua")),
        }
    }

    /// Makes the server know them all, so that the first calls need not carry their text.
    pub(super) async fn load(&self, conn: &mut impl ConnectionLike) -> RedisResult<()> {
        let all = [
            &self.head,
            &self.nodes,
            &self.partition,
            &self.publish,
            &self.read,
            &self.since,
        ];
        for script in all {
            let mut load = cmd("SCRIPT");
            load.arg("LOAD").arg(script.source);
            load.exec_async(conn).await?;
        }
        Ok(())
    }
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self {
            hash: redis::Script::new(source).get_hash().to_owned(),
            source,
        }
    }

    /// Calls it; `arguments` adds the number of keys, the keys and the arguments.
    pub(super) async fn call(
        &self,
        conn: &mut impl ConnectionLike,
        arguments: impl Fn(&mut Cmd),
    ) -> RedisResult<Value> {
        let result = self.by_hash(&arguments).query_async(conn).await;
        match result {
            Err(error) if is_unknown_script(&error) => {
                self.by_text(&arguments).query_async(conn).await
            }
            result => result,
        }
    }

    /// Calls it `count` times in one pipeline, all of one slot. The script must bear being called
    /// again.
    pub(super) async fn call_each(
        &self,
        conn: &mut impl ConnectionLike,
        count: usize,
        arguments: impl Fn(usize, &mut Cmd),
    ) -> RedisResult<Vec<Value>> {
        let pipeline = |known: bool| {
            let mut pipeline = Pipeline::with_capacity(count);
            for index in 0..count {
                // The first call that carries the text teaches the server for the rest.
                let call = if known || index > 0 {
                    self.by_hash(&|cmd: &mut Cmd| arguments(index, cmd))
                } else {
                    self.by_text(&|cmd: &mut Cmd| arguments(index, cmd))
                };
                pipeline.add_command(call);
            }
            pipeline
        };
        match pipeline(true).query_async(conn).await {
            Err(error) if is_unknown_script(&error) => pipeline(false).query_async(conn).await,
            result => result,
        }
    }

    /// Calls it and then waits in the same pipeline until a replica has the effects, at most
    /// `wait_millis`. Returns the script's answer and the number of replicas.
    pub(super) async fn call_and_wait(
        &self,
        conn: &mut impl ConnectionLike,
        wait_millis: u64,
        arguments: impl Fn(&mut Cmd),
    ) -> RedisResult<(Value, u32)> {
        let pipeline = |call: Cmd| {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.add_command(call);
            pipeline.cmd("WAIT").arg(1).arg(wait_millis);
            pipeline
        };
        let known = pipeline(self.by_hash(&arguments));
        match known.query_async(conn).await {
            Err(error) if is_unknown_script(&error) => {
                let text = pipeline(self.by_text(&arguments));
                text.query_async(conn).await
            }
            result => result,
        }
    }

    fn by_hash(&self, arguments: &impl Fn(&mut Cmd)) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.hash);
        arguments(&mut call);
        call
    }

    fn by_text(&self, arguments: &impl Fn(&mut Cmd)) -> Cmd {
        let mut call = cmd("EVAL");
        call.arg(self.source);
        arguments(&mut call);
        call
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    const CODE: &str = "NOSCRIPT";
    if error.code() == Some(CODE) {
        return true;
    }
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == CODE))
}
