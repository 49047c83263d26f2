//! Quantiles of the cache lag, from the histogram in `/metrics`.

use millstream_projector::metrics::CACHE_LAG_MS;

/// Cumulative counts of a histogram: upper bound in milliseconds, observations up to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LagHistogram(Vec<(f64, f64)>);

impl LagHistogram {
    /// Parses the histogram in the text of `/metrics`.
    pub(super) fn parse(metrics: &str) -> Self {
        let prefix = format!("{CACHE_LAG_MS}_bucket{{");
        let buckets = metrics.lines().filter(|line| line.starts_with(&prefix)).filter_map(|line| {
            let bound = line.split_once("le=\"")?.1.split_once('"')?.0;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, line.rsplit_once(' ')?.1.parse().ok()?))
        });
        Self(buckets.collect())
    }

    /// Returns the value below which this share of the observations lies, interpolated within its bucket; `None` without
    /// observations.
    pub(super) fn quantile_ms(&self, share: f64) -> Option<f64> {
        let total = self.0.last().map(|(_, count)| *count).filter(|total| *total > 0.0)?;
        let wanted = total * share;
        let at = self.0.iter().position(|(_, count)| *count >= wanted)?;
        let (bound, count) = self.0[at];
        let (lower, before) = at.checked_sub(1).map_or((0.0, 0.0), |at| self.0[at]);
        if bound.is_infinite() || count <= before {
            return Some(lower);
        }
        Some(lower + (bound - lower) * (wanted - before) / (count - before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_within_their_bucket() {
        let text = format!(
            "# TYPE {CACHE_LAG_MS} histogram\n{CACHE_LAG_MS}_bucket{{le=\"10\"}} 50\n{CACHE_LAG_MS}_bucket{{le=\"20\"}} 100\n\
             {CACHE_LAG_MS}_bucket{{le=\"+Inf\"}} 100\n{CACHE_LAG_MS}_sum 900\n{CACHE_LAG_MS}_count 100\n"
        );
        let lag = LagHistogram::parse(&text);
        assert_eq!(lag.quantile_ms(0.5), Some(10.0));
        assert_eq!(lag.quantile_ms(0.75), Some(15.0));
        assert_eq!(LagHistogram::parse("").quantile_ms(0.5), None);
    }
}
