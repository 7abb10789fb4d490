//! With an epsilon that leaves no noise, answers are the exact bounded numbers, counted here once more.

use std::collections::BTreeSet;

use super::blocks::{Blocks, HIGH, MOST_ROWS, What, declared, noise, numbers, open, table};
use crate::fixture::{Opened, block_on};

const MANY: usize = 40;

async fn rows(room: &Opened, sql: &str) -> Vec<Vec<String>> {
    let told = room.ask(sql, false).await;
    assert_eq!(told.outcome(), "released", "`{sql}`: {}", told.document);
    told.rows
}

fn number(text: &str) -> f64 {
    text.parse().unwrap()
}

#[test]
fn without_noise_numbers_are_the_exact_bounded_ones() {
    let blocks = Blocks::new(MANY, 7);
    block_on(async {
        let room = blocks.open(&noise("laplace", 1e20, 1e-6, 1)).await;
        for what in What::ALL {
            let told = room.ask(what.sql(), false).await;
            assert_eq!(numbers(&told, MANY, 1), blocks.truth(what), "{what:?}");
        }
        let told = room.ask("SELECT block, AVG(amount) FROM shop.sales GROUP BY block", false).await;
        let (sums, counts) = (blocks.truth(What::Sum), blocks.truth(What::Rows));
        for ((average, sum), count) in numbers(&told, MANY, 1).into_iter().zip(&sums).zip(&counts) {
            assert!((average - sum / count.max(1.0)).abs() < 1e-9, "{average} of {sum} and {count}");
        }
        // A quantile is a value of the grid with as near as can be the right number of rows on each side.
        let told = room
            .ask(
                "SELECT block, MEDIAN(amount), APPROX_PERCENTILE_CONT(amount, 0.9), \
                 PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY amount) FROM shop.sales GROUP BY block",
                false,
            )
            .await;
        for (column, share) in [(1, 0.5), (2, 0.9), (3, 0.25)] {
            for (chosen, values) in numbers(&told, MANY, column).into_iter().zip(blocks.values()) {
                let off = |candidate: f64| {
                    let below = values.iter().filter(|value| (**value as f64) < candidate).count() as f64;
                    let to_it = values.iter().filter(|value| (**value as f64) <= candidate).count() as f64;
                    let wanted = share * values.len() as f64;
                    (below - wanted).max(wanted - to_it).max(0.0)
                };
                let least = (0..=100).map(|candidate| off(f64::from(candidate))).fold(f64::INFINITY, f64::min);
                assert!(
                    (0.0..=100.0).contains(&chosen) && chosen.fract() == 0.0 && off(chosen) <= least + 1e-9,
                    "{chosen} of {values:?}"
                );
            }
        }
        // Of all rows, and in groups that show by the units there are.
        let all = blocks.values().concat();
        let told = rows(&room, "SELECT MEDIAN(amount), COUNT(*) FROM shop.sales").await;
        assert_eq!(number(&told[0][1]), all.len() as f64);
        let median = number(&told[0][0]);
        let [below, to_it] = [0.0, 0.5].map(|more| all.iter().filter(|value| (**value as f64) < median + more).count());
        assert!(2 * below <= all.len() && 2 * to_it >= all.len(), "{median}: {below} below, {to_it} to it");
        let hidden =
            "SELECT u.band, MEDIAN(s.amount) FROM shop.sales s JOIN panel.users u ON s.card = u.card GROUP BY u.band";
        let told = rows(&room, hidden).await;
        assert!(!told.is_empty() && told.iter().all(|row| (0.0..=100.0).contains(&number(&row[1]))), "{told:?}");
        // A total beside its parts: each set is bounded by itself.
        let sets = "SELECT block, SUM(amount), COUNT(*) FROM shop.sales GROUP BY ROLLUP(block)";
        let told = rows(&room, sets).await;
        assert_eq!(told.len(), MANY + 1);
        let total = told.iter().find(|row| row[0] == "NULL").unwrap();
        assert_eq!(number(&total[1]), sums.iter().sum::<f64>());
        assert_eq!(number(&total[2]), counts.iter().sum::<f64>());
        // Labels of a public table that a person's rows all have: one of them counts, the same for all of the same rows.
        let units: f64 = blocks.truth(What::Units).iter().sum();
        let tags = "SELECT t.tag, COUNT(DISTINCT s.card) FROM shop.sales s JOIN shop.tags t ON s.block = t.block GROUP BY t.tag";
        assert_eq!(rows(&room, tags).await, [["t0".to_owned(), units.to_string()]]);
        // Both branches of a union are one person's.
        let union = "SELECT COUNT(*), SUM(amount) FROM (SELECT card, amount FROM shop.sales \
                     UNION ALL SELECT card, amount FROM shop.sales)";
        let told = rows(&room, union).await;
        assert!(number(&told[0][0]) > counts.iter().sum::<f64>() && number(&told[0][0]) <= MOST_ROWS as f64 * units);
        // What is added up for each person first is moved into the same limits.
        let there = blocks.coins.iter().filter(|coin| **coin).count() as f64;
        let derived = "SELECT n > 20 AS busy, COUNT(*) AS people, SUM(total) AS s FROM (SELECT card, COUNT(*) AS n, \
                       SUM(amount) AS total FROM shop.sales GROUP BY card) GROUP BY 1";
        let told = rows(&room, derived).await;
        let busy = told.iter().find(|row| row[0] == "true").unwrap();
        assert_eq!((number(&busy[1]), number(&busy[2])), (there, there * (MOST_ROWS * HIGH) as f64));
        let calm = told.iter().find(|row| row[0] == "false").unwrap();
        assert_eq!(number(&calm[1]), units - there);
        assert_eq!(number(&calm[2]), sums.iter().sum::<f64>() - there * (MOST_ROWS * HIGH) as f64);
    });
}

