//! One text for one meaning: RFC 8785 canonical JSON in the shape of the documents, and digests of it.
//!
//! Canonical JSON is YAML, and parses back to the same value. Defaults are written out, so a document that spells them and one that
//! leaves them out have one digest.

use std::collections::BTreeMap;
use std::fmt::Display;

use ring::digest::{SHA256, digest};
use serde::{Serialize, Serializer};

use crate::model::{
    Access, Bounds, Budget, ColumnRule, Joins, Literals, Noise, Parameter, Partner, Policy, Release, Room, Source,
    Subject, TableDeclaration, Template,
};

impl Policy {
    /// The checked policy as RFC 8785 canonical JSON; `lines` is not part of it.
    pub fn canonical_json(&self) -> String {
        write(&policy(self))
    }

    /// SHA-256 of [`Policy::canonical_json`], in lower-case hex.
    pub fn digest(&self) -> String {
        sha256(&self.canonical_json())
    }
}

impl Room {
    /// The checked room as RFC 8785 canonical JSON; lines are not part of it.
    pub fn canonical_json(&self) -> String {
        write(&room(self))
    }

    /// SHA-256 of [`Room::canonical_json`], in lower-case hex.
    pub fn digest(&self) -> String {
        sha256(&self.canonical_json())
    }
}

impl Template {
    /// The checked template as RFC 8785 canonical JSON; lines are not part of it.
    pub fn canonical_json(&self) -> String {
        write(&template(self))
    }

    /// SHA-256 of [`Template::canonical_json`], in lower-case hex: what an owner approves.
    pub fn digest(&self) -> String {
        sha256(&self.canonical_json())
    }
}

fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

/// JSON whose numbers are all finite and exact, which is what makes writing it total.
enum Json {
    Flag(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => serializer.collect_map(entries),
        }
    }
}

#[expect(clippy::expect_used, reason = "writing to memory, keys that are text and numbers that are finite cannot fail")]
fn write(json: &Json) -> String {
    serde_json_canonicalizer::to_string(json).expect("canonical JSON of finite numbers")
}

/// The parser lets finite numbers only through; a value made by hand that is not finite becomes text, which no parser takes.
fn number(number: f64) -> Json {
    if number.is_finite() { Json::Number(number) } else { Json::Text(number.to_string()) }
}

/// Exact, since the parser stops at 2^53.
fn integer(value: impl Into<u64>) -> Json {
    Json::Number(value.into() as f64)
}

fn text(value: impl Display) -> Json {
    Json::Text(value.to_string())
}

fn texts<T: Display>(values: impl IntoIterator<Item = T>) -> Json {
    Json::List(values.into_iter().map(text).collect())
}

/// A mapping being filled; keys without a value are left out.
struct Map(BTreeMap<String, Json>);

impl Map {
    fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn document(kind: &str) -> Self {
        Self::new().with("apiVersion", text("cleanroom/v1")).with("kind", text(kind))
    }

    fn with(self, key: &str, value: impl Into<Option<Json>>) -> Self {
        let mut entries = self.0;
        if let Some(value) = value.into() {
            entries.insert(key.to_owned(), value);
        }
        Self(entries)
    }

    fn end(self) -> Json {
        Json::Map(self.0)
    }
}

fn policy(policy: &Policy) -> Json {
    let (unit, public) = match &policy.subject {
        Subject::Unit { column, space } => {
            let unit = Map::new().with("column", text(column)).with("space", text(space));
            (Some(unit.end()), None)
        }
        Subject::Public => (None, Some(Json::Flag(true))),
    };
    let protected = public.is_none();
    let columns = policy.columns.iter();
    let columns = columns.map(|(name, rule)| (name.to_string(), column(rule, protected)));
    Map::document("Policy")
        .with("table", text(&policy.table))
        .with("version", integer(policy.version))
        .with("unit", unit)
        .with("public", public)
        .with("columns", Json::Map(columns.collect()))
        .with("rows", policy.rows.as_ref().map(|rows| text(&rows.value)))
        .with("joins", joins(&policy.joins))
        .with("release", protected.then(|| release(&policy.release)))
        .with("noise", policy.noise.as_ref().map(noise))
        .with("access", access(&policy.access))
        .end()
}

fn column(rule: &ColumnRule, protected: bool) -> Json {
    let bounds = rule.bounds.map(|bounds| match bounds {
        Bounds::Range { low, high } => Json::List(vec![number(low), number(high)]),
        Bounds::Unbounded => text("none"),
    });
    let unit_bounds = rule.unit_bounds;
    Map::new()
        .with("use", texts(&rule.uses))
        .with("values", rule.values.as_ref().map(texts))
        .with("grain", rule.grain.map(text))
        .with("functions", (!rule.functions.is_empty()).then(|| texts(&rule.functions)))
        .with("bounds", bounds.filter(|_| protected))
        .with("step", rule.step.map(|step| number(step.as_f64())))
        .with("unit_bounds", unit_bounds.map(|(low, high)| Json::List(vec![number(low), number(high)])))
        .with("literals", literals(&rule.literals))
        .end()
}

