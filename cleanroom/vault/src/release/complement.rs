//! Complementary suppression: what must be hidden so that what is hidden stays so.
//!
//! **What an attacker computes.** Released tables over the same rows are sums over the same *atoms*: the groups by all
//! columns that any of them is grouped by. A cell that is shown is the sum over the atoms of its group. Whoever holds the
//! answer can add and subtract shown cells, and so computes every vector of the space that their rows of 0 and 1 over the
//! atoms span, and nothing else. A vector is harmless where the units that stand behind its atoms (those with a factor other
//! than zero) are none or enough: meet every floor, and no few of them dominate. So it is asked of every vector that can be
//! computed, not of every group that is hidden.
//!
//! **What is checked.** Two things, until neither finds anything:
//!
//! 1. *Differences of two tables*: within each group by the columns that two tables share, all that one shows less all that
//!    the other shows. This holds a total beside its parts (the total is one group then), a margin beside a finer one, and
//!    two tables that share no shown total, since either one, shown whole, is the total.
//! 2. *The space itself*, brought into reduced row echelon form over the integers, atoms that could be shown by themselves
//!    first. Every row of that form is a vector that can be computed. An atom that follows exactly from the answer is a row
//!    of its own in it; and of tables that refine each other (ROLLUP, a total beside its parts) the rows are what is left of
//!    each shown group once everything shown within it is taken away, of which every vector is a sum: there the check is
//!    complete. Of tables that cross each other (CUBE) a row can be harmless that is the sum of others only by several small
//!    atoms at once: it is checked for single atoms, for differences of two tables, and for every row of the form.
//!
//! **What is hidden then** is the smallest cell that the harmful vector was computed of, but not the largest, so that totals
//! stand longer than parts; ties are broken by the order of the groups' values. That choice depends on the numbers of units
//! behind cells that would otherwise be shown. It tells that something small was hidden near by, which the gap in the table
//! tells as well, and a bound on its size that is no closer than the floors: the rest passes them.
//!
//! A table of one grouping alone has no differences, and nothing is hidden here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most steps of one answer's checks. Beyond, all but one table is hidden: with one alone nothing can be computed.
const MAX_STEPS: usize = 50_000_000;

/// A shown or hidden group, or the remainder of a table's small groups.
pub(super) struct Node {
    /// Which table it is of.
    pub(super) table: usize,
    /// What it is the sum of, ascending.
    pub(super) atoms: Vec<u32>,
    /// Units behind it.
    pub(super) units: u64,
    /// Whether its value is shown.
    pub(super) shown: bool,
}

/// Tables over the same rows.
pub(super) struct Tables {
    /// For each column, each atom's value there, by number.
    pub(super) columns: Vec<Vec<u32>>,
    /// For each table, the columns it is grouped by.
    pub(super) tables: Vec<Vec<usize>>,
    pub(super) nodes: Vec<Node>,
    /// How many atoms there are.
    pub(super) atoms: usize,
}

/// A vector over the atoms that can be computed: each with its factor, which is not zero.
pub(super) type Vector = [(u32, i64)];

/// What is known of atoms.
pub(super) trait Ground {
    /// Whether the units behind a vector are none or enough.
    fn harmless(&self, vector: &Vector) -> bool;
    /// Whether an atom by itself is: such atoms may be what a vector ends with.
    fn harmless_alone(&self, atom: u32) -> bool;
}

/// The checks would take too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// The steps that are left to an answer.
pub(super) struct Steps(usize);

impl Steps {
    pub(super) fn new() -> Self {
        Self(MAX_STEPS)
    }

    fn take(&mut self, steps: usize) -> Result<(), TooMany> {
        self.0 = self.0.checked_sub(steps).ok_or(TooMany)?;
        Ok(())
    }
}

/// Hides nodes until nothing harmful can be computed of those that are shown.
pub(super) fn suppress(tables: &mut Tables, ground: &dyn Ground, steps: &mut Steps) -> Result<(), TooMany> {
    let blocks = blocks(tables, steps)?;
    loop {
        let shown: BTreeSet<usize> = tables.nodes.iter().filter(|node| node.shown).map(|node| node.table).collect();
        if shown.len() < 2 {
            return Ok(());
        }
        let mut hidden = differences(tables, &blocks, &shown, ground, steps)?;
        if hidden.is_empty() {
            hidden = computable(tables, ground, steps)?;
        }
        if hidden.is_empty() {
            return Ok(());
        }
        for node in hidden {
            if let Some(node) = tables.nodes.get_mut(node) {
                node.shown = false;
            }
        }
    }
}

/// Leaves one table alone: the finest that shows anything.
pub(super) fn leave_one(tables: &mut Tables) {
    let finest = tables
        .nodes
        .iter()
        .filter(|node| node.shown)
        .map(|node| node.table)
        .max_by_key(|table| (tables.tables.get(*table).map_or(0, Vec::len), std::cmp::Reverse(*table)));
    for node in &mut tables.nodes {
        node.shown &= Some(node.table) == finest;
    }
}

