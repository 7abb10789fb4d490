//! How far off answers over real data are, beside published mechanisms with the same bounds and the same epsilon.
//!
//! ```text
//! cargo nextest run --workspace --run-ignored only --no-capture -E 'test(how_far_off_answers_are)'
//! ```
//!
//! prints the table of `docs/accuracy.md`. Answers come from the command line, `ACCURACY_TIMES` (21) of them with fresh noise
//! each. The others are computed here from their formulas, over the exact bounded numbers, which the product tells where a
//! policy for tests leaves the noise out: Laplace noise of the size of a unit's part in all groups together (Dwork, McSherry,
//! Nissim and Smith 2006; the bounding of units in SQL of Wilson et al. 2020), and Gaussian
//! noise of the least deviation for epsilon and delta there is (Balle and Wang 2018).

use std::collections::BTreeMap;

use crate::random::{Random, from_env};
use crate::support::{Room, shared};

const EPSILON: f64 = 1.0;
const DELTA: f64 = 1e-6;

const DEPARTMENTS: [&str; 20] = [
    "GROCERY",
    "DRUG GM",
    "PRODUCE",
    "FUEL",
    "MEAT",
    "MEAT-PCKGD",
    "DELI",
    "MISCELLANEOUS",
    "PASTRY",
    "NUTRITION",
    "SEAFOOD-PCKGD",
    "FLORAL",
    "COSMETICS",
    "SALAD BAR",
    "SPIRITS",
    "SEAFOOD",
    "GARDEN CENTER",
    "CHEF SHOPPE",
    "RESTAURANT",
    "TRAVEL & LEISURE",
];

/// What is asked, and what one household adds at most.
struct Asked {
    what: &'static str,
    sql: &'static str,
    groups: u32,
    most: f64,
}

const ASKED: [Asked; 2] = [
    Asked {
        what: "reach by campaign",
        sql: "SELECT campaign_id, COUNT(DISTINCT household_id) AS n FROM agency.exposures GROUP BY campaign_id",
        groups: 8,
        most: 1.0,
    },
    Asked {
        what: "sales by department",
        sql: "SELECT p.department, SUM(t.sales_value) AS n FROM retailer.transactions t \
              JOIN retailer.products p ON t.product_id = p.product_id GROUP BY p.department",
        groups: 6,
        most: 100.0,
    },
];

fn room(mechanism: &str, epsilon: f64, groups: u32, most: f64) -> Room {
    let test_only = epsilon > EPSILON;
    let marked = if test_only { "test_only: true\n" } else { "" };
    let data = shared("data/complete_journey");
    let data = data.to_str().unwrap();
    let room = format!(
        "apiVersion: cleanroom/v1\nkind: Room\nname: accuracy\n{marked}partners:\n  - name: retailer\n    \
         abilities: [contribute]\n    tables:\n      \
         - {{name: transactions, source: {{file: {data}/transactions.parquet}}, policy: transactions.yaml}}\n      \
         - {{name: products, source: {{file: {data}/products.parquet}}, policy: products.yaml}}\n  - name: agency\n    \
         abilities: [contribute]\n    tables:\n      \
         - {{name: exposures, source: {{file: {data}/campaign_exposures.csv}}, policy: exposures.yaml}}\n  \
         - {{name: analyst, abilities: [query, receive]}}\n"
    );
    let noise = format!(
        "noise: {{mechanism: {mechanism}, epsilon: {epsilon}, delta: {DELTA}, groups_per_unit: {groups}, \
         rows_per_unit: 1000, budget: {{epsilon: 1e20, delta: 0.5}}, test_only: {test_only}}}\n"
    );
    let protected = |table: &str, columns: &str| {
        format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\n\
             unit: {{column: household_id, space: household}}\ncolumns:\n  household_id: {{use: [join, count]}}\n{columns}\
             joins: {{require: none}}\nrelease: {{min_units: 2}}\n{noise}access: {{analysts: [analyst]}}\n"
        )
    };
    let campaigns = (1..=27).map(|campaign| format!("'{campaign}'")).collect::<Vec<_>>().join(", ");
    let departments = DEPARTMENTS.map(|name| format!("'{name}'")).join(", ");
    let sales = format!(
        "  product_id: {{use: [join]}}\n  \
         sales_value: {{use: [measure], bounds: [0, 1000], unit_bounds: [0, {most}], step: 0.01}}\n"
    );
    let policies = [
        ("transactions.yaml", protected("retailer.transactions", &sales)),
        (
            "products.yaml",
            format!(
                "apiVersion: cleanroom/v1\nkind: Policy\ntable: retailer.products\nversion: 1\npublic: true\ncolumns:\n  \
                 product_id: {{use: [join]}}\n  department: {{use: [dimension], values: [{departments}]}}\n\
                 access: {{analysts: [analyst]}}\n"
            ),
        ),
        (
            "exposures.yaml",
            protected("agency.exposures", &format!("  campaign_id: {{use: [dimension], values: [{campaigns}]}}\n")),
        ),
    ];
    let policies: Vec<(&str, &str)> = policies.iter().map(|(name, text)| (*name, text.as_str())).collect();
    Room::new(&room, &policies)
}

