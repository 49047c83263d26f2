//! The metrics of this crate, each declared once.

millstream_pipeline::metric_table! {
    PROCESS_INFO: &str = "millstream_process_info", Gauge, Flag,
        "1, with the version, the role and the process id as labels";
    PROCESS_UPTIME_MS: &str = "millstream_process_uptime_ms", Gauge, Milliseconds, "Time since the process started";
    DATABASE_MANAGED: &str = "millstream_database_managed", Gauge, Flag, "1 if the database server is managed by this process";
    DATABASE_CONNECTIONS: &str = "millstream_database_connections", Gauge, Count, "Connections to the database";
    DATABASE_CONNECTIONS_MAX: &str = "millstream_database_connections_max", Gauge, Count,
        "Connections to the database at most";
    DATABASE_CONNECTIONS_IDLE: &str = "millstream_database_connections_idle", Gauge, Count,
        "Connections to the database that are not in use";
    DATABASE_WAITING: &str = "millstream_database_waiting", Gauge, Count,
        "Tasks that wait for a connection to the database";
    DATABASE_POOL_IN_USE: &str = "millstream_database_pool_in_use", Gauge, Count,
        "Connections to the database that are in use, by pool";
    DATABASE_POOL_WAITING: &str = "millstream_database_pool_waiting", Gauge, Count,
        "Tasks that wait for a connection to the database, by pool";
    DATABASE_NEWEST_VERSION: &str = "millstream_database_newest_version", Gauge, Count,
        "Newest version of any document";
    MEMORY_BUDGET_BYTES: &str = "millstream_memory_budget_bytes", Gauge, Bytes,
        "Memory that rows and bodies of documents may take (`memory.budget_mib`)";
    MEMORY_IN_FLIGHT_BYTES: &str = "millstream_memory_in_flight_bytes", Gauge, Bytes,
        "Memory that is reserved for rows and bodies of documents";
    PUBLISH_CHANGES: &str = "millstream_publish_changes_total", Counter, Count,
        "Change records written to the change topic";
    PUBLISH_CONNECTED: &str = "millstream_publish_connected", Gauge, Flag,
        "1 while change records arrive at `millstream publish`";
}
