//! Refusals: why a question is not answered, for the person who asked it.
//!
//! A refusal depends on the query, the schema and the policies alone, never on a row.

use cleanroom_policy::{PartnerName, Policy, TableName};
use cleanroom_registry::{Outcome, Status};
use serde::Serialize;
use serde_json::{Value, json};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $title:literal;)*) => {
        /// Every reason for which a question is not answered. Codes are stable: they are never given a new meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the title of each code is its documentation")]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All codes in ascending order.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as users see it, e.g. `CR2104`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $number,)* }
            }

            /// What the code means, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)* }
            }
        }
    };
}

codes! {
    NotSql = "CR1001", "not valid SQL";
    NotOneSelect = "CR1002", "only one SELECT statement is answered";
    Syntax = "CR1003", "clause or syntax is not supported";
    TooLarge = "CR1004", "statement is too large or too deep";
    UnknownName = "CR1005", "unknown table or column";
    Malformed = "CR1006", "malformed request";
    DuplicateOutput = "CR1007", "duplicate output name";
    Invalid = "CR1008", "types or arguments do not fit";
    NotAvailable = "CR1009", "not available in this version";
    RowsWouldLeave = "CR2101", "rows would leave: the result is not aggregated";
    GroupedByKey = "CR2102", "grouped by a key column";
    KeyMisused = "CR2103", "key column used outside join and count";
    KeyCompared = "CR2104", "key column compared with a literal or another value";
    NotADimension = "CR2105", "column is not granted as a dimension";
    NotAFilter = "CR2106", "column is not granted as a filter";
    Aggregate = "CR2107", "aggregate is not allowed";
    NotAMeasure = "CR2108", "argument of the aggregate is not a granted measure";
    MeasureFunction = "CR2109", "aggregate is not granted on this measure";
    CountNotGranted = "CR2110", "unit may not be counted";
    LiteralNotAllowed = "CR2111", "comparison with this literal is not allowed";
    NotAKeyJoin = "CR2201", "join is not an equality of keys of one identity space";
    JoinType = "CR2202", "join type is not allowed";
    JoinPartner = "CR2203", "join with this table is not allowed";
    JoinRequired = "CR2204", "required join is missing";
    ReferenceJoin = "CR2205", "join with a reference table on a column that is not granted for it";
    NullSafeKey = "CR2206", "null-safe equality of keys";
    OwnMeasure = "CR2207", "measure of the asking partner's own table in a join";
    FanOut = "CR2208", "reference table joined on columns that are not unique in it";
    Function = "CR2301", "function is not allowed";
    Clause = "CR2302", "clause is not allowed on protected rows";
    ReleasedSteers = "CR2303", "released values may not select protected rows";
    Subquery = "CR2304", "subquery is not allowed here";
    // CR2401 stood for rules of a policy that could not be enforced yet.
    TemplateRequired = "CR2402", "only approved templates are answered";
    NoiseMissing = "CR2403", "not everything in the statement can be given noise";
    NotSigned = "CR2404", "a table's policy is not signed by its owner";
    Exhausted = "CR3001", "privacy budget is used up";
    TooMuch = "CR3002", "more epsilon than one question may spend";
    NotAMember = "CR4101", "partner may not ask in this room";
    NotAnAnalyst = "CR4102", "partner is not among the table's analysts";
    NotAReceiver = "CR4103", "partner is not among the table's receivers";
    DailyLimit = "CR4104", "daily number of queries is used up";
    CellLimit = "CR4105", "released cells of the table's data are used up";
    TimeLimit = "CR4201", "time limit reached";
    SizeLimit = "CR4202", "memory or size limit reached";
    Busy = "CR4203", "too many queries at once";
    Cancelled = "CR4204", "cancelled";
    Unwitnessed = "CR4205", "not cosigned by enough witnesses";
    Internal = "CR5001", "internal failure";
}

impl Code {
    /// The exit code of the command line, per the contract: 3 policy or request, 4 budget, 5 identity, 1 failure.
    pub fn exit_code(self) -> u8 {
        match self {
            Code::NotAMember | Code::NotAnAnalyst | Code::NotAReceiver => 5,
            // To a script such a limit is a budget that is used up.
            Code::DailyLimit | Code::CellLimit | Code::Exhausted => 4,
            Code::TimeLimit | Code::SizeLimit | Code::Busy | Code::Cancelled | Code::Unwitnessed | Code::Internal => 1,
            _ => 3,
        }
    }

    /// The HTTP status a refusal of this code is sent with.
    pub fn http_status(self) -> u16 {
        match self {
            Code::NotSql
            | Code::NotOneSelect
            | Code::Syntax
            | Code::TooLarge
            | Code::UnknownName
            | Code::Malformed
            | Code::DuplicateOutput
            | Code::Invalid => 400,
            Code::NotAMember | Code::NotAnAnalyst | Code::NotAReceiver => 403,
            Code::DailyLimit => 429,
            Code::Busy | Code::Unwitnessed => 503,
            Code::Cancelled => 409,
            Code::TimeLimit | Code::SizeLimit => 422,
            Code::Internal => 500,
            _ => 422,
        }
    }
}

/// Where in the SQL text something stands; line and column count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// Characters.
    pub length: u64,
}

