//! A room that is used through its own files, without a server: same vault, same records.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cleanroom_policy::{
    Ability, DocumentError, PartnerName, Policy, Room, RoomName, Source, TableDeclaration, TableName,
    check_policy_in_room, parse_policy, parse_room,
};
use cleanroom_registry::{Actor, Change, OpenOptions, PolicyRecord, Registry, Replace};
use cleanroom_vault::{Format, IngestRequest, IngestSource, Ingested, Vault, VaultOptions};

use crate::config;
use crate::fault::{Fault, Result};
use crate::listing;
use crate::operator_log;
use crate::signature_file;
use crate::template_file::{self, TemplateFile};

/// Largest document that is read; policies and rooms are far smaller.
const DOCUMENT_BYTES: u64 = 1 << 20;

/// The host of the log's origin where there is no server.
pub(crate) const LOG_HOST: &str = "localhost";

/// A room and everything it names, read and checked; nothing is changed yet.
#[derive(Debug)]
pub(crate) struct RoomFiles {
    file: PathBuf,
    room: Room,
    data_dir: PathBuf,
}

/// One table with its policy and its rows.
#[derive(Debug)]
pub(crate) struct TableFiles {
    /// As the room declares it.
    pub(crate) declaration: TableDeclaration,
    /// As its owner wrote it.
    pub(crate) policy: PolicyFile,
    /// The file of its rows.
    pub(crate) source: PathBuf,
    format: Format,
}

/// What an owner can put to a server for one table; what it leaves out it puts another way.
#[derive(Debug)]
pub(crate) struct Offer {
    /// As the room declares it.
    pub(crate) declaration: TableDeclaration,
    /// The policy the room file names.
    pub(crate) policy: Option<PolicyFile>,
    /// The file the room file names.
    pub(crate) source: Option<(PathBuf, Format)>,
}

/// A policy and where it stands.
#[derive(Debug)]
pub(crate) struct PolicyFile {
    /// How messages name it.
    pub(crate) label: String,
    /// Its text.
    pub(crate) text: String,
    /// What it says.
    pub(crate) policy: Policy,
}

impl PolicyFile {
    /// Its owner's signature for the room, where one lies beside it.
    pub(crate) fn signature(&self, room: &RoomName) -> Result<Option<String>> {
        signature_file::read(Path::new(&self.label), &self.policy, Some(room))
    }
}

/// A room that is open.
pub(crate) struct Session {
    /// Its records.
    pub(crate) registry: Registry,
    /// Its rows.
    pub(crate) vault: Vault,
    /// Its document.
    pub(crate) room: Room,
}

/// What an apply changed, or would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// `room`, `template`, `policy` or `data`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// `created`, `updated` or `unchanged`.
    pub(crate) change: &'static str,
    /// More, for people.
    pub(crate) detail: String,
}

impl RoomFiles {
    /// Reads a room file.
    pub(crate) fn open(file: &Path, data_dir: Option<&Path>) -> Result<Self> {
        let text = read_document(file)?;
        let room = parse_room(&file.display().to_string(), &text).map_err(Fault::documents)?;
        let data_dir = data_dir.map_or_else(|| folder_of(file).join(".cleanroom"), Path::to_owned);
        Ok(Self { file: file.to_owned(), room, data_dir })
    }

    /// The room's document.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    /// Where its state is.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Reads and checks every policy and source the room names. Reports everything that is wrong, not the first thing.
    pub(crate) fn tables(&self) -> Result<Vec<TableFiles>> {
        let mut errors = Vec::new();
        let mut tables = Vec::new();
        for declaration in self.room.partners.iter().flat_map(|partner| &partner.tables) {
            let policy = self.policy(declaration).map_err(|mut found| errors.append(&mut found)).ok();
            let source = self.source(declaration).map_err(|error| errors.push(error)).ok();
            if let (Some(policy), Some((source, format))) = (policy, source) {
                tables.push(TableFiles { declaration: declaration.clone(), policy, source, format });
            }
        }
        if errors.is_empty() { Ok(tables) } else { Err(Fault::documents(errors)) }
    }

    /// Reads and checks every template the room names.
    pub(crate) fn templates(&self) -> Result<Vec<TemplateFile>> {
        self.read_templates(|_path| true)
    }

