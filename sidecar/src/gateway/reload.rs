//! Follows the configuration file and the secrets beside it. Kubernetes swaps a symbolic link above
//! mounted files, which polling sees whatever the file system, and a second is soon enough.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::metrics::Metrics;
use super::settings::{self, Settings, Watched};

const EVERY: Duration = Duration::from_secs(1);

/// Hands every new reading to `apply`, for ever. What is wrong is logged and counted, and changes
/// nothing. `now` asks for a reading even though nothing has changed.
pub(super) async fn follow<F>(
    file: PathBuf,
    mut watched: Watched,
    now: &Notify,
    metrics: &Metrics,
    mut apply: impl FnMut(Settings) -> F,
) where
    F: Future<Output = Result<(), Vec<String>>>,
{
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            _ = ticks.tick() => false,
            () = now.notified() => true,
        };
        let (path, before) = (file.clone(), watched.clone());
        let looked = tokio::task::spawn_blocking(move || {
            (asked || before.has_changed(&path)).then(|| settings::read(&path, &before))
        });
        // A blocking task fails only by a panic, and that has ended the process.
        let Ok(Some(reading)) = looked.await else {
            continue;
        };
        watched = reading.watched;
        let unknown = match &reading.outcome {
            Ok(settings) => settings.unknown.clone(),
            Err(_) => Vec::new(),
        };
        let outcome = match reading.outcome {
            Ok(settings) => apply(settings).await,
            Err(errors) => Err(errors),
        };
        match outcome {
            Ok(()) => {
                metrics.reloads.with_label_values(&["applied"]).inc();
                report(&unknown, metrics);
                tracing::info!("configuration reloaded");
            }
            Err(errors) => {
                metrics.reloads.with_label_values(&["refused"]).inc();
                for error in errors {
                    tracing::error!(
                        "configuration refused, the one before stays in force: {error}"
                    );
                }
            }
        }
    }
}

/// Warns about fields that this build does not know.
pub(super) fn report(unknown: &[String], metrics: &Metrics) {
    metrics
        .unknown_fields
        .set(i64::try_from(unknown.len()).unwrap_or(i64::MAX));
    for field in unknown {
        tracing::warn!(
            field,
            "the configuration has a field that this version does not know"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::Registry;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn applies_what_is_new_and_refuses_what_is_wrong() {
        let dir = std::env::temp_dir().join(format!("wse-reload-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&dir).unwrap();
        let file = dir.join("config.json");
        std::fs::write(&file, r#"{"version":1}"#).unwrap();
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let now = Arc::new(Notify::new());
        let (applied, mut seen) = mpsc::unbounded_channel();
        let watched = settings::read(&file, &Watched::default()).watched;
        let task = {
            let (file, now, metrics) = (file.clone(), now.clone(), metrics.clone());
            tokio::spawn(async move {
                let apply = |settings: Settings| {
                    applied.send(settings.config.log.clone()).unwrap();
                    std::future::ready(match settings.config.log.as_str() {
                        "off" => Err(vec!["not that".into()]),
                        _ => Ok(()),
                    })
                };
                follow(file, watched, &now, &metrics, apply).await;
            })
        };
        let count = |outcome| metrics.reloads.with_label_values(&[outcome]).get();
        tokio::time::sleep(EVERY * 3).await;
        assert!(seen.try_recv().is_err());

        std::fs::write(&file, r#"{"version":1,"log":"debug","later":{"a":1}}"#).unwrap();
        assert_eq!(seen.recv().await.unwrap(), "debug");
        tokio::time::sleep(EVERY * 3).await;
        assert_eq!((count("applied"), metrics.unknown_fields.get()), (1, 1));

        std::fs::write(&file, "{").unwrap();
        while count("refused") == 0 {
            tokio::time::sleep(EVERY).await;
        }
        std::fs::write(&file, r#"{"version":1,"log":"off"}"#).unwrap();
        assert_eq!(seen.recv().await.unwrap(), "off");
        tokio::time::sleep(EVERY * 3).await;
        assert_eq!((count("applied"), count("refused")), (1, 2));
        assert_eq!(metrics.unknown_fields.get(), 1);

        now.notify_one();
        assert_eq!(seen.recv().await.unwrap(), "off");
        task.abort();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