fn numbers(room: &Room, sql: &str, epsilon: Option<f64>) -> BTreeMap<String, f64> {
    let epsilon = epsilon.map(|epsilon| epsilon.to_string());
    let more: Vec<&str> = epsilon.iter().flat_map(|epsilon| ["--epsilon", epsilon]).collect();
    let told = room.ask_with("analyst", sql, &more);
    told.rows().iter().map(|row| (row[0].to_string(), row[1].as_f64().unwrap_or(0.0))).collect()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 { numbers[middle] } else { (numbers[middle - 1] + numbers[middle]) / 2.0 }
}

/// The median over groups of how far off a number is, as a part of the true one.
fn off(numbers: &BTreeMap<String, f64>, truth: &BTreeMap<String, f64>) -> f64 {
    median(truth.iter().map(|(group, exact)| (numbers[group] - exact).abs() / exact).collect())
}

/// The standard normal distribution function, by its integral.
fn normal(at: f64) -> f64 {
    let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let (low, steps) = (at.min(0.0) - 12.0, 4_000);
    let width = (at - low) / f64::from(steps);
    (0..steps).map(|step| density(low + width * (f64::from(step) + 0.5))).sum::<f64>() * width
}

/// The least deviation for a sensitivity of 1 (Balle and Wang 2018, theorem 8).
fn analytic_gaussian(epsilon: f64, delta: f64) -> f64 {
    let delta_of = |deviation: f64| {
        let (half, rest) = (1.0 / (2.0 * deviation), epsilon * deviation);
        normal(half - rest) - epsilon.exp() * normal(-half - rest)
    };
    let (mut low, mut high) = (0.01, 1000.0);
    for _step in 0..60 {
        let middle = f64::midpoint(low, high);
        if delta_of(middle) <= delta { high = middle } else { low = middle }
    }
    high
}

#[test]
fn the_analytic_gaussian_is_that_of_its_paper() {
    // Two values to three digits, so that a slip in the formula is seen.
    assert!((analytic_gaussian(1.0, 1e-5) - 3.7306).abs() < 2e-3, "{}", analytic_gaussian(1.0, 1e-5));
    assert!((analytic_gaussian(1.0, 1e-6) - 4.2247).abs() < 2e-3, "{}", analytic_gaussian(1.0, 1e-6));
}

#[test]
#[ignore = "a table for the documentation: some hundred questions through the command line"]
fn how_far_off_answers_are() {
    let times = from_env("ACCURACY_TIMES", 21);
    let mut random = Random::new(1);
    let mut uniform = move || ((random.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    println!("| | noise | scale | median relative error | of it without noise |\n|---|---|---:|---:|---:|");
    for Asked { what, sql, groups, most } in ASKED {
        let truth = numbers(&room("laplace", 1e20, 1000, 1e6), sql, None);
        let bounded = numbers(&room("laplace", 1e20, groups, most), sql, None);
        let clamped = off(&bounded, &truth);
        let row = |who: &str, scale: f64, error: f64| {
            println!("| {what} | {who} | {scale:.1} | {:.2} % | {:.2} % |", 100.0 * error, 100.0 * clamped);
        };
        let mut ours = Vec::new();
        for mechanism in ["laplace", "gaussian"] {
            let room = room(mechanism, EPSILON, groups, most);
            let priced = room.ask_with("analyst", sql, &["--dry-run"]);
            let scale = priced.json["columns"][1]["noise"]["scale"].as_f64().unwrap();
            // Another price by a hundred-thousandth, that the noise is fresh.
            let once = |time: usize| off(&numbers(&room, sql, Some(EPSILON - time as f64 * 1e-5)), &truth);
            let error = median((0..times).map(once).collect());
            row(&format!("cleanroom, {mechanism}"), scale, error);
            ours.push(error);
        }
        let mut published = |noise: &mut dyn FnMut(&mut dyn FnMut() -> f64) -> f64| {
            let once = |_time| {
                let noisy = bounded.iter().map(|(group, exact)| (group.clone(), exact + noise(&mut uniform))).collect();
                off(&noisy, &truth)
            };
            median((0..times.max(201)).map(once).collect())
        };
        let scale = f64::from(groups) * most / EPSILON;
        let laplace = published(&mut |uniform| {
            let (size, sign) = (-uniform().ln() * scale, uniform());
            if sign < 0.5 { size } else { -size }
        });
        row("published, Laplace", scale, laplace);
        let deviation = analytic_gaussian(EPSILON, DELTA) * f64::from(groups).sqrt() * most;
        let gaussian = published(&mut |uniform| {
            (-2.0 * uniform().ln()).sqrt() * (uniform() * std::f64::consts::TAU).cos() * deviation
        });
        row("published, analytic Gaussian", deviation, gaussian);
        assert!(ours.iter().copied().fold(f64::INFINITY, f64::min) < 1.5 * laplace.min(gaussian) + 0.01, "{what}");
    }
}
