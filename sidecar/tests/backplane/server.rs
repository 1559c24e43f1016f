//! redis-server processes.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, cmd};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

/// One redis-server on a port of its own, without persistence.
pub(crate) struct Server {
    pub(crate) port: u16,
    options: Vec<String>,
    dir: PathBuf,
    child: Option<Child>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(options: &[&str]) -> Self {
        let server = Self::prepare(options);
        server.started().await
    }

    /// A port and a directory, no process yet.
    pub(crate) fn prepare(options: &[&str]) -> Self {
        let port = free_port();
        let dir = std::env::temp_dir().join(format!(
            "wse-backplane-{}-{port}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        ));
        std::fs::create_dir_all(&dir).unwrap();
        Self {
            port,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            dir,
            child: None,
        }
    }

    pub(crate) async fn started(mut self) -> Self {
        self.restart().await;
        self
    }

    /// Starts the process, empty, on the port it had.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none());
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--enable-debug-command", "yes"])
            .arg("--dir")
            .arg(&self.dir)
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server must be installed");
        self.child = Some(child);
        for _ in 0..500 {
            if let Ok(mut conn) = self.client().get_multiplexed_async_connection().await
                && cmd("PING").exec_async(&mut conn).await.is_ok()
            {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("redis-server on port {} does not answer", self.port);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        let pid = Pid::from_child(child);
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn conn(&self) -> MultiplexedConnection {
        let conn = self.client().get_multiplexed_async_connection().await;
        conn.unwrap()
    }

    /// Runs a command given as words.
    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut self.conn().await).await.unwrap()
    }

    fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Two servers that share the hash slots.
pub(crate) struct Cluster {
    pub(crate) nodes: [Server; 2],
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for (epoch, slots) in [("1", ["0", "8191"]), ("2", ["8192", "16383"])] {
            let bus = free_port().to_string();
            let options = [
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-require-full-coverage",
                "yes",
            ];
            let node = Server::start_with(&options).await;
            let _: () = node.run(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]).await;
            let range = ["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]];
            let _: () = node.run(&range).await;
            nodes.push(node);
            buses.push(bus);
        }
        let nodes: [Server; 2] = nodes.try_into().ok().unwrap();
        let other = nodes[1].port.to_string();
        let meet = ["CLUSTER", "MEET", "127.0.0.1", &other, &buses[1]];
        let _: () = nodes[0].run(&meet).await;
        for _ in 0..500 {
            let mut ready = 0;
            for node in &nodes {
                let info: String = node.run(&["CLUSTER", "INFO"]).await;
                if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2") {
                    ready += 1;
                }
            }
            if ready == 2 {
                return Self { nodes };
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("the cluster does not come up");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
