//! What a panic does. Half a gateway is worse than none: a pod that lost a reactor or the backplane's
//! reader looks alive and serves nobody. So a panic ends the process, and Kubernetes starts it again,
//! unless it happened while one request was served, which costs that request's connection only.

use std::backtrace::Backtrace;
use std::panic;

tokio::task_local! {
    static CONTAINED: ();
}

/// `sysexits`' EX_SOFTWARE.
const EXIT_CODE: i32 = 70;

/// Logs every panic as one line and ends the process after those that are not contained.
pub(super) fn install() {
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
            std::process::exit(EXIT_CODE);
        }
    }));
}

/// Runs what may panic without ending the process.
pub(super) async fn contained<F: Future>(future: F) -> F::Output {
    CONTAINED.scope((), future).await
}
