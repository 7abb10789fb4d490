//! What can go wrong between a decision and its record.

use std::path::{Path, PathBuf};

use cleanroom_log::CheckpointError;
use cleanroom_policy::{PartnerName, RoomName, TableName, TemplateName};

use crate::ledger::Limit;
use crate::query_id::QueryId;

pub(crate) type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Why the registry did not do as asked.
///
/// `Display` is for the operator. Whoever asked over a door is told [`RegistryError::public`], which never holds what
/// the database or the file system said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No such room.
    #[error("there is no room `{0}`")]
    NoSuchRoom(RoomName),
    /// The room does not declare the table.
    #[error("room `{room}` declares no table `{table}`")]
    NoSuchTable {
        /// The room.
        room: RoomName,
        /// The table.
        table: TableName,
    },
    /// No such query in the room.
    #[error("room `{room}` has no query `{query}`")]
    NoSuchQuery {
        /// The room.
        room: RoomName,
        /// The query.
        query: QueryId,
    },
    /// A query id was used before.
    #[error("room `{room}` already has a query `{query}`")]
    QueryExists {
        /// The room.
        room: RoomName,
        /// The query.
        query: QueryId,
    },
    /// The query has no result that could be delivered.
    #[error("query `{0}` has no released result")]
    NotReleased(QueryId),
    /// No such token.
    #[error("there is no token `{0}`")]
    NoSuchToken(String),
    /// A policy's version is below the active one.
    #[error("policy of `{table}` has version {given}, and version {active} is active")]
    PolicyOutdated {
        /// The table.
        table: TableName,
        /// The active version.
        active: u64,
        /// The version that was put.
        given: u64,
    },
    /// A policy was changed and kept its version.
    #[error("policy of `{table}` differs from the active one and has the same version {version}")]
    PolicyVersionReused {
        /// The table.
        table: TableName,
        /// The version of both.
        version: u64,
    },
    /// A partner with a key is in a room on terms that it has not signed.
    #[error("`{partner}` has not signed for how it is in room `{room}`: {reason}")]
    Membership {
        /// The room.
        room: RoomName,
        /// The partner.
        partner: PartnerName,
        /// What is missing.
        reason: String,
    },
    /// A policy is not signed by its owner.
    #[error("the policy of `{table}` is not signed by its owner: {reason}")]
    PolicySignature {
        /// The table.
        table: TableName,
        /// What is missing.
        reason: String,
    },
    /// The text of a policy does not say what the checked policy says.
    #[error("text of the policy of `{0}` is not that of the checked policy")]
    PolicyText(TableName),
    /// A policy approves a template that the room does not have.
    #[error("room `{room}` has no template `{template}`")]
    NoSuchTemplate {
        /// The room.
        room: RoomName,
        /// The template.
        template: TemplateName,
    },
    /// A room or a policy that is for tests alone came to a server.
    #[error("{what} is for tests alone (`test_only: true`), which a server does not take")]
    TestOnly {
        /// What it is.
        what: String,
    },
    /// A policy that is for tests alone came into a room that is not.
    #[error("the policy of `{table}` is for tests alone (`test_only: true`), and room `{room}` is not")]
    NotForTests {
        /// The room.
        room: RoomName,
        /// The table.
        table: TableName,
    },
    /// The text of a template does not say what the checked template says.
    #[error("text of the template `{0}` is not that of the checked template")]
    TemplateText(TemplateName),
    /// The template is another partner's.
    #[error("the template `{0}` belongs to another partner")]
    TemplateTaken(TemplateName),
    /// Another template took the place of the one that a question came through.
    #[error("the template `{0}` changed while the question was being checked")]
    TemplateChanged(TemplateName),
    /// Another policy of the table became active while a question was checked against the one before.
    #[error("the policy of `{0}` changed while the question was being checked")]
    PolicyChanged(TableName),
    /// The analyst is no partner of the room that may ask, or no longer one.
    #[error("`{partner}` may not ask in room `{room}`")]
    NotAMember {
        /// The room.
        room: RoomName,
        /// Who asks.
        partner: PartnerName,
    },
    /// The analyst has asked as often as the table's policy allows for the day.
    #[error("the {limit} queries a day that the policy of `{table}` allows are used up")]
    DailyLimit {
        /// The table.
        table: TableName,
        /// Most queries a day.
        limit: u64,
    },
    /// A budget does not admit what the question costs.
    #[error("{which} for `{table}` does not admit what this question costs")]
    Exhausted {
        /// The first table, in the order in which they were given, of which a budget is too small.
        table: TableName,
        /// Whose it is.
        owner: PartnerName,
        /// The budget.
        which: Limit,
    },
    /// A question over a table with noise was neither charged nor paid for before.
    #[error("a question over `{table}`, which has noise, was not charged")]
    Uncharged {
        /// The table.
        table: TableName,
    },
    /// A table cannot be charged: it is given twice, or no policy of the question gives it units and noise.
    #[error("`{table}` cannot be charged: no policy of the question gives it a budget, or it is given twice")]
    NotCharged {
        /// The table.
        table: TableName,
    },
    /// A question is said to be charged, and to no table.
    #[error("the question is charged to no table")]
    NoCharge,
    /// A release is asked for again that the analyst has not paid for.
    #[error("the release that is to be shown again was not paid for")]
    NotPaid,
    /// A room is strict, and its log is shown to no witnesses who could be enough.
    #[error("room `{0}` is strict (`strict: true`), and no witnesses are asked here to cosign its log")]
    NoWitnesses(RoomName),
    /// The answer to a question in a strict room is recorded, and not enough witnesses have cosigned the log over its record.
    #[error(
        "query `{query}` in room `{room}` was answered and charged; its answer is withheld until enough witnesses have cosigned the log"
    )]
    Unwitnessed {
        /// The room.
        room: RoomName,
        /// The query.
        query: QueryId,
    },
    /// Witnesses saw another log of the room than the one that is here.
    #[error("room `{room}` is not served, for its witnesses know another log than the one here: {against}")]
    BehindWitnesses {
        /// The room.
        room: RoomName,
        /// What they said.
        against: String,
    },
    /// The room has no log entry of that sequence.
    #[error("the log of room `{room}` has no entry {sequence}")]
    NoSuchEntry {
        /// The room.
        room: RoomName,
        /// The sequence.
        sequence: u64,
    },
    /// An outcome was recorded in a way its status does not allow.
    #[error("an outcome of status `{status}` cannot be recorded {place}")]
    Misplaced {
        /// The status.
        status: &'static str,
        /// With or without an intent.
        place: &'static str,
    },
    /// The query already has an outcome.
    #[error("query `{0}` already has an outcome")]
    AlreadyRecorded(QueryId),
    /// The database lacks entries that were signed, or holds others in their place.
    #[error(
        "room `{room}`: the database does not hold the log that was signed: checkpoint of {signed} entries, database of {stored}"
    )]
    RolledBack {
        /// The room's name, from its directory.
        room: String,
        /// Entries under the last signed checkpoint.
        signed: u64,
        /// Entries in the database.
        stored: u64,
    },
    /// The checkpoint that was signed last cannot be believed.
    #[error("room `{room}`: the checkpoint on disk is not one that this registry signed: {source}")]
    Checkpoint {
        /// The room.
        room: String,
        /// What is wrong with it.
        source: CheckpointError,
    },
    /// A name that cannot begin a log's origin.
    #[error("log host `{0}` cannot begin the origin of a log")]
    LogHost(String),
    /// The log's signing key is gone.
    #[error("`{}`, the signing key of the logs, is missing, and logs signed by it exist", .0.display())]
    KeyMissing(PathBuf),
    /// Something stored does not read back as what was stored.
    #[error("{what} in the registry is damaged: {detail}")]
    Damaged {
        /// What.
        what: &'static str,
        /// How.
        detail: String,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    Random,
    /// A file of the data directory cannot be read or written.
    #[error("cannot {doing} `{}`: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("registry database: {0}")]
    Database(#[from] sqlx::Error),
    /// The tables of the database cannot be brought to this version's shape.
    #[error("registry database: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The log failed.
    #[error("log: {0}")]
    Log(String),
    /// A worker thread of the registry ended before its work did.
    #[error("a worker of the registry ended early")]
    Interrupted,
}

impl RegistryError {
    /// The stable code of the contract: a request that cannot be met, one that comes at the wrong moment, or an internal
    /// failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PolicyChanged(_) | Self::TemplateChanged(_) => "CR4203",
            Self::DailyLimit { .. } => "CR4104",
            Self::Exhausted { .. } => "CR3001",
            Self::NotAMember { .. } => "CR4101",
            Self::Unwitnessed { .. } | Self::BehindWitnesses { .. } => "CR4205",
            _ if self.is_request() => "CR1006",
            _ => "CR5001",
        }
    }

    /// Whether the request is at fault, and not the server.
    pub fn is_request(&self) -> bool {
        use RegistryError as E;
        matches!(
            self,
            E::NoSuchRoom(_)
                | E::NoSuchTable { .. }
                | E::NoSuchQuery { .. }
                | E::QueryExists { .. }
                | E::NotReleased(_)
                | E::NoSuchToken(_)
                | E::PolicyOutdated { .. }
                | E::PolicyVersionReused { .. }
                | E::Membership { .. }
                | E::PolicySignature { .. }
                | E::PolicyText(_)
                | E::NoSuchEntry { .. }
                | E::NoSuchTemplate { .. }
                | E::TemplateText(_)
                | E::TestOnly { .. }
                | E::NotForTests { .. }
                | E::TemplateTaken(_)
                | E::TemplateChanged(_)
                | E::PolicyChanged(_)
                | E::DailyLimit { .. }
                | E::Exhausted { .. }
                | E::NotAMember { .. }
                | E::NoWitnesses(_)
        )
    }

    /// Whether it is for witnesses to mend: nothing is lost, and nothing is told.
    pub fn is_for_witnesses(&self) -> bool {
        matches!(self, Self::Unwitnessed { .. } | Self::BehindWitnesses { .. })
    }

    /// Whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        use RegistryError as E;
        matches!(
            self,
            E::NoSuchRoom(_)
                | E::NoSuchTable { .. }
                | E::NoSuchQuery { .. }
                | E::NoSuchToken(_)
                | E::NoSuchEntry { .. }
        )
    }

    /// What happened, for whoever asked; nothing of the machine stands in it.
    pub fn public(&self) -> String {
        if self.is_request() || self.is_for_witnesses() {
            self.to_string()
        } else {
            "the registry could not record or read what was asked".to_owned()
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        use RegistryError as E;
        match self {
            E::NoSuchRoom(_) => "apply the room first, or correct its name",
            E::NoSuchTable { .. } => "declare the table in the room document and apply it, or correct its name",
            E::NoSuchQuery { .. } | E::NoSuchToken(_) | E::NoSuchEntry { .. } => "correct the id",
            E::QueryExists { .. } | E::AlreadyRecorded(_) => "ask again under a new query id",
            E::NotReleased(_) => "read the query's outcome first",
            E::PolicyOutdated { .. } => "give the policy a version above the active one",
            E::PolicyVersionReused { .. } => "raise the policy's `version`",
            E::Membership { .. } => {
                "let the partner sign: `cleanroom keys join ROOM.yaml --as PARTNER --key FILE` prints what belongs into the room document; for a server's room, with `--log-host HOST`, the first part of its log's name"
            }
            E::PolicySignature { .. } => {
                "let the owner sign this very version: `cleanroom policy sign POLICY --room ROOM --key FILE`"
            }
            E::PolicyChanged(_) | E::TemplateChanged(_) => "ask again",
            E::NoSuchTemplate { .. } => "put the template first, or approve it by its digest: `name@digest`",
            E::TemplateTaken(_) => "put it under another name, or ask its author or an administrator to change it",
            E::TestOnly { .. } => {
                "take `test_only` away, with an `epsilon` that protects; tests run over room files on the command line"
            }
            E::NotForTests { .. } => "take `test_only` away, with an `epsilon` that protects, or mark the room, too",
            E::TemplateText(_) => "put the text from which the template was parsed",
            E::DailyLimit { .. } => "ask again after midnight UTC",
            E::Exhausted { .. } => {
                "ask for less precision, wait until the budget's next period, or ask the owner for a larger budget; `cleanroom budget` shows what is left"
            }
            E::NoWitnesses(_) => {
                "serve the room with `cleanroom serve --witness-policy FILE`, whose quorum can be met; or take `strict` out of it"
            }
            E::Unwitnessed { .. } => {
                "look the query up again by its id, at no cost; where it stays so, tell the operator that too few witnesses answer"
            }
            E::BehindWitnesses { .. } => {
                "restore the newest database and log together; where a witness is wrong, take it out of the server's policy of witnesses"
            }
            E::NotAMember { .. } => "ask a partner that may, or give this one the ability `query` in the room",
            E::PolicyText(_) => "put the text from which the policy was parsed",
            E::RolledBack { .. } => {
                "restore the newest database and log together; after a loss, keep both as evidence and start in a new data directory"
            }
            E::Checkpoint { .. } => "restore the log and its key together; a log continues under its own key only",
            E::LogHost(_) => "use a host name, without spaces, control characters and `+`",
            E::KeyMissing(_) => "restore the key from its backup",
            E::Damaged { .. } => "restore the data directory from a backup, or report a defect",
            E::Random
            | E::Interrupted
            | E::Misplaced { .. }
            | E::Uncharged { .. }
            | E::NotCharged { .. }
            | E::NoCharge
            | E::NotPaid => "try again, or report a defect",
            E::Database(_) => {
                "see that the disk has space and the data directory can be written, then try again; restore a damaged database together with its log"
            }
            E::File { .. } | E::Log(_) => {
                "see that the disk has space and the data directory can be written, then try again"
            }
            E::Migration(_) => "use the version of the program that last opened this data directory, or a newer one",
        }
    }

    pub(crate) fn file(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, doing, source }
    }

    pub(crate) fn damaged(what: &'static str, detail: impl ToString) -> Self {
        Self::Damaged { what, detail: detail.to_string() }
    }

    pub(crate) fn no_table(room: &RoomName, table: &TableName) -> Self {
        Self::NoSuchTable { room: room.clone(), table: table.clone() }
    }
}

/// A stored partner name, checked again.
pub(crate) fn partner(text: &str) -> Result<PartnerName> {
    PartnerName::new(text).map_err(|error| RegistryError::damaged("a partner's name", error))
}
