//! The suite of all sources on topics of each form, and the recorded topics.

use millstream_connectors::source::topic::KafkaSource;
use millstream_pipeline::Position;
use millstream_testkit::KafkaBroker;

use crate::fixtures::{self, changes, write};
use crate::source_bed::{end, new_topic, producer, source_options};
use crate::source_suite::Consumer;
use crate::support::make_topic;

mod own {
    crate::source_suite::suite_of!(crate::source_bed::TopicBed::new(crate::source_bed::Writer::Own));
}

mod envelope {
    use crate::source_bed::{TopicBed, Writer};
    crate::source_suite::suite_of!(TopicBed::new(Writer::Debezium(crate::fixtures::ENVELOPE)));
}

mod envelope_with_schemas {
    use crate::source_bed::{TopicBed, Writer};
    crate::source_suite::suite_of!(TopicBed::new(Writer::Debezium(crate::fixtures::SCHEMAS)));
}

mod flattened {
    use crate::source_bed::{TopicBed, Writer};
    crate::source_suite::suite_of!(TopicBed::new(Writer::Debezium(crate::fixtures::FLATTENED)));
}

mod router {
    use crate::source_bed::{TopicBed, Writer};
    crate::source_suite::suite_of!(TopicBed::new(Writer::Debezium(crate::fixtures::ROUTER)));
}

#[tokio::test]
async fn what_debezium_wrote_is_read_as_what_was_committed() {
    let servers = KafkaBroker::shared().await.bootstrap_servers();
    let producer = producer(&servers);
    for recording in fixtures::ALL {
        let topic = new_topic();
        make_topic(&servers, &topic, 1, &[("cleanup.policy", "delete")]).await;
        for record in recording.records() {
            write(&producer, &topic, &record).await;
        }
        let source = KafkaSource::start(source_options(&servers, &topic, recording.form), Position::ZERO);
        let mut consumer = Consumer::new(Box::new(source.expect("a source")), Position::ZERO);
        let end = end(&servers, &topic);
        consumer.confirm_until(|position| position >= end).await;
        assert_eq!(consumer.changes, changes(), "{}", recording.name);
        assert_eq!(consumer.position, end, "{}", recording.name);
        consumer.source.shutdown().await.expect("shut down");
    }
}
