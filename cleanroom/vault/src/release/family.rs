//! Release points that are judged together, on their evidence: small groups merged, totals beside their parts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array as _, ArrayRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, exec_datafusion_err};
use roaring::RoaringBitmap;

use super::ReleasedTable;
use super::complement::{self, Ground, Node, Steps, Tables, Vector};
use super::rules::{CellTotals, Quantity, Rules, Totals, dominated, quantities};
use super::table::{self, Row};
use crate::check::{self, Cell, CellKind, Family, ReleasePoint};
use crate::compile;
use crate::evidence::{CellEvidence, Contribution, Evidence, GroupEvidence};
use crate::execute::ExactFamily;

/// The released tables of a family's members, with their places in the query. `rules` holds those of all release points.
pub(super) fn release(exact: ExactFamily, rules: &[Rules<'_>]) -> Result<Vec<(usize, ReleasedTable)>> {
    let ExactFamily { family, evidence } = exact;
    let rules: Vec<&Rules<'_>> = family.members.iter().filter_map(|member| rules.get(member.release)).collect();
    let mut answer = Answer::of(&family, &evidence, rules)?;
    answer.hide_complements()?;
    answer.tables()
}

/// A number that some column tells: the family's first cell of these values, and what of it.
struct Told {
    cell: usize,
    what: Quantity,
}

/// A group that stands, or the remainder of those that do not.
struct Entry {
    set: usize,
    /// Its place among the evidence; `None` for a remainder.
    key: Option<usize>,
    /// The groups of the evidence that it is made of.
    groups: Vec<usize>,
    totals: Totals,
    /// For each of the family's cells, whether its own rules let it be told.
    tells: Vec<bool>,
    /// For each of the numbers that are told, whether it is hidden for the sake of others.
    hidden: Vec<bool>,
}

struct Answer<'f> {
    family: &'f Family,
    evidence: &'f Evidence,
    /// Of each member.
    rules: Vec<&'f Rules<'f>>,
    sets: Vec<Vec<usize>>,
    told: Vec<Told>,
    /// For each of the family's cells, the numbers that it tells.
    told_by: Vec<Vec<usize>>,
    entries: Vec<Entry>,
}

impl<'f> Answer<'f> {
    fn of(family: &'f Family, evidence: &'f Evidence, rules: Vec<&'f Rules<'f>>) -> Result<Self> {
        let (told, told_by) = told(&family.combined.cells);
        let mut answer = Self { family, evidence, rules, sets: family.sets(), told, told_by, entries: Vec::new() };
        for set in 0..answer.sets.len() {
            answer.take_set(set)?;
        }
        Ok(answer)
    }

    /// The members that show a set.
    fn members_of(&self, set: usize) -> impl Iterator<Item = usize> {
        let members = self.family.members.iter().enumerate();
        members.filter(move |(_index, member)| member.sets.contains(&set)).map(|(index, _member)| index)
    }

    /// The groups of one set that stand, and what becomes of the others.
    fn take_set(&mut self, set: usize) -> Result<()> {
        let Some(rules) = self.members_of(set).next().and_then(|member| self.rules.get(member).copied()) else {
            return Ok(());
        };
        let combined = &self.family.combined;
        let columns = self.sets.get(set).map(Vec::as_slice).unwrap_or_default();
        let no_value = |group: usize| {
            columns.iter().filter_map(|column| self.evidence.keys.get(*column)).all(|values| values.is_null(group))
        };
        let merges = rules.release.merged && !columns.is_empty();
        let mut small = Vec::new();
        let mut entries = Vec::new();
        for (index, group) in self.evidence.groups.iter().enumerate().filter(|(_index, group)| group.set == set) {
            let totals = totals(combined, group);
            // The remainder has NULL in every column: a group of rows that have no value there would look like it.
            if !rules.stands(&totals) || (merges && no_value(index)) {
                small.push(index);
            } else {
                entries.push(self.entry(rules, set, Some(index), vec![index], totals));
            }
        }
        if merges && !small.is_empty() {
            let groups: Vec<&GroupEvidence> =
                small.iter().filter_map(|index| self.evidence.groups.get(*index)).collect();
            self.evidence.reserve(groups.iter().map(|group| group.size()).sum())?;
            let totals = totals(combined, &merged(set, &groups)?);
            if rules.stands(&totals) {
                let mut entry = self.entry(rules, set, None, small, totals);
                if combined.rows.repeated {
                    // Another owner's row counts once in a group, but it stands in several of those that are merged, as
                    // often as the analyst's own rows make it.
                    for (tells, cell) in entry.tells.iter_mut().zip(&combined.cells) {
                        *tells &= cell.kind == CellKind::Units;
                    }
                }
                entries.push(entry);
            }
        }
        self.entries.extend(entries);
        Ok(())
    }

