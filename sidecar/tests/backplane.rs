//! The backplane against real redis-servers: one, one with a replica, and a cluster of two. Every test
//! starts its own and stops it again.

#![allow(clippy::disallowed_methods)]

#[path = "backplane/away.rs"]
mod away;
#[path = "backplane/bounds.rs"]
mod bounds;
#[path = "backplane/catch_up.rs"]
mod catch_up;
#[path = "backplane/cluster.rs"]
mod cluster;
#[path = "backplane/control.rs"]
mod control;
#[path = "backplane/leave.rs"]
mod leave;
#[path = "backplane/outage.rs"]
mod outage;
#[path = "backplane/pod.rs"]
mod pod;
#[path = "backplane/proxy.rs"]
mod proxy;
#[path = "backplane/server.rs"]
mod server;
#[path = "backplane/settle.rs"]
mod settle;
#[path = "backplane/verbs.rs"]
mod verbs;
