//! Waiting no longer than so long.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;

/// [`tokio::time::timeout`], for what is mostly done at once: that costs no timer.
pub(crate) async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => tokio::time::timeout(limit, future).await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_not_done_at_once_has_its_time_and_no_more() {
        let (limit, began) = (Duration::from_secs(5), Instant::now());
        assert_eq!(timeout(Duration::ZERO, ready(1)).await.unwrap(), 1);
        assert!(timeout(limit, sleep(limit / 2)).await.is_ok());
        assert_eq!(began.elapsed(), limit / 2);
        assert!(timeout(limit, pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), limit / 2 + limit);
    }
}