    fn entry(&self, rules: &Rules<'_>, set: usize, key: Option<usize>, groups: Vec<usize>, totals: Totals) -> Entry {
        let cells = self.family.combined.cells.iter().zip(&totals.cells);
        let tells = cells
            .map(|(cell, of_cell)| quantities(cell.kind).iter().all(|what| rules.tells(*what, cell, &totals, of_cell)))
            .collect();
        Entry { set, key, groups, totals, tells, hidden: vec![false; self.told.len()] }
    }

    fn shows(&self, entry: &Entry, cell: usize) -> bool {
        let not_hidden = |told: &usize| entry.hidden.get(*told) == Some(&false);
        entry.tells.get(cell) == Some(&true) && self.told_by.get(cell).is_some_and(|told| told.iter().all(not_hidden))
    }

    /// Whether some column of the entry's set tells one of these numbers.
    fn discloses(&self, entry: &Entry, told: &[usize]) -> bool {
        self.members_of(entry.set).filter_map(|member| self.family.members.get(member)).any(|member| {
            member.cells.iter().any(|cell| {
                self.told_by.get(*cell).is_some_and(|of_cell| of_cell.iter().any(|one| told.contains(one)))
                    && self.shows(entry, *cell)
            })
        })
    }

    /// Numbers that are told together: each by itself, and all counts under one condition, which are the same number where
    /// every unit has one row.
    fn classes(&self) -> Vec<Vec<usize>> {
        let cells = &self.family.combined.cells;
        let mut classes: Vec<Vec<usize>> = (0..self.told.len()).map(|told| vec![told]).collect();
        let mut counts: Vec<(&Cell, Vec<usize>)> = Vec::new();
        for (index, told) in self.told.iter().enumerate() {
            let Some(cell) = cells.get(told.cell) else { continue };
            if told.what == Quantity::Sum && !check::counts(cell) {
                continue;
            }
            match counts.iter_mut().find(|(known, _told)| known.filter == cell.filter) {
                Some((_cell, told)) => told.push(index),
                None => counts.push((cell, vec![index])),
            }
        }
        classes.extend(counts.into_iter().map(|(_cell, told)| told).filter(|told| told.len() > 1));
        classes
    }

    /// Hides what would give hidden groups and cells away.
    fn hide_complements(&mut self) -> Result<()> {
        if !self.family.has_totals() {
            return Ok(());
        }
        let systems = self.systems()?;
        let mut steps = Steps::new();
        loop {
            let mut changed = false;
            for class in self.classes() {
                for system in &systems {
                    changed |= self.hide(system, &class, &mut steps)?;
                }
            }
            if !changed {
                return Ok(());
            }
        }
    }

    /// Hides what gives numbers of one class away in one system of tables.
    fn hide(&mut self, system: &System, class: &[usize], steps: &mut Steps) -> Result<bool> {
        let nodes: Vec<Node> = system
            .entries
            .iter()
            .filter_map(|(entry, table, atoms)| {
                let entry = self.entries.get(*entry)?;
                Some(Node {
                    table: *table,
                    atoms: atoms.clone(),
                    units: entry.totals.units,
                    shown: self.discloses(entry, class),
                })
            })
            .collect();
        let rules =
            self.rules.get(system.member).ok_or_else(|| exec_datafusion_err!("a table of the answer has no rules"))?;
        let mut tables =
            Tables { columns: system.columns.clone(), tables: system.tables.clone(), nodes, atoms: system.atoms.len() };
        let ground = Parts::of(self, system, class, rules);
        if complement::suppress(&mut tables, &ground, steps).is_err() {
            complement::leave_one(&mut tables);
        }
        let mut changed = false;
        for ((entry, ..), node) in system.entries.iter().zip(&tables.nodes) {
            let shown = self.entries.get(*entry).is_some_and(|entry| self.discloses(entry, class));
            if let Some(entry) = self.entries.get_mut(*entry)
                && shown
                && !node.shown
            {
                changed = true;
                for told in class {
                    if let Some(hidden) = entry.hidden.get_mut(*told) {
                        *hidden = true;
                    }
                }
            }
        }
        Ok(changed)
    }

