//! The budget ledger: what is admitted, what is charged, and that nothing gives it back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cleanroom_budget::{Delta, Loss, PureEpsilon, Rho};
use cleanroom_log::{Entry, Event};
use cleanroom_policy::{PartnerName, RoomName, TableName, parse_policy, parse_room};
use cleanroom_registry::{
    Actor, Intent, Limit, OpenOptions, Pending, Price, QueryId, Registry, RegistryError, Reservation,
};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::house::{data, failed, open, released};

pub(crate) const START: OffsetDateTime = datetime!(2026-05-01 12:00 UTC);

/// A clock that goes where a test sets it.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn set(&self, at: OffsetDateTime) {
        self.0.store(at.unix_timestamp(), Ordering::SeqCst);
    }

    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A data directory whose tables have budgets.
pub(crate) struct Bank {
    pub(crate) directory: TempDir,
    pub(crate) registry: Registry,
    pub(crate) clock: Clock,
    policies: BTreeMap<(String, String), (u64, String)>,
}

pub(crate) fn table(name: &str) -> TableName {
    TableName::parse(name).unwrap()
}

pub(crate) fn partner(name: &str) -> PartnerName {
    PartnerName::new(name).unwrap()
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// A pure loss of so many tenths of epsilon.
pub(crate) fn tenths(tenths: u64) -> Loss {
    let epsilon = PureEpsilon::of_units(tenths * 100_000_000_000);
    // So much zCDP that the pure account is the one that counts.
    Loss { rho: Rho::of_units(tenths * 1_000_000_000_000), epsilon: Some(epsilon), delta: Delta::ZERO }
}

pub(crate) fn charge(tables: &[&str], loss: Loss) -> Price {
    Price::Charge { loss, tables: tables.iter().map(|name| table(name)).collect() }
}

async fn open_by(directory: &TempDir, clock: &Clock) -> Registry {
    let options = OpenOptions { data_dir: directory.path().to_owned(), log_host: "logs.example".to_owned() };
    let clock = clock.clone();
    Registry::open_by(options, move || clock.now()).await.unwrap()
}

impl Bank {
    /// One room, `main`, with the tables of two owners, each with the budget given.
    pub(crate) async fn with(tables: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().unwrap();
        let clock = Clock(Arc::new(AtomicI64::new(START.unix_timestamp())));
        let registry = open_by(&directory, &clock).await;
        let mut bank = Self { directory, registry, clock, policies: BTreeMap::new() };
        bank.room("main", &tables.iter().map(|(table, _)| *table).collect::<Vec<_>>()).await;
        for (table, budget) in tables {
            bank.policy("main", table, budget).await;
            bank.data("main", table).await;
        }
        bank
    }

    /// Makes a room, or changes its tables.
    pub(crate) async fn room(&self, name: &str, tables: &[&str]) {
        let mut text = format!("apiVersion: cleanroom/v1\nkind: Room\nname: {name}\npartners:\n");
        let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for table in tables {
            let (owner, local) = table.split_once('.').unwrap();
            owners.entry(owner).or_default().push(local);
        }
        for (owner, tables) in owners {
            text += &format!("  - name: {owner}\n    abilities: [contribute, query]\n    tables:\n");
            for table in tables {
                text += &format!("      - {{name: {table}, source: {{upload: true}}}}\n");
            }
        }
        text += "  - {name: agency, abilities: [query]}\n  - {name: brand, abilities: [query]}\n";
        text += "  - {name: watcher, abilities: [audit]}\n  - {name: guest, abilities: [receive]}\n";
        self.registry.put_room(&parse_room("room", &text).unwrap(), &Actor::operator()).await.unwrap();
    }

    /// Makes a policy active; an empty budget is one without noise.
    pub(crate) async fn policy(&mut self, in_room: &str, name: &str, budget: &str) {
        let space = if budget.contains("# card") { "card" } else { "household" };
        let key = (in_room.to_owned(), name.to_owned());
        let version = self.policies.get(&key).map_or(1, |(version, _)| version + 1);
        let noise = match budget {
            "" => String::new(),
            budget => format!(
                "noise: {{mechanism: laplace, epsilon: 0.1, delta: 0, groups_per_unit: 1, rows_per_unit: 1, budget: {{{}}}}}\n",
                budget.split('#').next().unwrap()
            ),
        };
        let text = format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {name}\nversion: {version}\nunit: {{column: unit, space: {space}}}\n\
             columns: {{unit: {{use: [join, count]}}}}\nrelease: {{min_units: 25}}\n{noise}access: {{analysts: [agency, brand, retailer]}}\n"
        );
        let policy = parse_policy("policy", &text).unwrap();
        self.registry.put_policy(&room(in_room), &policy, &text, &Actor::operator()).await.unwrap();
        self.policies.insert(key, (version, policy.digest()));
    }

    pub(crate) async fn data(&self, in_room: &str, name: &str) {
        self.registry.put_table_version(&room(in_room), &table(name), data("a"), &Actor::operator()).await.unwrap();
    }

    pub(crate) fn intent(&self, in_room: &str, analyst: &str, tables: &[&str]) -> Intent {
        let policies = tables.iter().map(|name| {
            let (_, digest) = &self.policies[&(in_room.to_owned(), (*name).to_owned())];
            (table(name), digest.clone())
        });
        Intent {
            query_id: QueryId::generate().unwrap(),
            room: room(in_room),
            analyst: partner(analyst),
            sql: "SELECT 1".to_owned(),
            template: None,
            params: None,
            plan: "Aggregate".to_owned(),
            policies: policies.collect(),
            tables: tables.iter().map(|name| (table(name), 1)).collect(),
        }
    }

    async fn reserve(
        &self,
        in_room: &str,
        analyst: &str,
        tables: &[&str],
        loss: Loss,
    ) -> Result<(Reservation, Pending), RegistryError> {
        self.registry.reserve_at(self.intent(in_room, analyst, tables), &[], &charge(tables, loss)).await
    }

    /// As a start after the last: logs verify, too.
    pub(crate) async fn verified_logs(&self) {
        self.logged(&["main"]).await;
    }

    /// Asks in the room `main`, and says which budget did not admit it.
    pub(crate) async fn asks(&self, analyst: &str, tables: &[&str], loss: Loss) -> Option<Limit> {
        self.asks_in("main", analyst, tables, loss).await
    }

    async fn asks_in(&self, in_room: &str, analyst: &str, tables: &[&str], loss: Loss) -> Option<Limit> {
        match self.reserve(in_room, analyst, tables, loss).await {
            Ok((_, pending)) => {
                self.registry.record(pending, released()).await.unwrap();
                None
            }
            Err(RegistryError::Exhausted { which, .. }) => Some(which),
            Err(other) => panic!("{other}"),
        }
    }

    /// The epsilon that was spent of a table's period, as the operator sees it.
    async fn spent(&self, name: &str) -> f64 {
        let budgets = self.registry.budgets(&room("main"), None).await.unwrap();
        budgets.iter().find(|budget| budget.table == table(name)).unwrap().period.spent
    }

    pub(crate) async fn reopened(self) -> Self {
        let Self { directory, registry, clock, policies } = self;
        registry.close().await;
        drop(registry);
        let registry = open_by(&directory, &clock).await;
        Self { directory, registry, clock, policies }
    }

    /// Every charge in the logs of the rooms, which must verify: table and pure units.
    async fn logged(&self, rooms: &[&str]) -> Vec<(String, u64)> {
        let mut charges = Vec::new();
        for name in rooms {
            for entry in self.registry.log_entries(&room(name), 0, u64::MAX).await.unwrap() {
                if let Event::QueryIntent(intent) = Entry::parse(entry.json.as_bytes()).unwrap().event {
                    let units =
                        |charge: &cleanroom_log::Charge| charge.epsilon.as_deref().unwrap_or("0").parse().unwrap();
                    charges.extend(intent.charge.iter().map(|charge| (charge.table.clone(), units(charge))));
                }
            }
            verified(&self.registry, name);
        }
        charges
    }
}

