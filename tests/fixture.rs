//! A room of three partners in this process: the vault itself, without a command line around it, for tests that ask hundreds
//! of questions.

use std::collections::BTreeMap;
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

use crate::three::{self, ROOM};
pub(crate) use crate::three::{FLOOR, Rows, fixed_rows};

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
        Self::of(room, &three::files(rows, rules, room != ROOM, columns_of)).await
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
