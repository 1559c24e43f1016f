//! What a person reads in the terminal.

use std::io::IsTerminal;
use std::path::Path;

use super::page::Session;
use crate::plan::Plan;

/// What a person needs to try the fleet.
pub(super) struct Welcome<'a> {
    pub(super) session: &'a Session,
    pub(super) page: String,
    /// Where one of the gateways takes publications.
    pub(super) publish: String,
    pub(super) key_file: &'a Path,
    pub(super) folder: &'a Path,
    /// Set when the run has a Redis of its own: its URL and process id.
    pub(super) redis: Option<(String, u32)>,
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
    println!();
    println!(
        "{} is ready: {count} {gateways}, tier {}.",
        bold(&session.cluster),
        plan.tier
    );
    println!();
    println!("  {} {}", label("WebSocket"), session.url);
    println!("  {} {}", label("Page"), it.page);
    if let Some((url, id)) = &it.redis {
        println!("  {} {url}, process {id}", label("Redis"));
    }
    match &session.token {
        Some(token) => {
            println!(
                "  {} for the user {}, valid 12 hours:",
                label("Token"),
                super::token::USER
            );
            println!("{token}");
        }
        None if session.anonymous => println!("  {} none needed", label("Token")),
        None => println!(
            "  {} bring your own: the file has no secret to sign one with",
            label("Token")
        ),
    }
    println!("  {} publish with:", label("Backend"));
    println!(
        r#"curl -sS {} -H "Authorization: Bearer $(cat {})" -H 'Content-Type: application/json' -d '{{"topic":"{}","message":{{"t":"message","p":{{"text":"hello"}}}}}}'"#,
        it.publish,
        it.key_file.display(),
        session.topic
    );
    println!("  {} {}/*.log", label("Logs"), it.folder.display());
    if session.cookie_refused {
        println!(
            "  {} `allowedOrigins: [\"*\"]` refuses cookies, which are all a page has",
            label("Note")
        );
    }
    println!();
    println!(
        "Edits of the file are followed. Ctrl-C drains the gateways and ends; twice ends at once."
    );
    println!();
}

/// One thing that happened, to one part of the run.
pub(super) fn news(who: &str, what: &str) {
    println!("{} {what}", emphasis(&format!("{who:<12}"), "2"));
}

/// Something that a person has to mend.
pub(super) fn trouble(what: &str) {
    eprintln!("{} {what}", emphasis("error", "1;31"));
}

/// ANSI emphasis, where it is not in the way.
fn emphasis(text: &str, code: &str) -> String {
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    if plain {
        text.to_owned()
    } else {
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