pub(crate) fn verified(registry: &Registry, name: &str) {
    let directory = registry.log_directory(&room(name));
    let key = cleanroom_verify::published_key(&directory).unwrap();
    let report = cleanroom_verify::verify_directory(&directory, &[key]).unwrap();
    assert!(report.passed(), "{:?}", report.findings);
}

const NEVER: &str = "epsilon: 1, delta: 0";
const MONTHLY: &str = "epsilon: 1, delta: 0, refresh: monthly, lifetime: 2.5";
const PURCHASES: &str = "retailer.purchases";
const RETURNS: &str = "retailer.returns";

/// A thousand questions at once, over three registries on one file: exactly as many are admitted as the budget holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_at_once_spend_a_budget_exactly() {
    let bank = Bank::with(&[(PURCHASES, "epsilon: 1.7, delta: 0")]).await;
    let others = [open_by(&bank.directory, &bank.clock).await, open_by(&bank.directory, &bank.clock).await];
    let registries = [&bank.registry, &others[0], &others[1]];
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let registry = registries[task % 3].clone();
            let intents: Vec<_> =
                (0..50).map(|question| bank.intent("main", ["agency", "brand"][question % 2], &[PURCHASES])).collect();
            tokio::spawn(async move {
                let mut admitted = 0;
                for intent in intents {
                    match registry.reserve_at(intent, &[], &charge(&[PURCHASES], tenths(1))).await {
                        Ok((_, pending)) => {
                            admitted += 1;
                            registry.record(pending, released()).await.unwrap();
                        }
                        Err(RegistryError::Exhausted { which: Limit::Period, .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    assert_eq!(admitted, 17);
    let tenth = 100_000_000_000;
    assert_eq!(bank.logged(&["main"]).await, vec![(PURCHASES.to_owned(), tenth); 17]);
    let budgets = bank.registry.budgets(&room("main"), None).await.unwrap();
    assert_eq!(budgets[0].questions, Some(17));
    assert!((budgets[0].period.spent - 1.7).abs() < 1e-9 && budgets[0].remaining < 1e-9);
    // The next start compares sums and charges.
    bank.reopened().await;
}

/// What was reserved stays spent, whatever becomes of it.
#[tokio::test]
async fn however_a_question_ends_its_charge_stays() {
    let bank = Bank::with(&[(PURCHASES, NEVER)]).await;
    let reserve = || bank.reserve("main", "agency", &[PURCHASES], tenths(2));
    let (_, pending) = reserve().await.unwrap();
    bank.registry.record(pending, failed()).await.unwrap();
    let cancelled = crate::house::Ended { status: cleanroom_registry::Status::Cancelled, ..failed() };
    let (_, pending) = reserve().await.unwrap();
    bank.registry.record(pending, cancelled).await.unwrap();
    // A panic, or a client that went away.
    let (_, pending) = reserve().await.unwrap();
    drop(pending);
    // The process ends.
    let (_, pending) = reserve().await.unwrap();
    std::mem::forget(pending);
    let bank = bank.reopened().await;
    assert!((bank.spent(PURCHASES).await - 0.8).abs() < 1e-9);
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(3)).await, Some(Limit::Period));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(2)).await, None);
    assert_eq!(bank.logged(&["main"]).await.len(), 5);
}

/// A question that is not admitted leaves nothing: no charge, no entry, no row.
#[tokio::test]
async fn every_owner_or_none() {
    let bank = Bank::with(&[(PURCHASES, NEVER), ("shop.visits", "epsilon: 0.3, delta: 0")]).await;
    let both = [PURCHASES, "shop.visits"];
    let entries = bank.registry.log_entries(&room("main"), 0, u64::MAX).await.unwrap().len();
    let intent = bank.intent("main", "agency", &both);
    let id = intent.query_id.clone();
    let refused = bank.registry.reserve_at(intent, &[], &charge(&both, tenths(4))).await.unwrap_err();
    assert_eq!(refused.code(), "CR3001");
    assert!(matches!(&refused, RegistryError::Exhausted { table: name, owner, which: Limit::Period }
        if *name == table("shop.visits") && *owner == partner("shop")));
    assert_eq!(bank.spent(PURCHASES).await, 0.0);
    assert_eq!(bank.registry.log_entries(&room("main"), 0, u64::MAX).await.unwrap().len(), entries);
    assert!(bank.registry.query(&room("main"), &id).await.unwrap().is_none());
    assert_eq!(bank.asks("agency", &both, tenths(3)).await, None);
    assert!((bank.spent(PURCHASES).await - 0.3).abs() < 1e-9 && (bank.spent("shop.visits").await - 0.3).abs() < 1e-9);
}

/// The price of a question that is not asked is that of one that is.
#[tokio::test]
async fn a_price_is_told_and_not_charged() {
    let bank = Bank::with(&[(PURCHASES, NEVER), (RETURNS, "epsilon: 2, delta: 0")]).await;
    let both = [RETURNS, PURCHASES];
    let price = charge(&both, tenths(4));
    let told = bank.registry.price(&room("main"), &partner("agency"), &price).await.unwrap();
    assert_eq!(told.iter().map(|left| left.table.to_string()).collect::<Vec<_>>(), both);
    let (reservation, pending) = bank.reserve("main", "agency", &both, tenths(4)).await.unwrap();
    bank.registry.record(pending, released()).await.unwrap();
    assert_eq!(reservation.remaining(), told);
    assert!((told[0].epsilon - 1.6).abs() < 1e-9 && (told[1].epsilon - 0.6).abs() < 1e-9);
    let dear = bank.registry.price(&room("main"), &partner("agency"), &charge(&both, tenths(7))).await;
    assert!(matches!(dear, Err(RegistryError::Exhausted { table: name, .. }) if name == table(PURCHASES)));
    assert!((bank.spent(PURCHASES).await - 0.4).abs() < 1e-9);
}

#[tokio::test]
async fn a_period_ends_at_its_border_and_a_lifetime_never() {
    let bank = Bank::with(&[(PURCHASES, MONTHLY)]).await;
    let asks = |loss| bank.asks("agency", &[PURCHASES], loss);
    bank.clock.set(datetime!(2026-05-31 23:59:59 UTC));
    assert_eq!(asks(tenths(10)).await, None);
    assert_eq!(asks(tenths(1)).await, Some(Limit::Period));
    bank.clock.set(datetime!(2026-06-01 0:00:00 UTC));
    assert_eq!(asks(tenths(9)).await, None);
    // Set back: May is over, and June has been spent of.
    bank.clock.set(datetime!(2026-05-15 0:00 UTC));
    assert_eq!(asks(tenths(2)).await, Some(Limit::Period));
    assert_eq!(asks(tenths(1)).await, None);
    bank.clock.set(datetime!(2026-06-30 23:59 UTC));
    assert_eq!(asks(tenths(1)).await, Some(Limit::Period), "June was not opened twice");
    bank.clock.set(datetime!(2026-07-01 0:00 UTC));
    assert_eq!(asks(tenths(6)).await, Some(Limit::Lifetime), "2.0 of 2.5 are gone");
    assert_eq!(asks(tenths(5)).await, None);
    bank.clock.set(datetime!(2027-07-01 0:00 UTC));
    assert_eq!(asks(tenths(1)).await, Some(Limit::Lifetime));
    let bank = bank.reopened().await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, Some(Limit::Lifetime));
    assert_eq!(bank.logged(&["main"]).await.len(), 4);
}

