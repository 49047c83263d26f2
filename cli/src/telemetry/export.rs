//! Export of spans to an OpenTelemetry collector: OTLP over HTTP with protobuf bodies. Off unless
//! `telemetry.otlp_endpoint` is set.

#[cfg(not(feature = "otlp"))]
pub(crate) use disabled::{SpanExport, layer};
#[cfg(feature = "otlp")]
pub(crate) use enabled::{SpanExport, layer};

/// A build without the export.
#[cfg(not(feature = "otlp"))]
mod disabled {
    use crate::{config::Telemetry, failure::Failure};
    use tracing_subscriber::layer::Identity;

    /// The export of the process: none.
    #[derive(Debug, Default)]
    pub(crate) struct SpanExport;

    impl SpanExport {
        pub(crate) fn shutdown(self) {}
    }

    /// Refuses an endpoint: this build cannot export.
    pub(crate) fn layer(telemetry: &Telemetry) -> Result<(Identity, SpanExport), Failure> {
        if telemetry.otlp_endpoint.is_some() {
            return Err(Failure::usage(
                "telemetry.otlp_endpoint is set, but this build has no OTLP export: build it with the cargo feature otlp",
            ));
        }
        Ok((Identity::new(), SpanExport))
    }
}

#[cfg(feature = "otlp")]
mod enabled {
    use crate::{config::Telemetry, failure::Failure};
    use async_trait::async_trait;
    use bytes::Bytes;
    use millstream_pipeline::error::chain;
    use opentelemetry::{KeyValue, trace::TracerProvider};
    use opentelemetry_http::{HttpClient, HttpError, Request, Response};
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
    use reqwest::Url;
    use std::{
        error::Error,
        sync::atomic::{AtomicBool, Ordering},
        time::Duration,
    };
    use tokio::runtime::Handle;
    use tracing::Subscriber;
    use tracing_subscriber::{Layer, filter::LevelFilter, registry::LookupSpan};

    /// Path of traces below the endpoint, fixed by OTLP.
    const TRACES_PATH: [&str; 2] = ["v1", "traces"];
    /// Longest export of one batch.
    const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Longest export of the remaining spans at the end of the process.
    const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

    /// The export of the process, if it is on.
    #[derive(Debug, Default)]
    pub(crate) struct SpanExport(Option<SdkTracerProvider>);

    impl SpanExport {
        /// Exports the remaining spans. Blocks for at most five seconds; the runtime has to run meanwhile.
        pub(crate) fn shutdown(self) {
            if let Some(provider) = self.0
                && let Err(error) = provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)
            {
                tracing::debug!(error = chain(&error), "failed to export the remaining spans");
            }
        }
    }

    /// Returns the layer that exports spans, or a layer without effect if no endpoint is set. Exports run on the current
    /// runtime.
    pub(crate) fn layer<S>(telemetry: &Telemetry) -> Result<(Option<impl Layer<S>>, SpanExport), Failure>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let Some(endpoint) = &telemetry.otlp_endpoint else { return Ok((None, SpanExport::default())) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(ExportClient::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(traces_url(endpoint))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(Failure::failed)?;
        let resource = Resource::builder_empty()
            .with_service_name("millstream")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())))
            .build();
        let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("millstream"));
        Ok((Some(spans.with_filter(LevelFilter::INFO)), SpanExport(Some(provider))))
    }

    fn traces_url(endpoint: &Url) -> String {
        let mut url = endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(TRACES_PATH);
        }
        url.into()
    }

    /// Sends batches with the HTTP client of the process. The exporter calls it on a thread outside the runtime.
    #[derive(Debug)]
    struct ExportClient {
        http: reqwest::Client,
        runtime: Handle,
        /// Whether the last export failed: an outage of the collector is logged once.
        failing: AtomicBool,
    }

    impl ExportClient {
        fn new() -> Result<Self, Failure> {
            let http =
                reqwest::Client::builder().no_proxy().timeout(EXPORT_TIMEOUT).build().map_err(Failure::failed)?;
            let runtime = Handle::try_current().map_err(Failure::failed)?;
            Ok(Self { http, runtime, failing: AtomicBool::new(false) })
        }

        async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Box<dyn Error + Send + Sync>> {
            let (http, request) = (self.http.clone(), reqwest::Request::try_from(request)?);
            let sending = async move {
                let response = http.execute(request).await?.error_for_status()?;
                let status = response.status();
                Ok::<_, reqwest::Error>((status, response.bytes().await?))
            };
            let (status, body) = self.runtime.spawn(sending).await??;
            Ok(Response::builder().status(status).body(body)?)
        }
    }

    #[async_trait]
    impl HttpClient for ExportClient {
        async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let sent = self.send(request).await;
            let was_failing = self.failing.swap(sent.is_err(), Ordering::Relaxed);
            match &sent {
                Err(error) if !was_failing => {
                    tracing::warn!(
                        error = chain(&**error),
                        "failed to export spans; dropping them until the collector answers"
                    );
                }
                Ok(_) if was_failing => tracing::info!("the export of spans works again"),
                _ => {}
            }
            sent
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use tokio::{
            io::{AsyncReadExt, AsyncWriteExt},
            net::TcpListener,
        };
        use tracing_subscriber::layer::SubscriberExt;

        /// Reads one request with its body and answers 200.
        async fn collect(listener: TcpListener) -> (String, Vec<u8>) {
            let (mut stream, _) = listener.accept().await.expect("an export connects");
            let mut text = Vec::new();
            loop {
                let end = text.windows(4).position(|window| window == b"\r\n\r\n");
                if let Some(end) = end {
                    let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    let length: usize = length.expect("a length").trim().parse().expect("a number");
                    if text.len() >= end + 4 + length {
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("an answer");
                        return (head, text.split_off(end + 4));
                    }
                }
                assert_ne!(stream.read_buf(&mut text).await.expect("a request"), 0, "the request is complete");
            }
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn spans_reach_a_collector_with_their_fields() {
            // As at the start of the program; an error means that another test was first.
            drop(rustls::crypto::ring::default_provider().install_default());
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            let address = listener.local_addr().expect("an address");
            let collecting = tokio::spawn(collect(listener));
            let endpoint = format!("http://{address}/prefix").parse().expect("a URL");
            let (spans, export) = layer(&Telemetry { otlp_endpoint: Some(endpoint) }).expect("it can be set up");
            tracing::subscriber::with_default(tracing_subscriber::registry().with(spans), || {
                let process = tracing::info_span!("process", role = "relay");
                process.in_scope(|| tracing::info_span!("control_request", request_id = 7_u64).in_scope(|| {}));
            });
            tokio::task::spawn_blocking(move || export.shutdown()).await.expect("the shutdown ends");
            let (head, body) = collecting.await.expect("the collector ends");
            assert!(head.starts_with("post /prefix/v1/traces http/1.1"), "{head}");
            assert!(head.contains("content-type: application/x-protobuf"), "{head}");
            let body = String::from_utf8_lossy(&body);
            for word in ["millstream", "process", "role", "relay", "control_request", "request_id"] {
                assert!(body.contains(word), "{word} is not in {body:?}");
            }
        }

        #[tokio::test]
        async fn without_an_endpoint_nothing_is_exported() {
            let (spans, export) = layer::<tracing_subscriber::Registry>(&Telemetry::default()).expect("it is off");
            assert!(spans.is_none() && export.0.is_none());
        }
    }
}
