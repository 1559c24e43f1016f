//! How clients and backends reach the pods.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Subject, Wanted, some};
use crate::api::{ExternalTrafficPolicy, ServiceType};
use crate::controller::kind::Kind;
use crate::controller::names;
use crate::plan::Serves;

/// For clients.
pub(super) fn public(subject: Subject<'_>) -> Wanted {
    let name = subject.cluster().to_owned();
    let service = &subject.spec.service;
    let mut metadata = subject.metadata(&name);
    metadata.annotations = some(&service.annotations);
    let external = service.r#type != ServiceType::ClusterIP;
    let body = Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(format!("{:?}", service.r#type)),
            // The API server refuses it where nothing comes from outside.
            external_traffic_policy: external.then(|| match service.external_traffic_policy {
                ExternalTrafficPolicy::Cluster => "Cluster".into(),
                ExternalTrafficPolicy::Local => "Local".into(),
            }),
            ports: Some(vec![ServicePort {
                name: Some("websocket".into()),
                // Proxies that know it do not end a connection for being long.
                app_protocol: Some(match subject.spec.tls {
                    None => "kubernetes.io/ws".into(),
                    Some(_) => "kubernetes.io/wss".into(),
                }),
                port: service.port.into(),
                target_port: Some(IntOrString::Int(names::PUBLIC_PORT.into())),
                node_port: service.node_port.map(i32::from),
                protocol: Some("TCP".into()),
            }]),
            ..spec(subject)
        }),
        ..Service::default()
    };
    Wanted::new(Kind::Service, name, &body)
}

/// For backends.
pub(super) fn api(subject: Subject<'_>) -> Wanted {
    let name = names::api_service(subject.cluster());
    let body = Service {
        metadata: subject.metadata(&name),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            ports: Some(vec![ServicePort {
                name: Some("api".into()),
                app_protocol: Some("http".into()),
                port: names::API_PORT.into(),
                target_port: Some(IntOrString::Int(names::API_PORT.into())),
                protocol: Some("TCP".into()),
                ..ServicePort::default()
            }]),
            ..spec(subject)
        }),
        ..Service::default()
    };
    Wanted::new(Kind::Service, name, &body)
}

fn spec(subject: Subject<'_>) -> ServiceSpec {
    let selector = match &subject.plan.serves {
        Serves::All => names::pods(subject.cluster()),
        Serves::Revision(revision) => names::pods_of(subject.cluster(), revision),
    };
    ServiceSpec {
        selector: Some(selector),
        publish_not_ready_addresses: Some(false),
        ..ServiceSpec::default()
    }
}
