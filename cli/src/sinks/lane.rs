//! Names of lanes.

use std::fmt;

/// The name of a lane, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneName<'a> {
    /// Name of the sink.
    pub sink: &'a str,
    /// The generation; `None` for a sink without generations.
    pub generation: Option<u32>,
}

impl<'a> LaneName<'a> {
    /// Parses a name: `opensearch-g2` is generation 2 of `opensearch`.
    pub fn parse(name: &'a str) -> Self {
        let parts = name.rsplit_once("-g").and_then(|(sink, number)| Some((sink, number.parse().ok()?)));
        match parts {
            Some((sink, generation)) => Self { sink, generation: Some(generation) },
            None => Self { sink: name, generation: None },
        }
    }

    /// Whether a name that an operator gave means this lane: it is the name of the lane or of its sink.
    pub fn matches(&self, name: &str) -> bool {
        self.sink == name || self.to_string() == name
    }
}

impl fmt::Display for LaneName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            Some(generation) => write!(f, "{}-g{generation}", self.sink),
            None => f.write_str(self.sink),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_formatted() {
        for (name, sink, generation) in
            [("kafka", "kafka", None), ("opensearch-g12", "opensearch", Some(12)), ("a-gb", "a-gb", None)]
        {
            let lane = LaneName::parse(name);
            assert_eq!((lane.sink, lane.generation, lane.to_string()), (sink, generation, name.to_owned()));
            assert!(lane.matches(sink) && lane.matches(name) && !lane.matches("other"));
        }
    }
}