    /// The same, of those that are on this machine.
    pub(crate) fn templates_here(&self) -> Result<Vec<TemplateFile>> {
        self.read_templates(Path::exists)
    }

    fn read_templates(&self, wanted: impl Fn(&Path) -> bool) -> Result<Vec<TemplateFile>> {
        let (mut errors, mut templates) = (Vec::new(), Vec::new());
        for path in self.room.templates.iter().map(|path| beside(&self.file, path)).filter(|path| wanted(path)) {
            let label = path.display().to_string();
            match read_text(&path) {
                Ok(text) => match TemplateFile::parse(&label, text) {
                    Ok(template) => templates.push(template),
                    Err(mut found) => errors.append(&mut found),
                },
                Err(what) => errors.push(DocumentError {
                    file: self.file.display().to_string(),
                    line: None,
                    column: None,
                    message: format!("`templates`: cannot read `{label}`: {what}"),
                    remedy: "correct the path, which is relative to the room file".to_owned(),
                }),
            }
        }
        if errors.is_empty() { template_file::together(templates) } else { Err(Fault::documents(errors)) }
    }

    /// Reads and checks what one owner can put to a server. The files of the others may be on other machines.
    pub(crate) fn offers(&self, owner: &PartnerName) -> Result<Vec<Offer>> {
        let (mut errors, mut offers) = (Vec::new(), Vec::new());
        for declaration in self.room.partner(owner).into_iter().flat_map(|partner| &partner.tables) {
            let policy = declaration.policy.as_ref().map(|_| self.policy(declaration)).transpose();
            let policy = policy.unwrap_or_else(|mut found| {
                errors.append(&mut found);
                None
            });
            let upload = declaration.source == Source::Upload;
            let source = if upload { Ok(None) } else { self.source(declaration).map(Some) };
            let source = source.unwrap_or_else(|error| {
                errors.push(error);
                None
            });
            offers.push(Offer { declaration: declaration.clone(), policy, source });
        }
        if errors.is_empty() { Ok(offers) } else { Err(Fault::documents(errors)) }
    }

    /// The policies of the room that can be read and fit it; what is wrong with the others is not told.
    pub(crate) fn readable_policies(&self) -> Vec<Policy> {
        let tables = self.room.partners.iter().flat_map(|partner| &partner.tables);
        tables.filter_map(|table| self.policy(table).ok()).map(|file| file.policy).collect()
    }

    /// The file of a table's rows, where it is one of this machine that can be read.
    pub(crate) fn readable_source(&self, table: &TableDeclaration) -> Option<PathBuf> {
        self.source(table).ok().map(|(path, _format)| path)
    }

    /// Reads and checks the policy of every table. Reports everything that is wrong, not the first thing.
    pub(crate) fn policies(&self) -> Result<Vec<PolicyFile>> {
        let (mut errors, mut policies) = (Vec::new(), Vec::new());
        for declaration in self.room.partners.iter().flat_map(|partner| &partner.tables) {
            match self.policy(declaration) {
                Ok(policy) => policies.push(policy),
                Err(mut found) => errors.append(&mut found),
            }
        }
        if errors.is_empty() { Ok(policies) } else { Err(Fault::documents(errors)) }
    }

    /// What a first apply does.
    pub(crate) fn all_new(&self, tables: &[TableFiles], templates: &[TemplateFile]) -> Vec<Step> {
        let created = |kind, name: String, detail: String| Step { kind, name, change: "created", detail };
        let mut steps = vec![created("room", self.room.name.to_string(), String::new())];
        for file in templates {
            steps.push(created("template", file.template.name.to_string(), file.template.digest()));
        }
        for table in tables {
            let name = table.declaration.name.to_string();
            steps.push(created("policy", name.clone(), format!("version {}", table.policy.policy.version)));
            steps.push(created("data", name, format!("from `{}`", table.source.display())));
        }
        steps
    }

    /// Opens the room's state and brings it up to the files; then questions can be asked.
    pub(crate) async fn enter(&self, report: impl Fn(&Step)) -> Result<Session> {
        let (tables, templates) = (self.tables()?, self.templates()?);
        let session = self.session().await?;
        session.apply(&tables, &templates, report).await?;
        Ok(session)
    }

