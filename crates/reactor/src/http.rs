//! Requests of plain HTTP, on their way to an application that answers them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use webtransport_proto::{HttpRequest, Response, StreamId};

use crate::command::Command;
use crate::handle::leak_if_forked;
use crate::pipe::Waiters;
use crate::shared::Endpoint;
use crate::sync::{Mutex, lock};

/// Requests that may wait for the application; further ones get a 503
const CAPACITY: usize = 256;

/// Requests that the application has not taken yet
#[derive(Default)]
pub(crate) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    waiters: Waiters,
}

pub(crate) struct Waiting {
    pub(crate) stream: StreamId,
    pub(crate) request: HttpRequest,
    pub(crate) remote: SocketAddr,
}

impl Queue {
    /// False if the queue is full
    pub(crate) fn push(&self, request: Waiting, woken: &mut Vec<u64>) -> bool {
        let mut state = lock(&self.0);
        let has_room = state.waiting.len() < CAPACITY;
        if has_room {
            state.waiting.push_back(request);
            state.waiters.wake(woken);
        }
        has_room
    }

    fn pop(&self, token: u64) -> Option<Waiting> {
        let mut state = lock(&self.0);
        let request = state.waiting.pop_front();
        if request.is_none() {
            state.waiters.park(token);
        }
        request
    }

    /// The endpoint is closed: whoever waits should look
    pub(crate) fn close(&self, woken: &mut Vec<u64>) {
        let mut state = lock(&self.0);
        state.waiting.clear();
        state.waiters.wake(woken);
    }
}

/// Where a server's requests of plain HTTP come out; it does not keep the endpoint from being closed
pub struct HttpHandle {
    endpoint: Arc<Endpoint>,
}

impl HttpHandle {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint }
    }

    /// The next request; `None` and closed: no more will come
    #[must_use]
    pub fn next(&self, token: u64) -> Option<HttpRequestHandle> {
        if self.endpoint.epoch.is_over() {
            return None;
        }
        let Waiting { stream, request, remote } = self.endpoint.http.pop(token)?;
        let answered = AtomicBool::new(false);
        Some(HttpRequestHandle { endpoint: Arc::clone(&self.endpoint), stream, request, remote, answered })
    }

    /// Whether the endpoint is closed
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.endpoint.epoch.is_over() || self.endpoint.is_closed()
    }
}

impl Drop for HttpHandle {
    fn drop(&mut self) {
        leak_if_forked(self.endpoint.epoch, &self.endpoint);
    }
}

/// A request of plain HTTP; dropping it unanswered answers with 500
pub struct HttpRequestHandle {
    endpoint: Arc<Endpoint>,
    stream: StreamId,
    request: HttpRequest,
    remote: SocketAddr,
    answered: AtomicBool,
}

impl HttpRequestHandle {
    /// What is asked for
    #[must_use]
    pub fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// The client's address
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.remote
    }

    /// Answer, once; nothing comes of it if the client has gone
    pub fn answer(&self, response: Response) {
        if !self.endpoint.epoch.is_over() && !self.answered.swap(true, Ordering::Relaxed) {
            self.endpoint.tell(Command::AnswerHttp(self.stream, response));
        }
    }
}

impl Drop for HttpRequestHandle {
    fn drop(&mut self) {
        if !leak_if_forked(self.endpoint.epoch, &self.endpoint) {
            self.answer(Response::new(500));
        }
    }
}