/// People with rows in six groups of which two count: which, is another choice for each question, and each group's turn.
#[test]
fn some_of_a_persons_groups_count_and_each_time_others() {
    const PEOPLE: usize = 300;
    let rows = (0..PEOPLE).flat_map(|one| (0..6).map(move |group| format!("p{one},g{group}")));
    let rows: Vec<String> = rows.collect();
    let labels = declared("label", (0..6).map(|group| format!("g{group}")));
    block_on(async {
        let room = open(&[table("shop.spread", &labels, &noise("laplace", 1e20, 1e-6, 2), "card,label", &rows)]).await;
        let mut seen = BTreeSet::new();
        for question in 0..4 {
            let sql = format!(
                "SELECT label, COUNT(DISTINCT card) FROM shop.spread WHERE label <> 'x{question}' \
                 GROUP BY GROUPING SETS ((label), ())"
            );
            let told = rows_of(&rows_by_label(&room, &sql).await);
            assert_eq!(told.len(), 7);
            let (total, groups) = told.split_last().unwrap();
            assert_eq!(*total, PEOPLE as i64);
            assert_eq!(groups.iter().sum::<i64>(), 2 * PEOPLE as i64);
            // 100 each, with a standard deviation of about 8.
            assert!(groups.iter().all(|group| (50..150).contains(group)), "{groups:?}");
            seen.insert(groups.to_vec());
        }
        assert!(seen.len() > 1, "the same choice each time: {seen:?}");
    });
}

/// The last columns, the total last.
fn rows_of(rows: &[Vec<String>]) -> Vec<i64> {
    rows.iter().map(|row| row[1].parse().unwrap()).collect()
}

async fn rows_by_label(room: &Opened, sql: &str) -> Vec<Vec<String>> {
    let mut rows = rows(room, sql).await;
    rows.sort_by_key(|row| (row[0] == "NULL", row[0].clone()));
    rows
}
