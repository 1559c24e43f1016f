//! What the operator decides by.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::rate::Totals;
use super::vitals::Traffic;
use super::{Admin, cgroup, process, sysctl};
use crate::drain::Phase;

/// The load of one pod, and the limits in force there.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Version of the gateway.
    pub version: String,
    /// The pod's name in its fleet.
    pub node: String,
    /// Seconds since the gateway began.
    pub uptime_seconds: u64,
    /// Sessions here.
    pub connections: u64,
    /// Sessions that fit here.
    pub capacity: Capacity,
    /// Upgrades done.
    pub handshakes: Total,
    /// Messages from clients.
    pub messages_in: Total,
    /// Messages to clients.
    pub messages_out: Total,
    /// Bytes from clients.
    pub bytes_in: Total,
    /// Bytes to clients.
    pub bytes_out: Total,
    /// Subscribers, in this pod, of the topic that has most of them.
    pub largest_topic: u64,
    /// Processor seconds used so far.
    pub cpu_seconds: f64,
    /// Processor seconds used a second, over about ten seconds.
    pub cpu_cores: f64,
    /// Event loops, each of which can use one core.
    pub reactors: u64,
    /// Memory.
    pub memory: Memory,
    /// Bytes queued for clients.
    pub outbound_queued_bytes: u64,
    /// `net.core.somaxconn` as this pod sees it.
    pub somaxconn: Option<u64>,
    /// Kernel settings as this pod sees them, by name, those that the operator may set; one space between
    /// numbers. What the kernel does not show is missing.
    pub sysctls: BTreeMap<String, String>,
    /// Where a drain is: `serving` when there is none.
    pub drain: Phase,
    /// The backplane is away.
    pub degraded: bool,
}

/// How many sessions fit.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// What is configured, or what the limit of open files leaves if that is less.
    pub connections: u64,
    /// `limits.connections`; null: none.
    pub configured: Option<u64>,
    /// Soft limit of open files.
    pub nofile: u64,
    /// Hard limit of open files.
    pub nofile_hard: u64,
}

/// A counter and its recent growth.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    /// Since the start.
    pub total: u64,
    /// Over about ten seconds.
    pub per_second: f64,
}

/// Memory of the process and its cgroup.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// In RAM.
    pub resident_bytes: Option<u64>,
    /// What the kernel lets the pod use; null: no limit.
    pub limit_bytes: Option<u64>,
    /// What the cgroup uses, page cache included.
    pub group_bytes: Option<u64>,
}

pub(super) async fn load(State(admin): State<Arc<Admin>>) -> Json<Load> {
    let now = Instant::now();
    let vitals = &*admin.vitals;
    let totals = Totals::read(vitals);
    let total = |field: fn(&Traffic) -> u64| Total {
        total: field(&totals.traffic),
        per_second: admin.sampler.per_second(now, &totals, field),
    };
    let group = cgroup::read();
    let limit = vitals.connection_limit();
    let (nofile, nofile_hard) = process::file_limits();
    Json(Load {
        version: env!("CARGO_PKG_VERSION").into(),
        node: vitals.node().into(),
        uptime_seconds: admin.started.elapsed().as_secs(),
        connections: vitals.sessions() as u64,
        capacity: Capacity {
            connections: vitals.capacity() as u64,
            configured: (limit > 0).then_some(limit.into()),
            nofile,
            nofile_hard,
        },
        handshakes: total(|t| t.handshakes),
        messages_in: total(|t| t.messages_in),
        messages_out: total(|t| t.messages_out),
        bytes_in: total(|t| t.bytes_in),
        bytes_out: total(|t| t.bytes_out),
        largest_topic: vitals.largest_topic() as u64,
        cpu_seconds: totals.cpu.as_secs_f64(),
        cpu_cores: admin.sampler.cores(now, &totals),
        reactors: vitals.reactors() as u64,
        memory: Memory {
            resident_bytes: process::resident_bytes(),
            limit_bytes: group.limit_bytes,
            group_bytes: group.used_bytes,
        },
        outbound_queued_bytes: vitals.outbound_queued_bytes(),
        somaxconn: process::somaxconn(),
        sysctls: sysctl::read(),
        drain: admin.drain.phase(),
        degraded: vitals.degraded(),
    })
}
