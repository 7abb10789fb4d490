//! The rules of a policy's columns, and what contradicts what among them.

use std::collections::{BTreeMap, BTreeSet};

use crate::fields::Fields;
use crate::model::{Bounds, ColumnRule, Grain, Literals, MeasureFunction, Subject, Use};
use crate::names::ColumnName;
use crate::number;
use crate::report::Report;
use crate::yaml::{Node, Value};

pub(crate) const KEYS: &[&str] = &["use", "values", "grain", "functions", "bounds", "step", "unit_bounds", "literals"];
/// Keys that say how the values of a measure are treated.
const MEASURE_KEYS: &[&str] = &["functions", "bounds", "step", "unit_bounds"];
/// Of those, the keys that protect somebody.
const BOUNDING_KEYS: &[&str] = &["bounds", "step", "unit_bounds"];

/// Reads all columns. `noise`: the policy has a `noise` section.
pub(crate) fn columns(
    report: &mut Report<'_>,
    node: &Node,
    subject: &Subject,
    noise: bool,
) -> Option<BTreeMap<ColumnName, ColumnRule>> {
    let fields = Fields::open_any(report, node, "columns")?;
    let mut columns = BTreeMap::new();
    let mut complete = true;
    for entry in fields.entries() {
        let name = match ColumnName::new(&entry.key) {
            Ok(name) => name,
            Err(rule) => {
                report.error(entry.at, "this is not a column's name", rule.to_string());
                complete = false;
                continue;
            }
        };
        let path = fields.path_of(&entry.key);
        let Some(rule_fields) = Fields::open(report, &entry.value, &path, KEYS) else {
            complete = false;
            continue;
        };
        let column = Column { fields: rule_fields, name: &name, subject, noise };
        match column.read(report) {
            Some(rule) => {
                columns.insert(name, rule);
            }
            None => complete = false,
        }
    }
    match subject {
        Subject::Unit { column, .. } if !fields.has(column.as_str()) => {
            let message = format!("the unit's column `{column}` is not listed");
            let remedy = format!("add `{column}: {{use: [join, count]}}`");
            report.error(fields.at, message, remedy);
            None
        }
        Subject::Public if complete && columns.is_empty() => {
            report.error(fields.at, "`columns` is empty", "list the columns that queries may name");
            None
        }
        _ => complete.then_some(columns),
    }
}

/// The public domain of a column or parameter: different texts, in one order whatever the document's.
pub(crate) fn values(report: &mut Report<'_>, node: &Node) -> Option<Vec<String>> {
    let values = report.set(node, "`values`", |report, item| report.text(item, "a value").map(str::to_owned))?;
    Some(values.into_iter().collect())
}

struct Column<'a> {
    fields: Fields<'a>,
    name: &'a ColumnName,
    subject: &'a Subject,
    noise: bool,
}

