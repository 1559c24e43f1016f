//! A plan on paper: what would be done for the fleet of a file.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use wse_operator::api::{check, check_change};
use wse_operator::local::Input;
use wse_operator::plan::{
    self, Action, Memory, Observation, Plan, Serves, Step, Subject, Tuning, digest,
};

/// Longer than any window of a spec.
const WATCHED: Duration = Duration::from_secs(24 * 3_600);

/// The plan for the cluster of a file and the pods of another, as text. Pods without a revision have
/// that of the cluster in `from`, which the file is an edit of, or else the wanted one. All has been
/// watched for long enough.
pub(crate) fn plan(
    file: &Path,
    load: Option<&Path>,
    from: Option<&Path>,
) -> Result<String, Box<dyn Error>> {
    let input = read(file)?;
    let before = from.map(read).transpose()?;
    if let Some(before) = &before {
        input.accept(check_change(&before.cluster, &input.cluster))?;
    }
    let mut observation = Observation::default();
    if let Some(load) = load {
        observation = serde_json::from_slice(&std::fs::read(load)?)?;
    }
    let kernel = observation.kernel.get_or_insert_default().clone();
    let now = SystemTime::now();
    let watched_since = now.checked_sub(WATCHED).unwrap_or(now);
    let nothing = Observation {
        kernel: Some(kernel),
        ..Observation::default()
    };
    let there = before.as_ref().unwrap_or(&input);
    let (there, memory) = decide(there, &nothing, &Memory::default(), watched_since);
    for pod in observation
        .pods
        .iter_mut()
        .filter(|pod| pod.revision.is_empty())
    {
        pod.revision.clone_from(&there.revisions[0].id);
    }
    if before.is_some() {
        observation
            .config
            .get_or_insert_with(|| digest(&there.config));
        observation.serves.get_or_insert(there.serves);
    }
    if observation.desired.is_none() && load.is_some() {
        observation.desired = u32::try_from(observation.pods.len()).ok();
    }
    let (plan, _) = decide(&input, &observation, &memory, now);
    told(&input, &plan)
}

fn read(file: &Path) -> Result<Input, Box<dyn Error>> {
    let input = Input::read(file)?;
    input.accept(check(&input.cluster))?;
    Ok(input)
}

fn decide(
    input: &Input,
    observation: &Observation,
    memory: &Memory,
    now: SystemTime,
) -> (Plan, Memory) {
    let subject = Subject {
        cluster: &input.full_name(),
        spec: &input.cluster.spec,
        // Where pods will have them.
        secrets: Path::new("/etc/wse/secrets"),
        admin_token: Path::new("/etc/wse/admin/token"),
        default_image: "",
    };
    plan::plan(&subject, observation, memory, now)
}

fn told(input: &Input, plan: &Plan) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    writeln!(text, "tier      {}", plan.tier)?;
    writeln!(text, "pods      {}", plan.desired)?;
    for revision in &plan.revisions {
        writeln!(
            text,
            "revision  {}: {} pods",
            revision.id, revision.replicas
        )?;
    }
    let image = match plan.image.as_str() {
        "" => "the operator's default",
        image => image,
    };
    writeln!(text, "image     {image}")?;
    match &plan.serves {
        Serves::All => writeln!(text, "serves    every revision")?,
        Serves::Revision(id) => writeln!(text, "serves    revision {id}")?,
    }
    writeln!(text, "change    {}", plan.change)?;
    writeln!(text, "moves     {}", moves(input, plan))?;
    for action in &plan.actions {
        match action {
            Action::Drain { pod } => writeln!(text, "drain     {pod}")?,
            Action::Shed { pod, sessions } => {
                writeln!(text, "shed      {pod}: {sessions} clients")?;
            }
            Action::Undrain { pod } => writeln!(text, "undrain   {pod}")?,
        }
    }
    tuning(&plan.tuning, &mut text)?;
    for it in &plan.warnings {
        writeln!(text, "warning   {} ({})", it.message, it.reason)?;
    }
    for it in &plan.conditions {
        let mark = if it.holds { "yes" } else { "no" };
        writeln!(
            text,
            "condition {:?}: {mark}, {} ({})",
            it.r#type, it.message, it.reason
        )?;
    }
    writeln!(text, "{}", serde_json::to_string_pretty(&plan.config)?)?;
    Ok(text)
}

fn tuning(tuning: &Tuning, text: &mut String) -> Result<(), Box<dyn Error>> {
    for it in &tuning.sysctls {
        writeln!(text, "sysctl    {} = {}", it.name, it.value)?;
    }
    for (name, why) in &tuning.omitted {
        writeln!(text, "omitted   {name}: {why}")?;
    }
    for step in &tuning.steps {
        match step {
            Step::Discard { pod } => writeln!(text, "discard   {pod}")?,
            Step::EndPreflight => writeln!(text, "preflight ends")?,
            Step::Preflight(trial) => {
                let names: Vec<&str> = trial.sysctls.iter().map(|it| it.name.as_str()).collect();
                writeln!(text, "preflight {}", names.join(", "))?;
            }
        }
    }
    Ok(())
}

