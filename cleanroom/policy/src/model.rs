//! The checked values a document parses into. Text becomes one of them only through [`crate::parse_document`] and its kin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::approval::TemplateApproval;
use crate::names::{ColumnName, PartnerName, RoomName, SpaceName, TableName, TemplateName};

/// A collaboration: its partners, what each may do, and the tables each contributes.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// Unique on a server.
    pub name: RoomName,
    /// One sentence for people.
    pub description: String,
    /// In the order of the document; names are unique.
    pub partners: Vec<Partner>,
    /// Template files, relative to the room file, in the order of the document.
    pub templates: Vec<PathBuf>,
    /// An answer is withheld until enough witnesses have cosigned the log over its record. Only a server that asks witnesses takes
    /// such a room.
    pub strict: bool,
    /// For tests: its policies may do without noise worth the name. No server takes it.
    pub test_only: bool,
}

/// One member of a room.
#[derive(Debug, Clone, PartialEq)]
pub struct Partner {
    /// Also the SQL schema of the partner's tables.
    pub name: PartnerName,
    /// What the partner may do in the room.
    pub abilities: BTreeSet<Ability>,
    /// Tables the partner owns; empty unless it may contribute.
    pub tables: Vec<TableDeclaration>,
    /// The public key that signs for it, a verifier key under its name; what it signs takes effect with its signature only.
    pub key: Option<String>,
    /// Its signature for being in the room under this key with these abilities; there where `key` is.
    pub membership: Option<String>,
    /// When it signed, in RFC 3339: of two memberships the later one counts; there where `key` is.
    pub since: Option<String>,
    /// The signature of the key it had before over the same.
    pub rotation: Option<String>,
}

/// What a partner may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// Own tables.
    Contribute,
    /// Ask.
    Query,
    /// Be given results.
    Receive,
    /// Read the log.
    Audit,
}

/// A table a partner brings into the room.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDeclaration {
    /// `owner.table`, as queries name it.
    pub name: TableName,
    /// One sentence for people; may be empty.
    pub description: String,
    /// Where its rows come from.
    pub source: Source,
    /// The policy file, relative to the room file; absent where the policy is put over REST.
    pub policy: Option<PathBuf>,
    /// Line of the room file on which the declaration starts, from 1.
    pub line: usize,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A file beside the room file: `.parquet`, `.csv`, `.jsonl`, `.ndjson` or `.json` (one object a line).
    File(PathBuf),
    /// Put over REST.
    Upload,
    /// A source of the contract that this version cannot read (`s3`, `postgres`, `flight`): refused when it is first used.
    Unsupported(&'static str),
}

/// An owner's rules for one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The table it governs.
    pub table: TableName,
    /// Given by the owner; grows with every change.
    pub version: u64,
    /// Whom the table's rows are about.
    pub subject: Subject,
    /// Columns that may be named at all; every other column is hidden.
    pub columns: BTreeMap<ColumnName, ColumnRule>,
    /// SQL condition that every row must meet to be seen by any query.
    pub rows: Option<Located<String>>,
    /// With whom and how the table may be joined.
    pub joins: Joins,
    /// What must hold of a group before it is released; of a reference table nothing, and this says so with the least floor.
    pub release: Release,
    /// Differential privacy; absent where the policy relies on floors alone.
    pub noise: Option<Noise>,
    /// Who may ask and who may be given the answers.
    pub access: Access,
    /// Line of every rule of the document, by its dotted path (`columns.amount.bounds`), from 1.
    pub lines: BTreeMap<String, usize>,
}

/// A value with the line it stands on.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Line of its document on which the text begins, from 1; of a block (`|`) its first line, not that of its key.
    pub line: usize,
}

/// Whom a table's rows are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Rows belong to units: the identities of one column in one identity space.
    Unit {
        /// The column that holds the identity.
        column: ColumnName,
        /// The identity space; keys of one space match across tables and owners.
        space: SpaceName,
    },
    /// A reference table: no unit, nothing to protect (`public: true`).
    Public,
}

/// What a column may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Equality in a join.
    Join,
    /// The unit may be counted, and rows of it.
    Count,
    /// Grouping.
    Dimension,
    /// Conditions.
    Filter,
    /// Aggregates of its values.
    Measure,
}

/// The rule of one listed column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnRule {
    /// Never empty.
    pub uses: BTreeSet<Use>,
    /// A public domain of the column, as text.
    pub values: Option<Vec<String>>,
    /// The finest time step in which a date or timestamp can be seen.
    pub grain: Option<Grain>,
    /// For a measure: the aggregates that may be taken of it. Never empty for a measure; defaults to sum, avg and count.
    pub functions: BTreeSet<MeasureFunction>,
    /// For a measure: the range each row's value is clamped to.
    pub bounds: Option<Bounds>,
    /// For a measure: values are rounded to a multiple of this before they are added.
    pub step: Option<Step>,
    /// For a measure under noise: the range one unit's total in a group is clamped to.
    pub unit_bounds: Option<(f64, f64)>,
    /// The constants it may be compared with.
    pub literals: Literals,
}

/// The constants that a question may compare a column with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literals {
    /// `any`
    Any,
    /// `none`: the column is compared with other columns only.
    None,
    /// Only these, as text in the order of the alphabet, and only for equality. Never empty.
    Only(Vec<String>),
}

/// The finest time step in which a column can be seen; the word `date_trunc` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// `second`
    Second,
    /// `minute`
    Minute,
    /// `hour`
    Hour,
    /// `day`
    Day,
    /// `week`
    Week,
    /// `month`
    Month,
    /// `quarter`
    Quarter,
    /// `year`
    Year,
}