/// What was spent counts against whatever a policy says later.
#[tokio::test]
async fn no_policy_edit_gives_anything_back() {
    let mut bank = Bank::with(&[(PURCHASES, NEVER)]).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(8)).await, None);
    bank.policy("main", PURCHASES, "epsilon: 1, delta: 0, refresh: daily, lifetime: 1").await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(3)).await, Some(Limit::Period), "the day's spend is known");
    bank.clock.set(datetime!(2026-05-05 0:00 UTC));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(3)).await, Some(Limit::Lifetime));
    bank.policy("main", PURCHASES, "epsilon: 0.5, delta: 0").await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, Some(Limit::Period));
    bank.data("main", PURCHASES).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, Some(Limit::Period), "new data, the same people");
    // Another name for the units, and back.
    bank.policy("main", PURCHASES, "epsilon: 1, delta: 0 # card").await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(3)).await, Some(Limit::Period));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, None);
    // Off and on.
    bank.policy("main", PURCHASES, "").await;
    bank.policy("main", PURCHASES, NEVER).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(2)).await, Some(Limit::Period));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, None);
    // A larger budget is what an owner may give.
    bank.policy("main", PURCHASES, "epsilon: 1.1, delta: 0").await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, None);
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, Some(Limit::Period));
    assert_eq!(bank.logged(&["main"]).await.len(), 4);
}

