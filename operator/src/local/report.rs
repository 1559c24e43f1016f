//! What a person reads in the terminal. The terminal may be gone, such as a `tee` that Ctrl-C ended:
//! that is no reason not to drain, so nothing fails here.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;

use super::page::Session;
use crate::plan::{Condition, ConditionType, Plan};
use crate::tier::Tier;

/// A line for whoever still reads.
macro_rules! line {
    ($($what:tt)*) => {{
        let _ = writeln!(io::stdout(), $($what)*);
    }};
}

/// What a person needs to try the fleet.
pub(super) struct Welcome<'a> {
    pub(super) session: &'a Session,
    pub(super) page: String,
    /// Where one of the gateways takes publications.
    pub(super) publish: String,
    pub(super) key_file: &'a Path,
    pub(super) folder: &'a Path,
    /// Set when the run has a Redis of its own: its address and process id.
    pub(super) redis: Option<(SocketAddr, u32)>,
    /// What the file asks for and this run leaves out.
    pub(super) left_out: Option<String>,
}

/// What a person was told of a plan.
#[derive(Debug, Default)]
pub(super) struct Told {
    tier: Option<Tier>,
    desired: u32,
    conditions: Vec<Condition>,
}

impl Told {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            tier: Some(plan.tier),
            desired: plan.desired,
            conditions: plan.conditions.clone(),
        }
    }

    /// What is new since: the tier, the number of gateways with its reason, and what holds now or does
    /// not. Numbers in a condition's text are none.
    pub(super) fn news(&self, plan: &Plan) -> Vec<String> {
        let mut news = Vec::new();
        if self.tier.is_some_and(|tier| tier != plan.tier) {
            news.push(format!("tier {} from now on", plan.tier));
        }
        let counts = |it: &&Condition| it.r#type == ConditionType::ScalingActive;
        let why = plan.conditions.iter().find(counts);
        let resized = self.desired != plan.desired;
        if resized {
            let count = plan.desired;
            let gateways = if count == 1 { "gateway" } else { "gateways" };
            let why = why.map_or(String::new(), |why| format!(": {}", why.message));
            news.push(format!("{count} {gateways} from now on{why}"));
        }
        let kind = |it: &Condition| (it.r#type, it.reason);
        let known = |it: &Condition| self.conditions.iter().any(|old| kind(old) == kind(it));
        for condition in &plan.conditions {
            if !(known(condition) || resized && why == Some(condition)) {
                news.push(condition.message.clone());
            }
        }
        news
    }
}

/// Greets.
pub(super) fn welcome(it: &Welcome<'_>, plan: &Plan) {
    let count: u32 = plan
        .revisions
        .iter()
        .map(|revision| revision.replicas)
        .sum();
    let gateways = if count == 1 { "gateway" } else { "gateways" };
    let bold = |text: &str| emphasis(text, "1");
    let label = |text: &str| bold(&format!("{text:<10}"));
    let session = it.session;
    line!();
    line!(
        "{} is ready: {count} {gateways}, tier {}.",
        bold(&session.cluster),
        plan.tier
    );
    line!();
    line!("  {} {}", label("WebSocket"), session.url);
    line!("  {} {}", label("Page"), it.page);
    if let Some((address, id)) = &it.redis {
        line!(
            "  {} redis://{address}, process {id}, password in {}/redis.conf",
            label("Redis"),
            it.folder.display()
        );
    }
    if let Some(left_out) = &it.left_out {
        line!("  {} {left_out}", label("Note"));
    }
    match &session.token {
        Some(token) => {
            line!(
                "  {} for the user {}, valid 12 hours:",
                label("Token"),
                super::token::USER
            );
            line!("{token}");
        }
        None if session.anonymous => line!("  {} none needed", label("Token")),
        None => line!(
            "  {} bring your own: the file has no secret to sign one with",
            label("Token")
        ),
    }
    line!("  {} publish with:", label("Backend"));
    line!(
        r#"curl -sS {} -H "Authorization: Bearer $(cat {})" -H 'Content-Type: application/json' -d '{{"topic":"{}","message":{{"t":"message","p":{{"text":"hello"}}}}}}'"#,
        it.publish,
        it.key_file.display(),
        session.topic
    );
    line!("  {} {}/*.log", label("Logs"), it.folder.display());
    if session.cookie_refused {
        line!(
            "  {} `allowedOrigins: [\"*\"]` refuses cookies, which are all a page has",
            label("Note")
        );
    }
    line!();
    line!(
        "Edits of the file are followed. Ctrl-C drains the gateways and ends; twice ends at once."
    );
    line!();
}

/// One thing that happened, to one part of the run.
pub(super) fn news(who: &str, what: &str) {
    line!("{} {what}", emphasis(&format!("{who:<12}"), "2"));
}

/// Something that a person has to mend.
pub(super) fn trouble(what: &str) {
    let _ = writeln!(io::stderr(), "{} {what}", emphasis("error", "1;31"));
}

/// ANSI emphasis, where it is not in the way.
fn emphasis(text: &str, code: &str) -> String {
    let plain = !io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain {
        text.to_owned()
    } else {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::api::WseCluster;
    use crate::plan::{Load, Memory, Observation, Pod, PodState, Subject, plan};

    const CLUSTER: &str = r#"{
        "apiVersion": "wse.dev/v1alpha1", "kind": "WseCluster", "metadata": {"name": "chat"},
        "spec": {
            "capacity": {"tier": "Auto"},
            "scaling": {"mode": "Autoscale", "minReplicas": 1, "maxReplicas": 9},
            "limits": {"connections": 100},
            "backplane": {"type": "Redis", "redis": {"url": "redis://redis:6379"}},
            "auth": {"mode": "None"},
            "api": {"keys": [{"secretKeyRef": {"name": "api", "key": "key"}}]}
        }
    }"#;

    fn planned(sessions: u32) -> Plan {
        let cluster: WseCluster = serde_json::from_str(CLUSTER).unwrap();
        let subject = Subject {
            cluster: "default/chat",
            spec: &cluster.spec,
            secrets: Path::new("/secrets"),
            admin_token: Path::new("/token"),
            default_image: "",
        };
        let load = Load {
            sessions,
            ..Load::default()
        };
        let first = plan(
            &subject,
            &Observation::default(),
            &Memory::default(),
            SystemTime::now(),
        );
        let observation = Observation {
            pods: vec![Pod {
                name: "chat-0".into(),
                revision: first.0.revisions[0].id.clone(),
                state: PodState::Ready,
                asked_to_drain: false,
                load: Some(load),
            }],
            desired: Some(1),
            ..Observation::default()
        };
        plan(
            &subject,
            &observation,
            &Memory::default(),
            SystemTime::now(),
        )
        .0
    }

    #[test]
    fn what_changes_is_told_once_with_its_reason() {
        let told = Told::of(&planned(5));
        assert_eq!(told.news(&planned(5)), [] as [String; 0]);
        assert_eq!(told.news(&planned(6)), [] as [String; 0]);
        let news = told.news(&planned(95)).join("\n");
        assert!(news.contains("tier Light from now on"), "{news}");
        assert!(news.contains("2 gateways from now on: "), "{news}");
        assert!(news.contains("connections"), "{news}");
        assert_eq!(Told::of(&planned(95)).news(&planned(95)), [] as [String; 0]);
    }
}
