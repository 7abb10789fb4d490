//! A room of three partners in this process: the vault itself, without a command line around it, for tests that ask hundreds
//! of questions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use cleanroom_policy::{PartnerName, Policy, RoomName, TableName, parse_policy, parse_room};
use cleanroom_registry::{Actor, OpenOptions, Outcome as _, QueryId, Registry};
use cleanroom_vault::{
    Decision, IngestError, IngestRequest, IngestSource, Ingested, Question, Request, Spending, Vault, VaultOptions,
};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::ArrayFormatter;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Floor of every protected table here.
pub(crate) const FLOOR: usize = 3;

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: three
test_only: true
partners:
  - name: shop
    abilities: [contribute]
    tables:
      - {name: sales, source: {upload: true}}
      - {name: visits, source: {upload: true}}
      - {name: regions, source: {upload: true}}
      - {name: closed, source: {upload: true}}
  - name: media
    abilities: [contribute, query, receive]
    tables:
      - {name: users, source: {upload: true}}
      - {name: ads, source: {upload: true}}
  - name: panel
    abilities: [contribute]
    tables:
      - {name: homes, source: {upload: true}}
      - {name: strict, source: {upload: true}}
      - {name: flats, source: {upload: true}}
";

/// Tables of the room: name, header of its file, identity space and columns of its policy, and further rules.
const TABLES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "shop.sales",
        "card,kind,region,at,amount,qty,secret",
        "card",
        "  kind: {use: [dimension, filter]}\n  region: {use: [dimension, filter, join]}\n  at: {use: [dimension, filter]}\n  \
         amount: {use: [measure], bounds: [0, 100]}\n  qty: {use: [measure, filter], functions: [sum], bounds: [0, 10]}\n",
        ALL_JOINS,
    ),
    (
        "shop.visits",
        "card,page,at,secs",
        "card",
        "  page: {use: [dimension, filter], literals: [home, cart]}\n  at: {use: [filter, dimension]}\n  \
         secs: {use: [measure], functions: [sum, avg, count], bounds: [0, 600]}\nrows: \"page <> 'test'\"\n",
        ALL_JOINS,
    ),
    (
        "shop.regions",
        "region,label",
        "",
        "  region: {use: [join, dimension]}\n  label: {use: [dimension, filter]}\n",
        "",
    ),
    ("shop.closed", "card,kind", "card", "  kind: {use: [dimension]}\n", "access: {analysts: [panel]}\n"),
    (
        "media.users",
        "card,band,state",
        "card",
        "  band: {use: [dimension, filter]}\n  state: {use: [dimension, filter]}\n",
        ALL_JOINS,
    ),
    (
        "media.ads",
        "card,campaign,at,cost",
        "card",
        "  campaign: {use: [dimension, filter]}\n  at: {use: [filter]}\n  cost: {use: [measure], bounds: [0, 10]}\n",
        ALL_JOINS,
    ),
    (
        "panel.homes",
        "card,size,income",
        "card",
        "  size: {use: [dimension, filter]}\n  income: {use: [measure], bounds: [0, 9000], step: 1}\n",
        ALL_JOINS,
    ),
    (
        "panel.strict",
        "card,tier,score",
        "card",
        "  tier: {use: [dimension]}\n  score: {use: [filter]}\n",
        "joins: {require: other_partner, with: [shop.sales]}\n",
    ),
    ("panel.flats", "flat,rooms", "flat", "  rooms: {use: [dimension, filter]}\n", "joins: {require: none}\n"),
];

const ALL_JOINS: &str = "joins: {require: none, types: [inner, semi, left, right, full, anti], analyst_tables: full}\n";

/// Rows of a table, each without the line's end, under its name.
pub(crate) type Rows = BTreeMap<&'static str, Vec<String>>;

