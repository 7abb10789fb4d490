//! What an entry can say: one body per event type. Bodies name things and commit to them; they never hold data values,
//! counts, labels or durations.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::entry::EntryTime;
use crate::hash::Digest;
use crate::note::VerifierKey;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// `room.put`: a room was created or changed.
    RoomPut(RoomPut),
    /// `policy.active`: from here on this policy decides over a table.
    PolicyActive(PolicyActive),
    /// `template.put`: from here on this is the template of its name.
    TemplatePut(TemplatePut),
    /// `table.version`: a table has new data.
    TableVersion(TableVersion),
    /// `token.issued`: a partner or operator can log in with a new token.
    TokenIssued(TokenIssued),
    /// `token.revoked`: a token is no longer good.
    TokenRevoked(TokenRevoked),
    /// `query.intent`: a question was accepted and charged, and is about to be executed.
    QueryIntent(QueryIntent),
    /// `query.priced`: a dry run was decided, nothing was executed.
    QueryPriced(QueryPriced),
    /// `query.refused`: a question was refused, nothing was executed.
    QueryRefused(QueryRefused),
    /// `query.outcome`: how the question of an intent ended.
    QueryOutcome(QueryOutcome),
    /// `result.delivered`: a partner received a result.
    ResultDelivered(ResultDelivered),
}

/// Body of `room.put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomPut {
    /// Digest of the room's canonical document.
    pub digest: Digest,
    /// Whether answers are withheld until enough witnesses have cosigned the log over them; absent of the oldest entries, which do
    /// not tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub strict: Option<bool>,
    /// Everybody in it from here on.
    pub members: Vec<Member>,
}

/// A partner in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The partner's name.
    pub partner: String,
    /// What it may do: `contribute`, `query`, `receive`, `audit`.
    pub abilities: Vec<String>,
    /// The key that signs for it, as a verifier key under its name; absent of a partner that signs nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// Its signature over the membership ([`crate::MembershipStatement`]); there where `key` is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<String>,
    /// When it signed; only where `key` is, and absent of the oldest memberships, which were signed without.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// The signature of the key it had before over the same; there where the key changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rotation: Option<String>,
}

/// Body of `policy.active`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyActive {
    /// `owner.table`.
    pub table: String,
    /// The policy's version; it never goes back.
    pub version: u64,
    /// SHA-256 of the policy's canonical document, which is also a blob.
    pub digest: Digest,
    /// The digest that was active until now; absent for a table's first policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Digest>,
    /// The templates through which alone the table may be asked of, as they were approved; absent where any question may be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub templates: Option<Vec<TemplateReference>>,
    /// The owner's signature over it ([`crate::PolicyStatement`]); absent of an owner that has no key in the room.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signature: Option<String>,
}

/// A template with one content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateReference {
    /// The template's name.
    pub name: String,
    /// SHA-256 of its canonical document.
    pub digest: Digest,
}

/// Body of `template.put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplatePut {
    /// The template's name.
    pub name: String,
    /// SHA-256 of the template's canonical document, which is also a blob.
    pub digest: Digest,
    /// The digest that stood under the name until now; absent for a new name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<Digest>,
}

/// Body of `table.version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableVersion {
    /// `owner.table`.
    pub table: String,
    /// The version of its data, from 1; each is above the one before.
    pub version: u64,
    /// SHA-256 of the schema, which is also a blob.
    pub schema: Digest,
    /// Digest of the content, salted with a secret of the room.
    pub content: Digest,
}

/// Body of `token.issued`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenIssued {
    /// Who can log in with it; absent for an operator.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub partner: Option<String>,
    /// What it may do.
    pub role: Role,
    /// The token's public identifier.
    pub token: String,
}

/// What the bearer of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What its partner may do in the rooms it is in.
    Member,
    /// Set up rooms and tokens.
    Admin,
}

/// Body of `token.revoked`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRevoked {
    /// The token's public identifier.
    pub token: String,
}

/// Body of `query.intent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryIntent {
    /// SHA-256 of the question's text, which is also a blob.
    pub sql: Digest,
    /// SHA-256 of the checked plan, which is also a blob.
    pub plan: Digest,
    /// The policy of every table in the question, as it was active when the question was decided.
    pub policies: Vec<PolicyReference>,
    /// The data of every table in the question.
    pub tables: Vec<TableReference>,
    /// What it costs, per budget.
    pub charge: Vec<Charge>,
    /// The request of an earlier question of the same partner, which paid for the release that is shown again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replay: Option<String>,
    /// The template it came through; absent for a question in SQL.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template: Option<TemplateReference>,
    /// SHA-256 of its parameters as a JSON object, which is also a blob; absent where none were given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub params: Option<Digest>,
}

