//! The news that a read found damage, from any thread to whoever waits for it.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Told at most once; told before anybody waits is heard too.
#[derive(Default)]
pub(super) struct Condemned {
    why: Mutex<Option<String>>,
    news: Notify,
}

impl Condemned {
    /// Something was damaged.
    pub(super) fn tell(&self, why: &str) {
        self.why.lock().get_or_insert_with(|| why.to_owned());
        self.news.notify_one();
    }

    /// Waits until something is.
    pub(super) async fn told(&self) -> String {
        loop {
            if let Some(why) = self.why.lock().clone() {
                return why;
            }
            self.news.notified().await;
        }
    }
}