impl Column<'_> {
    fn read(&self, report: &mut Report<'_>) -> Option<ColumnRule> {
        let remedy = "write `use: [dimension, filter]`, or take the column out to hide it";
        let uses =
            self.fields.require(report, "use", remedy).and_then(|node| report.word_set(node, "a use", Use::WORDS))?;
        self.check_uses(report, &uses)?;
        let visible = uses.contains(&Use::Dimension) || uses.contains(&Use::Filter);
        for key in ["values", "grain", "literals"] {
            if !visible && self.fields.has(key) {
                let message = format!("`{key}` of column `{}`, which is neither `dimension` nor `filter`", self.name);
                let remedy = format!("remove `{key}`, or add such a use");
                report.error(self.fields.at_key(key), message, remedy);
            }
        }
        let values = match self.fields.get(report, "values") {
            Some(node) => values(report, node).map(Some),
            None => Some(None),
        };
        let grain = match self.fields.get(report, "grain") {
            Some(node) => report.word(node, "a grain", Grain::WORDS).map(Some),
            None => Some(None),
        };
        let literals = match self.fields.get(report, "literals") {
            Some(node) => self.literals(report, node),
            None => Some(Literals::Any),
        };
        let measure = if uses.contains(&Use::Measure) { self.measure(report) } else { self.no_measure(report) };
        let (values, grain, literals, measure) = (values?, grain?, literals?, measure?);
        Some(ColumnRule { uses, values, grain, literals, ..measure })
    }

    fn literals(&self, report: &mut Report<'_>, node: &Node) -> Option<Literals> {
        if *self.subject == Subject::Public {
            let message = format!("`literals` of column `{}` of a reference table", self.name);
            report.error(self.fields.at_key("literals"), message, "remove `literals`: nobody is protected by it here");
            return None;
        }
        match &node.value {
            Value::Scalar { .. } => {
                report.word(node, "a rule for literals", &[("any", Literals::Any), ("none", Literals::None)])
            }
            Value::List(_) | Value::Map(_) => {
                let values =
                    report.set(node, "`literals`", |report, item| report.text(item, "a literal").map(str::to_owned))?;
                Some(Literals::Only(values.into_iter().collect()))
            }
        }
    }

    /// Which uses exclude each other.
    fn check_uses(&self, report: &mut Report<'_>, uses: &BTreeSet<Use>) -> Option<()> {
        let at = self.fields.at_key("use");
        let name = self.name;
        let mut fine = true;
        let mut refuse = |message: String, remedy: &str| {
            report.error(at, message, remedy);
            fine = false;
        };
        match self.subject {
            Subject::Unit { column, .. } if column == name => {
                for other in uses.iter().filter(|one| !matches!(one, Use::Join | Use::Count)) {
                    refuse(
                        format!("the unit's column `{name}` cannot be a `{other}`: it would single people out"),
                        "give it `join`, `count` or both",
                    );
                }
            }
            Subject::Unit { .. } | Subject::Public => {
                if uses.contains(&Use::Count) {
                    refuse(
                        format!("`count` on column `{name}`, which is not the unit"),
                        "only the unit's column can be counted; remove `count`",
                    );
                }
                if uses.contains(&Use::Join) && uses.contains(&Use::Measure) {
                    refuse(
                        format!("column `{name}` is both `join` and `measure`"),
                        "keep one: sums over a key would give the key away",
                    );
                }
            }
        }
        fine.then_some(())
    }

    fn no_measure(&self, report: &mut Report<'_>) -> Option<ColumnRule> {
        for key in MEASURE_KEYS.iter().filter(|key| self.fields.has(key)) {
            let message = format!("`{key}` of column `{}`, which is no measure", self.name);
            let remedy = format!("remove `{key}`, or add the use `measure`");
            report.error(self.fields.at_key(key), message, remedy);
        }
        Some(ColumnRule::plain())
    }

    fn measure(&self, report: &mut Report<'_>) -> Option<ColumnRule> {
        let functions = match self.fields.get(report, "functions") {
            Some(node) => report.word_set(node, "a function", MeasureFunction::WORDS),
            None => Some(default_functions()),
        };
        if let Some(functions) = &functions
            && functions.contains(&MeasureFunction::Quantile)
            && !self.noise
        {
            let message = format!("`quantile` of column `{}` without noise", self.name);
            let remedy = "add a `noise` section, or remove `quantile`: a quantile is one row's value";
            report.error(self.fields.at_key("functions"), message, remedy);
        }
        let bounding = match self.subject {
            Subject::Unit { .. } => self.bounding(report),
            Subject::Public => self.no_bounding(report),
        };
        let (functions, bounding) = (functions?, bounding?);
        Some(ColumnRule { functions, ..bounding })
    }

    fn no_bounding(&self, report: &mut Report<'_>) -> Option<ColumnRule> {
        for key in BOUNDING_KEYS.iter().filter(|key| self.fields.has(key)) {
            let message = format!("`{key}` of column `{}` of a reference table", self.name);
            let remedy = format!("remove `{key}`: nobody is protected by it here");
            report.error(self.fields.at_key(key), message, remedy);
        }
        Some(ColumnRule::plain())
    }

    fn bounding(&self, report: &mut Report<'_>) -> Option<ColumnRule> {
        let bounds = if self.fields.has("bounds") {
            let node = self.fields.get(report, "bounds");
            node.and_then(|node| bounds(report, node))
        } else {
            let message = format!("measure `{}` has no `bounds`", self.name);
            let remedy = "write `bounds: [low, high]` for one row's value, or `bounds: none` to accept any";
            report.error(self.fields.at, message, remedy);
            None
        };
        let step = match self.fields.get(report, "step") {
            Some(node) => report.step(node, "`step`").map(Some),
            None => Some(None),
        };
        let unit_bounds = match self.fields.get(report, "unit_bounds") {
            Some(node) => report.range(node, "`unit_bounds`").map(Some),
            None => Some(None),
        };
        if bounds == Some(Bounds::Unbounded) && self.noise {
            let message = format!("`bounds: none` of column `{}` beside `noise`", self.name);
            let remedy = "write `bounds: [low, high]`: without them no amount of noise would be enough";
            report.error(self.fields.at_key("bounds"), message, remedy);
        }
        if let (Some(Bounds::Range { low, high }), Some(Some(step))) = (bounds, step) {
            let steps = low.abs().max(high.abs()) / step.as_f64();
            if steps > number::MAX_INTEGER as f64 {
                let message = format!("`step` of column `{}` is too fine for its `bounds`", self.name);
                let remedy = "take a larger `step`, or narrower `bounds`: at most 2^53 steps are exact";
                report.error(self.fields.at_key("step"), message, remedy);
            } else if step.as_f64() > high - low {
                let message = format!("`step` of column `{}` is wider than its `bounds`", self.name);
                report.error(self.fields.at_key("step"), message, "take a smaller `step`");
            }
        }
        Some(ColumnRule { bounds: Some(bounds?), step: step?, unit_bounds: unit_bounds?, ..ColumnRule::plain() })
    }
}

impl ColumnRule {
    /// A rule that grants nothing yet.
    fn plain() -> Self {
        Self {
            uses: BTreeSet::new(),
            values: None,
            grain: None,
            functions: BTreeSet::new(),
            bounds: None,
            step: None,
            unit_bounds: None,
            literals: Literals::Any,
        }
    }
}

fn default_functions() -> BTreeSet<MeasureFunction> {
    BTreeSet::from([MeasureFunction::Sum, MeasureFunction::Avg, MeasureFunction::Count])
}

fn bounds(report: &mut Report<'_>, node: &Node) -> Option<Bounds> {
    match &node.value {
        Value::Scalar { text, .. } if text == "none" => Some(Bounds::Unbounded),
        Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
            let (low, high) = report.range(node, "`bounds`")?;
            Some(Bounds::Range { low, high })
        }
    }
}
