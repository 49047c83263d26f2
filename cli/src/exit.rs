//! Exit codes. Scripts depend on these numbers, so a code never changes its meaning.

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The command succeeded and found no fault.
    Done,
    /// The command failed or found a fault: differences, refused documents, a server that cannot be reached.
    Failed,
    /// The command line or the configuration is wrong. Nothing was done.
    Usage,
    /// No difference was found, but a copy has not caught up or could not be compared.
    Behind,
    /// The command needs a running Millstream process, and none responds.
    NotRunning,
}

impl Exit {
    /// All results, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Done, Self::Failed, Self::Usage, Self::Behind, Self::NotRunning];

    /// Returns the exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Behind => 3,
            Self::NotRunning => 4,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