/// A week begins on Monday; the charges of days before a change of refresh fall into the period that they are in.
#[tokio::test]
async fn a_refresh_that_changes_counts_single_charges() {
    let mut bank = Bank::with(&[(PURCHASES, "epsilon: 1, delta: 0, refresh: daily, lifetime: 9")]).await;
    let day = |day: i64| START + time::Duration::days(day - 1);
    for at in [3, 4, 6] {
        bank.clock.set(day(at));
        assert_eq!(bank.asks("agency", &[PURCHASES], tenths(4)).await, None);
    }
    bank.policy("main", PURCHASES, "epsilon: 1, delta: 0, refresh: weekly, lifetime: 9").await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(3)).await, Some(Limit::Period), "Monday's and Wednesday's");
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(2)).await, None, "but not Sunday's");
    bank.clock.set(day(11));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(8)).await, None);
    bank.policy("main", PURCHASES, "epsilon: 2.3, delta: 0, refresh: monthly, lifetime: 9").await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(2)).await, Some(Limit::Period));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, None);
}

/// A table that stands in two rooms has one budget, and the account one share of it, the smaller.
#[tokio::test]
async fn rooms_do_not_add_up() {
    let mut bank = Bank::with(&[(PURCHASES, NEVER)]).await;
    bank.room("second", &[PURCHASES]).await;
    bank.policy("second", PURCHASES, "epsilon: 2, delta: 0").await;
    bank.data("second", PURCHASES).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(6)).await, None);
    assert_eq!(bank.asks_in("second", "agency", &[PURCHASES], tenths(4)).await, None);
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, Some(Limit::Period));
    // Its own policy in the second room would admit it, and the account holds what the first lets be lost.
    assert_eq!(bank.asks_in("second", "agency", &[PURCHASES], tenths(1)).await, Some(Limit::Account));
    assert_eq!(bank.logged(&["main", "second"]).await.len(), 2);
}

