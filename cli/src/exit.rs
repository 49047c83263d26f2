//! What the process says when it ends. Scripts depend on these numbers, so they only ever gain meanings.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked, and the answer is good.
    Done,
    /// It failed, or the answer is bad: differences found, documents refused, a server that cannot be reached.
    Failed,
    /// The command line or the configuration cannot be used. Nothing was done.
    Usage,
    /// Nothing is wrong as far as that was seen: a copy has not caught up, or `verify` could not compare it here.
    Behind,
    /// The command talks to a running Millstream, and none answers.
    NotRunning,
}

impl Exit {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Done, Self::Failed, Self::Usage, Self::Behind, Self::NotRunning];

    /// The number that the operating system gets.
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
