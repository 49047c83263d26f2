//! The source of changes out of its keys, which only go together in some ways.

use super::{Source, SourceKind, Topic, check::Check};
use millstream_connectors::kafka::is_topic_name;
use millstream_connectors::source::topic::RecordForm;

/// What only a topic has.
const OF_TOPICS: [&str; 3] = ["source.topic", "source.group", "source.form"];

impl Check<'_> {
    /// The source, and everything that contradicts it.
    pub(super) fn source(&mut self) -> Source {
        let slot = self.identifier("source.slot");
        let kind = match self.choice("source.kind").as_str() {
            "topic" => SourceKind::Topic(self.topic(&slot, RecordForm::Millstream)),
            "debezium" => SourceKind::Topic(self.topic(&slot, RecordForm::DebeziumEnvelope)),
            other => {
                for name in OF_TOPICS {
                    self.refuse_set(name, "only topics have one: set source.kind to topic or debezium");
                }
                if other == "poll" { SourceKind::Poll } else { SourceKind::Slot }
            }
        };
        Source { kind, slot, publication: self.identifier("source.publication") }
    }

    /// A topic whose records are in the `usual` form of its kind if nothing else is said.
    fn topic(&mut self, slot: &str, usual: RecordForm) -> Topic {
        let name = self.optional_text("source.topic").unwrap_or_default();
        if name.is_empty() {
            self.refuse_set("source.kind", "source.topic has to name the topic that changes come from");
        } else if !is_topic_name(&name) {
            self.refuse_set("source.topic", "a topic has a name of 1 to 249 letters, digits, '.', '_' and '-'");
        }
        if self.optional_text("kafka.bootstrap_servers").is_none() {
            self.refuse_set("source.kind", "kafka.bootstrap_servers has to name the brokers of source.topic");
        }
        // A word that names no form is refused as one.
        let form = if self.is_set("source.form") { self.choice("source.form").parse().unwrap_or(usual) } else { usual };
        if (form == RecordForm::Millstream) != (usual == RecordForm::Millstream) {
            self.refuse_set("source.form", "the kind topic is millstream, the kind debezium any of the others");
        }
        let group = self.optional_text("source.group").unwrap_or_else(|| format!("millstream-{slot}"));
        Topic { name, group, form }
    }
}
