//! When two questions under noise are one: they ask for the same noisy numbers of the same groups of the same rows.
//!
//! A question is written down in a form in which everything stands that the distribution of its noisy numbers follows from:
//! the rows, by versions of data and digests of policies; the groups, the numbers drawn, their bounds, mechanisms, scales and
//! thresholds. Names of tables and columns, the order in which conditions, joins, groups and numbers were written, and all
//! that is computed from the noisy numbers has no part in it. Two questions of one form are answered with one draw, so
//! that neither costs and tells more than the other; a question of which anything is not understood here is like no other.

mod expression;
mod relation;
mod term;

use cleanroom_budget::Loss;
use cleanroom_registry::ReplayKey;
use datafusion::common::{Result, exec_datafusion_err};
use ring::rand::{SecureRandom, SystemRandom};

use super::plan::{QueryNoise, ReleaseNoise, SetNoise, What};
use crate::check::{CellKind, CheckedQuery, ReleasePoint};
use crate::compile;
use expression::{Names, literal, option};
use relation::Relation;
use term::{Unlike, atom, wrapped};

const EQUAL: &str = "=";

/// Where the parts of a question stand in its canonical form. Positions of the question's own, in canonical order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) release: usize,
    pub(crate) groups: Vec<usize>,
    pub(crate) sets: Vec<usize>,
    pub(crate) terms: Vec<usize>,
}

/// A question by its canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Canonical {
    pub(crate) key: ReplayKey,
    /// One for each release point.
    pub(crate) orders: Vec<Order>,
}

impl Canonical {
    /// Names the question under a secret of the room. Call it on a thread with a deep stack.
    ///
    /// # Errors
    /// Where there is no randomness to be had for a question that is like no other.
    pub(crate) fn of(checked: &CheckedQuery, noise: &QueryNoise, secret: &[u8; 32]) -> Result<Self> {
        let (key, orders) = match form(checked, noise) {
            Ok((text, orders)) => (blake3::keyed_hash(secret, text.as_bytes()).to_hex().to_string(), orders),
            Err(Unlike) => {
                let points = checked.releases.iter().zip(&noise.releases).enumerate();
                (unlike_all()?, points.map(|(index, (release, noise))| as_written(index, release, noise)).collect())
            }
        };
        let key = ReplayKey::parse(&key).ok_or_else(|| exec_datafusion_err!("a question has no name"))?;
        Ok(Self { key, orders })
    }
}

fn unlike_all() -> Result<String> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_unspecified| exec_datafusion_err!("no randomness"))?;
    Ok(hex::encode(bytes))
}

fn as_written(release: usize, point: &ReleasePoint, noise: &ReleaseNoise) -> Order {
    Order {
        release,
        groups: (0..point.groups.len()).collect(),
        sets: (0..noise.sets.len()).collect(),
        terms: (0..noise.terms.len()).collect(),
    }
}

/// The canonical form. Its first word changes whenever what is kept under a key, or how it is read, does.
fn form(checked: &CheckedQuery, noise: &QueryNoise) -> Result<(String, Vec<Order>), Unlike> {
    let mut points = checked
        .releases
        .iter()
        .zip(&noise.releases)
        .enumerate()
        .map(|(index, (release, noise))| point(index, release, noise))
        .collect::<Result<Vec<_>, _>>()?;
    points.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut tables: Vec<String> = checked
        .tables
        .iter()
        .filter(|facts| facts.unit().is_some())
        .map(|facts| {
            let version = facts.data.as_ref().map(|data| data.version.to_string()).ok_or(Unlike)?;
            Ok(wrapped("table", vec![atom(&facts.name.to_string()), atom(&version), atom(&facts.policy_digest)]))
        })
        .collect::<Result<_, Unlike>>()?;
    tables.sort();
    let (texts, orders) = points.into_iter().unzip();
    let text = wrapped("question-1", vec![loss(noise.loss), wrapped("tables", tables), wrapped("points", texts)]);
    Ok((text, orders))
}

fn loss(loss: Loss) -> String {
    let epsilon = loss.epsilon.map(|epsilon| epsilon.units().to_string()).unwrap_or_default();
    wrapped("loss", vec![atom(&epsilon), atom(&loss.rho.units().to_string()), atom(&loss.delta.units().to_string())])
}

