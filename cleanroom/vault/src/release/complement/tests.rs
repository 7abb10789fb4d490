#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const FLOOR: usize = 5;

/// Who stands in each atom; harmless is nobody, or as many as the floor.
#[derive(Debug)]
struct Units(Vec<BTreeSet<u32>>);

impl Ground for Units {
    fn harmless(&self, vector: &Vector) -> bool {
        let units: BTreeSet<u32> = vector.iter().flat_map(|(atom, _)| self.0[*atom as usize].iter().copied()).collect();
        units.is_empty() || units.len() >= FLOOR
    }

    fn harmless_alone(&self, atom: u32) -> bool {
        self.harmless(&[(atom, 1)])
    }
}

/// The tables by the given columns over atoms, each group shown that meets the floor.
fn tables(columns: Vec<Vec<u32>>, sets: &[&[usize]], ground: &Units) -> Tables {
    let atoms = ground.0.len();
    let mut nodes = Vec::new();
    for (table, set) in sets.iter().enumerate() {
        let mut groups: BTreeMap<Vec<u32>, Vec<u32>> = BTreeMap::new();
        for atom in 0..u32::try_from(atoms).unwrap() {
            let key = set.iter().map(|column| columns[*column][atom as usize]).collect();
            groups.entry(key).or_default().push(atom);
        }
        for atoms in groups.into_values() {
            let units: BTreeSet<u32> = atoms.iter().flat_map(|atom| ground.0[*atom as usize].iter().copied()).collect();
            nodes.push(Node { table, shown: units.len() >= FLOOR, units: units.len() as u64, atoms });
        }
    }
    Tables { columns, tables: sets.iter().map(|set| set.to_vec()).collect(), nodes, atoms }
}

/// So many units of their own for each atom.
fn apart(sizes: &[u32]) -> Units {
    let mut next = 0;
    let units = sizes.iter().map(|size| {
        let units = (next..next + size).collect();
        next += size;
        units
    });
    Units(units.collect())
}

fn shown(tables: &Tables) -> Vec<Vec<u32>> {
    tables.nodes.iter().filter(|node| node.shown).map(|node| node.atoms.clone()).collect()
}

/// All ways to take shown groups of one table from those of another, within each group by the columns they share.
fn one_dimension_at_a_time(tables: &Tables, ground: &Units) {
    for total in tables.nodes.iter().filter(|node| node.shown) {
        for table in 0..tables.tables.len() {
            if !tables.tables[total.table].iter().all(|column| tables.tables[table].contains(column)) {
                continue;
            }
            let within =
                |node: &&Node| node.shown && node.table == table && node.atoms.iter().all(|a| total.atoms.contains(a));
            let taken: BTreeSet<u32> = tables.nodes.iter().filter(within).flat_map(|node| node.atoms.clone()).collect();
            let left: Vec<(u32, i64)> =
                total.atoms.iter().filter(|atom| !taken.contains(atom)).map(|atom| (*atom, 1)).collect();
            assert!(ground.harmless(&left), "{left:?} is left of {:?}", total.atoms);
        }
    }
}

/// The shown groups' 0 and 1 over the atoms, brought into row echelon form in another way than the code's, modulo a prime.
fn determined(tables: &Tables) -> Vec<usize> {
    const PRIME: i128 = (1 << 61) - 1;
    let inverse = |value: i128| {
        let (mut result, mut base, mut exponent) = (1_i128, value, PRIME - 2);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result * base % PRIME;
            }
            base = base * base % PRIME;
            exponent >>= 1;
        }
        result
    };
    let mut matrix: Vec<Vec<i128>> = shown(tables)
        .iter()
        .map(|atoms| (0..tables.atoms).map(|atom| i128::from(atoms.contains(&(atom as u32)))).collect())
        .collect();
    let mut rank = 0;
    for column in 0..tables.atoms {
        let Some(pivot) = (rank..matrix.len()).find(|row| matrix[*row][column] != 0) else { continue };
        matrix.swap(rank, pivot);
        let scale = inverse(matrix[rank][column]);
        for value in &mut matrix[rank] {
            *value = *value * scale % PRIME;
        }
        for row in 0..matrix.len() {
            if row != rank && matrix[row][column] != 0 {
                let factor = matrix[row][column];
                let pivot = matrix[rank].clone();
                for (value, known) in matrix[row].iter_mut().zip(pivot) {
                    *value = (*value - factor * known).rem_euclid(PRIME);
                }
            }
        }
        rank += 1;
    }
    let alone = |row: &Vec<i128>| {
        let mut places = row.iter().enumerate().filter(|(_, value)| **value != 0).map(|(at, _)| at);
        let first = places.next()?;
        places.next().is_none().then_some(first)
    };
    matrix.iter().filter_map(alone).collect()
}

