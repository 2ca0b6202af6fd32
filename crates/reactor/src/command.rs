//! What the application may ask of the reactor, and how it is told.

use std::sync::Arc;

use mio::Waker;
use webtransport_proto::tls::ServerTls;
use webtransport_proto::{Dir, Response, StreamId, Target};

use crate::export::Export;
use crate::shared::{Connecting, RecvStream, SendStream, Session};
use crate::sync::{Mutex, lock};

/// One wish; what it is about comes along, so that nothing is looked up
pub(crate) enum Command {
    Connect(Arc<Connecting>, Box<Target>),
    CancelConnect(Arc<Connecting>),
    AcceptSession(Arc<Session>, Response),
    RejectSession(Arc<Session>, Response),
    DrainSession(Arc<Session>),
    AnswerHttp(StreamId, Response),
    CloseSession(Arc<Session>, u32, String),
    DrainEndpoint,
    CloseEndpoint(u64, Vec<u8>),
    ReloadTls(Box<ServerTls>),
    Export(Arc<Export>),
    /// Open one more stream for the session's `open`
    Open(Arc<Session>, Dir),
    /// Something waits in the pipe
    Flush(Arc<SendStream>),
    /// The group and the order in it
    SetSendOrder(Arc<SendStream>, u32, i64),
    /// There is room in the pipe
    Resume(Arc<RecvStream>),
    Stop(Arc<RecvStream>, u32),
    /// Datagrams wait in the session's queue
    SendDatagrams(Arc<Session>),
    /// Publish the session's figures anew
    Refresh(Arc<Session>),
}

/// Commands on their way to the reactor
///
/// Whether its thread sleeps is told under the same lock as the commands. So a push either comes before the thread's last look,
/// which then sees it, or after it, and then finds the thread asleep and wakes it: once, however many follow. A thread that will
/// wake by itself in a moment does not count as asleep: the event loop is told of the command, and is awake.
pub(crate) struct Inbox {
    state: Mutex<State>,
    waker: Waker,
}

#[derive(Default)]
struct State {
    commands: Vec<Command>,
    asleep: bool,
    /// The reactor has ended: nobody will come for what is pushed
    over: bool,
}

impl Inbox {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { state: Mutex::default(), waker }
    }

    /// Hand a command to the reactor; given back if the reactor has ended. Returns whether it is the first that waits.
    pub(crate) fn push(&self, command: Command) -> Result<bool, Command> {
        let (first, wake) = {
            let mut state = lock(&self.state);
            if state.over {
                return Err(command);
            }
            let first = state.commands.is_empty();
            state.commands.push(command);
            (first, std::mem::take(&mut state.asleep))
        };
        if wake {
            self.wake();
        }
        Ok(first)
    }

    /// Take all commands; `into` must be empty, and its memory is used for those to come
    pub(crate) fn take(&self, into: &mut Vec<Command>) {
        std::mem::swap(&mut lock(&self.state).commands, into);
    }

    /// Whether there are commands
    pub(crate) fn is_waiting(&self) -> bool {
        !lock(&self.state).commands.is_empty()
    }

    /// Whether the thread may go to sleep: from now on a push wakes it
    pub(crate) fn sleep(&self) -> bool {
        let mut state = lock(&self.state);
        state.asleep = state.commands.is_empty();
        state.asleep
    }

    /// The thread is awake: a push need not wake it
    pub(crate) fn awake(&self) {
        lock(&self.state).asleep = false;
    }

    /// Have the thread look, if it would have slept on
    pub(crate) fn rouse(&self) {
        if std::mem::take(&mut lock(&self.state).asleep) {
            self.wake();
        }
    }

    /// Wake the thread, whatever it sleeps for
    pub(crate) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake the reactor");
        }
    }

    /// The reactor ends: the commands that nobody will carry out
    pub(crate) fn end(&self) -> Vec<Command> {
        let mut state = lock(&self.state);
        state.over = true;
        std::mem::take(&mut state.commands)
    }
}