/// For sets of columns, the number of each atom's group by them.
type Blocks = HashMap<Vec<usize>, Vec<u32>>;

/// The groups by the columns that any two tables share.
fn blocks(tables: &Tables, steps: &mut Steps) -> Result<Blocks, TooMany> {
    let mut known = Blocks::new();
    for (index, one) in tables.tables.iter().enumerate() {
        for other in tables.tables.iter().skip(index + 1) {
            let shared = shared(one, other);
            if known.contains_key(&shared) {
                continue;
            }
            let mut groups = vec![0_u32; tables.atoms];
            for values in shared.iter().filter_map(|column| tables.columns.get(*column)) {
                steps.take(tables.atoms)?;
                let mut finer: HashMap<(u32, u32), u32> = HashMap::new();
                for (group, value) in groups.iter_mut().zip(values) {
                    let next = u32::try_from(finer.len()).map_err(|_many| TooMany)?;
                    *group = *finer.entry((*group, *value)).or_insert(next);
                }
            }
            known.insert(shared, groups);
        }
    }
    Ok(known)
}

fn shared(one: &[usize], other: &[usize]) -> Vec<usize> {
    one.iter().copied().filter(|column| other.contains(column)).collect()
}

/// For each atom, the shown node of a table that holds it.
fn covered(tables: &Tables, table: usize) -> Vec<Option<usize>> {
    let mut covered = vec![None; tables.atoms];
    for (index, node) in tables.nodes.iter().enumerate().filter(|(_, node)| node.shown && node.table == table) {
        for atom in &node.atoms {
            if let Some(place) = covered.get_mut(*atom as usize) {
                *place = Some(index);
            }
        }
    }
    covered
}

/// Nodes to hide so that no two tables differ by something harmful.
fn differences(
    tables: &Tables,
    blocks: &Blocks,
    shown: &BTreeSet<usize>,
    ground: &dyn Ground,
    steps: &mut Steps,
) -> Result<BTreeSet<usize>, TooMany> {
    let mut hidden = BTreeSet::new();
    let covers: Vec<(usize, Vec<Option<usize>>)> =
        shown.iter().map(|table| (*table, covered(tables, *table))).collect();
    for (index, (one, by_one)) in covers.iter().enumerate() {
        for (other, by_other) in covers.iter().skip(index + 1) {
            // These are the cheapest steps there are.
            steps.take(tables.atoms / 8 + 1)?;
            let (Some(one), Some(other)) = (tables.tables.get(*one), tables.tables.get(*other)) else { continue };
            let Some(blocks) = blocks.get(&shared(one, other)) else { return Err(TooMany) };
            let mut vectors: BTreeMap<u32, Vec<(u32, i64)>> = BTreeMap::new();
            let atoms = 0_u32..;
            for (atom, (block, (by_one, by_other))) in atoms.zip(blocks.iter().zip(by_one.iter().zip(by_other))) {
                if by_one.is_some() != by_other.is_some() {
                    vectors.entry(*block).or_default().push((atom, if by_one.is_some() { 1 } else { -1 }));
                }
            }
            let mut harmful = BTreeMap::new();
            for (block, vector) in vectors {
                steps.take(vector.len())?;
                if !ground.harmless(&vector) {
                    harmful.insert(block, BTreeSet::new());
                }
            }
            if harmful.is_empty() {
                continue;
            }
            for (block, (by_one, by_other)) in blocks.iter().zip(by_one.iter().zip(by_other)) {
                if let Some(nodes) = harmful.get_mut(block) {
                    nodes.extend(by_one.iter().chain(by_other));
                }
            }
            hidden.extend(harmful.into_values().filter_map(|nodes| smallest(tables, nodes)));
        }
    }
    Ok(hidden)
}

/// The smallest of the nodes that a vector was computed of, but not one with the most atoms while there are others.
fn smallest(tables: &Tables, nodes: BTreeSet<usize>) -> Option<usize> {
    let nodes: Vec<(usize, &Node)> =
        nodes.into_iter().filter_map(|index| Some((index, tables.nodes.get(index)?))).collect();
    let most = nodes.iter().map(|(_, node)| node.atoms.len()).max();
    let parts = nodes.iter().filter(|(_, node)| Some(node.atoms.len()) < most);
    let smallest = parts.min_by_key(|(index, node)| (node.units, *index));
    smallest.or_else(|| nodes.iter().min_by_key(|(index, node)| (node.units, *index))).map(|(index, _)| *index)
}

/// One row of the reduced form.
struct Row {
    atoms: BTreeMap<u32, i64>,
    /// The nodes it was computed of, and how often each.
    nodes: BTreeMap<u32, i64>,
}

