//! The end of a client of the C library, which joins the library's threads, and so waits for brokers, or for a clock that
//! was set back.

use std::ops::Deref;
use std::thread;

use tracing::error;

/// Holds a client, and ends it on a thread of its own: a process that is done does not wait for it.
pub(super) struct Farewell<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Farewell<T> {
    pub(super) fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for Farewell<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().unwrap_or_else(|| unreachable!("taken only by drop"))
    }
}

impl<T: Send + 'static> Drop for Farewell<T> {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        if let Err(error) = thread::Builder::new().name("kafka-farewell".to_owned()).spawn(move || drop(client)) {
            error!(%error, "start a thread; a client of Kafka ended on this one");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Ends only when it is allowed to.
    struct Slow(mpsc::Receiver<()>, mpsc::SyncSender<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.recv().unwrap();
            self.1.send(()).unwrap();
        }
    }

    #[test]
    fn nobody_waits_for_a_client_that_ends_slowly() {
        let ((allow, allowed), (end, ended)) = (mpsc::sync_channel(1), mpsc::sync_channel(1));
        drop(Farewell::new(Slow(allowed, end)));
        allow.send(()).unwrap();
        ended.recv().unwrap();
    }
}
