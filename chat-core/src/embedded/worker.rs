//! A thread with a bounded queue that works on all that waits at once.

use std::thread::JoinHandle;

use tokio::sync::mpsc;

/// How much one command adds to a group.
pub(crate) trait Weight {
    /// Returns the weight, in the unit that the group's limit is given in.
    fn weight(&self) -> usize;
}

/// Runs one thread. Dropping it lets the thread finish what is queued and waits for that.
#[derive(Debug)]
pub(crate) struct Worker<C> {
    queue: Option<mpsc::Sender<C>>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Weight + Send + 'static> Worker<C> {
    /// Starts a thread that takes the first command waiting and then all others, until their weight reaches
    /// `group_weight`, and runs them as one group. While it runs, the next group gathers.
    pub(crate) fn spawn(
        name: &str,
        capacity: usize,
        group_weight: usize,
        mut run: impl FnMut(Vec<C>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, mut commands) = mpsc::channel::<C>(capacity);
        let work = move || {
            while let Some(first) = commands.blocking_recv() {
                let mut weight = first.weight();
                let mut group = vec![first];
                while weight < group_weight
                    && let Ok(next) = commands.try_recv()
                {
                    weight += next.weight();
                    group.push(next);
                }
                run(group);
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Returns the queue.
    pub(crate) fn queue(&self) -> &mpsc::Sender<C> {
        self.queue.as_ref().unwrap_or_else(|| unreachable!("it is taken in drop only"))
    }
}

impl<C> Drop for Worker<C> {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic was already reported by its own thread.
            _ = thread.join();
        }
    }
}