fn point(index: usize, release: &ReleasePoint, noise: &ReleaseNoise) -> Result<(String, Order), Unlike> {
    let rows = Relation::of(&release.rows.plan)?;
    let closed = rows.close();
    let names = Names { schema: release.rows.plan.schema(), columns: &rows.columns };
    let written = |expr| names.term(expr).map(|term| closed.written(&term));
    let column = |column: &datafusion::common::Column| {
        names.term(&datafusion::logical_expr::Expr::Column(column.clone())).map(|term| closed.written(&term))
    };

    let groups = release
        .groups
        .iter()
        .enumerate()
        .map(|(place, group)| {
            let data_type = format!("{:?}", release.schema.field(place).data_type());
            let mut declared = Vec::new();
            if let Some(values) = noise.domains.as_ref().and_then(|domains| domains.get(place)) {
                for value in values {
                    declared.push(closed.written(&literal(value)?));
                }
            }
            declared.sort();
            Ok(wrapped("group", vec![written(group)?, atom(&data_type), wrapped("declared", declared)]))
        })
        .collect::<Result<Vec<String>, Unlike>>()?;
    let (groups, group_order) = ordered(groups);

    let terms = noise.terms.iter().map(|term| {
        let of_cell = |place: usize| -> Result<Vec<String>, Unlike> {
            let cell = release.cells.get(place).ok_or(Unlike)?;
            let argument = names.term(&cell.argument)?;
            let argument = match &cell.argument {
                // Whatever is not NULL counts the same.
                datafusion::logical_expr::Expr::Literal(value, _)
                    if cell.kind == CellKind::Rows && !value.is_null() =>
                {
                    atom("one")
                }
                _ => closed.written(&argument),
            };
            let filter = cell.filter.as_ref().map(|filter| names.term(filter)).transpose()?;
            Ok(vec![argument, closed.written(&option(filter)?)])
        };
        Ok(match term.what {
            What::Units => wrapped("units", Vec::new()),
            What::Contributors { cell } => wrapped("contributors", of_cell(cell)?),
            What::Rows { cell } => wrapped("counted", of_cell(cell)?),
            What::Sum { cell, low, high } => {
                let of = release.cells.get(cell).ok_or(Unlike)?;
                let scale = compile::scale(of, release).map_err(|_detail| Unlike)?;
                let mut parts = of_cell(cell)?;
                parts.extend([low.to_string(), high.to_string(), scale.to_string()].iter().map(|text| atom(text)));
                wrapped("sum", parts)
            }
            What::Quantile { cell, rank, low, high } => {
                let of = release.cells.get(cell).ok_or(Unlike)?;
                let scale = compile::scale(of, release).map_err(|_detail| Unlike)?;
                let numbers =
                    [rank.ten_thousandths().to_string(), low.to_string(), high.to_string(), scale.to_string()];
                let mut parts = of_cell(cell)?;
                parts.extend(numbers.iter().map(|text| atom(text)));
                wrapped("quantile", parts)
            }
            What::Squares { cell, low, high } => {
                let mut parts = of_cell(cell)?;
                parts.extend([low.to_string(), high.to_string()].iter().map(|text| atom(text)));
                wrapped("squares", parts)
            }
        })
    });
    let (terms, term_order) = ordered(terms.collect::<Result<_, Unlike>>()?);

    let sets = noise.sets.iter().map(|set| of_set(set, &group_order, &term_order)).collect::<Result<_, Unlike>>()?;
    let (sets, set_order) = ordered(sets);
    let exists = match noise.exists {
        Some(term) => term_order.iter().position(|place| *place == term).ok_or(Unlike)?.to_string(),
        None => String::new(),
    };
    // Where another owner's row counts once, whatever it meets, it matters which rows those are.
    let once = match release.rows.repeated {
        false => Vec::new(),
        true => {
            let ids = release.rows.row_ids.iter().filter(|id| !id.own).map(|id| column(&id.column));
            let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
            ids.sort();
            ids
        }
    };
    let text = wrapped(
        "point",
        vec![
            closed.text.clone(),
            column(&release.rows.unit)?,
            wrapped(if release.rows.repeated { "once" } else { "each" }, once),
            atom(&release.most_rows.to_string()),
            atom(&exists),
            wrapped(if noise.domains.is_some() { "declared" } else { "found" }, groups),
            wrapped("terms", terms),
            wrapped(if release.sets.is_some() { "sets" } else { "all" }, sets),
        ],
    );
    Ok((text, Order { release: index, groups: group_order, sets: set_order, terms: term_order }))
}

fn of_set(set: &SetNoise, groups: &[usize], terms: &[usize]) -> Result<String, Unlike> {
    let mut of_it = set
        .groups
        .iter()
        .map(|group| groups.iter().position(|place| place == group).ok_or(Unlike))
        .collect::<Result<Vec<usize>, Unlike>>()?;
    of_it.sort_unstable();
    let of_it = of_it.iter().map(|place| atom(&place.to_string())).collect();
    let noise = terms.iter().map(|term| {
        let noise = set.noise.get(*term).ok_or(Unlike)?;
        Ok(wrapped("noise", vec![atom(&noise.mechanism.to_string()), atom(&format!("{:x}", noise.scale.to_bits()))]))
    });
    let threshold = set.threshold.map(|threshold| threshold.to_string()).unwrap_or_default();
    Ok(wrapped(
        "set",
        vec![
            wrapped("groups", of_it),
            atom(&set.most_groups.to_string()),
            atom(&set.cut.to_string()),
            atom(&threshold),
            wrapped("noises", noise.collect::<Result<_, Unlike>>()?),
        ],
    ))
}

/// Texts in order, and where each stood.
fn ordered(texts: Vec<String>) -> (Vec<String>, Vec<usize>) {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|place| texts.get(*place));
    let mut texts = texts;
    texts.sort();
    (texts, order)
}
