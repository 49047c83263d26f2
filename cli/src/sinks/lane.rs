//! The name of a lane: that of its sink, and which generation of it.

use std::fmt;

/// A lane's name, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneName<'a> {
    /// The sink.
    pub sink: &'a str,
    /// Which generation of its content; none for a sink that has no generations.
    pub generation: Option<u32>,
}

impl<'a> LaneName<'a> {
    /// Takes a name apart: `opensearch-g2` is generation 2 of `opensearch`.
    pub fn parse(name: &'a str) -> Self {
        let parts = name.rsplit_once("-g").and_then(|(sink, number)| Some((sink, number.parse().ok()?)));
        match parts {
            Some((sink, generation)) => Self { sink, generation: Some(generation) },
            None => Self { sink: name, generation: None },
        }
    }

    /// Whether people who say `name` mean this lane: they name the lane itself, or its sink.
    pub fn is_meant_by(&self, name: &str) -> bool {
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
    fn names_are_taken_apart_and_put_together() {
        for (name, sink, generation) in
            [("kafka", "kafka", None), ("opensearch-g12", "opensearch", Some(12)), ("a-gb", "a-gb", None)]
        {
            let lane = LaneName::parse(name);
            assert_eq!((lane.sink, lane.generation, lane.to_string()), (sink, generation, name.to_owned()));
            assert!(lane.is_meant_by(sink) && lane.is_meant_by(name) && !lane.is_meant_by("other"));
        }
    }
}
