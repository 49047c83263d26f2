//! The socket of a client, with a deadline for the progress of writes.
//!
//! A client that stops reading, or reads a few bytes now and then, would otherwise hold its connection and the response for as
//! long as it likes.

use crate::connections::Connection;
use millstream_store::connect::keep_alive;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// The slowest client that is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WritePace {
    /// Longest time by which a client may fall behind the rate.
    pub(crate) lag_max: Duration,
    /// Bytes per second.
    pub(crate) rate_min: u32,
}

/// A socket that fails a write with [`io::ErrorKind::TimedOut`] if the client reads too slowly.
pub(crate) struct ClientStream {
    socket: TcpStream,
    connection: Arc<Connection>,
    pace: WritePace,
    /// Runs while the client does not read as fast as the server writes.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl ClientStream {
    /// Wraps an accepted socket and sets its options: no delay, and an end to silence of a client that has vanished.
    pub(crate) fn new(socket: TcpStream, connection: Arc<Connection>, pace: WritePace) -> io::Result<Self> {
        // Responses are written whole: waiting to fill a packet only adds latency.
        socket.set_nodelay(true)?;
        keep_alive(&socket)?;
        Ok(Self { socket, connection, pace, deadline: None })
    }

    /// Applies the result of a write of `wanted` bytes to the deadline.
    fn wrote(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) if count < wanted => {
                if let Some(deadline) = &mut self.deadline {
                    let earned = Duration::from_secs_f64(count as f64 / f64::from(self.pace.rate_min.max(1)));
                    let extended = (deadline.deadline() + earned).min(Instant::now() + self.pace.lag_max);
                    deadline.as_mut().reset(extended);
                }
            }
            Poll::Ready(_) => self.deadline = None,
            Poll::Pending => {
                let lag_max = self.pace.lag_max;
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(lag_max)));
                ready!(deadline.as_mut().poll(context));
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")));
            }
        }
        written
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.wrote(context, written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.wrote(context, written, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes only after it has written all that it had.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
