//! What is left, for whom it concerns; and the ledger against a model of it.

use cleanroom_budget::{Allowance, Delta, Loss, Rho};
use cleanroom_registry::{Limit, RegistryError, TableBudget};
use proptest::prelude::*;
use time::macros::datetime;
use time::{Date, Duration, OffsetDateTime};

use crate::ledger::{Bank, START, partner, room, table, tenths};

const PURCHASES: &str = "retailer.purchases";
const VISITS: &str = "shop.visits";
const WEEKLY: &str = "epsilon: 1, delta: 0, refresh: weekly, lifetime: 3, per_analyst: 0.8";

async fn seen(bank: &Bank, viewer: &str) -> Vec<TableBudget> {
    bank.registry.budgets(&room("main"), Some(&partner(viewer))).await.unwrap()
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

#[tokio::test]
async fn everybody_sees_what_concerns_them() {
    let bank = Bank::with(&[(PURCHASES, WEEKLY), (VISITS, "epsilon: 2, delta: 0"), ("shop.staff", "")]).await;
    bank.clock.set(datetime!(2026-05-06 12:00 UTC));
    assert_eq!(bank.asks("agency", &[PURCHASES, VISITS], tenths(6)).await, None);
    assert_eq!(bank.asks("brand", &[PURCHASES], tenths(1)).await, None);

    let of_owner = seen(&bank, "retailer").await;
    let names = |budgets: &[TableBudget]| budgets.iter().map(|budget| budget.table.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&of_owner), [PURCHASES, VISITS], "its own, and what it may ask");
    let own = &of_owner[0];
    assert_eq!(own.period_ends, Some(datetime!(2026-05-11 0:00 UTC)));
    assert!(near(own.period.epsilon, 1.0) && near(own.period.spent, 0.7) && near(own.period.remaining, 0.3));
    assert!(near(own.lifetime.unwrap().remaining, 2.3) && near(own.remaining, 0.3));
    assert!(near(own.account.unwrap().spent, 0.7) && own.questions == Some(2));
    let spend: Vec<_> = own.analysts.iter().map(|one| (one.analyst.as_str(), one.questions)).collect();
    assert_eq!(spend, [("agency", 1), ("brand", 1)]);
    assert!(near(own.analysts[0].spent, 0.6) && near(own.analysts[0].remaining.unwrap(), 0.2));
    assert!(of_owner[1].account.is_none() && of_owner[1].questions.is_none(), "the other owner's");
    assert_eq!(of_owner[1].analysts.len(), 1);

    let of_agency = seen(&bank, "agency").await;
    assert_eq!(names(&of_agency), [PURCHASES, VISITS]);
    assert!(near(of_agency[0].remaining, 0.2), "its share is the least");
    let spend: Vec<_> = of_agency[0].analysts.iter().map(|one| one.analyst.as_str()).collect();
    assert_eq!(spend, ["agency"]);
    assert!(near(seen(&bank, "brand").await[0].remaining, 0.3), "the week is the least");
    let of_watcher = seen(&bank, "watcher").await;
    assert!(of_watcher.len() == 2 && of_watcher.iter().all(|budget| budget.analysts.is_empty()));
    assert_eq!(seen(&bank, "guest").await, []);
    assert_eq!(bank.registry.budgets(&room("main"), None).await.unwrap().len(), 2);
    assert!(matches!(bank.registry.budgets(&room("none"), None).await, Err(RegistryError::NoSuchRoom(_))));
    let json = of_agency[0].json();
    assert_eq!(json["table"], PURCHASES);
    assert_eq!(json["period_ends"], "2026-05-11T00:00:00Z");
    assert_eq!(json["refresh"], "weekly");
}

#[tokio::test]
async fn the_pace_of_the_last_days_says_when_it_ends() {
    let bank = Bank::with(&[(PURCHASES, "epsilon: 1, delta: 0"), (VISITS, WEEKLY)]).await;
    let runs_out = async |index: usize| bank.registry.budgets(&room("main"), None).await.unwrap()[index].runs_out;
    assert_eq!((runs_out(0).await, runs_out(1).await), (None, None));
    assert_eq!(bank.asks("agency", &[PURCHASES, VISITS], tenths(1)).await, None);
    // A tenth a day: 0.9 last for nine days, and the tenth is too much.
    assert_eq!(runs_out(0).await, Some(START + Duration::days(10)));
    // Of a week no more than seven tenths are spent; of all weeks 2.9 are left.
    assert_eq!(runs_out(1).await, Some(START + Duration::days(30)));
    bank.clock.set(START + Duration::days(8));
    assert_eq!(runs_out(0).await, None, "nobody asks any more");
}

/// One step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Ask { analyst: usize, tables: usize, tenths: u64, gaussian: bool },
    Clock { hours: i64 },
    Edit { table: usize, budget: usize },
    Reopen,
}

const TABLES: [&str; 3] = ["retailer.purchases", "retailer.returns", "shop.visits"];
const SETS: [&[usize]; 5] = [&[0], &[1], &[0, 1], &[0, 2], &[2, 1, 0]];
const ANALYSTS: [&str; 2] = ["agency", "brand"];