fn nothing_small_follows(tables: &Tables, ground: &Units) {
    one_dimension_at_a_time(tables, ground);
    for atom in determined(tables) {
        assert!(ground.harmless_alone(atom as u32), "{atom} follows from {:?}", shown(tables));
    }
}

#[test]
fn one_small_part_takes_the_smallest_other_with_it() {
    let ground = apart(&[20, 9, 4, 30]);
    let mut tables = tables(vec![vec![0, 1, 2, 3]], &[&[0], &[]], &ground);
    suppress(&mut tables, &ground, &mut Steps::new()).unwrap();
    assert_eq!(shown(&tables), [vec![0], vec![3], vec![0, 1, 2, 3]]);
}

#[test]
fn small_parts_that_are_enough_together_cost_nothing() {
    let ground = apart(&[20, 2, 4, 30]);
    let mut tables = tables(vec![vec![0, 1, 2, 3]], &[&[0], &[]], &ground);
    suppress(&mut tables, &ground, &mut Steps::new()).unwrap();
    assert_eq!(shown(&tables).len(), 3);
}

#[test]
fn a_hidden_part_whose_own_parts_are_shown_is_known() {
    // By a and b: a = 1 is small, and hiding a = 0 does not help while its two parts are shown.
    let ground = apart(&[10, 11, 3, 40, 41]);
    let columns = vec![vec![0, 0, 1, 2, 2], vec![0, 1, 0, 0, 1]];
    let mut tables = tables(columns, &[&[0, 1], &[0], &[]], &ground);
    suppress(&mut tables, &ground, &mut Steps::new()).unwrap();
    nothing_small_follows(&tables, &ground);
    let known: BTreeSet<u32> = shown(&tables).into_iter().filter(|atoms| atoms.len() < 5).flatten().collect();
    assert!(!known.contains(&0) || !known.contains(&1), "{:?}", shown(&tables));
    assert!(shown(&tables).contains(&vec![0, 1, 2, 3, 4]), "the total stands");
}

#[test]
fn margins_without_their_total_still_have_one() {
    // Grouped by a, and by b, never by neither: all of b is the total, of which shown parts of a leave the small one.
    let ground = apart(&[10, 10, 2, 1]);
    let mut tables = tables(vec![vec![0, 0, 1, 1], vec![0, 1, 0, 1]], &[&[0], &[1]], &ground);
    suppress(&mut tables, &ground, &mut Steps::new()).unwrap();
    nothing_small_follows(&tables, &ground);
    let by = |table: usize| tables.nodes.iter().filter(|node| node.shown && node.table == table).count();
    assert!(by(0) == 0 || by(1) < 2, "{:?}", shown(&tables));
}

#[test]
fn a_bridge_between_two_blocks_is_not_left_alone() {
    // Lines are safe by themselves, but rows 0 and 1 less columns 0 and 1 are the cell (1, 2), of three units.
    let cells = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 3), (3, 2), (3, 3)];
    let sizes = [4, 4, 4, 4, 3, 4, 4, 4, 4];
    let ground = apart(&sizes);
    let columns = vec![cells.iter().map(|cell| cell.0).collect(), cells.iter().map(|cell| cell.1).collect()];
    let mut all = tables(columns, &[&[0, 1], &[0], &[1]], &ground);
    assert!(determined(&all).contains(&4), "the example is one");
    suppress(&mut all, &ground, &mut Steps::new()).unwrap();
    nothing_small_follows(&all, &ground);
}

