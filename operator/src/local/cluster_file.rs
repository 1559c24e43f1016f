//! Reads the file: YAML documents, one of them a WseCluster, others its Secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::names::{ENTRY, SUBDOMAIN, is_entry, is_subdomain};
use crate::api::{Problem, SecretKeyRef, WseCluster};

/// What the file holds.
#[derive(Clone, Debug)]
pub struct Input {
    /// The cluster.
    pub cluster: WseCluster,
    /// The entries that it names, of the Secrets in its namespace.
    pub secrets: BTreeMap<SecretKeyRef, Vec<u8>>,
    /// Documents that are for Kubernetes only, in words.
    pub unused: Vec<String>,
    /// Names the cluster's document in messages.
    label: String,
}

/// Everything that is wrong with the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused {
    problems: Vec<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for Refused {}

impl From<String> for Refused {
    fn from(problem: String) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl Input {
    /// Reads the file.
    ///
    /// # Errors
    /// Everything that is wrong with its form: see [`Input::parse`].
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let text = std::fs::read_to_string(path);
        Self::parse(&text.map_err(|error| format!("cannot read {}: {error}", path.display()))?)
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// Text that is no YAML, fields that are unknown or of the wrong type, no cluster or several, names
    /// that an API server refuses, a Secret that the cluster names and the file does not hold. The rules of the WseCluster are not
    /// checked here, because options may still change it.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?;
        let mut found = Found::default();
        for (index, document) in documents.into_iter().enumerate() {
            if !document.is_null() {
                found.take(index + 1, document);
            }
        }
        found.finish()
    }

    /// `<namespace>/<name>`.
    pub fn full_name(&self) -> String {
        let metadata = &self.cluster.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        format!("{namespace}/{}", self.name())
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        self.cluster.metadata.name.as_deref().unwrap_or_default()
    }

    /// Turns what an API server would refuse into what a person is told.
    ///
    /// # Errors
    /// When there is any problem.
    pub fn accept(&self, problems: Vec<Problem>) -> Result<(), Refused> {
        if problems.is_empty() {
            return Ok(());
        }
        let say = |problem: Problem| format!("{}: {problem}", self.label);
        Err(Refused {
            problems: problems.into_iter().map(say).collect(),
        })
    }
}

#[derive(Default)]
struct Found {
    clusters: Vec<(String, WseCluster)>,
    secrets: Vec<Secret>,
    unused: Vec<String>,
    problems: Vec<String>,
}

impl Found {
    fn take(&mut self, number: usize, document: Value) {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let api_version = text("/apiVersion").unwrap_or_default();
        let kind = text("/kind").unwrap_or("without a kind");
        let name = text("/metadata/name").unwrap_or("without a name");
        let label = format!("document {number} ({kind} {name})");
        match (api_version, kind) {
            ("wse.dev/v1alpha1", "WseCluster") => match typed(document) {
                Ok(cluster) => self.clusters.push((label, cluster)),
                Err(problem) => self.problems.push(format!("{label}: {problem}")),
            },
            ("v1", "Secret") => match typed(document) {
                Ok(secret) => self.take_secret(&label, secret),
                Err(problem) => self.problems.push(format!("{label}: {problem}")),
            },
            (other, "WseCluster") => {
                let problem =
                    format!("{label}: apiVersion: must be wse.dev/v1alpha1, is {other:?}");
                self.problems.push(problem);
            }
            _ => self.unused.push(label),
        }
    }

    /// Takes a Secret whose names can be those of a folder and its files.
    fn take_secret(&mut self, label: &str, secret: Secret) {
        let before = self.problems.len();
        if !is_subdomain(secret.metadata.name.as_deref().unwrap_or_default()) {
            let problem = format!("{label}: metadata.name: {SUBDOMAIN}");
            self.problems.push(problem);
        }
        let data = secret.data.iter().flat_map(BTreeMap::keys);
        let texts = secret.string_data.iter().flat_map(BTreeMap::keys);
        for key in data.chain(texts).filter(|key| !is_entry(key)) {
            let problem = format!("{label}: the entry {key:?}: {ENTRY}");
            self.problems.push(problem);
        }
        if self.problems.len() == before {
            self.secrets.push(secret);
        }
    }