    /// Opens the room's state as it is, bringing nothing up to date.
    pub(crate) async fn session(&self) -> Result<Session> {
        let registry = self.registry().await?;
        let vault = Vault::open(VaultOptions {
            registry: registry.clone(),
            data_dir: self.data_dir.clone(),
            memory_limit: config::DEFAULT_MEMORY,
            query_timeout: Duration::from_secs(config::DEFAULT_QUERY_SECONDS),
            max_concurrent: config::DEFAULT_CONCURRENT,
            release_quantum: Duration::ZERO,
        })?;
        Ok(Session { registry, vault, room: self.room.clone() })
    }

    /// The registry of a room that was used before.
    pub(crate) async fn records(&self) -> Result<Registry> {
        if !self.data_dir.join("registry.sqlite").is_file() {
            return Err(Fault::usage(
                format!("nothing has been recorded in `{}`", self.data_dir.display()),
                "use the room first (`cleanroom apply -f`, `cleanroom query --room`), or name its state by `--data-dir`",
            ));
        }
        self.registry().await
    }

    async fn registry(&self) -> Result<Registry> {
        let options = OpenOptions { data_dir: self.data_dir.clone(), log_host: LOG_HOST.to_owned() };
        let registry = Registry::open(options).await?;
        operator_log::to_file(&self.data_dir)?;
        Ok(registry)
    }

    fn policy(&self, declaration: &TableDeclaration) -> Result<PolicyFile, Vec<DocumentError>> {
        let Some(path) = &declaration.policy else {
            let message = format!("table `{}` has no policy, so nothing of it could be asked", declaration.name);
            return Err(vec![self.error(declaration.line, message, "add `policy: FILE` to the table")]);
        };
        let path = beside(&self.file, path);
        let label = path.display().to_string();
        let text = read_text(&path).map_err(|what| {
            let message = format!("policy of `{}`: cannot read `{label}`: {what}", declaration.name);
            vec![self.error(declaration.line, message, "correct the path, which is relative to the room file")]
        })?;
        let policy = parse_policy(&label, &text)?;
        if policy.table != declaration.name {
            return Err(vec![DocumentError {
                file: label,
                line: policy.line("table"),
                column: None,
                message: format!(
                    "the policy is for `{}`, and the room uses it for `{}`",
                    policy.table, declaration.name
                ),
                remedy: "correct `table` in the policy, or the path of the policy in the room file".to_owned(),
            }]);
        }
        let errors = check_policy_in_room(&self.room, &policy);
        if !errors.is_empty() {
            return Err(errors.into_iter().map(|error| error.in_file(&label)).collect());
        }
        Ok(PolicyFile { label, text, policy })
    }

    fn source(&self, declaration: &TableDeclaration) -> Result<(PathBuf, Format), DocumentError> {
        let name = &declaration.name;
        let path = match &declaration.source {
            Source::File(path) => beside(&self.file, path),
            Source::Upload => {
                let message = format!("table `{name}` is to be uploaded, which needs a server");
                let remedy = "write `source: {file: PATH}`, or apply the room to a server with `--server URL`";
                return Err(self.error(declaration.line, message, remedy));
            }
            Source::Unsupported(kind) => {
                let message = format!("table `{name}`: sources of kind `{kind}` are not available in this version");
                let remedy = "export the table to Parquet or CSV and write `source: {file: PATH}`";
                return Err(self.error(declaration.line, message, remedy));
            }
        };
        if let Err(error) = File::open(&path).and_then(|file| file.metadata()).and_then(|meta| {
            if meta.is_dir() { Err(std::io::Error::from(std::io::ErrorKind::IsADirectory)) } else { Ok(()) }
        }) {
            let message =
                format!("data of `{name}`: cannot read `{}`: {}", path.display(), crate::fault::reason(&error));
            return Err(self.error(declaration.line, message, "correct the path, which is relative to the room file"));
        }
        match Format::from_path(&path) {
            Some(format) => Ok((path, format)),
            None => {
                let message = format!("data of `{name}`: the format of `{}` is not known", path.display());
                let remedy = "give the file one of the endings .parquet, .csv, .jsonl, .ndjson, .json, .arrow";
                Err(self.error(declaration.line, message, remedy))
            }
        }
    }