/// The policy rule a refusal rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    table: TableName,
    path: String,
    line: Option<usize>,
}

impl Rule {
    /// The rule at `path` of `policy`, or its nearest rule above that the document spells out.
    pub(crate) fn of(policy: &Policy, path: &str) -> Self {
        let mut line = policy.line(path);
        let mut above = path;
        while line.is_none()
            && let Some((parent, _)) = above.rsplit_once('.')
        {
            above = parent;
            line = policy.line(above);
        }
        Self { table: policy.table.clone(), path: path.to_owned(), line }
    }

    /// Whose policy it is.
    pub fn owner(&self) -> &PartnerName {
        self.table.owner()
    }
}

/// Why a question is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Boxed: refusals are rare, and every step of the checker returns one or a small value.
    reason: Box<Reason>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reason {
    code: Code,
    detail: String,
    span: Option<Span>,
    rule: Option<Rule>,
    suggestion: Option<String>,
    /// What to look for in the SQL text where the plan keeps no position.
    culprit: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let reason = Reason { code, detail: detail.into(), span: None, rule: None, suggestion: None, culprit: None };
        Self { reason: Box::new(reason) }
    }

    /// What was said first, nearer to the cause, stays: for all of these.
    pub(crate) fn span(mut self, span: Option<Span>) -> Self {
        self.reason.span = self.reason.span.or(span);
        self
    }

    pub(crate) fn rule(mut self, rule: Rule) -> Self {
        self.reason.rule.get_or_insert(rule);
        self
    }

    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.reason.suggestion.get_or_insert_with(|| suggestion.into());
        self
    }

    /// Adds a statement that is accepted instead.
    pub(crate) fn instead(mut self, sql: &str) -> Self {
        let advice = self.reason.suggestion.take().unwrap_or_else(|| "ask instead".to_owned());
        self.reason.suggestion = Some(format!("{advice}: {sql}"));
        self
    }

    /// The word of the SQL text the refusal is about, to be found there when no node of the plan tells its position.
    pub(crate) fn about(mut self, word: impl Into<String>) -> Self {
        self.reason.culprit.get_or_insert_with(|| word.into());
        self
    }

    pub(crate) fn culprit(&self) -> Option<&str> {
        if self.reason.span.is_some() { None } else { self.reason.culprit.as_deref() }
    }

    /// Its stable code.
    pub fn code(&self) -> Code {
        self.reason.code
    }

    /// One plain sentence.
    pub fn detail(&self) -> &str {
        &self.reason.detail
    }

    /// Where in the SQL it is about.
    pub fn position(&self) -> Option<Span> {
        self.reason.span
    }

    /// The `error` object of the contract.
    pub fn to_json(&self) -> Value {
        let mut error = json!({
            "code": self.reason.code.as_str(),
            "title": self.reason.code.title(),
            "detail": self.reason.detail,
        });
        if let Some(object) = error.as_object_mut() {
            if let Some(span) = self.reason.span {
                object.insert("span".into(), json!(span));
            }
            if let Some(rule) = &self.reason.rule {
                let mut policy = json!({
                    "table": rule.table.to_string(),
                    "owner": rule.owner().to_string(),
                    "rule": rule.path,
                });
                if let (Some(policy), Some(line)) = (policy.as_object_mut(), rule.line) {
                    policy.insert("line".into(), json!(line));
                }
                object.insert("policy".into(), policy);
            }
            if let Some(suggestion) = &self.reason.suggestion {
                object.insert("suggestion".into(), json!(suggestion));
            }
        }
        error
    }
}

impl Outcome for Refusal {
    fn status(&self) -> Status {
        Status::Refused
    }

    fn document(&self) -> Value {
        let outcome = if self.reason.code == Code::Exhausted { "exhausted" } else { "refused" };
        json!({ "outcome": outcome, "error": self.to_json() })
    }

    fn result(&self) -> Option<&[u8]> {
        None
    }

    fn answer(&self) -> Option<Value> {
        None
    }

    fn code(&self) -> Option<&str> {
        Some(self.reason.code.as_str())
    }
}

/// A query that was admitted and did not end with an answer. What happened is in the operator's log under `incident`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: Code,
    incident: String,
}

impl Failure {
    pub(crate) fn new(code: Code, incident: impl Into<String>) -> Self {
        Self { code, incident: incident.into() }
    }

    /// Its stable code: a limit, or an internal failure.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The `error` object of the contract.
    pub fn to_json(&self) -> Value {
        let detail = match self.code {
            Code::Cancelled => "the query was cancelled while it ran".to_owned(),
            Code::Busy => "a policy changed while the query ran; ask again".to_owned(),
            _ => format!("the query did not finish; the operator finds the reason under incident {}", self.incident),
        };
        json!({ "code": self.code.as_str(), "title": self.code.title(), "detail": detail })
    }
}

impl Outcome for Failure {
    fn status(&self) -> Status {
        match self.code {
            Code::Cancelled => Status::Cancelled,
            _ => Status::Failed,
        }
    }

    fn document(&self) -> Value {
        json!({ "outcome": "failed", "error": self.to_json() })
    }

    fn result(&self) -> Option<&[u8]> {
        None
    }

    fn answer(&self) -> Option<Value> {
        None
    }

    fn code(&self) -> Option<&str> {
        Some(self.code.as_str())
    }
}