    fn finish(mut self) -> Result<Input, Refused> {
        if self.clusters.len() > 1 {
            let labels: Vec<&str> = self
                .clusters
                .iter()
                .map(|(label, _)| label.as_str())
                .collect();
            let problem = format!(
                "one WseCluster is run at a time, here are {}",
                labels.join(", ")
            );
            self.problems.push(problem);
        }
        let Some((label, cluster)) = self.clusters.pop() else {
            if self.problems.is_empty() {
                self.problems.push("the file holds no WseCluster".into());
            }
            return Err(Refused {
                problems: self.problems,
            });
        };
        let secrets = self.entries(&cluster);
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        if !is_subdomain(name) {
            self.problems
                .push(format!("{label}: metadata.name: {SUBDOMAIN}"));
        }
        for (field, reference) in references(&cluster) {
            if !secrets.contains_key(&reference) {
                let SecretKeyRef { name, key } = reference;
                let problem = format!(
                    "{label}: {field}: no Secret {name:?} with the entry {key:?} in this file"
                );
                self.problems.push(problem);
            }
        }
        if !self.problems.is_empty() {
            return Err(Refused {
                problems: self.problems,
            });
        }
        Ok(Input {
            cluster,
            secrets,
            unused: self.unused,
            label,
        })
    }

    /// The entries that the cluster names, of the Secrets in its namespace; `stringData` wins over
    /// `data`, as in an API server.
    fn entries(&mut self, cluster: &WseCluster) -> BTreeMap<SecretKeyRef, Vec<u8>> {
        let namespace = |named: &Option<String>| named.clone().unwrap_or_else(|| "default".into());
        let ours = namespace(&cluster.metadata.namespace);
        let mut entries = BTreeMap::new();
        let secrets = self.secrets.drain(..);
        for secret in secrets.filter(|it| namespace(&it.metadata.namespace) == ours) {
            let name = secret.metadata.name.unwrap_or_default();
            let data = secret.data.into_iter().flatten();
            let texts = secret.string_data.into_iter().flatten();
            let all = data
                .map(|(key, value)| (key, value.0))
                .chain(texts.map(|(key, text)| (key, text.into_bytes())));
            for (key, value) in all {
                let name = name.clone();
                entries.insert(SecretKeyRef { name, key }, value);
            }
        }
        let named = references(cluster);
        entries.retain(|entry, _| named.iter().any(|(_, reference)| reference == entry));
        entries
    }
}

/// Reads a document, and refuses fields that its type does not have: what is not carried out must not
/// look as if it were.
fn typed<T: DeserializeOwned>(document: Value) -> Result<T, String> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(document, &mut track);
    let value = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()))
        .map_err(|error: serde_json::Error| format!("{}: {error}", track.path()))?;
    // The derived type checks these two nowhere; `Found::take` has.
    unknown.retain(|field| field != "apiVersion" && field != "kind");
    match unknown.as_slice() {
        [] => Ok(value),
        fields => Err(format!("unknown field {}", fields.join(", "))),
    }
}