    fn error(&self, line: usize, message: String, remedy: &str) -> DocumentError {
        DocumentError {
            file: self.file.display().to_string(),
            line: Some(line),
            column: None,
            message,
            remedy: remedy.to_owned(),
        }
    }
}

impl Session {
    /// What applying the files would change. Reads no row.
    pub(crate) async fn plan(&self, tables: &[TableFiles], templates: &[TemplateFile]) -> Result<Vec<Step>> {
        let mut steps = vec![self.plan_room().await?];
        for TemplateFile { template, .. } in templates {
            let known = self.registry.template(&self.room.name, &template.name).await?;
            let change = match known.map(|known| known.digest == template.digest()) {
                None => "created",
                Some(true) => "unchanged",
                Some(false) => "updated",
            };
            steps.push(Step { kind: "template", name: template.name.to_string(), change, detail: template.digest() });
        }
        for table in tables {
            let name = &table.declaration.name;
            let stored = self.stored_policy(name).await?;
            let step = |kind, change, detail: String| Step { kind, name: name.to_string(), change, detail };
            let version = table.policy.policy.version;
            steps.push(match must_grow(&table.policy, stored.as_ref())? {
                Change::Created => step("policy", "created", format!("version {version}")),
                Change::Updated => {
                    let from = stored.map_or(0, |stored| stored.policy.version);
                    step("policy", "updated", format!("version {from} -> {version}"))
                }
                Change::Unchanged => step("policy", "unchanged", format!("version {version}")),
            });
            let known = match self.registry.room(&self.room.name).await? {
                Some(_) => self.registry.table_version(&self.room.name, name).await?,
                None => None,
            };
            let label = table.source.display();
            steps.push(match known {
                None => step("data", "created", format!("from `{label}`")),
                // Whether the content changed is only known by reading it, which a dry run does not.
                Some(known) => {
                    step("data", "checked", format!("version {} is kept unless `{label}` changed", known.version))
                }
            });
        }
        Ok(steps)
    }

    /// Brings the room's state up to the files. All policies are looked at before anything is changed.
    ///
    /// Templates come before policies: a policy approves them as they stand when it is put.
    pub(crate) async fn apply(
        &self,
        tables: &[TableFiles],
        templates: &[TemplateFile],
        report: impl Fn(&Step),
    ) -> Result<()> {
        let room = &self.room.name;
        let actor = Actor::embedded(None);
        let mut signatures = Vec::with_capacity(tables.len());
        for table in tables {
            let stored = self.stored_policy(&table.declaration.name).await?;
            must_grow(&table.policy, stored.as_ref())?;
            signatures.push(table.policy.signature(room)?);
        }
        let change = self.registry.put_room(&self.room, &actor).await?;
        report(&Step { kind: "room", name: room.to_string(), change: word(change), detail: String::new() });
        self.put_templates(templates, &report).await?;
        for (table, signature) in tables.iter().zip(signatures) {
            let name = &table.declaration.name;
            let PolicyFile { text, policy, .. } = &table.policy;
            let owner = Actor::embedded(Some(name.owner().clone()));
            let change = self.registry.put_signed_policy(room, policy, text, signature.as_deref(), &owner).await?;
            let mut detail = format!("version {}", policy.version);
            if policy.access.templates.is_some()
                && change != Change::Unchanged
                && let Some(record) = self.stored_policy(name).await?
            {
                detail.push_str(&format!("; approves {}", listing::approved(&record).join(", ")));
            }
            report(&Step { kind: "policy", name: name.to_string(), change: word(change), detail });
            let ingested = self.ingest(table, &owner).await?;
            report(&data_step(name, &ingested));
        }
        Ok(())
    }

    /// Puts templates in force.
    pub(crate) async fn put_templates(&self, templates: &[TemplateFile], report: impl Fn(&Step)) -> Result<()> {
        for TemplateFile { text, template } in templates {
            let actor = Actor::embedded(None);
            let change = self.registry.put_template(&self.room.name, template, text, &actor, Replace::Any).await?;
            let name = template.name.to_string();
            report(&Step { kind: "template", name, change: word(change), detail: template.digest() });
        }
        Ok(())
    }