/// An owner who takes a table away and brings its rows back under another name has not got its budget back.
#[tokio::test]
async fn a_new_name_is_no_new_budget() {
    let mut bank = Bank::with(&[(PURCHASES, NEVER)]).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(7)).await, None);
    bank.room("main", &["retailer.baskets"]).await;
    bank.policy("main", "retailer.baskets", NEVER).await;
    bank.data("main", "retailer.baskets").await;
    assert_eq!(bank.asks("agency", &["retailer.baskets"], tenths(4)).await, Some(Limit::Account));
    assert_eq!(bank.asks("agency", &["retailer.baskets"], tenths(3)).await, None);
    // The old table again, beside the new one: each has its own share, and the account both.
    bank.room("main", &["retailer.baskets", PURCHASES]).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(4)).await, Some(Limit::Period));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(3)).await, None);
    assert_eq!(bank.asks("agency", &["retailer.baskets"], tenths(7)).await, None);
    assert_eq!(bank.asks("agency", &["retailer.baskets"], tenths(1)).await, Some(Limit::Period));
}

/// A question that reads two tables of an owner costs the owner once, and each table its share.
#[tokio::test]
async fn an_owner_is_charged_once() {
    let bank = Bank::with(&[(PURCHASES, NEVER), (RETURNS, NEVER)]).await;
    assert_eq!(bank.asks("agency", &[PURCHASES, RETURNS], tenths(6)).await, None);
    let budgets = bank.registry.budgets(&room("main"), None).await.unwrap();
    for budget in budgets {
        let account = budget.account.unwrap();
        assert!((budget.period.spent - 0.6).abs() < 1e-9);
        assert!((account.spent - 0.6).abs() < 1e-9 && (account.epsilon - 2.0).abs() < 1e-9);
    }
    assert_eq!(bank.logged(&["main"]).await.len(), 2, "one charge a table");
}

#[tokio::test]
async fn an_analyst_spends_its_own_share() {
    let bank = Bank::with(&[(PURCHASES, "epsilon: 1, delta: 0, refresh: daily, lifetime: 9, per_analyst: 0.4")]).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(4)).await, None);
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, Some(Limit::Analyst));
    assert_eq!(bank.asks("brand", &[PURCHASES], tenths(4)).await, None);
    assert_eq!(bank.asks("retailer", &[PURCHASES], tenths(3)).await, Some(Limit::Period));
    bank.clock.set(datetime!(2026-05-05 0:00 UTC));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(4)).await, None);
    assert_eq!(bank.logged(&["main"]).await.len(), 3);
}

