//! A crowd of clients that send nothing, half a request, or ask and never read.

use super::under_traffic;
use crate::installation::Installation;
use crate::support::random::Random;
use futures::stream::{self, StreamExt};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CLIENTS: usize = 2_000;
/// Connections that are opened at a time.
const OPENING: usize = 64;
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the crowd stays.
const STAY: Duration = Duration::from_secs(15);
/// Longest answer of the health check.
const HEALTH_MAX: Duration = Duration::from_secs(2);

const HALF_HEAD: &str = "POST /data/meadow/students HTTP/1.1\r\nHost: localhost\r\nContent-";
const HALF_BODY: &str = "POST /data/meadow/students HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
const UNREAD: &str = "GET /data/meadow/students?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Opens the connections, looks at health meanwhile, and closes them.
pub(super) async fn crowd(installation: &mut Installation, random: &mut Random) -> Vec<String> {
    let address = installation.api().http.address().to_owned();
    let mut found = Vec::new();
    let fault = async {
        let open = |number: usize| {
            let text = ["", HALF_HEAD, HALF_BODY, UNREAD][number % 4];
            let address = &address;
            async move {
                let mut stream = tokio::time::timeout(OPEN_TIMEOUT, TcpStream::connect(address)).await.ok()?.ok()?;
                // Asked many times, a page does not fit into the buffers of the kernel.
                let times = if text == UNREAD { 50 } else { 1 };
                tokio::time::timeout(OPEN_TIMEOUT, stream.write_all(text.repeat(times).as_bytes())).await.ok()?.ok()?;
                Some(stream)
            }
        };
        let crowd: Vec<TcpStream> =
            stream::iter(0..CLIENTS).map(open).buffer_unordered(OPENING).filter_map(std::future::ready).collect().await;
        let http = installation.api().http.limited(HEALTH_MAX, true);
        let (mut asked, mut failed) = (0, 0);
        let until = tokio::time::Instant::now() + STAY;
        while tokio::time::Instant::now() < until {
            asked += 1;
            failed += usize::from(!http.is_live().await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        crate::support::report!("slow clients: {} connections, {failed} of {asked} health checks failed", crowd.len());
        if failed > 0 {
            found.push(format!("{failed} of {asked} health checks failed or took more than {HEALTH_MAX:?}"));
        }
    };
    under_traffic(&installation.traffic, random, fault).await;
    found
}