    /// Who asks: the partner that is named, or the only one that may.
    pub(crate) fn analyst(&self, named: Option<PartnerName>) -> Result<PartnerName> {
        let room = &self.room.name;
        // Whether the named one may ask is for the vault to say, which records that it was tried.
        if let Some(partner) = named {
            return Ok(partner);
        }
        let may: Vec<&PartnerName> = self
            .room
            .partners
            .iter()
            .filter(|partner| partner.abilities.contains(&Ability::Query))
            .map(|partner| &partner.name)
            .collect();
        match may.as_slice() {
            [only] => Ok((*only).clone()),
            [] => Err(Fault::not_permitted(
                format!("no partner of room `{room}` may query"),
                "give a partner the ability `query` in the room file",
            )),
            several => Err(Fault::usage(
                "several partners may query, and none is named",
                format!("add `--as PARTNER`, one of {}", list(several.iter().map(|partner| partner.as_str()))),
            )),
        }
    }

    async fn plan_room(&self) -> Result<Step> {
        let stored = self.registry.room(&self.room.name).await?;
        let change = match stored {
            None => "created",
            Some(stored) if stored.digest() == self.room.digest() => "unchanged",
            Some(_) => "updated",
        };
        Ok(Step { kind: "room", name: self.room.name.to_string(), change, detail: String::new() })
    }

    async fn stored_policy(&self, table: &TableName) -> Result<Option<PolicyRecord>> {
        if self.registry.room(&self.room.name).await?.is_none() {
            return Ok(None);
        }
        Ok(self.registry.policy(&self.room.name, table).await?)
    }

    async fn ingest(&self, table: &TableFiles, actor: &Actor) -> Result<Ingested> {
        let request = IngestRequest {
            room: &self.room.name,
            table: &table.declaration.name,
            policy: &table.policy.policy,
            source: IngestSource::Path {
                path: table.source.clone(),
                label: table.source.display().to_string(),
                format: Some(table.format),
            },
            actor,
            force: false,
        };
        Ok(self.vault.ingest(request).await?)
    }
}

/// Reads a document that was named on the command line.
pub(crate) fn read_document(path: &Path) -> Result<String> {
    read_text(path).map_err(|what| {
        Fault::usage(format!("cannot read `{}`: {what}", path.display()), "check its name and that you may read it")
    })
}

/// The word for a change.
pub(crate) fn word(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Updated => "updated",
        Change::Unchanged => "unchanged",
    }
}

/// The folder a path is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A path that is relative to the folder of `file`.
fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
}

fn read_text(path: &Path) -> Result<String, String> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(DOCUMENT_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| crate::fault::reason(&error))?;
    if bytes.len() as u64 > DOCUMENT_BYTES {
        return Err("it is larger than 1 MiB, and no such document".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

/// A changed policy must have a higher version, or nobody could tell which one let a query pass.
fn must_grow(file: &PolicyFile, stored: Option<&PolicyRecord>) -> Result<Change> {
    let Some(stored) = stored else {
        return Ok(Change::Created);
    };
    if file.policy.digest() == stored.digest {
        return Ok(Change::Unchanged);
    }
    let (given, active) = (file.policy.version, stored.policy.version);
    if given > active {
        return Ok(Change::Updated);
    }
    let message = if given == active {
        format!("the policy changed, and its version is still {active}")
    } else {
        format!("version {given} is lower than version {active}, which is active")
    };
    Err(Fault::documents(vec![DocumentError {
        file: file.label.clone(),
        line: file.policy.line("version"),
        column: None,
        message,
        remedy: format!("raise `version` to {} or more", active.saturating_add(1)),
    }]))
}

fn data_step(name: &TableName, ingested: &Ingested) -> Step {
    let mut detail = format!("version {}, {} rows", ingested.version, ingested.rows);
    for note in &ingested.notes {
        detail.push_str("; ");
        detail.push_str(note);
    }
    let change = match (ingested.changed, ingested.version) {
        (false, _) => "unchanged",
        (true, 1) => "created",
        (true, _) => "updated",
    };
    Step { kind: "data", name: name.to_string(), change, detail }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