fn references(cluster: &WseCluster) -> Vec<(String, SecretKeyRef)> {
    let spec = &cluster.spec;
    let mut all = Vec::new();
    for (index, key) in spec.auth.keys.iter().enumerate() {
        all.push((
            format!("spec.auth.keys[{index}].secretKeyRef"),
            key.secret_key_ref.clone(),
        ));
    }
    let jwks = spec.auth.jwks.as_ref();
    if let Some(reference) = jwks.and_then(|jwks| jwks.secret_key_ref.as_ref()) {
        all.push(("spec.auth.jwks.secretKeyRef".into(), reference.clone()));
    }
    for (index, key) in spec.api.keys.iter().enumerate() {
        all.push((
            format!("spec.api.keys[{index}].secretKeyRef"),
            key.secret_key_ref.clone(),
        ));
    }
    let redis = spec.backplane.redis.as_ref();
    if let Some(reference) = redis.and_then(|redis| redis.url_secret_ref.as_ref()) {
        all.push((
            "spec.backplane.redis.urlSecretRef".into(),
            reference.clone(),
        ));
    }
    if let Some(tls) = &spec.tls {
        all.extend([tls.chain(), tls.key()].map(|it| ("spec.tls.secretName".into(), it)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::check;

    const GOOD: &str = include_str!("../../../crds/examples/chat.yaml");

    #[test]
    fn the_example_is_accepted_as_it_is() {
        let input = Input::parse(GOOD).unwrap();
        assert_eq!(input.full_name(), "default/chat");
        assert_eq!(input.unused, [] as [String; 0]);
        input.accept(check(&input.cluster)).unwrap();
        let keys: Vec<&str> = input.secrets.keys().map(|it| it.name.as_str()).collect();
        assert_eq!(keys, ["chat-api", "chat-jwt"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_document_and_field() {
        for (old, new, told) in [
            (
                "kind: WseCluster",
                "kind: WseClusters",
                "the file holds no WseCluster",
            ),
            (
                "wse.dev/v1alpha1",
                "wse.dev/v2",
                "document 1 (WseCluster chat): apiVersion: must be",
            ),
            (
                "  api:\n",
                "  apis: {}\n  api:\n",
                "document 1 (WseCluster chat): unknown field spec.apis",
            ),
            (
                "algorithm: HS256",
                "algorithm: none",
                "spec.auth.keys[0].algorithm: unknown variant `none`",
            ),
            (
                "stringData:",
                "stringDatum:",
                "(Secret chat-jwt): unknown field stringDatum",
            ),
            (
                "name: chat-jwt, key",
                "name: other, key",
                "spec.auth.keys[0].secretKeyRef: no Secret \"other\"",
            ),
            (
                "  api:\n",
                "  tls: {secretName: chat-api}\n  api:\n",
                "spec.tls.secretName: no Secret \"chat-api\" with the entry \"tls.crt\"",
            ),
            (
                "  name: chat\n",
                "  name: ../chat\n",
                "(WseCluster ../chat): metadata.name: must be lower case",
            ),
            (
                "  name: chat-jwt\n",
                "  name: /tmp/chat-jwt\n",
                "(Secret /tmp/chat-jwt): metadata.name: must be lower case",
            ),
            (
                "  secret: an-",
                "  ../../../escaped: an-",
                "(Secret chat-jwt): the entry \"../../../escaped\": must be letters",
            ),
            ("---\n", "---\n- [", "line"),
        ] {
            assert!(GOOD.contains(old), "{old}");
            let error = Input::parse(&GOOD.replacen(old, new, 1)).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn what_is_for_kubernetes_alone_is_said() {
        let text =
            format!("{GOOD}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: realtime}}\n");
        let input = Input::parse(&text).unwrap();
        assert_eq!(input.unused, ["document 4 (Namespace realtime)"]);
    }

    #[test]
    fn only_entries_that_the_cluster_names_are_kept() {
        let more = GOOD.replacen("stringData:\n", "stringData:\n  other: entry\n", 1);
        assert_ne!(more, GOOD);
        let text = format!(
            "{more}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: other}}\nstringData: {{key: a}}\n"
        );
        let secrets = |text| Input::parse(text).unwrap().secrets;
        assert_eq!(secrets(&text), secrets(GOOD));
    }

    #[test]
    fn a_certificate_comes_from_its_secret() {
        let text = GOOD.replacen("  api:\n", "  tls: {secretName: chat-tls}\n  api:\n", 1);
        let secret = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {name: chat-tls}\n\
                      stringData: {tls.crt: chain, tls.key: key}\n";
        let input = Input::parse(&format!("{text}\n---\n{secret}")).unwrap();
        input.accept(check(&input.cluster)).unwrap();
        let tls = input.cluster.spec.tls.unwrap();
        assert_eq!(input.secrets[&tls.chain()], b"chain");
        assert_eq!(input.secrets[&tls.key()], b"key");
    }

    #[test]
    fn secrets_of_another_namespace_are_not_seen() {
        let text = GOOD.replacen("name: chat\n", "name: chat\n  namespace: far\n", 1);
        let error = Input::parse(&text).unwrap_err();
        assert!(error.to_string().contains("no Secret"), "{error}");
    }
}
