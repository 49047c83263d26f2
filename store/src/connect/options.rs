//! The options of a connection.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::keep_alive;

/// The protection of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Plain text.
    Disable,
    /// TLS if the server offers it, without checking its certificate.
    #[default]
    Prefer,
    /// TLS or no connection, without checking the certificate.
    Require,
    /// TLS, with a certificate for the named server.
    VerifyFull,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A host name or address.
    Tcp(String),
    /// The directory of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(name) => f.write_str(name),
            Self::Unix(directory) => write!(f, "{}", directory.display()),
        }
    }
}

/// A database and its address, parsed from `postgres://user:password@host/db?sslmode=verify-full` or from
/// `host=… user=… dbname=…`.
///
/// Neither `Debug` nor `Display` ever shows the password.
#[derive(Clone)]
pub struct ConnectOptions {
    pub(super) driver: tokio_postgres::Config,
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) ssl_mode: SslMode,
    pub(super) ssl_root_cert: Option<PathBuf>,
}

impl ConnectOptions {
    /// Options for a server on TCP, without TLS requirements and without a password.
    pub fn new(host: &str, port: u16, user: &str, dbname: &str) -> Self {
        let mut driver = tokio_postgres::Config::new();
        driver.host(host).port(port).user(user).dbname(dbname);
        Self::from_driver(driver, Host::Tcp(host.to_owned()), port)
    }

    pub(super) fn from_driver(mut driver: tokio_postgres::Config, host: Host, port: u16) -> Self {
        if driver.get_application_name().is_none() {
            driver.application_name("millstream");
        }
        if driver.get_connect_timeout().is_none() {
            driver.connect_timeout(Duration::from_secs(10));
        }
        keep_alive::configure(&mut driver);
        Self { driver, host, port, ssl_mode: SslMode::default(), ssl_root_cert: None }
    }

    /// Sets the password.
    pub fn with_password(mut self, password: &str) -> Self {
        self.driver.password(password);
        self
    }

    /// Sets the database.
    pub fn with_dbname(mut self, dbname: &str) -> Self {
        self.driver.dbname(dbname);
        self
    }

    /// The same database, reached at another address (a proxy in between).
    pub fn with_address(self, host: &str, port: u16) -> Self {
        let mut moved = Self::new(host, port, self.user(), self.dbname())
            .with_application_name(self.driver.get_application_name().unwrap_or_default())
            .with_ssl_mode(self.ssl_mode);
        if let Some(password) = self.driver.get_password() {
            moved.driver.password(password);
        }
        moved.ssl_root_cert = self.ssl_root_cert;
        moved
    }

    /// Sets the name that `pg_stat_activity` shows for these connections; `millstream` unless set.
    pub fn with_application_name(mut self, name: &str) -> Self {
        self.driver.application_name(name);
        self
    }

    /// Sets the protection of the connection.
    pub fn with_ssl_mode(mut self, mode: SslMode) -> Self {
        self.ssl_mode = mode;
        self
    }

    /// The address of the server.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, also part of a Unix socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The role.
    pub fn user(&self) -> &str {
        self.driver.get_user().unwrap_or_default()
    }

    /// The database; the role's name if none was given.
    pub fn dbname(&self) -> &str {
        self.driver.get_dbname().unwrap_or_else(|| self.user())
    }

    /// The password, to pass to another client. Never print it.
    pub fn password(&self) -> Option<&[u8]> {
        self.driver.get_password()
    }

    /// The protection of the connection.
    pub fn ssl_mode(&self) -> SslMode {
        self.ssl_mode
    }

    /// File of certificate authorities for [`SslMode::VerifyFull`]; none means those of the operating system.
    pub fn ssl_root_cert(&self) -> Option<&Path> {
        self.ssl_root_cert.as_deref()
    }

    /// The driver's configuration.
    pub(super) fn driver(&self) -> tokio_postgres::Config {
        let mut driver = self.driver.clone();
        driver.ssl_mode(match self.ssl_mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyFull => tokio_postgres::config::SslMode::Require,
        });
        driver
    }
}

impl fmt::Display for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user(), self.host, self.port, self.dbname())
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user())
            .field("password", &self.password().map(|_| "***"))
            .field("dbname", &self.dbname())
            .field("ssl_mode", &self.ssl_mode)
            .field("ssl_root_cert", &self.ssl_root_cert)
            .finish_non_exhaustive()
    }
}