    /// The tables within each set that is within no other: its groups are the parts of all of them.
    fn systems(&self) -> Result<Vec<System>> {
        let within = |few: &[usize], many: &[usize]| few.iter().all(|column| many.contains(column));
        let codes = self.evidence.keys.iter().map(codes).collect::<Result<Vec<_>>>()?;
        let mut systems = Vec::new();
        for (whole, parts) in self.sets.iter().enumerate() {
            if self.sets.iter().any(|other| other != parts && within(parts, other)) {
                continue;
            }
            let member = self.family.members.iter().position(|member| {
                let all: BTreeSet<usize> = member.groups.iter().copied().collect();
                all == parts.iter().copied().collect()
            });
            let member = member.ok_or_else(|| exec_datafusion_err!("a set of the answer is of no release point"))?;
            let of_whole = self.evidence.groups.iter().enumerate().filter(|(_index, group)| group.set == whole);
            let atoms: Vec<usize> = of_whole.map(|(index, _group)| index).collect();
            let code = |column: usize, group: usize| codes.get(column).and_then(|codes| codes.get(group)).copied();
            let columns = (0..codes.len())
                .map(|column| atoms.iter().map(|atom| code(column, *atom).unwrap_or(0)).collect())
                .collect();
            let mut entries = Vec::new();
            let mut tables = Vec::new();
            for (set, by) in self.sets.iter().enumerate() {
                if !within(by, parts) || self.members_of(set).next().is_none() {
                    continue;
                }
                let key = |group: usize| by.iter().filter_map(|column| code(*column, group)).collect::<Vec<u32>>();
                let mut of_key: HashMap<Vec<u32>, Vec<u32>> = HashMap::new();
                for (place, atom) in atoms.iter().enumerate() {
                    let place = u32::try_from(place).map_err(|_many| exec_datafusion_err!("too many groups"))?;
                    of_key.entry(key(*atom)).or_default().push(place);
                }
                for (index, entry) in self.entries.iter().enumerate().filter(|(_index, entry)| entry.set == set) {
                    let mut atoms: Vec<u32> =
                        entry.groups.iter().filter_map(|group| of_key.get(&key(*group))).flatten().copied().collect();
                    atoms.sort_unstable();
                    self.evidence.reserve(4 * size_of::<u32>() * atoms.len())?;
                    entries.push((index, tables.len(), atoms));
                }
                tables.push(by.clone());
            }
            systems.push(System { member, atoms, columns, tables, entries });
        }
        Ok(systems)
    }

    fn tables(&self) -> Result<Vec<(usize, ReleasedTable)>> {
        let mut tables = Vec::with_capacity(self.family.members.len());
        for (member, rules) in self.family.members.iter().zip(&self.rules) {
            let release = rules.release;
            let keys: Vec<&ArrayRef> =
                member.groups.iter().filter_map(|group| self.evidence.keys.get(*group)).collect();
            let mut rows = Vec::new();
            for (place, set) in member.sets.iter().enumerate() {
                let own_set = release.sets.as_ref().and_then(|sets| sets.get(place));
                let grouping_id = own_set.map(|set| compile::grouping_id_of(release, set));
                for entry in self.entries.iter().filter(|entry| entry.set == *set) {
                    let values: Vec<Option<table::Value>> = release
                        .cells
                        .iter()
                        .zip(&member.cells)
                        .map(|(cell, place)| {
                            let of_cell =
                                entry.totals.cells.get(*place).filter(|_of_cell| self.shows(entry, *place))?;
                            table::value(cell, of_cell)
                        })
                        .collect();
                    // All that it had to tell is hidden for the sake of others: it goes like a small group.
                    if entry.hidden.contains(&true) && values.iter().all(Option::is_none) {
                        continue;
                    }
                    rows.push(Row { key: entry.key, grouping_id, values });
                }
            }
            // Where no group stands, there may be no keys either.
            let keys = if rows.is_empty() { empty_keys(release) } else { keys.into_iter().cloned().collect() };
            let keys: Vec<&ArrayRef> = keys.iter().collect();
            tables.push((member.release, table::table(release, &keys, &rows)?));
        }
        Ok(tables)
    }
}