/// The number, and how far it can be relied on.
fn moves(input: &Input, plan: &Plan) -> String {
    let spec = &input.cluster.spec;
    let (moves, replicas) = (plan.moves, plan.desired);
    match moves {
        0 => "0".into(),
        _ if spec.rollout.surge_of(replicas) >= replicas => {
            format!("{moves}, if no pod fails meanwhile")
        }
        _ => format!(
            "about {moves}: expected, if clients who leave a pod spread evenly over the others; with \
             `rollout.surge: 100%` each client moves once"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const EXAMPLE: &str = include_str!("../../crds/examples/chat.yaml");
    const OLD: &str = r#"{"serves": {"Revision": "old"}, "pods": [
        {"name": "a", "revision": "old", "state": "Ready", "load": {"sessions": 500}},
        {"name": "b", "revision": "old", "state": "Ready", "load": {"sessions": 500}}
    ]}"#;

    fn planned(cluster: &str, load: Option<&str>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (file, pods) = (folder.path().join("cluster"), folder.path().join("pods"));
        fs::write(&file, cluster).unwrap();
        fs::write(&pods, load.unwrap_or_default()).unwrap();
        plan(&file, load.map(|_| pods.as_path()), None).unwrap()
    }

    #[test]
    fn kernel_settings_are_told_for_the_nodes_that_are_given() {
        let nodes = r#"{"pods": [], "kernel": {"nodes": [
            {"name": "n", "kubelet": "v1.34.4", "kernel": "6.1.0"}
        ]}}"#;
        let asks = r"
  kernel:
    unsafeSysctls: Require
    sysctls:
      - {name: net.core.somaxconn, value: '8192'}
      - {name: net.ipv4.tcp_fin_timeout, value: '30'}
      - {name: net.ipv4.tcp_notsent_lowat, value: '131072'}

  drain:
";
        let cluster = EXAMPLE.replace("\n  drain:\n", asks);
        let text = planned(&cluster, Some(nodes));
        for line in [
            "sysctl    net.ipv4.tcp_fin_timeout = 30\n",
            "omitted   net.ipv4.tcp_notsent_lowat: needs kubelet 1.37",
            "omitted   net.core.somaxconn: is allowed by no node",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let text = planned(&cluster, None);
        assert!(text.contains("which the operator may not see"), "{text}");
    }

    #[test]
    fn a_rollout_is_told_with_its_moves() {
        let text = planned(EXAMPLE, Some(OLD));
        for line in [
            "tier      Medium\n",
            "revision  old: 2 pods\n",
            "image     the operator's default\n",
            "serves    revision old\n",
            "moves     1000, if no pod fails meanwhile\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let text = planned(
            &EXAMPLE.replace("\n  drain:\n", "\n  rollout: {surge: 1}\n\n  drain:\n"),
            Some(OLD),
        );
        assert!(text.contains("serves    every revision\n"), "{text}");
        assert!(
            text.contains("moves     about 1250: expected, if clients"),
            "{text}"
        );
    }

    #[test]
    fn an_edit_is_told_with_what_it_does_to_clients() {
        let folder = tempfile::tempdir().unwrap();
        let (before, after) = (folder.path().join("before"), folder.path().join("after"));
        let pods = folder.path().join("pods");
        fs::write(&before, EXAMPLE).unwrap();
        let load = r#"{"pods": [
            {"name": "a", "state": "Ready", "load": {"sessions": 50}},
            {"name": "b", "state": "Ready", "load": {"sessions": 50}}
        ]}"#;
        fs::write(&pods, load).unwrap();
        for (old, new, told) in [
            ("type: Redis", "type: Redis", "changes nothing for clients"),
            (
                "messagesPerSecond: 50",
                "messagesPerSecond: 51",
                "no client moves",
            ),
            (
                "spec:\n  cap",
                "spec:\n  image: gateway:2\n  cap",
                "needs new pods; 100 clients move, each once",
            ),
            (
                "  drain:\n",
                "  image: gateway:2\n  rollout: {surge: 1}\n  drain:\n",
                "about 125 moves",
            ),
        ] {
            assert!(EXAMPLE.contains(old), "{old}");
            fs::write(&after, EXAMPLE.replacen(old, new, 1)).unwrap();
            let text = plan(&after, Some(&pods), Some(&before)).unwrap();
            let line = text
                .lines()
                .find(|line| line.starts_with("change "))
                .unwrap();
            assert!(line.contains(told), "{line}");
        }
        let edit = EXAMPLE.replace("deadlineSeconds: 10", "deadlineSeconds: 900");
        fs::write(&after, edit).unwrap();
        let text = plan(&after, None, None).unwrap();
        assert!(
            text.contains("warning   a pod may take 907 s to drain"),
            "{text}"
        );
    }

    #[test]
    fn a_new_fleet_moves_nobody() {
        let pinned = EXAMPLE.replace("spec:\n  cap", "spec:\n  image: gateway:1\n  cap");
        let text = planned(&pinned, None);
        for line in ["image     gateway:1\n", "moves     0\n"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
