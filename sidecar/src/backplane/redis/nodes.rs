//! The verb nodes, and this pod's own lease. Leases end by the clock of the server that keeps them.

use std::time::Duration;

use redis::cmd;

use super::session::{Fault, Session};
use super::{Core, Redis};
use crate::backplane::{Error, Node, NodeId};

impl Redis {
    pub(in crate::backplane) async fn nodes(&self) -> Result<Vec<Node>, Error> {
        let session = self.core.session()?;
        Ok(self.core.nodes(&session, false).await?)
    }
}

impl Core {
    /// Pods whose lease runs; with `renew`, this pod's is renewed first.
    pub(super) async fn nodes(&self, session: &Session, renew: bool) -> Result<Vec<Node>, Fault> {
        let mut conn = session.commands();
        let lease = self.lease().as_millis();
        let lease = u64::try_from(lease).unwrap_or(u64::MAX);
        let call = self.scripts.nodes.call(&mut conn, |call| {
            let node = if renew { self.node.as_str() } else { "" };
            call.arg(1).arg(self.keys.nodes()).arg(node).arg(lease);
        });
        let reply = session.ask(call).await?;
        let leases: Vec<(String, u64)> =
            redis::from_redis_value(reply).map_err(|error| Fault::Refused(error.to_string()))?;
        let node = |(name, left): (String, u64)| Node {
            id: NodeId::new(&name),
            lease_left: Duration::from_millis(left),
        };
        Ok(leases.into_iter().map(node).collect())
    }

    pub(super) async fn give_up_lease(&self, session: &Session) {
        let mut conn = session.commands();
        let mut remove = cmd("ZREM");
        remove.arg(self.keys.nodes()).arg(self.node.as_str());
        // It ends by itself otherwise.
        let _ = session.ask(remove.exec_async(&mut conn)).await;
    }
}