fn empty_keys(release: &ReleasePoint) -> Vec<ArrayRef> {
    let fields = release.schema.fields().iter().take(release.groups.len());
    fields.map(|field| arrow::array::new_empty_array(field.data_type())).collect()
}

/// The numbers that cells tell, each once, and which each cell tells.
fn told(cells: &[Cell]) -> (Vec<Told>, Vec<Vec<usize>>) {
    let mut told: Vec<Told> = Vec::new();
    let told_by = cells
        .iter()
        .enumerate()
        .map(|(index, cell)| {
            let mut place = |what: &Quantity| {
                let same = |told: &Told| {
                    told.what == *what
                        && cells
                            .get(told.cell)
                            .is_some_and(|known| known.argument == cell.argument && known.filter == cell.filter)
                };
                told.iter().position(same).unwrap_or_else(|| {
                    told.push(Told { cell: index, what: *what });
                    told.len() - 1
                })
            };
            quantities(cell.kind).iter().map(&mut place).collect()
        })
        .collect();
    (told, told_by)
}

/// Tables whose groups are sums of the same parts.
struct System {
    /// Whose rules are those of the parts.
    member: usize,
    /// Their places among the evidence.
    atoms: Vec<usize>,
    /// For each of the family's group columns, each part's value, by number.
    columns: Vec<Vec<u32>>,
    /// The columns that each table is grouped by.
    tables: Vec<Vec<usize>>,
    /// What is shown of them: the entry, its table, and its parts.
    entries: Vec<(usize, usize, Vec<u32>)>,
}

/// Each value of a column as a number.
fn codes(values: &ArrayRef) -> Result<Vec<u32>> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
    let rows = converter.convert_columns(&[values.clone()])?;
    let mut known: HashMap<OwnedRow, u32> = HashMap::new();
    rows.iter()
        .map(|row| {
            let next = u32::try_from(known.len()).map_err(|_many| exec_datafusion_err!("too many values"))?;
            Ok(*known.entry(row.owned()).or_insert(next))
        })
        .collect()
}

/// The parts of one system, as far as numbers of one class are concerned.
struct Parts<'a> {
    rules: &'a Rules<'a>,
    groups: Vec<&'a GroupEvidence>,
    /// The cells and what of them, each a number of the class.
    numbers: Vec<(usize, &'a Cell, Quantity)>,
    alone: Vec<bool>,
}

impl<'a> Parts<'a> {
    fn of(answer: &'a Answer<'_>, system: &System, class: &[usize], rules: &'a Rules<'a>) -> Self {
        let cells = &answer.family.combined.cells;
        let numbers = class
            .iter()
            .filter_map(|told| answer.told.get(*told))
            .filter_map(|told| Some((told.cell, cells.get(told.cell)?, told.what)))
            .collect();
        let groups = system.atoms.iter().filter_map(|atom| answer.evidence.groups.get(*atom)).collect();
        let mut parts = Self { rules, groups, numbers, alone: Vec::new() };
        parts.alone = (0..parts.groups.len())
            .map(|atom| u32::try_from(atom).is_ok_and(|atom| parts.harmless(&[(atom, 1)])))
            .collect();
        parts
    }
}

impl Ground for Parts<'_> {
    fn harmless(&self, vector: &Vector) -> bool {
        let groups: Vec<(&GroupEvidence, i64)> =
            vector.iter().filter_map(|(atom, factor)| Some((*self.groups.get(*atom as usize)?, *factor))).collect();
        if groups.len() != vector.len() {
            return false;
        }
        let mut who = None;
        self.numbers.iter().all(|(index, cell, what)| {
            let cells: Vec<(&CellEvidence, i64)> =
                groups.iter().filter_map(|(group, factor)| Some((group.cells.get(*index)?, *factor))).collect();
            if cells.iter().all(|(cell, _factor)| cell.contributions.is_empty()) {
                return true;
            }
            let who = who.get_or_insert_with(|| {
                let present = (0..self.rules.release.floors.len())
                    .map(|floor| union(groups.iter().filter_map(|(group, _factor)| group.present.get(floor))).len())
                    .collect();
                Totals {
                    units: union(groups.iter().map(|(group, _factor)| &group.units)).len(),
                    present,
                    cells: Vec::new(),
                }
            });
            let of_cell = together(self.rules.release, &cells);
            self.rules.stands(who) && self.rules.tells(*what, cell, who, &of_cell)
        })
    }

    fn harmless_alone(&self, atom: u32) -> bool {
        self.alone.get(atom as usize) == Some(&true)
    }
}

