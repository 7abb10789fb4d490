//! A room with a little data, for tests of single stages: what a stage is given here is what it is given by the one before.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fmt::Write as _;
use std::fs;

use cleanroom_policy::{Ability, PartnerName, Room, RoomName, parse_policy, parse_room};
use cleanroom_registry::{Actor, Intent, OpenOptions, QueryId, Registry, Reservation};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use tempfile::TempDir;

use crate::check::{self, CheckedQuery};
use crate::compile::PrivatePlan;
use crate::deep;
use crate::execute;
use crate::facts::RoomFacts;
use crate::ingest::{self, IngestRequest, IngestSource};
use crate::noise::Spending;
use crate::parse::ParsedQuery;
use crate::plan;

const ROOM: &str = "
apiVersion: cleanroom/v1
kind: Room
name: market
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, source: {upload: true}}
      - {name: members, source: {upload: true}}
      - {name: regions, source: {upload: true}}
  - name: agency
    abilities: [contribute, query, receive]
    tables:
      - {name: seen, source: {upload: true}}
      - {name: campaigns, source: {upload: true}}
";

/// Tables of the room: name, header, and what stands in the policy between its version and its access.
const TABLES: &[(&str, &str, &str)] = &[
    (
        "shop.sales",
        "card,kind,region,day,amount,qty,till",
        "unit: {column: card, space: card}
columns:
  card: {use: [join, count]}
  kind: {use: [dimension, filter]}
  region: {use: [dimension, filter, join]}
  day: {use: [dimension, filter]}
  amount: {use: [measure], bounds: [0.25, 777.5]}
  qty: {use: [measure, filter], functions: [sum], bounds: [0, 10]}
rows: \"till <> 'test'\"
joins: {require: none, types: [inner, semi, left], analyst_tables: full}
release: {min_units: 3}
",
    ),
    (
        "shop.members",
        "card,tier",
        "unit: {column: card, space: card}
columns:
  card: {use: [join, count]}
  tier: {use: [dimension, filter]}
joins: {require: none}
release: {min_units: 3}
",
    ),
    (
        "shop.regions",
        "region,label",
        "public: true\ncolumns:\n  region: {use: [join, dimension]}\n  label: {use: [dimension]}\n",
    ),
    (
        "agency.seen",
        "card,campaign,at",
        "unit: {column: card, space: card}
columns:
  card: {use: [join, count]}
  campaign: {use: [dimension, filter, join]}
  at: {use: [filter]}
joins: {require: none, types: [inner, semi, left]}
release: {min_units: 3}
",
    ),
    (
        "agency.campaigns",
        "campaign,channel",
        "public: true\ncolumns:\n  campaign: {use: [join, dimension]}\n  channel: {use: [dimension, filter]}\n",
    ),
];

/// A statement over all five tables.
pub(crate) const FIVE_TABLES: &str = "\
SELECT c.channel, r.label, m.tier, COUNT(DISTINCT s.card) AS people, SUM(s.amount) AS spent, AVG(s.amount) AS mean
FROM agency.seen e
JOIN shop.sales s ON s.card = e.card AND s.day >= e.at AND s.day < e.at + INTERVAL '14 days'
JOIN shop.members m ON m.card = s.card
JOIN agency.campaigns c ON c.campaign = e.campaign
JOIN shop.regions r ON r.region = s.region
WHERE s.kind <> 'grey' AND m.tier IN ('gold', 'silver')
GROUP BY c.channel, r.label, m.tier
ORDER BY spent DESC";

/// Who may ask in a room: the first of those.
fn analyst(room: &Room) -> PartnerName {
    room.partners.iter().find(|partner| partner.abilities.contains(&Ability::Query)).unwrap().name.clone()
}

/// The room.
pub(crate) struct TestRoom {
    pub(crate) registry: Registry,
    pub(crate) name: RoomName,
    analyst: PartnerName,
    pub(crate) state: SessionState,
    folder: TempDir,
}

impl TestRoom {
    pub(crate) async fn new() -> Self {
        Self::holding(rows).await
    }

    /// With other rows: what stands in a table's file, from its name and header.
    pub(crate) async fn holding(rows: impl Fn(&str, &str) -> String) -> Self {
        let file = |(table, header, rules): &(&str, &str, &str)| {
            let text = format!(
                "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\n{rules}access: {{analysts: [agency]}}\n"
            );
            (text, rows(table, header))
        };
        Self::of(ROOM, TABLES.iter().map(file).collect()).await
    }

