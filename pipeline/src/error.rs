//! Printing errors.

use std::error::Error;

/// An error and its causes on one line, for logs and for `status`. Leaves out a cause whose text the line already ends
/// with.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    #[test]
    fn causes_follow_the_error_and_repetitions_are_left_out() {
        let root = Link { text: "connection refused", source: None };
        let repeated = Link { text: "cannot connect: connection refused", source: Some(Box::new(root)) };
        let top = Link { text: "polling failed", source: Some(Box::new(repeated)) };
        assert_eq!(chain(&top), "polling failed: cannot connect: connection refused");
    }
}
