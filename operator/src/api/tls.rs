//! How the gateways prove who they are.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::SecretKeyRef;

/// A Secret of type `kubernetes.io/tls`, as cert-manager makes them: the certificate chain in `tls.crt`,
/// its key in `tls.key`, both in PEM.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The Secret's name, in the cluster's namespace.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub secret_name: String,
}

impl Tls {
    /// Where the certificate chain is.
    pub fn chain(&self) -> SecretKeyRef {
        self.entry("tls.crt")
    }

    /// Where its key is.
    pub fn key(&self) -> SecretKeyRef {
        self.entry("tls.key")
    }

    fn entry(&self, key: &str) -> SecretKeyRef {
        SecretKeyRef {
            name: self.secret_name.clone(),
            key: key.to_owned(),
        }
    }
}
