//! Keying material on its way: only the reactor can ask TLS for it.

use std::sync::Arc;

use webtransport_proto::SessionError;

use crate::command::Command;
use crate::handle::leak_if_forked;
use crate::pipe::Waiters;
use crate::shared::Session;
use crate::sync::{Mutex, lock};

/// What is asked for, and the answer
pub(crate) struct Export {
    pub(crate) session: Arc<Session>,
    pub(crate) label: Vec<u8>,
    pub(crate) context: Vec<u8>,
    pub(crate) length: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The inner `None`: the session is over
    answer: Option<Option<Vec<u8>>>,
    waiters: Waiters,
}

impl Export {
    pub(crate) fn answer(&self, material: Option<Vec<u8>>, woken: &mut Vec<u64>) {
        let mut state = lock(&self.state);
        state.answer = Some(material);
        state.waiters.wake(woken);
    }
}

/// Keying material that was asked for; dropping it gives it up
pub struct ExportHandle(Arc<Export>);

impl ExportHandle {
    pub(crate) fn new(session: &Arc<Session>, label: &[u8], context: &[u8], length: usize) -> Self {
        let session = Arc::clone(session);
        let (label, context) = (label.to_vec(), context.to_vec());
        let export = Arc::new(Export { session, label, context, length, state: Mutex::default() });
        if !export.session.endpoint.tell(Command::Export(Arc::clone(&export))) {
            export.answer(None, &mut Vec::new()); // nobody waits yet
        }
        Self(export)
    }

    /// The keying material
    ///
    /// # Errors
    /// The session is over.
    pub fn poll(&self, token: u64) -> Result<Option<Vec<u8>>, SessionError> {
        if self.0.session.endpoint.epoch.is_over() {
            return Err(SessionError::Local);
        }
        let mut state = lock(&self.0.state);
        match &state.answer {
            Some(Some(material)) => Ok(Some(material.clone())),
            Some(None) => Err(self.0.session.error().unwrap_or(SessionError::Local)),
            None => {
                state.waiters.park(token);
                Ok(None)
            }
        }
    }
}

impl Drop for ExportHandle {
    fn drop(&mut self) {
        leak_if_forked(self.0.session.endpoint.epoch, &self.0);
    }
}
