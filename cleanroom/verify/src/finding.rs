//! What a verification can find.

use std::fmt;

use crate::hash::Hash;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many entries the signed checkpoint covers; 0 where there is none to believe.
    pub size: u64,
    /// The root that the checkpoint signs.
    pub root: Hash,
    /// Whether the room is strict by the last entry that tells: its answers wait for witnesses. `None` where none tells.
    pub strict: Option<bool>,
    /// Everything that is not as it should be, and notices.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing failed; notices do not count.
    pub fn passed(&self) -> bool {
        !self.findings.iter().any(Finding::is_failure)
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The entry it is about.
    pub index: Option<u64>,
    /// What kind of thing.
    pub code: Code,
    /// What exactly, in a sentence; never a data value.
    pub message: String,
}

impl Finding {
    /// Whether the log cannot be believed because of it; otherwise it is a notice.
    pub const fn is_failure(&self) -> bool {
        self.code.is_failure()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "entry {index}: {} ({})", self.message, self.code),
            None => write!(f, "{} ({})", self.message, self.code),
        }
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $code:ident => $text:literal, $failure:literal;)*) => {
        /// Kinds of findings. Their texts are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])* $code,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The code as users see it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }

            /// Whether a log with such a finding cannot be believed.
            pub const fn is_failure(self) -> bool {
                match self {
                    $(Self::$code => $failure,)*
                }
            }
        }
    };
}

codes! {
    /// A file that the checkpoint covers is not there.
    MissingFile => "missing-file", true;
    /// A file is not of its format.
    DamagedFile => "damaged-file", true;
    /// The checkpoint is not one.
    Checkpoint => "checkpoint", true;
    /// The checkpoint is not signed by the log's key.
    Signature => "signature", true;
    /// The published key is not the log's.
    KeyMismatch => "key-mismatch", true;
    /// A tile or bundle is not what the entries make it.
    TileMismatch => "tile-mismatch", true;
    /// The entries do not have the signed root.
    RootMismatch => "root-mismatch", true;
    /// A checkpoint or receipt that was kept is of other entries than the log has.
    Forked => "forked", true;
    /// A checkpoint or receipt that was kept is of more entries than the log has.
    RolledBack => "rolled-back", true;
    /// A receipt that was kept does not hold by itself.
    Receipt => "receipt", true;
    /// A signature is not by the witness that it names.
    Cosignature => "cosignature", true;
    /// A signature by nobody that a policy of witnesses names, which was not verified.
    UnknownCosigner => "unknown-cosigner", false;
    /// Entries that not enough witnesses have cosigned.
    Unwitnessed => "unwitnessed", true;
    /// Cosignatures that were not verified, for want of a policy.
    NoPolicy => "no-policy", false;
    /// A blob is not what its name says.
    BlobMismatch => "blob-mismatch", true;
    /// An entry is not of the entry format.
    Entry => "entry", true;
    /// An entry is not canonical JSON.
    NotCanonical => "not-canonical", true;
    /// An entry has another number than its place.
    Sequence => "sequence", true;
    /// An entry of another room.
    OtherRoom => "other-room", true;
    /// An entry is earlier than the one before it.
    Time => "time", true;
    /// A policy's version went back, or changed without a new version.
    PolicyVersion => "policy-version", true;
    /// A question was decided by a policy that was not active.
    PolicyNotActive => "policy-not-active", true;
    /// A partner is in the room under a key or on terms that it has not signed.
    Membership => "membership", true;
    /// A partner's signature names no log: it would hold in another one, of a room of the same name.
    UnboundMembership => "unbound-membership", false;
    /// Answers wait for witnesses from here on.
    Strict => "strict", false;
    /// Answers wait for witnesses no longer.
    NotStrict => "not-strict", false;
    /// A room's entry leaves out whether it is strict, after earlier ones that tell.
    StrictLeftOut => "strict-left-out", true;
    /// A policy is not signed by its owner.
    PolicySignature => "policy-signature", true;
    /// A policy whose owner has no key in the room.
    Unsigned => "unsigned", false;
    /// A template replaced another than the one in force, or a question came through one that was not in force.
    Template => "template", true;
    /// A question about a table came through no template that its policy approves.
    TemplateNotApproved => "template-not-approved", true;
    /// A charge that its question cannot have.
    Charge => "charge", true;
    /// More was charged than a policy lets be spent.
    Overspent => "overspent", true;
    /// A question over a table with noise was neither charged nor paid for before.
    Uncharged => "uncharged", true;
    /// A table's version did not rise, or a question read one that does not exist.
    TableVersion => "table-version", true;
    /// Somebody asked who may not ask in this room.
    NotAMember => "not-a-member", true;
    /// An identifier was used for two questions.
    RepeatedRequest => "repeated-request", true;
    /// An outcome without a question.
    NoIntent => "no-intent", true;
    /// A question with two outcomes.
    SecondOutcome => "second-outcome", true;
    /// A question that should long have an outcome.
    MissingOutcome => "missing-outcome", true;
    /// A result was delivered that no outcome released.
    NoOutcome => "no-outcome", true;
    /// A question that has no outcome yet.
    Unfinished => "unfinished", false;
    /// Files that no checkpoint covers yet.
    BeyondCheckpoint => "beyond-checkpoint", false;
    /// A history of checkpoints whose end was not written, or not read.
    PartialHistory => "partial-history", false;
    /// A log in which nothing was signed yet.
    NotStarted => "not-started", false;
    /// A log that is not grown from the checkpoint that was kept of it.
    Fork => "fork", true;
    /// Schemas of tables that whoever made this copy was not shown.
    Withheld => "withheld", false;
    /// More findings than are listed.
    More => "more", true;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Findings so far. A log that is wrong throughout must not fill the memory.
#[derive(Debug, Default)]
pub(super) struct Findings {
    listed: Vec<Finding>,
    more: usize,
}

impl Findings {
    const LIMIT: usize = 1000;

    pub(super) fn add(&mut self, index: Option<u64>, code: Code, message: &str) {
        // A notice never uses up the place of a failure.
        if !self.is_full() || !code.is_failure() {
            self.listed.push(Finding { index, code, message: message.to_owned() });
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.listed.len() >= Self::LIMIT
    }

    pub(super) fn into_vec(mut self) -> Vec<Finding> {
        if self.more > 0 {
            let message = format!("{} more findings are not listed", self.more);
            self.listed.push(Finding { index: None, code: Code::More, message });
        }
        self.listed
    }
}