/// The reduced form of what is shown.
#[derive(Default)]
struct Form {
    rows: Vec<Row>,
    /// The row that each pivot is of.
    pivots: HashMap<u32, usize>,
    /// The rows that hold an atom.
    holders: HashMap<u32, BTreeSet<usize>>,
}

/// Nodes to hide so that no row of the reduced form is harmful.
fn computable(tables: &Tables, ground: &dyn Ground, steps: &mut Steps) -> Result<BTreeSet<usize>, TooMany> {
    let mut order: Vec<usize> = (0..tables.nodes.len()).collect();
    order.sort_by_key(|index| tables.nodes.get(*index).map_or(0, |node| node.atoms.len()));
    let mut form = Form::default();
    for index in order {
        let Some(node) = tables.nodes.get(index).filter(|node| node.shown) else { continue };
        let name = u32::try_from(index).map_err(|_many| TooMany)?;
        let row = Row { atoms: node.atoms.iter().map(|atom| (*atom, 1)).collect(), nodes: BTreeMap::from([(name, 1)]) };
        form.add(row, ground, steps)?;
    }
    let mut hidden = BTreeSet::new();
    for row in &form.rows {
        steps.take(row.atoms.len())?;
        if row.nodes.len() == 1 {
            // A shown group as it stands, by its own rules.
            continue;
        }
        let vector: Vec<(u32, i64)> = row.atoms.iter().map(|(atom, factor)| (*atom, *factor)).collect();
        if !ground.harmless(&vector) {
            hidden.extend(smallest(tables, row.nodes.keys().map(|node| *node as usize).collect()));
        }
    }
    Ok(hidden)
}

impl Form {
    fn add(&mut self, mut row: Row, ground: &dyn Ground, steps: &mut Steps) -> Result<(), TooMany> {
        steps.take(row.atoms.len())?;
        let found: Vec<(u32, usize)> =
            row.atoms.keys().filter_map(|atom| Some((*atom, *self.pivots.get(atom)?))).collect();
        for (atom, known) in found {
            if let Some(known) = self.rows.get(known) {
                row.clear(atom, known, steps)?;
            }
        }
        let pivot = row.atoms.keys().find(|atom| ground.harmless_alone(**atom)).or_else(|| row.atoms.keys().next());
        let Some(pivot) = pivot.copied() else { return Ok(()) };
        let index = self.rows.len();
        for holder in self.holders.get(&pivot).cloned().unwrap_or_default() {
            let Some(other) = self.rows.get_mut(holder) else { continue };
            let before: Vec<u32> = other.atoms.keys().copied().collect();
            other.clear(pivot, &row, steps)?;
            for atom in before.iter().filter(|atom| !other.atoms.contains_key(atom)) {
                if let Some(holders) = self.holders.get_mut(atom) {
                    holders.remove(&holder);
                }
            }
            for atom in other.atoms.keys() {
                self.holders.entry(*atom).or_default().insert(holder);
            }
        }
        for atom in row.atoms.keys() {
            self.holders.entry(*atom).or_default().insert(index);
        }
        self.pivots.insert(pivot, index);
        self.rows.push(row);
        Ok(())
    }
}

impl Row {
    /// Adds a multiple of `known`, and takes one of itself, so that an atom of both is in it no more.
    fn clear(&mut self, atom: u32, known: &Self, steps: &mut Steps) -> Result<(), TooMany> {
        let (Some(own), Some(its)) = (self.atoms.get(&atom).copied(), known.atoms.get(&atom).copied()) else {
            return Ok(());
        };
        steps.take(known.atoms.len() + known.nodes.len())?;
        let common = gcd(own.unsigned_abs(), its.unsigned_abs());
        let common = i64::try_from(common).map_err(|_large| TooMany)?;
        let (times, less) = (its / common, own / common);
        if times != 1 {
            steps.take(self.atoms.len() + self.nodes.len())?;
            for factor in self.atoms.values_mut().chain(self.nodes.values_mut()) {
                *factor = factor.checked_mul(times).ok_or(TooMany)?;
            }
        }
        subtract(&mut self.atoms, &known.atoms, less)?;
        subtract(&mut self.nodes, &known.nodes, less)
    }
}

fn subtract(from: &mut BTreeMap<u32, i64>, what: &BTreeMap<u32, i64>, times: i64) -> Result<(), TooMany> {
    for (key, factor) in what {
        let factor = factor.checked_mul(times).ok_or(TooMany)?;
        let left = from.get(key).copied().unwrap_or(0).checked_sub(factor).ok_or(TooMany)?;
        if left == 0 {
            from.remove(key);
        } else {
            from.insert(*key, left);
        }
    }
    Ok(())
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one.max(1) } else { gcd(other, one % other) }
}

#[cfg(test)]
mod tests;