/// The rows that the golden files are about: 60 people, `c0` to `c59`, not all of them everywhere.
pub(crate) fn fixed_rows() -> Rows {
    let mut rows = Rows::new();
    let mut add = |table: &'static str, row: String| rows.entry(table).or_default().push(row);
    for k in 0..60_u32 {
        let kind = match k {
            0..2 => "rare",
            2..40 => ["red", "blue", "green"][k as usize % 3],
            _ => "grey",
        };
        let region = ["n", "s", "e", "w"][k as usize % 4];
        for line in 0..=k % 3 {
            let (month, day) = (line + 1, k % 28 + 1);
            let cents = (k * 7 + line * 13) % 90;
            add(
                "shop.sales",
                format!("c{k},{kind},{region},2024-{month:02}-{day:02},{cents}.5,{},s{k}", (k + line) % 5),
            );
        }
        if k % 2 == 0 {
            let page = ["home", "cart", "test", "pay"][k as usize / 2 % 4];
            add("shop.visits", format!("c{k},{page},2024-01-{:02}T{:02}:00:00,{}", k % 28 + 1, k % 24, k * 5));
        }
        if k >= 12 {
            let band = if k == 13 { "old" } else { ["young", "middle"][k as usize / 3 % 2] };
            add("media.users", format!("c{k},{band},{}", ["CA", "NY", "TX"][k as usize % 3]));
        }
        if k >= 20 {
            for day in [1, 15] {
                add("media.ads", format!("c{k},a{},2024-01-{day:02},0.{}", (k + day) % 3, k % 10));
            }
        }
        if k % 5 != 0 {
            add("panel.homes", format!("c{k},{},{}", k % 4 + 1, 1000 + k * 50));
            add("panel.strict", format!("c{k},{},{}", ["gold", "silver"][k as usize % 2], k));
        }
        add("panel.flats", format!("f{k},{}", k % 3));
        add("shop.closed", format!("c{k},x"));
    }
    for row in [",red,n,2024-01-01,5.5,1,none", ",rare,,2024-01-02,6.5,1,none"] {
        add("shop.sales", row.to_owned());
    }
    for (region, label) in [("n", "cold"), ("s", "warm"), ("e", "mild"), ("w", "mild")] {
        add("shop.regions", format!("{region},{label}"));
    }
    rows
}

/// A room in this process.
pub(crate) struct Opened {
    vault: Vault,
    registry: Registry,
    room: RoomName,
    folder: TempDir,
}

/// How a question ended, without what differs between two askings of the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// `released`, `refused` or `failed`, and all that is said of it but the rows.
    pub(crate) document: Value,
    /// The rows, cells as text.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Told {
    pub(crate) fn outcome(&self) -> &str {
        self.document["outcome"].as_str().unwrap()
    }

    pub(crate) fn code(&self) -> &str {
        self.document["error"]["code"].as_str().unwrap_or("none")
    }
}

