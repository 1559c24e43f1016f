//! What others may do to the pods: evict them, and reach their ports.

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Subject, Wanted};
use crate::controller::kind::Kind;
use crate::controller::names;

pub(super) fn disruption_budget(subject: Subject<'_>) -> Wanted {
    let name = subject.cluster().to_owned();
    let most = i32::try_from(subject.spec.disruption.max_unavailable).unwrap_or(i32::MAX);
    let body = PodDisruptionBudget {
        metadata: subject.metadata(&name),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(most)),
            selector: Some(pods(subject)),
            // A pod that drains is not ready, and one that never became so has no clients.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    };
    Wanted::new(Kind::PodDisruptionBudget, name, &body)
}

/// Guards the backends' API and nothing else. A policy can only allow, so it allows every other port
/// of every protocol; who may connect to them is for tokens, and for policies of the namespace.
pub(super) fn network_policy(subject: Subject<'_>) -> Wanted {
    let name = subject.cluster().to_owned();
    let api = names::API_PORT.into();
    let anybody = NetworkPolicyIngressRule {
        from: None,
        ports: Some(vec![
            ports("TCP", 1, api - 1),
            ports("TCP", api + 1, u16::MAX.into()),
            ports("UDP", 1, u16::MAX.into()),
            ports("SCTP", 1, u16::MAX.into()),
        ]),
    };
    let mut ingress = vec![anybody];
    // To Kubernetes an empty list means everybody.
    if !subject.spec.api.allow_from.is_empty() {
        ingress.push(NetworkPolicyIngressRule {
            from: Some(subject.spec.api.allow_from.clone()),
            ports: Some(vec![NetworkPolicyPort {
                port: Some(IntOrString::Int(api)),
                protocol: Some("TCP".into()),
                end_port: None,
            }]),
        });
    }
    let body = NetworkPolicy {
        metadata: subject.metadata(&name),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(pods(subject)),
            policy_types: Some(vec!["Ingress".into()]),
            ingress: Some(ingress),
            egress: None,
        }),
    };
    Wanted::new(Kind::NetworkPolicy, name, &body)
}

fn ports(protocol: &str, first: i32, last: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(first)),
        end_port: Some(last),
        protocol: Some(protocol.into()),
    }
}

fn pods(subject: Subject<'_>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(names::pods(subject.cluster())),
        match_expressions: None,
    }
}