/// A policy that decided a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyReference {
    /// `owner.table`.
    pub table: String,
    /// SHA-256 of the policy's canonical document.
    pub digest: Digest,
}

/// Data that a question reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableReference {
    /// `owner.table`.
    pub table: String,
    /// The version of its data.
    pub version: u64,
}

/// A charge against the budget of one table. Its owner's account of the identity space is charged the same, once a question.
///
/// Amounts are whole units as decimal numbers in text, for they pass what a JSON number holds exactly; `2^63 - 1` stands for
/// "without limit".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// `owner.table`.
    pub table: String,
    /// The identity space of its units.
    pub space: String,
    /// Zero-concentrated loss, in units of 1e-12.
    pub rho: String,
    /// The chance that no bound holds, in units of 1e-18.
    pub delta: String,
    /// Pure loss, in units of 1e-12; absent of noise that has no such bound.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub epsilon: Option<String>,
}

/// Body of `query.priced`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryPriced {
    /// SHA-256 of the question's text, which is also a blob.
    pub sql: Digest,
    /// What the answer would have been.
    pub outcome: PricedOutcome,
    /// The template it came through; absent for a question in SQL.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template: Option<TemplateReference>,
    /// SHA-256 of its parameters as a JSON object, which is also a blob; absent where none were given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub params: Option<Digest>,
}

/// What a dry run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PricedOutcome {
    /// The question would be answered.
    Released,
    /// The question would be refused.
    Refused,
}

/// Body of `query.refused`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRefused {
    /// SHA-256 of the question's text, which is also a blob.
    pub sql: Digest,
    /// Why: `CR` and four digits.
    pub code: String,
    /// The template it came through; absent for a question in SQL.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template: Option<TemplateReference>,
    /// SHA-256 of its parameters as a JSON object, which is also a blob; absent where none were given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub params: Option<Digest>,
}

/// Body of `query.outcome`. A released outcome has a result and no code, any other a code and no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryOutcome {
    /// How it ended.
    pub status: OutcomeStatus,
    /// Why there is no result: `CR` and four digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// SHA-256 of 32 random bytes and the canonical result.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<Digest>,
}

/// How a question ended that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeStatus {
    /// A result may be shown.
    Released,
    /// Something broke; the charge stays.
    Failed,
    /// It was stopped; the charge stays.
    Cancelled,
}

/// Body of `result.delivered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultDelivered {
    /// Sequence number of the `query.outcome` whose result was delivered.
    pub query: u64,
    /// Who received it.
    pub to: String,
    /// In which format: `json`, `csv`, `arrow`, `parquet`, `table`.
    pub format: String,
}

macro_rules! events {
    ($($kind:literal => $variant:ident,)*) => {
        impl Event {
            /// The name of the event's type, as the entry's field `type` holds it.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                }
            }

            /// Reads a body of the named type; `None` for an unknown type.
            pub(crate) fn parse(kind: &str, body: &str) -> Option<serde_json::Result<Self>> {
                match kind {
                    $($kind => Some(serde_json::from_str(body).map(Self::$variant)),)*
                    _ => None,
                }
            }
        }

        $(impl From<$variant> for Event {
            fn from(body: $variant) -> Self {
                Self::$variant(body)
            }
        })*
    };
}

events! {
    "room.put" => RoomPut,
    "policy.active" => PolicyActive,
    "template.put" => TemplatePut,
    "table.version" => TableVersion,
    "token.issued" => TokenIssued,
    "token.revoked" => TokenRevoked,
    "query.intent" => QueryIntent,
    "query.priced" => QueryPriced,
    "query.refused" => QueryRefused,
    "query.outcome" => QueryOutcome,
    "result.delivered" => ResultDelivered,
}

/// One rule that a field broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) field: &'static str,
    pub(crate) rule: &'static str,
}

pub(crate) fn require(fits: bool, field: &'static str, rule: &'static str) -> Result<(), Broken> {
    if fits { Ok(()) } else { Err(Broken { field, rule }) }
}

pub(crate) fn name(text: &str, field: &'static str) -> Result<(), Broken> {
    let rule = "a name is 1 to 63 of a-z, 0-9, `_` and `-`, starting with a letter";
    let rest = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    let fits = text.len() <= 63 && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(rest);
    require(fits, field, rule)
}

pub(crate) fn identifier(text: &str, field: &'static str) -> Result<(), Broken> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let rule = "an identifier is 1 to 64 letters, digits, `_` and `-`";
    require((1..=64).contains(&text.len()) && text.bytes().all(fits), field, rule)
}

pub(crate) fn integer(value: u64, field: &'static str) -> Result<(), Broken> {
    require(value <= crate::format::INTEGER_LIMIT, field, "an integer is at most 2^53 - 1")
}