/// Mechanisms without a pure bound are added up as zCDP, and one of them ends the account of pure epsilons.
#[tokio::test]
async fn pure_and_concentrated_losses_share_a_budget() {
    let bank = Bank::with(&[(PURCHASES, "epsilon: 1, delta: 1e-6")]).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(9)).await, None, "0.9 purely");
    let gaussian = Loss::concentrated(Rho::of_units(1), Delta::ZERO);
    assert_eq!(bank.asks("agency", &[PURCHASES], gaussian).await, Some(Limit::Period), "and much more as zCDP");
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, None);
    let bank = Bank::with(&[(PURCHASES, "epsilon: 1, delta: 1e-6")]).await;
    let gaussian = Loss::concentrated(Rho::up(cleanroom_budget::rho_of(0.9, 5e-7)), Delta::ZERO);
    assert_eq!(bank.asks("agency", &[PURCHASES], gaussian).await, None);
    assert_eq!(bank.asks("agency", &[PURCHASES], gaussian).await, Some(Limit::Period));
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(1)).await, Some(Limit::Period));
    assert!((bank.spent(PURCHASES).await - 0.9).abs() < 1e-6);
    bank.reopened().await;
}

/// Amounts that stand for "without limit" are neither lost nor overflow.
#[tokio::test]
async fn a_loss_without_limit_is_admitted_by_a_budget_without_limit() {
    let bank = Bank::with(&[(PURCHASES, "epsilon: 1e15, delta: 1e-6")]).await;
    let all = Loss { rho: Rho::MAX, epsilon: None, delta: Delta::ZERO };
    assert_eq!(bank.asks("agency", &[PURCHASES], all).await, None);
    assert_eq!(bank.asks("agency", &[PURCHASES], all).await, None);
    bank.reopened().await;
}

/// A caller that forgets the price is not served.
#[tokio::test]
async fn a_price_is_that_of_its_question() {
    let bank = Bank::with(&[(PURCHASES, NEVER), (RETURNS, ""), ("shop.visits", NEVER)]).await;
    let both = [PURCHASES, "shop.visits"];
    let reserve = async |analyst: &str, price: Price| {
        bank.registry.reserve_at(bank.intent("main", analyst, &both), &[], &price).await.map(drop).unwrap_err()
    };
    assert!(matches!(reserve("agency", Price::Nothing).await, RegistryError::Uncharged { .. }));
    let free = bank.registry.reserve(bank.intent("main", "agency", &both)).await.map(drop);
    assert!(matches!(free, Err(RegistryError::Uncharged { .. })));
    assert!(matches!(
        reserve("agency", charge(&[PURCHASES], tenths(1))).await,
        RegistryError::Uncharged { table: name } if name == table("shop.visits")
    ));
    assert!(matches!(
        reserve("agency", charge(&[PURCHASES, PURCHASES, "shop.visits"], tenths(1))).await,
        RegistryError::NotCharged { .. }
    ));
    assert!(matches!(
        reserve("agency", charge(&[PURCHASES, "shop.visits", RETURNS], tenths(1))).await,
        RegistryError::NotCharged { table: name } if name == table(RETURNS)
    ));
    assert!(matches!(reserve("agency", charge(&[], tenths(1))).await, RegistryError::NoCharge));
    // A table without noise cannot be charged, and one of the asker's own need not be.
    let returns = bank.intent("main", "agency", &[RETURNS]);
    let charged = bank.registry.reserve_at(returns, &[], &charge(&[RETURNS], tenths(1))).await.map(drop);
    assert!(matches!(charged, Err(RegistryError::NotCharged { .. })));
    let own = bank.registry.reserve(bank.intent("main", "retailer", &[PURCHASES])).await;
    bank.registry.record(own.unwrap().1, released()).await.unwrap();
    assert_eq!(bank.spent(PURCHASES).await, 0.0);
    assert_eq!(bank.logged(&["main"]).await.len(), 0);
}

/// Whoever changes the sums without the charges is found at the next start; the charges themselves cannot be changed.
#[tokio::test]
async fn sums_that_are_not_those_of_the_charges_are_found() {
    let bank = Bank::with(&[(PURCHASES, NEVER)]).await;
    assert_eq!(bank.asks("agency", &[PURCHASES], tenths(5)).await, None);
    bank.registry.close().await;
    let pool =
        sqlx::SqlitePool::connect(&format!("sqlite://{}", bank.directory.path().join("registry.sqlite").display()))
            .await
            .unwrap();
    for change in ["UPDATE charges SET epsilon = 0", "DELETE FROM charges"] {
        assert!(sqlx::query(change).execute(&pool).await.is_err(), "{change}");
    }
    sqlx::query("UPDATE spent_days SET epsilon = 0, rho = 0").execute(&pool).await.unwrap();
    pool.close().await;
    assert!(matches!(open(bank.directory.path()).await.map(drop), Err(RegistryError::Damaged { .. })));
}