/// Epsilon, delta, refresh, lifetime and share of an analyst.
type Budget = (f64, f64, &'static str, Option<f64>, Option<f64>);

const BUDGETS: [Budget; 5] = [
    (1.0, 1e-6, "never", None, None),
    (1.0, 1e-6, "daily", Some(2.0), Some(0.5)),
    (1.5, 0.0, "weekly", Some(2.5), None),
    (0.8, 1e-6, "monthly", Some(3.0), Some(0.4)),
    (2.0, 1e-5, "never", None, Some(0.7)),
];

fn text((epsilon, delta, refresh, lifetime, analyst): Budget) -> String {
    let mut text = format!("epsilon: {epsilon}, delta: {delta}, refresh: {refresh}");
    for (key, value) in [("lifetime", lifetime), ("per_analyst", analyst)] {
        text += &value.map(|value| format!(", {key}: {value}")).unwrap_or_default();
    }
    text
}

fn over_all_periods((epsilon, delta, _, lifetime, _): Budget) -> (f64, f64) {
    let lifetime = lifetime.unwrap_or(epsilon);
    (lifetime, delta * (lifetime / epsilon))
}

/// What was charged: day, analyst, tables, loss.
type Charged = (Date, usize, &'static [usize], Loss);

/// The rules of admission, from every single charge, and in words of their own.
fn model(budgets: &[Budget; 3], made: &[Charged], day: Date, asked: (usize, &[usize], Loss)) -> Option<Limit> {
    let (analyst, tables, loss) = asked;
    for read in tables {
        let budget = budgets[*read];
        let first = match budget.2 {
            "never" => Date::MIN,
            "daily" => day,
            "weekly" => day - Duration::days(i64::from(day.weekday().number_days_from_monday())),
            _ => day.replace_day(1).unwrap(),
        };
        let spent = |counts: &dyn Fn(&Charged) -> bool| made.iter().filter(|one| counts(one)).map(|one| one.3).sum();
        let refuses = |(epsilon, delta), spent| !Allowance::new(epsilon, delta).admits(spent, loss);
        if refuses((budget.0, budget.1), spent(&|one| one.2.contains(read) && one.0 >= first)) {
            return Some(Limit::Period);
        }
        if budget.3.is_some() && refuses(over_all_periods(budget), spent(&|one| one.2.contains(read))) {
            return Some(Limit::Lifetime);
        }
        let of_owner = |table: &usize| TABLES[*table].split('.').next() == TABLES[*read].split('.').next();
        let account = (0..3).filter(of_owner).map(|table| over_all_periods(budgets[table]));
        let account = account.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        if refuses(account, spent(&|one| one.2.iter().any(of_owner))) {
            return Some(Limit::Account);
        }
        let own = spent(&|one: &Charged| one.1 == analyst && one.2.contains(read) && one.0 >= first);
        if budget.4.is_some_and(|cap| refuses((cap, budget.1), own)) {
            return Some(Limit::Analyst);
        }
    }
    None
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ask = (0..2_usize, 0..5_usize, 1..6_u64, prop::bool::weighted(0.2))
        .prop_map(|(analyst, tables, tenths, gaussian)| Step::Ask { analyst, tables, tenths, gaussian });
    let clock = (-60..400_i64).prop_map(|hours| Step::Clock { hours });
    let edit = (0..3_usize, 0..5_usize).prop_map(|(table, budget)| Step::Edit { table, budget });
    prop::collection::vec(prop_oneof![8 => ask, 2 => clock, 1 => edit, 1 => Just(Step::Reopen)], 1..40)
}

async fn follows_the_model(first: [usize; 3], steps: Vec<Step>) {
    let mut budgets = first.map(|budget| BUDGETS[budget]);
    let texts = budgets.map(text);
    let tables: Vec<_> = TABLES.into_iter().zip(texts.iter().map(String::as_str)).collect();
    let mut bank = Bank::with(&tables).await;
    let (mut clock, mut latest): (OffsetDateTime, OffsetDateTime) = (START, START);
    let mut made: Vec<Charged> = Vec::new();
    for step in steps {
        match step {
            Step::Ask { analyst, tables, tenths: tenth, gaussian } => {
                // Nothing happens before what has happened.
                latest = latest.max(clock);
                let loss = match gaussian {
                    true => Loss::concentrated(Rho::up(tenth as f64 / 500.0), Delta::up(1e-8)),
                    false => tenths(tenth),
                };
                let expected = model(&budgets, &made, latest.date(), (analyst, SETS[tables], loss));
                let names: Vec<_> = SETS[tables].iter().map(|index| TABLES[*index]).collect();
                assert_eq!(bank.asks(ANALYSTS[analyst], &names, loss).await, expected);
                if expected.is_none() {
                    made.push((latest.date(), analyst, SETS[tables], loss));
                }
            }
            Step::Clock { hours } => {
                clock += Duration::hours(hours);
                bank.clock.set(clock);
            }
            Step::Edit { table, budget } => {
                latest = latest.max(clock);
                budgets[table] = BUDGETS[budget];
                bank.policy("main", TABLES[table], &text(BUDGETS[budget])).await;
            }
            Step::Reopen => bank = bank.reopened().await,
        }
    }
    let budgets = bank.registry.budgets(&room("main"), None).await.unwrap();
    for (index, name) in TABLES.iter().enumerate() {
        let questions = made.iter().filter(|one| one.2.contains(&index)).count() as u64;
        let budget = budgets.iter().find(|budget| budget.table == table(name)).unwrap();
        assert_eq!(budget.questions, Some(questions));
    }
    bank.reopened().await.verified_logs().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn random_histories_follow_the_model(first in [0..5_usize, 0..5_usize, 0..5_usize], steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(follows_the_model(first, steps));
    }
}
