//! Release points that are judged together, on their evidence: small groups merged, totals beside their parts.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array as _, ArrayRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, exec_datafusion_err};

use super::ReleasedTable;
use super::complement::{self, Node, Steps, Tables};
use super::parts::{Parts, count_of, merged, totals};
use super::rules::{Quantity, Rules, Totals, quantities};
use super::table::{self, Row};
use crate::check::{self, Cell, CellKind, Family, ReleasePoint};
use crate::compile;
use crate::evidence::{Evidence, GroupEvidence};
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
            if rules.remains(&totals) {
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

    /// Numbers that are told together: each by itself, and counts under one condition that are the same in every group, as
    /// those of units and of rows are where every unit has one row.
    fn classes(&self) -> Vec<Vec<usize>> {
        let cells = &self.family.combined.cells;
        let mut classes: Vec<Vec<usize>> = (0..self.told.len()).map(|told| vec![told]).collect();
        let mut counts: Vec<(&Cell, Vec<i64>, Vec<usize>)> = Vec::new();
        for (index, told) in self.told.iter().enumerate() {
            let Some(cell) = cells.get(told.cell) else { continue };
            if told.what == Quantity::Sum && !check::counts(cell) {
                continue;
            }
            let numbers: Vec<i64> = self
                .evidence
                .groups
                .iter()
                .filter_map(|group| group.cells.get(told.cell))
                .map(|cell| match told.what {
                    Quantity::Units => i64::try_from(cell.contributions.len()).unwrap_or(i64::MAX),
                    Quantity::Count | Quantity::Sum => count_of(cell),
                })
                .collect();
            match counts.iter_mut().find(|(known, same, _told)| known.filter == cell.filter && *same == numbers) {
                Some((_cell, _numbers, told)) => told.push(index),
                None => counts.push((cell, numbers, vec![index])),
            }
        }
        classes.extend(counts.into_iter().map(|(_cell, _numbers, told)| told).filter(|told| told.len() > 1));
        classes
    }

    /// Hides what would give hidden groups and cells away.
    fn hide_complements(&mut self) -> Result<()> {
        if !self.family.has_totals() {
            return Ok(());
        }
        let systems = self.systems()?;
        let classes = self.classes();
        let mut steps = Steps::new();
        loop {
            let mut changed = false;
            for class in &classes {
                for system in &systems {
                    changed |= self.hide(system, class, &mut steps)?;
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
        let cells = &self.family.combined.cells;
        let told = class.iter().filter_map(|told| self.told.get(*told));
        let numbers = told.filter_map(|told| Some((told.cell, cells.get(told.cell)?, told.what))).collect();
        let groups = system.atoms.iter().filter_map(|atom| self.evidence.groups.get(*atom)).collect();
        let ground = Parts::of(rules, groups, numbers);
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
    let rows = converter.convert_columns(std::slice::from_ref(values))?;
    let mut known: HashMap<OwnedRow, u32> = HashMap::new();
    rows.iter()
        .map(|row| {
            let next = u32::try_from(known.len()).map_err(|_many| exec_datafusion_err!("too many values"))?;
            Ok(*known.entry(row.owned()).or_insert(next))
        })
        .collect()
}
