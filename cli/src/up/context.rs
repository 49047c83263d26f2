//! The values that a start works with.

use crate::{
    compiled::Compiled,
    config::Config,
    process::{role::Role, state::ProcessState},
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Instant;

/// Role, configuration and schema of the process, its metrics recorder and its state.
pub(super) struct StartContext<'a> {
    pub(super) role: Role,
    pub(super) config: &'a Config,
    pub(super) compiled: Compiled,
    pub(super) recorder: PrometheusHandle,
    pub(super) state: ProcessState,
    pub(super) started: Instant,
}
