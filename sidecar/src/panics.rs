//! What a panic does. Half a gateway is worse than none: a pod that lost a reactor or the backplane's
//! reader looks alive and serves nobody. So a panic ends the process, and Kubernetes starts it again.
//! What works for one client or one request runs [`contained`]: there a panic costs that connection
//! only.

use std::backtrace::Backtrace;
use std::panic;

tokio::task_local! {
    static CONTAINED: ();
}

/// `sysexits`' EX_SOFTWARE.
const EXIT_CODE: i32 = 70;

/// Logs every panic as one line and ends the process after those that are not contained.
pub(crate) fn install() {
    panic::set_hook(Box::new(|info| {
        let contained = CONTAINED.try_with(|()| ()).is_ok();
        let thread = std::thread::current();
        tracing::error!(
            thread = thread.name(),
            contained,
            backtrace = %Backtrace::force_capture(),
            "panic: {info}"
        );
        if !contained {
            #[expect(clippy::disallowed_methods, reason = "nothing may run on after it")]
            std::process::exit(EXIT_CODE);
        }
    }));
}

/// Runs what may panic without ending the process: on a task of its own, which then fails.
pub(crate) async fn contained<F: Future>(future: F) -> F::Output {
    CONTAINED.scope((), future).await
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const ROLE: &str = "WSE_TEST_PANIC";

    /// Runs this test again in a process of its own, which panics.
    fn ends_with(role: &str) -> Option<i32> {
        let name = "panics::tests::only_a_contained_panic_is_survived";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let run = child.args(["--exact", name]).env(ROLE, role).output();
        run.unwrap().status.code()
    }

    async fn act(role: String) {
        install();
        let boom = async { panic!("as the test wants") };
        let task = if role == "contained" {
            tokio::spawn(contained(boom))
        } else {
            tokio::spawn(boom)
        };
        assert!(task.await.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn only_a_contained_panic_is_survived() {
        if let Ok(role) = std::env::var(ROLE) {
            return act(role).await;
        }
        assert_eq!(ends_with("contained"), Some(0));
        assert_eq!(ends_with("not contained"), Some(EXIT_CODE));
    }
}
