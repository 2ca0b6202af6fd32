//! Forked children: they have our memory, but not our threads, so whatever was made before the fork is over for them.
//!
//! A lock may have been held by a reactor thread at the moment of the fork, and what it guards may be half written. So a
//! handle asks its [`Epoch`] before it touches anything else, and in the child it never frees what it shares.

use std::sync::atomic::{AtomicU64, Ordering};

static FORKS: AtomicU64 = AtomicU64::new(0);

/// Between which forks something was made
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(u64);

impl Epoch {
    pub(crate) fn now() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether this process is a child that was forked since
    pub(crate) fn is_over(self) -> bool {
        // Relaxed: a child begins with one thread, which is the one that called `after_fork_in_child`
        self.0 != FORKS.load(Ordering::Relaxed)
    }
}

/// To be called in a forked child before anything else: every handle made until now behaves as closed from then on
pub fn after_fork_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
