//! The controller: carries plans out with Kubernetes. In come WseClusters and what watches say of
//! pods and of the operator's own objects; out go objects, drains, status and events. It decides
//! nothing (`plan` does) and writes nothing unless it holds the Lease.
//!
//! A pass: `observe` reads the caches and what pods answered, `plan` decides, `render` turns the plan
//! into objects (pure), `apply` writes those that differ, `act` drains, `tell` writes the status.
//! Beside all passes `prober` asks pods `/load`, so that no pass waits for one that does not answer.
//! `docs/decisions/0004-the-controller.md` says who owns which field.
//!
//! What it must be allowed to do, in every namespace that it serves:
//!
//! | resources | verbs |
//! |---|---|
//! | wseclusters (wse.dev) | get, list, watch |
//! | wseclusters/status | patch |
//! | wseclusters/finalizers | update, where owner references are checked |
//! | replicasets | get, list, watch, create, patch, delete |
//! | services, configmaps, serviceaccounts, poddisruptionbudgets, networkpolicies | get, list, watch, create, patch |
//! | secrets | get, create, patch |
//! | pods | get, list, watch, create, patch, delete |
//! | events (events.k8s.io) | create, patch |
//!
//! and in its own: leases: get, create, patch. Of the Kubernetes cluster it reads nodes: get,
//! list, watch; where it may not, it goes on without knowing them.

mod act;
mod apply;
mod caches;
mod error;
mod events;
mod health;
mod index;
mod kind;
mod lease;
mod memory;
mod metrics;
mod names;
mod nodes;
mod observe;
mod pass;
mod preflight;
mod prober;
mod queue;
mod render;
mod root;
mod run;
mod serve;
mod shown;
mod tell;
#[cfg(test)]
mod tests;
mod watches;

pub use self::error::Error;
pub use self::run::{Options, run};