fn union<'b>(bitmaps: impl Iterator<Item = &'b RoaringBitmap>) -> RoaringBitmap {
    bitmaps.fold(RoaringBitmap::new(), |mut all, bitmap| {
        all |= bitmap;
        all
    })
}

/// The totals of one cell over several groups, each with a factor.
fn together(release: &ReleasePoint, cells: &[(&CellEvidence, i64)]) -> CellTotals {
    let branches = compile::branches(release)
        .enumerate()
        .map(|(place, floor)| (floor, union(cells.iter().filter_map(|(cell, _factor)| cell.branches.get(place))).len()))
        .collect();
    let contributors = union(cells.iter().map(|(cell, _factor)| &cell.contributors)).len();
    let mut totals = CellTotals { contributors, branches, ..CellTotals::default() };
    if !release.dominance.is_empty() {
        let mut parts: BTreeMap<u32, (i128, i128)> = BTreeMap::new();
        for (cell, factor) in cells {
            for contribution in &cell.contributions {
                let (count, sum) = parts.entry(contribution.unit).or_default();
                let factor = i128::from(*factor);
                *count = count.saturating_add(i128::from(contribution.count).saturating_mul(factor));
                *sum = sum.saturating_add(contribution.sum.saturating_mul(factor));
            }
        }
        totals.count_dominated =
            dominated(&mut parts.values().map(|(count, _sum)| count.saturating_abs()).collect(), &release.dominance);
        totals.sum_dominated =
            dominated(&mut parts.values().map(|(_count, sum)| sum.saturating_abs()).collect(), &release.dominance);
    }
    totals
}

/// The totals of one group.
fn totals(release: &ReleasePoint, group: &GroupEvidence) -> Totals {
    let cells = group
        .cells
        .iter()
        .zip(&release.cells)
        .map(|(evidence, cell)| CellTotals {
            count: evidence.contributions.iter().fold(0, |count: i64, one| count.saturating_add(one.count)),
            sum: match cell.kind {
                CellKind::Rows | CellKind::Units => None,
                CellKind::Sum | CellKind::Average => {
                    evidence.contributions.iter().try_fold(0_i128, |sum, one| sum.checked_add(one.sum))
                }
            },
            ..together(release, &[(evidence, 1)])
        })
        .collect();
    Totals { units: group.units.len(), present: group.present.iter().map(RoaringBitmap::len).collect(), cells }
}

/// Several groups of one set as one.
fn merged(set: usize, groups: &[&GroupEvidence]) -> Result<GroupEvidence> {
    let count = |of: fn(&GroupEvidence) -> usize| groups.first().map_or(0, |group| of(group));
    let cells = (0..count(|group| group.cells.len()))
        .map(|index| {
            let cells: Vec<&CellEvidence> = groups.iter().filter_map(|group| group.cells.get(index)).collect();
            let branches = (0..cells.first().map_or(0, |cell| cell.branches.len()))
                .map(|place| union(cells.iter().filter_map(|cell| cell.branches.get(place))))
                .collect();
            let mut parts: BTreeMap<u32, Contribution> = BTreeMap::new();
            for one in cells.iter().flat_map(|cell| &cell.contributions) {
                let all = parts.entry(one.unit).or_insert(Contribution::none(one.unit));
                all.add(one)?;
            }
            let contributors = union(cells.iter().map(|cell| &cell.contributors));
            Ok(CellEvidence { contributors, contributions: parts.into_values().collect(), branches })
        })
        .collect::<Result<_>>()?;
    Ok(GroupEvidence {
        set,
        units: union(groups.iter().map(|group| &group.units)),
        present: (0..count(|group| group.present.len()))
            .map(|floor| union(groups.iter().filter_map(|group| group.present.get(floor))))
            .collect(),
        cells,
    })
}