#[test]
fn no_more_steps_than_there_are() {
    let ground = apart(&[20, 9, 4, 30]);
    let mut tables = tables(vec![vec![0, 1, 2, 3]], &[&[0], &[]], &ground);
    assert_eq!(suppress(&mut tables, &ground, &mut Steps(1)), Err(TooMany));
    leave_one(&mut tables);
    assert_eq!(shown(&tables), [vec![0], vec![1], vec![3]]);
}

#[test]
fn a_large_cube_takes_few_steps() {
    // 50 by 50 cells, most of them large: many lines have one small cell or two.
    let mut state = 11_u64;
    let mut next = |below: u32| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % below
    };
    let mut cells = BTreeMap::new();
    for cell in 0..2_500 {
        let size = if next(30) == 0 { 1 + next(4) } else { 5 + next(50) };
        cells.insert(vec![cell / 50, cell % 50], size);
    }
    let ground = apart(&cells.values().copied().collect::<Vec<_>>());
    let columns = (0..2).map(|column| cells.keys().map(|key| key[column]).collect()).collect();
    let mut tables = tables(columns, &[&[0, 1], &[0], &[1], &[]], &ground);
    let before = shown(&tables).len();
    let mut steps = Steps::new();
    suppress(&mut tables, &ground, &mut steps).unwrap();
    one_dimension_at_a_time(&tables, &ground);
    let after = shown(&tables).len();
    assert!(after < before && after * 10 > before * 9, "{before} groups stand, of which {after} are shown");
    assert!(steps.0 > MAX_STEPS / 10 * 9, "{} steps are left", steps.0);
}

/// Units of every cell of a table of 2 or 3 columns; a unit may stand in several.
fn random_cells(columns: usize) -> impl Strategy<Value = (Vec<Vec<u32>>, Units)> {
    let cell = (prop::collection::vec(0..4_u32, columns), prop::collection::btree_set(0..40_u32, 1..9));
    prop::collection::vec(cell, 1..14).prop_map(move |cells| {
        let merged: BTreeMap<Vec<u32>, BTreeSet<u32>> =
            cells.into_iter().fold(BTreeMap::new(), |mut all, (key, units)| {
                all.entry(key).or_insert_with(BTreeSet::new).extend(units);
                all
            });
        let by_column = (0..columns).map(|column| merged.keys().map(|key| key[column]).collect()).collect();
        (by_column, Units(merged.into_values().collect()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_cube_gives_a_small_cell_away((columns, ground) in random_cells(2)) {
        let mut tables = tables(columns, &[&[0, 1], &[0], &[1], &[]], &ground);
        suppress(&mut tables, &ground, &mut Steps::new()).unwrap();
        nothing_small_follows(&tables, &ground);
    }

    #[test]
    fn no_margins_give_a_small_cell_away((columns, ground) in random_cells(3)) {
        let mut tables = tables(columns, &[&[0, 1], &[1, 2], &[0]], &ground);
        suppress(&mut tables, &ground, &mut Steps::new()).unwrap();
        nothing_small_follows(&tables, &ground);
    }

    /// In tables that refine each other, the remainders of all shown groups span what can be computed.
    #[test]
    fn no_rollup_gives_a_small_remainder_away((columns, ground) in random_cells(3)) {
        let mut tables = tables(columns, &[&[0, 1, 2], &[0, 1], &[0], &[]], &ground);
        suppress(&mut tables, &ground, &mut Steps::new()).unwrap();
        nothing_small_follows(&tables, &ground);
        let known = |atoms: &Vec<u32>| shown(&tables).contains(atoms);
        for total in shown(&tables) {
            let mut left: BTreeSet<u32> = total.iter().copied().collect();
            for node in &tables.nodes {
                if known(&node.atoms) && node.atoms.len() < total.len() && node.atoms.iter().all(|a| total.contains(a)) {
                    left.retain(|atom| !node.atoms.contains(atom));
                }
            }
            let left: Vec<(u32, i64)> = left.into_iter().map(|atom| (atom, 1)).collect();
            prop_assert!(ground.harmless(&left), "{left:?} is left of {total:?}");
        }
    }
}