/// The default is not written out: documents from before the key was known keep their digests.
fn literals(literals: &Literals) -> Option<Json> {
    match literals {
        Literals::Any => None,
        Literals::None => Some(text("none")),
        Literals::Only(values) => Some(texts(values)),
    }
}

fn template(template: &Template) -> Json {
    let parameters = template.parameters.iter().map(|(name, rule)| (name.clone(), parameter(rule)));
    Map::document("Template")
        .with("name", text(&template.name))
        .with("description", text(&template.description))
        .with("parameters", Json::Map(parameters.collect()))
        .with("sql", text(&template.sql.value))
        .end()
}

fn parameter(parameter: &Parameter) -> Json {
    Map::new().with("type", text(parameter.kind)).with("values", parameter.values.as_ref().map(texts)).end()
}

fn joins(joins: &Joins) -> Json {
    let with = match &joins.with {
        None => texts(["*"]),
        Some(patterns) => texts(
            patterns.iter().map(|pattern| format!("{}.{}", pattern.partner, pattern.table.as_deref().unwrap_or("*"))),
        ),
    };
    Map::new()
        .with("require", text(joins.require))
        .with("with", with)
        .with("types", texts(&joins.types))
        .with("analyst_tables", text(joins.analyst_tables))
        .end()
}

fn release(release: &Release) -> Json {
    let dominance = release.dominance.map(|dominance| {
        Map::new().with("top", integer(dominance.top)).with("max_share", number(dominance.max_share)).end()
    });
    Map::new()
        .with("min_units", integer(release.min_units))
        .with("dominance", dominance)
        .with("small_groups", text(release.small_groups))
        .with("difference", release.difference.map(integer))
        .with("audience", release.audience.map(integer))
        .with("max_cells", release.max_cells.map(integer))
        .with("round_to", release.round_to.map(|step| number(step.as_f64())))
        .end()
}

fn noise(noise: &Noise) -> Json {
    Map::new()
        .with("mechanism", text(noise.mechanism))
        .with("epsilon", number(noise.epsilon))
        .with("delta", number(noise.delta))
        .with("groups_per_unit", integer(noise.groups_per_unit))
        .with("rows_per_unit", integer(noise.rows_per_unit))
        .with("budget", budget(&noise.budget))
        .with("test_only", noise.test_only.then_some(Json::Flag(true)))
        .end()
}

fn budget(budget: &Budget) -> Json {
    Map::new()
        .with("epsilon", number(budget.epsilon))
        .with("delta", number(budget.delta))
        .with("refresh", text(budget.refresh))
        .with("lifetime", budget.lifetime.map(number))
        .with("per_analyst", budget.per_analyst.map(number))
        .end()
}

fn access(access: &Access) -> Json {
    let queries = access.queries_per_day;
    let templates = access.templates.as_ref();
    Map::new()
        .with("analysts", texts(&access.analysts))
        .with("receivers", texts(&access.receivers))
        .with("queries", queries.map(|most| Map::new().with("per_day", integer(most)).end()))
        .with("templates", templates.map_or_else(|| text("any"), texts::<_>))
        .end()
}

fn room(room: &Room) -> Json {
    let templates = Some(texts(room.templates.iter().map(|path| path.display())));
    Map::document("Room")
        .with("name", text(&room.name))
        .with("description", text(&room.description))
        .with("partners", Json::List(room.partners.iter().map(partner).collect()))
        .with("templates", templates.filter(|_| !room.templates.is_empty()))
        .with("strict", room.strict.then_some(Json::Flag(true)))
        .with("test_only", room.test_only.then_some(Json::Flag(true)))
        .end()
}

fn partner(partner: &Partner) -> Json {
    Map::new()
        .with("name", text(&partner.name))
        .with("abilities", texts(&partner.abilities))
        .with("tables", Json::List(partner.tables.iter().map(table).collect()))
        .with("key", partner.key.as_ref().map(text))
        .with("membership", partner.membership.as_ref().map(text))
        .with("since", partner.since.as_ref().map(text))
        .with("rotation", partner.rotation.as_ref().map(text))
        .end()
}

fn table(table: &TableDeclaration) -> Json {
    let source = match &table.source {
        Source::File(path) => Map::new().with("file", text(path.display())),
        Source::Upload => Map::new().with("upload", Json::Flag(true)),
        // Its address may hold a secret and is of no use here: the kind alone is kept.
        Source::Unsupported(kind) => Map::new().with(kind, text("not read in this version")),
    };
    Map::new()
        .with("name", text(table.name.table()))
        .with("description", text(&table.description))
        .with("source", source.end())
        .with("policy", table.policy.as_ref().map(|path| text(path.display())))
        .end()
}