    /// A room of this document, with policies and files of its tables.
    pub(crate) async fn of(room: &str, tables: Vec<(String, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("state");
        let registry = Registry::open(OpenOptions { data_dir: data_dir.clone(), log_host: "test.example".to_owned() })
            .await
            .unwrap();
        let room = parse_room("room.yaml", room).unwrap();
        registry.put_room(&room, &Actor::operator()).await.unwrap();
        for (text, csv) in tables {
            let policy = parse_policy("policy.yaml", &text).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
            registry.put_policy(&room.name, &policy, &policy.canonical_json(), &Actor::operator()).await.unwrap();
            let path = folder.path().join(format!("{}.csv", policy.table));
            fs::write(&path, csv).unwrap();
            let request = IngestRequest {
                room: &room.name,
                table: &policy.table,
                policy: &policy,
                source: IngestSource::Path { path, label: policy.table.to_string(), format: None },
                actor: &Actor::operator(),
                force: false,
            };
            ingest::ingest(&registry, &data_dir, 64 << 20, request).await.unwrap();
        }
        let runtime = execute::runtime(64 << 20, folder.path()).unwrap();
        let state = execute::session(&runtime, None);
        Self { registry, analyst: analyst(&room), name: room.name, state, folder }
    }

    pub(crate) async fn facts(&self) -> RoomFacts {
        let data_dir = self.folder.path().join("state");
        RoomFacts::load(&self.registry, &data_dir, &self.name).await.unwrap().unwrap()
    }

    /// The planner's plan of a statement that is planned.
    pub(crate) fn planned(facts: &RoomFacts, sql: &str) -> LogicalPlan {
        let parsed = ParsedQuery::parse(sql).unwrap_or_else(|refusal| panic!("{}: {sql}", refusal.detail()));
        plan::plan(facts, parsed).unwrap_or_else(|refusal| panic!("{}: {sql}", refusal.detail())).0
    }

    /// A plan that the room's analyst may ask, checked.
    pub(crate) fn checked(facts: &RoomFacts, plan: &LogicalPlan) -> CheckedQuery {
        let analyst = analyst(&facts.room);
        check::check(facts, &analyst, &analyst, None, plan, &Spending::default())
            .unwrap_or_else(|refusal| panic!("{}", refusal.detail()))
    }

    /// The right to run one question.
    pub(crate) async fn reservation(&self) -> Reservation {
        let intent = Intent {
            query_id: QueryId::generate().unwrap(),
            room: self.name.clone(),
            analyst: self.analyst.clone(),
            sql: String::new(),
            template: None,
            params: None,
            plan: String::new(),
            policies: Vec::new(),
            tables: Vec::new(),
        };
        self.registry.reserve(intent).await.unwrap().0
    }

    /// The plans that read rows for a statement.
    pub(crate) async fn compiled(&self, sql: &str) -> PrivatePlan {
        let (facts, reservation) = (self.facts().await, self.reservation().await);
        let (state, sql) = (self.state.clone(), sql.to_owned());
        let compiled = deep::run(move || {
            let checked = Self::checked(&facts, &Self::planned(&facts, &sql));
            PrivatePlan::compile(&state, checked, reservation)
        });
        compiled.await.unwrap().unwrap()
    }
}

/// Twelve people with a row or two each.
fn rows(table: &str, header: &str) -> String {
    let mut csv = format!("{header}\n");
    let mut row = |text: String| writeln!(csv, "{text}").unwrap();
    match table {
        "shop.regions" => ["n,cold", "s,warm"].into_iter().for_each(|text| row(text.to_owned())),
        "agency.campaigns" => ["a0,tv", "a1,web"].into_iter().for_each(|text| row(text.to_owned())),
        _ => {
            for person in 0..12_u32 {
                let two = |of: [&'static str; 2]| if person % 2 == 0 { of[0] } else { of[1] };
                let (region, tier, campaign) = (two(["n", "s"]), two(["gold", "silver"]), two(["a0", "a1"]));
                row(match table {
                    "shop.sales" => format!("c{person},red,{region},2024-01-05,{person}.5,1,t1"),
                    "shop.members" => format!("c{person},{tier}"),
                    _ => format!("c{person},{campaign},2024-01-01"),
                });
            }
        }
    }
    csv
}

/// How long each stage before execution takes for a statement over five tables, and that the check is not what one waits
/// for. Run it in a release build:
///
/// ```text
/// cargo test --release -p cleanroom-vault --lib stages_of_five_tables -- --ignored --nocapture
/// ```
#[tokio::test]
#[ignore = "means something in a release build alone"]
async fn stages_of_five_tables() {
    use std::time::Instant;
    const RUNS: usize = 51;
    let room = TestRoom::new().await;
    let sql = std::env::var("STAGES_SQL").unwrap_or_else(|_unset| FIVE_TABLES.to_owned());
    let mut took: [Vec<f64>; 4] = Default::default();
    for _run in 0..if sql == FIVE_TABLES { RUNS } else { 1 } {
        let (facts, reservation) = (room.facts().await, room.reservation().await);
        let (state, sql) = (room.state.clone(), sql.clone());
        let run = deep::run(move || {
            let mut times = Vec::new();
            let mut clock = Instant::now();
            let mut lap = || {
                times.push(clock.elapsed().as_secs_f64() * 1e3);
                clock = Instant::now();
            };
            let parsed = ParsedQuery::parse(&sql).unwrap_or_else(|refusal| panic!("{}", refusal.detail()));
            lap();
            let plan = plan::plan(&facts, parsed).unwrap_or_else(|refusal| panic!("{}", refusal.detail())).0;
            lap();
            let checked = TestRoom::checked(&facts, &plan);
            lap();
            PrivatePlan::compile(&state, checked, reservation).unwrap();
            lap();
            times
        });
        took.iter_mut().zip(run.await.unwrap()).for_each(|(took, time)| took.push(time));
    }
    let mut medians = Vec::new();
    for (stage, times) in ["parse", "plan", "check", "compile"].into_iter().zip(&mut took) {
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap();
        println!("{stage:8} {median:8.3} ms, at most {:8.3} ms", times.last().copied().unwrap());
        medians.push(median);
    }
    if !cfg!(debug_assertions) && sql == FIVE_TABLES {
        assert!(medians.get(2).is_some_and(|check| *check < 1.0), "the check took {medians:?} ms");
    }
}
