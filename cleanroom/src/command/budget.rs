//! `cleanroom budget`

use clap::Args;
use serde_json::{Value, json};

use super::block_on;
use crate::exit::Exit;
use crate::fault::Result;
use crate::output::{Format, list, print};
use crate::target::{Target, TargetArgs, room_path};

const NONE: &str =
    "no table that you may see has a privacy budget; figures of the others are exact, under floors alone";

pub(super) const HEADER: [&str; 10] =
    ["table", "by", "budget", "spent", "left", "used", "left in all", "questions", "next period", "runs out"];

/// Characters of a bar that is full.
const BAR: usize = 20;

#[derive(Debug, Args)]
pub(super) struct BudgetArgs {
    #[command(flatten)]
    target: TargetArgs,
}

pub(super) fn run(args: &BudgetArgs, format: Format) -> Result<Exit> {
    let budgets = match args.target.resolve()? {
        // Without `--as`, as the operator: whoever has the files can read the ledger.
        Target::Files(files, partner) => block_on(async {
            let session = files.enter(|_| ()).await?;
            let budgets = session.registry.budgets(&files.room().name, partner.as_ref()).await?;
            session.registry.close().await;
            Ok(Value::Array(budgets.iter().map(cleanroom_registry::TableBudget::json).collect()))
        })?,
        Target::Server(client, room) => {
            let room = room_path(&client, room.as_deref())?;
            client.get(&format!("{room}/budgets"))?.get("budgets").cloned().unwrap_or_else(|| json!([]))
        }
    };
    if format == Format::Table && budgets.as_array().is_none_or(Vec::is_empty) {
        print(NONE)?;
    } else {
        list(format, &HEADER, &rows(&budgets), &budgets)?;
    }
    Ok(Exit::Done)
}

/// A line for each table, and one for each analyst that spent of it.
pub(super) fn rows(budgets: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for budget in budgets.as_array().into_iter().flatten() {
        let (epsilon, spent) = (number(budget, "epsilon"), number(budget, "spent_epsilon"));
        let period = match text(budget, "refresh").as_str() {
            "daily" => " a day",
            "weekly" => " a week",
            "monthly" => " a month",
            _ => "",
        };
        let delta = number(budget, "delta").unwrap_or_default();
        let delta = if delta > 0.0 { format!(", delta {delta:e}") } else { String::new() };
        let lifetime = budget.get("lifetime").filter(|lifetime| !lifetime.is_null());
        rows.push(vec![
            text(budget, "table"),
            String::new(),
            format!("epsilon {}{delta}{period}", rounded(epsilon, f64::round)),
            rounded(spent, f64::ceil),
            rounded(number(budget, "remaining_epsilon"), f64::floor),
            bar(spent, epsilon),
            lifetime.map(|held| rounded(number(held, "remaining_epsilon"), f64::floor)).unwrap_or_default(),
            budget.get("questions").and_then(Value::as_u64).map(|count| count.to_string()).unwrap_or_default(),
            day(budget, "period_ends"),
            day(budget, "runs_out"),
        ]);
        for analyst in budget.get("analysts").and_then(Value::as_array).into_iter().flatten() {
            let share = number(budget, "per_analyst");
            let spent = number(analyst, "spent_epsilon");
            rows.push(vec![
                text(budget, "table"),
                text(analyst, "analyst"),
                share.map(|share| format!("epsilon {}{period}", rounded(Some(share), f64::round))).unwrap_or_default(),
                rounded(spent, f64::ceil),
                rounded(number(analyst, "remaining_epsilon"), f64::floor),
                bar(spent, share.or(epsilon)),
                String::new(),
                analyst.get("questions").and_then(Value::as_u64).map(|count| count.to_string()).unwrap_or_default(),
                String::new(),
                String::new(),
            ]);
        }
    }
    rows
}

/// Four decimals: what is spent rounded up, what is left rounded down.
fn rounded(value: Option<f64>, to: fn(f64) -> f64) -> String {
    const DECIMALS: f64 = 1e4;
    // What lies between two numbers of a sum is no spending.
    const NOISE: f64 = 1e-7;
    let near = |value: f64| {
        let scaled = value * DECIMALS;
        if (scaled - scaled.round()).abs() < NOISE { scaled.round() } else { to(scaled) }
    };
    value.map(|value| (near(value) / DECIMALS).to_string()).unwrap_or_default()
}

/// `[#####...............]`: full only where all is spent, empty only where nothing is.
fn bar(spent: Option<f64>, of: Option<f64>) -> String {
    let (Some(spent), Some(of)) = (spent, of.filter(|of| *of > 0.0)) else {
        return String::new();
    };
    let share = (spent / of).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 20")]
    let filled = (share * BAR as f64 - 1e-9).ceil() as usize;
    let filled = if share < 1.0 - 1e-9 { filled.min(BAR - 1) } else { BAR };
    format!("[{}{}]", "#".repeat(filled), ".".repeat(BAR - filled))
}

fn number(value: &Value, key: &str) -> Option<f64> {
    value.get(key).and_then(Value::as_f64)
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The day of a time.
fn day(value: &Value, key: &str) -> String {
    text(value, key).split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_its_analysts_have_a_line_each() {
        let budgets = json!([{
            "table": "retailer.purchases", "refresh": "monthly", "epsilon": 20.0, "delta": 1e-6, "spent_epsilon": 7.000_01,
            "remaining_epsilon": 12.999_99, "lifetime": {"epsilon": 100.0, "remaining_epsilon": 80.5}, "per_analyst": 10.0,
            "questions": 9, "period_ends": "2026-06-01T00:00:00Z", "runs_out": null,
            "analysts": [{"analyst": "agency", "spent_epsilon": 5.0, "remaining_epsilon": 5.0, "questions": 4}],
        }, {
            "table": "shop.visits", "refresh": "never", "epsilon": 1.0, "delta": 0.0, "spent_epsilon": 1.0,
            "remaining_epsilon": 0.0, "lifetime": null, "per_analyst": null, "questions": null, "period_ends": null,
            "runs_out": "2026-06-03T12:00:00Z", "analysts": [],
        }]);
        let rows = rows(&budgets);
        assert_eq!(
            rows.iter().map(|row| row.join("|")).collect::<Vec<_>>(),
            [
                "retailer.purchases||epsilon 20, delta 1e-6 a month|7.0001|12.9999|[########............]|80.5|9|2026-06-01|",
                "retailer.purchases|agency|epsilon 10 a month|5|5|[##########..........]||4||",
                "shop.visits||epsilon 1|1|0|[####################]||||2026-06-03",
            ]
        );
        assert!(rows.iter().all(|row| row.len() == HEADER.len()));
    }

    #[test]
    fn a_bar_says_nothing_that_is_not_so() {
        assert_eq!(bar(Some(0.0), Some(1.0)), "[....................]");
        assert_eq!(bar(Some(1e-6), Some(1.0)), "[#...................]");
        assert_eq!(bar(Some(0.999), Some(1.0)), "[###################.]");
        assert_eq!(bar(Some(1.0), Some(1.0)), "[####################]");
        assert_eq!(bar(Some(7.0), Some(1.0)), "[####################]");
        assert_eq!(bar(None, Some(1.0)), "");
    }
}
