//! The HTTP API inside the test process, on a free port.

use super::http::Http;
use millstream_api::{Api, ApiOptions, ApiParts, Drained, ServerOptions, StoreReader, serve};
use millstream_pipeline::memory::MemoryBudget;
use millstream_schema::plan::Mapping;
use millstream_store::connect::Database;
use millstream_store::load::Caches;
use millstream_writer::{Writer, WriterOptions};
use std::ops::Deref;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running API server with a client for it; dereferences to the client.
#[derive(Debug)]
pub(crate) struct ApiServer {
    http: Http,
    shutdown: CancellationToken,
    server: JoinHandle<Drained>,
}

impl ApiServer {
    /// Serves the documents of a database.
    pub(crate) async fn start(
        database: &Database,
        mapping: &Arc<Mapping>,
        caches: &Arc<Caches>,
        options: WriterOptions,
    ) -> Self {
        let writer = Writer::new(database.clone(), Arc::clone(mapping), options).expect("a writer");
        let reader =
            StoreReader::new(database.clone(), Arc::clone(mapping), Arc::clone(caches), MemoryBudget::default());
        let parts = ApiParts {
            mapping: Arc::clone(mapping),
            reader: Arc::new(reader),
            writer: Arc::new(writer),
            probe: Arc::new(|| Box::pin(std::future::ready(Vec::new()))),
            metrics: Arc::new(String::new),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let api = Api::new(parts, ApiOptions::default());
        let server = tokio::spawn(serve(listener, api, shutdown.clone(), ServerOptions::default()));
        Self { http: Http::new(format!("http://{address}")), shutdown, server }
    }

    /// Shuts down and waits until all requests are answered.
    pub(crate) async fn stop(self) {
        let Self { http, shutdown, server } = self;
        // The shutdown would wait for the idle connections of the client.
        drop(http);
        shutdown.cancel();
        let drained = server.await.expect("the server does not panic");
        assert!(drained.is_complete(), "{drained:?}");
    }
}

impl Deref for ApiServer {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}
