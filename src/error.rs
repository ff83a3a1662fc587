//! What can end the program, each with its exit code and one line that says what to do next.

use thiserror::Error;

/// The reason why the bridge ended other than as asked.
#[derive(Debug, Error)]
pub enum Error {
    /// A value or its surroundings make no sense.
    #[error("{0}")]
    Usage(String),
    /// The host could not be reached, lacks something required, or went away.
    #[error("{0}")]
    Host(String),
    /// The guest could not be reached in time.
    #[error("{0}")]
    Guest(String),
    /// Something of ours failed.
    #[error("internal error: {0:#}")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    /// The documented exit code: see `wolf-bridge --help`.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Host(_) => 3,
            Self::Guest(_) => 4,
            Self::Internal(_) => 1,
        }
    }
}