fn table(text: &str) -> Result<(), Broken> {
    let rule = "a table is written `owner.table`";
    let (owner, table) = text.split_once('.').ok_or(Broken { field: "table", rule })?;
    name(owner, "table")?;
    name(table, "table")
}

fn amount(text: &str, field: &'static str) -> Result<(), Broken> {
    let fits = text.parse::<i64>().is_ok_and(|units| units >= 0 && units.to_string() == text);
    require(fits, field, "an amount is a whole number from 0 to 2^63 - 1, in decimal digits")
}

fn charge(charge: &Charge) -> Result<(), Broken> {
    table(&charge.table)?;
    name(&charge.space, "space")?;
    amount(&charge.rho, "rho")?;
    amount(&charge.delta, "delta")?;
    charge.epsilon.as_deref().map_or(Ok(()), |epsilon| amount(epsilon, "epsilon"))
}

fn code(text: &str) -> Result<(), Broken> {
    let digits = text.strip_prefix("CR").unwrap_or_default();
    let fits = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    require(fits, "code", "a code is `CR` and four digits")
}

fn signer(key: &str, partner: &str) -> Result<(), Broken> {
    let read = key.parse::<VerifierKey>();
    require(
        read.is_ok_and(|key| key.origin().as_str() == partner),
        "key",
        "a key is a verifier key under its partner's name",
    )
}

fn signature(text: &str) -> Result<(), Broken> {
    let fits = STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 68);
    require(fits, "signature", "a signature is base64 of 4 and 64 bytes")
}

fn asked_through(template: Option<&TemplateReference>) -> Result<(), Broken> {
    template.map_or(Ok(()), |template| name(&template.name, "template"))
}

impl Event {
    /// The rules that the types of the fields do not hold by themselves.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        match self {
            Self::RoomPut(body) => body.members.iter().try_for_each(|member| {
                name(&member.partner, "partner")?;
                let fits = member.key.is_some() == member.signature.is_some()
                    && (member.key.is_some() || member.since.is_none());
                require(fits, "signature", "a partner with a key signs its membership, no other does")?;
                let since = member.since.as_deref().is_none_or(|since| EntryTime::parse(since).is_some());
                require(since, "since", "RFC 3339 in UTC with milliseconds, as in `2026-05-04T13:14:15.123Z`")?;
                member.key.as_deref().map_or(Ok(()), |key| signer(key, &member.partner))?;
                [&member.signature, &member.rotation].into_iter().flatten().try_for_each(|text| signature(text))?;
                member.abilities.iter().try_for_each(|ability| name(ability, "abilities"))
            }),
            Self::PolicyActive(body) => {
                table(&body.table)?;
                integer(body.version, "version")?;
                let some = body.templates.as_ref().is_none_or(|templates| !templates.is_empty());
                require(some, "templates", "a policy that approves templates approves at least one")?;
                body.signature.as_deref().map_or(Ok(()), signature)?;
                body.templates.iter().flatten().try_for_each(|template| name(&template.name, "templates"))
            }
            Self::TemplatePut(body) => name(&body.name, "name"),
            Self::TableVersion(body) => table(&body.table).and_then(|()| integer(body.version, "version")),
            Self::TokenIssued(body) => {
                body.partner.as_deref().map_or(Ok(()), |partner| name(partner, "partner"))?;
                identifier(&body.token, "token")
            }
            Self::TokenRevoked(body) => identifier(&body.token, "token"),
            Self::QueryIntent(body) => {
                asked_through(body.template.as_ref())?;
                body.policies.iter().try_for_each(|policy| table(&policy.table))?;
                body.charge.iter().try_for_each(charge)?;
                body.replay.as_deref().map_or(Ok(()), |request| identifier(request, "replay"))?;
                require(
                    body.replay.is_none() || body.charge.is_empty(),
                    "replay",
                    "what is shown again costs nothing",
                )?;
                body.tables
                    .iter()
                    .try_for_each(|read| table(&read.table).and_then(|()| integer(read.version, "version")))
            }
            Self::QueryPriced(body) => asked_through(body.template.as_ref()),
            Self::QueryRefused(body) => asked_through(body.template.as_ref()).and_then(|()| code(&body.code)),
            Self::QueryOutcome(body) => {
                let released = body.status == OutcomeStatus::Released;
                require(released == body.result.is_some(), "result", "a released outcome has a result, no other has")?;
                require(released == body.code.is_none(), "code", "a released outcome has no code, every other has")?;
                body.code.as_deref().map_or(Ok(()), code)
            }
            Self::ResultDelivered(body) => {
                integer(body.query, "query")?;
                name(&body.to, "to")?;
                name(&body.format, "format")
            }
        }
    }
}