/// Aggregates a policy can grant on a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MeasureFunction {
    /// SUM
    Sum,
    /// AVG
    Avg,
    /// COUNT of non-NULL values
    Count,
    /// VAR, VAR_POP and kin
    Var,
    /// STDDEV and kin
    Stddev,
    /// Quantiles (under noise only)
    Quantile,
}

/// The range of one row's value of a measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bounds {
    /// Clamped to `[low, high]`; both finite, `low < high`.
    Range {
        /// Least value.
        low: f64,
        /// Greatest value.
        high: f64,
    },
    /// `bounds: none`: the owner accepts unclamped values; no noise is possible then.
    Unbounded,
}

/// A positive decimal step, exact: `mantissa * 10^-scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Greater than zero.
    pub mantissa: u64,
    /// Decimal places, at most 9.
    pub scale: u8,
}

/// With whom and how a table may be joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Joins {
    /// Which joins a query must hold to use the table. Default: none.
    pub require: Require,
    /// Tables of other partners the table may be joined with; `None` means any.
    pub with: Option<Vec<TablePattern>>,
    /// Join types; inner and semi unless the policy says otherwise.
    pub types: BTreeSet<JoinKind>,
    /// How the asking analyst's own tables are joined with this one.
    pub analyst_tables: AnalystTables,
}

/// Which joins a query must hold to use a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// The table may be queried alone.
    None,
    /// It must be joined with another protected table.
    Any,
    /// It must be joined with a protected table of another partner.
    OtherPartner,
}

/// `partner.table` or `partner.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    /// The partner.
    pub partner: PartnerName,
    /// One table's local name, or all of the partner's.
    pub table: Option<String>,
}

/// SQL join types as a policy names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JoinKind {
    /// `inner`
    Inner,
    /// `semi`
    Semi,
    /// `left`
    Left,
    /// `right`
    Right,
    /// `full`
    Full,
    /// `anti`
    Anti,
}

/// How the asking analyst's own tables take part in a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnalystTables {
    /// They choose rows and no more: another owner's row counts once in a group, however many of theirs it meets, and their
    /// measures are none.
    Distinct,
    /// As they are.
    Full,
}

/// What must hold of a group before it is released.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Distinct units a group needs, at least 2.
    pub min_units: u64,
    /// Largest share a few units may hold of a cell.
    pub dominance: Option<Dominance>,
    /// What becomes of small groups.
    pub small_groups: SmallGroups,
    /// Guard against differencing: least number of units in which two cells may differ.
    pub difference: Option<u64>,
    /// Least size of both sides of a join with the analyst's own table.
    pub audience: Option<u64>,
    /// Most cells released of one data version.
    pub max_cells: Option<u64>,
    /// Released numbers are rounded to a multiple of this.
    pub round_to: Option<Step>,
}

/// Largest share the `top` largest units may hold of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dominance {
    /// How many units are looked at together, at least 1.
    pub top: u64,
    /// In (0, 1].
    pub max_share: f64,
}

/// What becomes of groups below the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmallGroups {
    /// They are not shown.
    Drop,
    /// They become one remainder group.
    Merge,
}

/// Parameters of differential privacy.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Distribution of the noise.
    pub mechanism: Mechanism,
    /// Most per query, and the default; greater than zero, at most [`MAX_EPSILON`] unless `test_only`, and finite.
    pub epsilon: f64,
    /// In [0, 1).
    pub delta: f64,
    /// Most groups one unit adds to, at least 1.
    pub groups_per_unit: u32,
    /// Most rows of one unit counted in a group, at least 1.
    pub rows_per_unit: u32,
    /// What may be spent.
    pub budget: Budget,
    /// For tests: `epsilon` has no limit, so there may be no noise at all. Only rooms that are for tests take it, and no
    /// server does.
    pub test_only: bool,
}

/// The greatest `epsilon` of one question: e to the power of it, the factor that is promised, is 1 followed by 43 digits, and no
/// promise any more.
pub const MAX_EPSILON: f64 = 100.0;

/// Distribution of the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Discrete Gaussian.
    Gaussian,
    /// Discrete Laplace.
    Laplace,
}

/// What may be spent of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Total of one period.
    pub epsilon: f64,
    /// Total of one period.
    pub delta: f64,
    /// When a period starts anew.
    pub refresh: Refresh,
    /// Epsilon over all periods; required with a refresh.
    pub lifetime: Option<f64>,
    /// Most epsilon that one analyst may spend in a period.
    pub per_analyst: Option<f64>,
}

/// When a budget's period starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// `never`
    Never,
    /// `daily`
    Daily,
    /// `weekly`
    Weekly,
    /// `monthly`
    Monthly,
}

/// Who may ask and who may be given the answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// Partners that may ask.
    pub analysts: BTreeSet<PartnerName>,
    /// Partners that may be given results; the analysts where the document is silent.
    pub receivers: BTreeSet<PartnerName>,
    /// Most queries a day and analyst.
    pub queries_per_day: Option<u64>,
    /// Templates that the owner approves; `None` means any SQL. Never empty.
    pub templates: Option<BTreeSet<TemplateApproval>>,
}

/// A named query with parameters, which owners can allow instead of any SQL.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Unique in a room.
    pub name: TemplateName,
    /// One sentence for people; may be empty.
    pub description: String,
    /// Its parameters; `:name` stands for one in the SQL.
    pub parameters: BTreeMap<String, Parameter>,
    /// The query.
    pub sql: Located<String>,
}

/// What may be put in place of a template's `:name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its type.
    pub kind: ParameterType,
    /// The only values allowed, as text; `None` means any of the type.
    pub values: Option<Vec<String>>,
}

/// The type of a template's parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// `text`
    Text,
    /// `integer`
    Integer,
    /// `decimal`
    Decimal,
    /// `date`
    Date,
    /// `timestamp`
    Timestamp,
    /// `boolean`
    Boolean,
}
