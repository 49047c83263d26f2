//! What `/metrics` says, as far as these tests read it.

/// One answer of `/metrics`.
pub(crate) struct Scraped(Vec<(String, f64)>);

impl Scraped {
    /// Reads the text format: a series and its value a line.
    pub(crate) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            (series.to_owned(), value.parse().unwrap_or_else(|error| panic!("{error}: {line}")))
        });
        Self(series.collect())
    }

    /// The sum of the series of this name that have these labels; none if there is none.
    pub(crate) fn value(&self, name: &str, labels: &[String]) -> Option<f64> {
        let meant = self.0.iter().filter(|(series, _)| {
            let rest = series.strip_prefix(name);
            rest.is_some_and(|rest| {
                (rest.is_empty() || rest.starts_with('{')) && labels.iter().all(|label| rest.contains(label))
            })
        });
        meant.map(|(_, value)| *value).reduce(|sum, value| sum + value)
    }
}
