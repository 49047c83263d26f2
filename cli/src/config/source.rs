//! The keys of the source of changes, which depend on each other.

use super::{
    check::Check,
    values::{Source, SourceKind, Topic},
};
use millstream_connectors::kafka::is_topic_name;
use millstream_connectors::source::topic::RecordForm;

/// Keys that only a topic has.
const OF_TOPICS: [&str; 3] = ["source.topic", "source.group", "source.form"];

impl Check<'_> {
    /// Returns the source and reports keys that contradict its kind.
    pub(super) fn source(&mut self) -> Source {
        let slot = self.identifier("source.slot");
        let kind = match self.choice("source.kind").as_str() {
            "topic" => SourceKind::Topic(self.topic(&slot, RecordForm::Millstream)),
            "debezium" => SourceKind::Topic(self.topic(&slot, RecordForm::DebeziumEnvelope)),
            other => {
                for name in OF_TOPICS {
                    self.refuse_set(name, "only topics have this key: set source.kind to topic or debezium");
                }
                if other == "poll" { SourceKind::Poll } else { SourceKind::Slot }
            }
        };
        Source { kind, slot, publication: self.identifier("source.publication") }
    }

    /// Returns the topic. Its records have the `usual` form of its kind unless `source.form` is set.
    fn topic(&mut self, slot: &str, usual: RecordForm) -> Topic {
        let name = self.optional_text("source.topic").unwrap_or_default();
        if name.is_empty() {
            self.refuse_set("source.kind", "source.topic has to name the topic of changes");
        } else if !is_topic_name(&name) {
            self.refuse_set("source.topic", "a topic has a name of 1 to 249 letters, digits, '.', '_' and '-'");
        }
        if self.optional_text("kafka.bootstrap_servers").is_none() {
            self.refuse_set("source.kind", "kafka.bootstrap_servers has to name the brokers of source.topic");
        }
        // An unknown form has been reported by `choice`.
        let form = if self.is_set("source.form") { self.choice("source.form").parse().unwrap_or(usual) } else { usual };
        if (form == RecordForm::Millstream) != (usual == RecordForm::Millstream) {
            self.refuse_set("source.form", "the kind topic is millstream, the kind debezium any of the others");
        }
        let group = self.optional_text("source.group").unwrap_or_else(|| format!("millstream-{slot}"));
        Topic { name, group, form }
    }
}
