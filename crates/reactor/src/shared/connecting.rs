//! An attempt to connect, and what comes of it.

use std::sync::Arc;

use webtransport_proto::{ConnectError, ConnectId};

use super::{Endpoint, Session};
use crate::pipe::Waiters;
use crate::sync::{Mutex, lock};

/// An attempt to connect
pub(crate) struct Connecting {
    pub(crate) id: ConnectId,
    pub(crate) endpoint: Arc<Endpoint>,
    state: Mutex<ConnectingState>,
}

#[derive(Default)]
struct ConnectingState {
    /// The server was reached; its answer is all that is missing
    asked: bool,
    result: Option<Result<Arc<Session>, ConnectError>>,
    waiters: Waiters,
    /// Who has other attempts, and gives them up once the server of this one was reached
    rivals: Waiters,
}

impl Connecting {
    pub(crate) fn new(id: ConnectId, endpoint: Arc<Endpoint>) -> Self {
        Self { id, endpoint, state: Mutex::default() }
    }

    pub(crate) fn resolve(&self, result: Result<Arc<Session>, ConnectError>, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        state.result.get_or_insert(result);
        state.waiters.wake(woken);
    }

    /// The server was asked for the session
    pub(crate) fn asked(&self, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        state.asked = true;
        state.rivals.wake(woken);
    }

    /// Whether the server was asked; if not, `token` is parked
    pub(crate) fn is_asked(&self, token: u64) -> bool {
        let mut state = lock(&self.state);
        if !state.asked {
            state.rivals.park(token);
        }
        state.asked
    }

    /// The result, of which a session is given only once; `None`: nothing yet, and `token` is parked
    pub(crate) fn poll(&self, token: u64) -> Option<Result<Arc<Session>, ConnectError>> {
        let mut state = lock(&self.state);
        match &state.result {
            None => {
                state.waiters.park(token);
                None
            }
            Some(Ok(_)) => state.result.replace(Err(ConnectError::Closed)),
            Some(Err(error)) => Some(Err(error.clone())),
        }
    }

    /// The session, if there is one that nobody has
    pub(crate) fn unclaimed(&self) -> Option<Arc<Session>> {
        let mut state = lock(&self.state);
        let session = state.result.as_ref()?.as_ref().ok().cloned()?;
        state.result = Some(Err(ConnectError::Closed));
        Some(session)
    }

    /// Whether it has come to something
    pub(crate) fn is_resolved(&self) -> bool {
        lock(&self.state).result.is_some()
    }
}
