//! What a person reads in the terminal. The terminal may be gone, such as a `tee` that Ctrl-C ended:
//! that is no reason not to drain, so nothing fails here.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;

use super::page::Session;
use crate::plan::Plan;

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
