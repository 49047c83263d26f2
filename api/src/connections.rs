//! The open connections of a server: what each does, and which of them makes room for a new one.
//!
//! A connection waits for a request, or has one in progress until its response is handed to the kernel. Only a request for
//! documents needs a place, of which there are [`ServerOptions::connections_max`](crate::ServerOptions). The server accepts
//! [`RESERVED_SOCKETS`] more sockets than that and closes waiting ones when it needs them. So health and metrics always find a
//! socket, however many clients are idle, slow or many.

use crate::metrics as names;
use crate::problem::Problem;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Sockets besides those of requests for documents: for health, metrics, and clients that are about to send a request.
const RESERVED_SOCKETS: usize = 16;
/// Addresses whose requests need no place.
const WITHOUT_PLACE: [&str; 3] = ["/health", "/health/ready", "/metrics"];
/// Time that a waiting connection has to close before another one is closed as well.
const CLOSE_INTERVAL: Duration = Duration::from_millis(50);

/// All open connections.
pub(crate) struct Connections {
    sockets: Arc<Semaphore>,
    places: Arc<Semaphore>,
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
}

/// One open connection.
pub(crate) struct Connection {
    activity: Mutex<Activity>,
    /// Cancelled when the connection is to be closed if it waits.
    make_room: CancellationToken,
}

enum Activity {
    /// No request in progress; an incomplete head counts as none.
    Waiting { since: Instant },
    /// A handler runs.
    Handling { _place: Option<OwnedSemaphorePermit> },
    /// The response is being written.
    Responding { _place: Option<OwnedSemaphorePermit> },
}

/// An open connection in the list of all of them. Dropping it gives its socket back.
pub(crate) struct OpenConnection {
    id: u64,
    connections: Arc<Connections>,
    connection: Arc<Connection>,
    _socket: OwnedSemaphorePermit,
}

impl Connections {
    pub(crate) fn new(connections_max: usize) -> Arc<Self> {
        let places = connections_max.min(Semaphore::MAX_PERMITS - RESERVED_SOCKETS);
        Arc::new(Self {
            sockets: Arc::new(Semaphore::new(places + RESERVED_SOCKETS)),
            places: Arc::new(Semaphore::new(places)),
            next_id: AtomicU64::new(0),
            open: Mutex::default(),
        })
    }

    /// Adds an accepted connection. If all sockets are in use, first closes the connections that have waited longest.
    pub(crate) async fn add(self: &Arc<Self>) -> OpenConnection {
        let socket = loop {
            if let Ok(socket) = Arc::clone(&self.sockets).try_acquire_owned() {
                break socket;
            }
            self.close_longest_waiting();
            if let Ok(Ok(socket)) = timeout(CLOSE_INTERVAL, Arc::clone(&self.sockets).acquire_owned()).await {
                break socket;
            }
        };
        let connection = Arc::new(Connection {
            activity: Mutex::new(Activity::Waiting { since: Instant::now() }),
            make_room: CancellationToken::new(),
        });
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(id, Arc::clone(&connection));
        OpenConnection { id, connections: Arc::clone(self), connection, _socket: socket }
    }

    fn close_longest_waiting(&self) {
        let open = self.open.lock();
        let waiting = open.values().filter(|connection| !connection.make_room.is_cancelled());
        let waiting = waiting.filter_map(|connection| Some((connection.waiting_since()?, connection)));
        if let Some((_, longest)) = waiting.min_by_key(|(since, _)| *since) {
            longest.make_room.cancel();
            metrics::counter!(names::CLOSED_FOR_ROOM).increment(1);
        }
    }
}

impl OpenConnection {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Begins a request for a path; refuses one for documents if all places are taken.
    pub(crate) fn begin(&self, path: &str) -> Result<(), Problem> {
        let place = if WITHOUT_PLACE.contains(&path) {
            None
        } else {
            let place = Arc::clone(&self.connections.places).try_acquire_owned().map_err(|_| {
                metrics::counter!(names::TURNED_AWAY).increment(1);
                Problem::unavailable("The server is at its limit of connections. Try again.").closing()
            })?;
            Some(place)
        };
        *self.connection.activity.lock() = Activity::Handling { _place: place };
        Ok(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.id);
    }
}

impl Connection {
    /// Completes when the server needs the socket for another client.
    pub(crate) async fn room_needed(&self) {
        self.make_room.cancelled().await;
    }

    /// Whether no request is in progress.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting_since().is_some()
    }

    fn waiting_since(&self) -> Option<Instant> {
        match &*self.activity.lock() {
            Activity::Waiting { since } => Some(*since),
            Activity::Handling { .. } | Activity::Responding { .. } => None,
        }
    }

    /// Records that the handler has returned its response.
    pub(crate) fn responding(&self) {
        let mut activity = self.activity.lock();
        *activity = match std::mem::replace(&mut *activity, Activity::Responding { _place: None }) {
            Activity::Handling { _place } => Activity::Responding { _place },
            other => other,
        };
    }

    /// Records that everything written so far was handed to the kernel, which ends a response in progress.
    pub(crate) fn flushed(&self) {
        let mut activity = self.activity.lock();
        if matches!(*activity, Activity::Responding { .. }) {
            *activity = Activity::Waiting { since: Instant::now() };
        }
    }
}
