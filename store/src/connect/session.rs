//! One connection outside any pool.

use std::{ops::Deref, time::Duration};

use tokio::task::JoinHandle;

use super::{
    establish::{ESTABLISH, establish},
    options::ConnectOptions,
    settings::SessionSettings,
};
use crate::error::StoreError;

/// One connection outside any pool; closed when dropped.
#[derive(Debug)]
pub struct Session {
    client: tokio_postgres::Client,
    connection: JoinHandle<()>,
}

impl Session {
    /// Connects, with the default [`SessionSettings`].
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn open(options: &ConnectOptions) -> Result<Self, StoreError> {
        Self::open_within(options, ESTABLISH).await
    }

    /// Connects with the default settings, or gives up after `limit`.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn open_within(options: &ConnectOptions, limit: Duration) -> Result<Self, StoreError> {
        let (client, connection) = establish(options, &SessionSettings::default(), limit).await?;
        Ok(Self { client, connection })
    }

    /// Connects with these settings.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn open_with(options: &ConnectOptions, settings: &SessionSettings) -> Result<Self, StoreError> {
        let (client, connection) = establish(options, settings, ESTABLISH).await?;
        Ok(Self { client, connection })
    }

    /// The client, for starting transactions.
    pub fn client_mut(&mut self) -> &mut tokio_postgres::Client {
        &mut self.client
    }
}

impl Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
