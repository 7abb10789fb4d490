//! How the program ends.

use std::process::ExitCode;

/// The exit codes of the command line. They are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; also an answer in which every group was suppressed.
    Done = 0,
    /// Something failed that is not the caller's doing.
    Failure = 1,
    /// Wrong usage, or a file that cannot be used.
    Usage = 2,
    /// Refused by policy.
    Refused = 3,
    /// A budget or a daily limit is used up.
    Exhausted = 4,
    /// Whoever asks may not.
    NotPermitted = 5,
    /// A log or receipt does not verify.
    NotVerified = 6,
}

impl Exit {
    /// The exit that goes with the code of a question that was not answered.
    pub(crate) fn of_code(code: &str) -> Self {
        match code {
            "CR4101" | "CR4102" | "CR4103" => Self::NotPermitted,
            "CR3001" | "CR4104" | "CR4105" => Self::Exhausted,
            _ if code.starts_with("CR1") || code.starts_with("CR2") || code.starts_with("CR3") => Self::Refused,
            _ => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;
    use cleanroom_vault::Code;

    #[test]
    fn exits_agree_with_the_vaults_own() {
        for code in Code::ALL {
            assert_eq!(Exit::of_code(code.as_str()) as u8, code.exit_code(), "{}", code.as_str());
        }
    }
}
