//! Kernel settings of pods: which names a pod may set at all, since which kubelet and kernel, and
//! which of the wanted ones it gets. In come wanted settings, the nodes that pods may land on and the
//! unsafe names that were proven to be allowed; out come those to apply, and for each of the rest a
//! sentence that says what to do. Pure: it knows neither Kubernetes objects nor the plan.
//!
//! A kubelet that meets a name which it does not allow fails the pod, and a ReplicaSet then makes
//! another one, without end. So the *lowest* node decides, an unsafe name is applied only when it was
//! proven, and what is not known counts as not allowed.

mod choice;
mod class;
mod nodes;
#[cfg(test)]
mod tests;
mod tiers;
mod version;

pub use self::choice::{Choice, Policy, Reason, Setting, choose, wanted};
pub use self::class::{Class, classify};
pub use self::nodes::{
    ALLOWED, ALLOWED_LABEL, Effect, Node, Placement, Taint, Toleration, TolerationOperator,
};
pub use self::tiers::{of_tier, table};
pub use self::version::Version;