/// Runs `work` as the program runs its commands.
pub(crate) fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_stack_size(cleanroom_vault::WORKER_STACK)
        .build()
        .unwrap();
    thread::scope(|scope| {
        let main = thread::Builder::new().stack_size(cleanroom_vault::WORKER_STACK);
        let main = main.spawn_scoped(scope, || runtime.block_on(work)).unwrap();
        main.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn opened_vault(registry: &Registry, folder: &TempDir, memory_limit: usize) -> Vault {
    Vault::open(VaultOptions {
        registry: registry.clone(),
        data_dir: folder.path().join("data"),
        memory_limit,
        query_timeout: Duration::from_secs(300),
        max_concurrent: 1,
        release_quantum: Duration::ZERO,
    })
    .unwrap()
}

impl Opened {
    /// The room of three partners with these rows, released above floors.
    pub(crate) async fn new(rows: &Rows) -> Self {
        Self::made(ROOM, rows, "", |_table, columns| columns.to_owned()).await
    }

    /// The same room, where every policy of a table with units has these further lines; `panel` may ask, too.
    pub(crate) async fn shared(rows: &Rows, rules: &str) -> Self {
        let room = ROOM.replace(
            "name: panel\n    abilities: [contribute]",
            "name: panel\n    abilities: [contribute, query, receive]",
        );
        Self::made(&room, rows, rules, |_table, columns| columns.to_owned()).await
    }

    /// The same room with a `noise` section in every policy of people, and columns made of those it has.
    pub(crate) async fn under(rows: &Rows, noise: &str, columns_of: impl Fn(&str, &str) -> String) -> Self {
        Self::made(ROOM, rows, noise, columns_of).await
    }

    async fn made(room: &str, rows: &Rows, rules: &str, columns_of: impl Fn(&str, &str) -> String) -> Self {
        let mut tables = Vec::new();
        for (table, header, space, columns, more) in TABLES {
            let key = header.split(',').next().unwrap();
            let subject = if space.is_empty() {
                "public: true\n".to_owned()
            } else {
                format!("unit: {{column: {key}, space: {space}}}\n")
            };
            let key_rule = if space.is_empty() { String::new() } else { format!("  {key}: {{use: [join, count]}}\n") };
            let release = if space.is_empty() { String::new() } else { format!("release: {{min_units: {FLOOR}}}\n") };
            let access = match (more.contains("access"), room == ROOM) {
                (true, _) => "",
                (false, true) => "access: {analysts: [media]}\n",
                (false, false) => "access: {analysts: [media, panel]}\n",
            };
            let rules = if space.is_empty() { "" } else { rules };
            let columns = columns_of(table, columns);
            let text = format!(
                "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\n{subject}columns:\n\
                 {key_rule}{columns}{more}{release}{access}{rules}"
            );
            let mut csv = format!("{header}\n");
            for row in rows.get(table).into_iter().flatten() {
                writeln!(csv, "{row}").unwrap();
            }
            tables.push((text, csv));
        }
        Self::of(room, &tables).await
    }

    /// A room of these policies, and the files of their tables.
    pub(crate) async fn of(room: &str, tables: &[(String, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let registry = Registry::open(OpenOptions { data_dir, log_host: "localhost".to_owned() }).await.unwrap();
        let vault = opened_vault(&registry, &folder, 256 << 20);
        let room = parse_room("room.yaml", room).unwrap();
        registry.put_room(&room, &Actor::operator()).await.unwrap();
        let opened = Self { vault, registry, room: room.name, folder };
        for (policy, csv) in tables {
            opened.table(policy, csv).await;
        }
        opened
    }

    /// With so many bytes for questions.
    pub(crate) fn with_memory(self, memory_limit: usize) -> Self {
        let vault = opened_vault(&self.registry, &self.folder, memory_limit);
        Self { vault, ..self }
    }

    /// Puts a policy in force.
    pub(crate) async fn put_policy(&self, policy: &str) -> Policy {
        let policy = parse_policy("policy.yaml", policy).unwrap_or_else(|error| panic!("{error:?}\n{policy}"));
        let text = policy.canonical_json();
        self.registry.put_policy(&self.room, &policy, &text, &Actor::operator()).await.unwrap();
        policy
    }

    async fn table(&self, policy: &str, csv: &str) {
        let policy = self.put_policy(policy).await;
        let taken = self.take(&policy, "csv", csv.as_bytes()).await;
        taken.unwrap_or_else(|error| panic!("{}: {error}", policy.table));
    }

    /// The policy in force for a table.
    pub(crate) async fn policy(&self, table: &str) -> Policy {
        let record = self.registry.policy(&self.room, &TableName::parse(table).unwrap()).await.unwrap().unwrap();
        record.policy
    }

    /// The version of a table's data that is in force.
    pub(crate) async fn version(&self, table: &TableName) -> u64 {
        self.registry.table_version(&self.room, table).await.unwrap().unwrap().version
    }

    /// Takes a file in as its owner's upload.
    pub(crate) async fn take(&self, policy: &Policy, ending: &str, content: &[u8]) -> Result<Ingested, IngestError> {
        let path = self.file(&format!("{}.{ending}", policy.table));
        fs::write(&path, content).unwrap();
        let request = IngestRequest {
            room: &self.room,
            table: &policy.table,
            policy,
            source: IngestSource::Path { path, label: policy.table.to_string(), format: None },
            actor: &Actor::operator(),
            force: false,
        };
        self.vault.ingest(request).await
    }

    /// A file of this room's folder; the tables' are `OWNER.TABLE.csv`.
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    /// Asks as `media`, who receives the answer.
    pub(crate) async fn ask(&self, sql: &str, dry_run: bool) -> Told {
        self.ask_as("media", sql, dry_run, Spending::default()).await
    }

    /// Asks as a partner, who receives the answer.
    pub(crate) async fn ask_as(&self, analyst: &str, sql: &str, dry_run: bool, spending: Spending) -> Told {
        let analyst = PartnerName::new(analyst).unwrap();
        let request = Request {
            query_id: QueryId::generate().unwrap(),
            room: self.room.clone(),
            receiver: analyst.clone(),
            analyst,
            question: Question::Sql(sql.to_owned()),
            params: BTreeMap::new(),
            dry_run,
            spending,
        };
        let mut rows = Vec::new();
        let document = match self.vault.answer(request).await.unwrap() {
            Decision::Released(recorded) => {
                let (released, _receipt) = recorded.into_parts();
                rows = texts(released.batch());
                released.document()
            }
            Decision::Priced(recorded) => recorded.into_parts().0.document(),
            Decision::Refused(recorded) => recorded.into_parts().0.document(),
            Decision::Failed(recorded) => {
                let (failure, _receipt) = recorded.into_parts();
                // The incident is another each time.
                json!({ "outcome": "failed", "error": { "code": failure.code().as_str() } })
            }
        };
        Told { document, rows }
    }
}

/// The cells of a batch as text.
pub(crate) fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &Default::default()).unwrap()).collect();
    let cell = |column: usize, row: usize| {
        if batch.column(column).is_null(row) { "NULL".to_owned() } else { columns[column].value(row).to_string() }
    };
    (0..batch.num_rows()).map(|row| (0..columns.len()).map(|column| cell(column, row)).collect()).collect()
}
