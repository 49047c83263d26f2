//! The broker and the node that all installations of a run share, started when a trial first needs them.

use millstream_testkit::{BrokerOptions, KafkaBroker, OpenSearchNode};
use tokio::sync::OnceCell;

/// Kafka and OpenSearch.
#[derive(Default)]
pub(crate) struct Services {
    kafka: OnceCell<KafkaBroker>,
    opensearch: OnceCell<OpenSearchNode>,
}

impl Services {
    pub(crate) async fn kafka(&self) -> &KafkaBroker {
        self.kafka.get_or_init(|| KafkaBroker::start(BrokerOptions::default())).await
    }

    pub(crate) async fn opensearch(&self) -> &OpenSearchNode {
        self.opensearch.get_or_init(OpenSearchNode::start).await
    }
}
