//! The backplane against real redis-servers: one, one with a replica, and a cluster of two. Every test
//! starts its own and stops it again.

#[path = "backplane/away.rs"]
mod away;
#[path = "backplane/bounds.rs"]
mod bounds;
#[path = "backplane/cluster.rs"]
mod cluster;
#[path = "backplane/control.rs"]
mod control;
#[path = "backplane/outage.rs"]
mod outage;
#[path = "backplane/pod.rs"]
mod pod;
#[path = "backplane/proxy.rs"]
mod proxy;
#[path = "backplane/server.rs"]
mod server;
#[path = "backplane/verbs.rs"]
mod verbs;
