//! `cleanroom apply`

use std::path::{Path, PathBuf};

use clap::Args;
use cleanroom_policy::{Document, PartnerName, Policy, RoomName, parse_document};
use cleanroom_vault::Format as DataFormat;
use serde_json::{Value, json};

use super::block_on;
use crate::client::{Client, segment};
use crate::embedded::{RoomFiles, Step, read_document};
use crate::exit::Exit;
use crate::fault::{Fault, Result};
use crate::http::media;
use crate::output::{Format, list};
use crate::signature_file;
use crate::template_file::{self, TemplateFile};

#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// Room files and templates; with --server and --room also policies
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,

    /// Prints what would change, and changes nothing
    #[arg(long)]
    dry_run: bool,

    /// State of a room that is used without a server [default: `.cleanroom` beside the room file]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Applies to a server
    #[arg(long, value_name = "URL", env = "CLEANROOM_SERVER")]
    server: Option<String>,

    /// Token of the server: an administrator's for rooms, an owner's for its policies and data
    #[arg(long, value_name = "TOKEN", env = "CLEANROOM_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// Token of one owner; also from the environment, as `CLEANROOM_TOKEN_RETAILER`
    #[arg(long, value_name = "PARTNER=TOKEN")]
    token_for: Vec<String>,

    /// The room that templates, and with --server policies, are put into: a room file; with --server, the room's name
    #[arg(long, value_name = "FILE|NAME")]
    room: Option<String>,
}

enum Applied {
    Room(PathBuf),
    Policy(String, String, Box<Policy>),
    Template(String, Box<TemplateFile>),
}

pub(super) fn run(args: ApplyArgs, format: Format) -> Result<Exit> {
    // Every file is read before anything is changed.
    let documents = args.files.iter().map(|path| document(path)).collect::<Result<Vec<_>>>()?;
    let steps = match &args.server {
        None => without_server(&args, documents)?,
        Some(url) => {
            if args.dry_run {
                return Err(Fault::not_available(
                    "`--dry-run` against a server is not available in this version",
                    "leave it out, or check the documents with `cleanroom policy check`",
                ));
            }
            Server { client: Client::new(url, args.token.clone())?, args: &args }.apply(documents)?
        }
    };
    show(&args, &steps, format)
}

fn show(args: &ApplyArgs, steps: &[Step], format: Format) -> Result<Exit> {
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| vec![step.kind.to_owned(), step.name.clone(), step.change.to_owned(), step.detail.clone()])
        .collect();
    let value: Vec<Value> = steps
        .iter()
        .map(|step| json!({ "kind": step.kind, "name": step.name, "change": step.change, "detail": step.detail }))
        .collect();
    list(format, &["kind", "name", "change", "detail"], &rows, &json!({ "dry_run": args.dry_run, "steps": value }))?;
    Ok(Exit::Done)
}

fn document(path: &Path) -> Result<Applied> {
    let label = path.display().to_string();
    let text = read_document(path)?;
    match parse_document(&label, &text).map_err(Fault::documents)? {
        Document::Room(_) => Ok(Applied::Room(path.to_owned())),
        Document::Policy(policy) => Ok(Applied::Policy(label, text, Box::new(policy))),
        Document::Template(_) => {
            let template = TemplateFile::parse(&label, text).map_err(Fault::documents)?;
            Ok(Applied::Template(label, Box::new(template)))
        }
    }
}

/// Rooms with their own templates, and templates for the room that is named, or for the only one that is applied.
fn without_server(args: &ApplyArgs, documents: Vec<Applied>) -> Result<Vec<Step>> {
    let (mut rooms, mut templates) = (Vec::new(), Vec::new());
    for document in documents {
        match document {
            Applied::Room(path) => rooms.push(path),
            Applied::Template(_, template) => templates.push(*template),
            Applied::Policy(label, ..) => {
                return Err(Fault::usage(
                    format!("`{label}` is a policy, and a policy is applied with the room that names it"),
                    "apply the room file; or put the policy into a server's room with `--server URL --room NAME`",
                ));
            }
        }
    }
    let named = args.room.as_deref().map(PathBuf::from);
    match (rooms.as_slice(), named) {
        ([], Some(room)) => block_on(templates_alone(&room, args, &templates)),
        (rooms, named) if templates.is_empty() || (rooms.len() == 1 && named.is_none()) => {
            let mut steps = Vec::new();
            let mut templates = templates;
            for room in rooms {
                let own = std::mem::take(&mut templates);
                steps.append(&mut block_on(embedded(room, args.data_dir.as_deref(), args.dry_run, own))?);
            }
            Ok(steps)
        }
        _ => Err(Fault::usage(
            "it is not said which room the templates are for",
            "add `--room FILE`, or apply them with one room file",
        )),
    }
}

async fn templates_alone(room: &Path, args: &ApplyArgs, templates: &[TemplateFile]) -> Result<Vec<Step>> {
    let files = RoomFiles::open(room, args.data_dir.as_deref())?;
    // Whether the room was ever used is told before anything is made.
    files.records().await?.close().await;
    let session = files.session().await?;
    let steps = if args.dry_run {
        session.plan(&[], templates).await?.into_iter().filter(|step| step.kind == "template").collect()
    } else {
        let steps = std::cell::RefCell::new(Vec::new());
        session.put_templates(templates, |step| steps.borrow_mut().push(step.clone())).await?;
        steps.into_inner()
    };
    session.registry.close().await;
    Ok(steps)
}

async fn embedded(path: &Path, data_dir: Option<&Path>, dry_run: bool, more: Vec<TemplateFile>) -> Result<Vec<Step>> {
    let files = RoomFiles::open(path, data_dir)?;
    let tables = files.tables()?;
    let templates = template_file::together(files.templates()?.into_iter().chain(more))?;
    if dry_run && !files.data_dir().join("registry.sqlite").is_file() {
        return Ok(files.all_new(&tables, &templates));
    }
    let session = files.session().await?;
    let steps = if dry_run {
        session.plan(&tables, &templates).await?
    } else {
        let steps = std::cell::RefCell::new(Vec::new());
        session.apply(&tables, &templates, |step| steps.borrow_mut().push(step.clone())).await?;
        steps.into_inner()
    };
    session.registry.close().await;
    Ok(steps)
}

/// A server that rooms, policies and data are put to.
struct Server<'a> {
    client: Client,
    args: &'a ApplyArgs,
}

impl Server<'_> {
    /// A policy approves templates as they stand when it is put, so these come before it; a room comes before both.
    fn apply(&self, documents: Vec<Applied>) -> Result<Vec<Step>> {
        let (mut rooms, mut templates, mut policies) = (Vec::new(), Vec::new(), Vec::new());
        for document in documents {
            match document {
                Applied::Room(path) => rooms.push(path),
                Applied::Template(label, template) => templates.push((label, *template)),
                Applied::Policy(label, text, policy) => policies.push((label, text, policy)),
            }
        }
        let mut steps = Vec::new();
        let single = rooms.len() == 1 && self.args.room.is_none();
        for room in &rooms {
            let own = if single { std::mem::take(&mut templates) } else { Vec::new() };
            steps.append(&mut self.room(room, own.into_iter().map(|(_label, template)| template))?);
        }
        for (label, template) in &templates {
            steps.push(self.template(label, template)?);
        }
        for (label, text, policy) in &policies {
            steps.push(self.policy(label, text, policy)?);
        }
        Ok(steps)
    }

    fn room(&self, path: &Path, more: impl Iterator<Item = TemplateFile>) -> Result<Vec<Step>> {
        let files = RoomFiles::open(path, None)?;
        let room = files.room();
        let base = format!("/v1/rooms/{}", segment(room.name.as_str()));
        let me = self.client.get("/v1/me")?;
        let admin = me.get("role").and_then(Value::as_str) == Some("admin");
        let owners: Vec<(PartnerName, Option<Client>)> = room
            .partners
            .iter()
            .filter(|partner| !partner.tables.is_empty())
            .map(|partner| Ok((partner.name.clone(), self.owner(&partner.name, &me)?)))
            .collect::<Result<_>>()?;
        // All that will be sent is read and checked first.
        let mut offers = Vec::new();
        for (owner, client) in &owners {
            if let Some(client) = client {
                offers.push((client, files.offers(owner)?));
            }
        }
        // Those of other partners may be on other machines.
        let templates = template_file::together(files.templates_here()?.into_iter().chain(more))?;
        let mut steps = Vec::new();
        if admin {
            let text = read_document(path)?;
            let reply = self.client.put(&base, "application/yaml", &text)?;
            steps.push(Step {
                kind: "room",
                name: room.name.to_string(),
                change: change(&reply),
                detail: String::new(),
            });
        } else {
            let detail = "left as it is: only an administrator's token changes a room".to_owned();
            steps.push(Step { kind: "room", name: room.name.to_string(), change: "skipped", detail });
        }
        for template in &templates {
            steps.push(self.put_template(&base, template)?);
        }
        for (client, tables) in offers {
            for table in tables {
                let name = table.declaration.name.to_string();
                let at = format!("{base}/tables/{}", segment(&name));
                if let Some(policy) = &table.policy {
                    let signature = policy.signature(&room.name)?;
                    let reply = client.put_policy(&format!("{at}/policy"), &policy.text, signature.as_deref())?;
                    let detail = format!("version {}", policy.policy.version);
                    steps.push(Step { kind: "policy", name: name.clone(), change: change(&reply), detail });
                }
                if let Some((source, format)) = &table.source {
                    let reply = client.put_file(&format!("{at}/data"), media_type(*format), source)?;
                    let version = reply.get("version").and_then(Value::as_u64).unwrap_or_default();
                    steps.push(Step {
                        kind: "data",
                        name,
                        change: change(&reply),
                        detail: format!("version {version}"),
                    });
                }
            }
        }
        for (owner, _) in owners.iter().filter(|(_, client)| client.is_none()) {
            let detail = format!(
                "applies the same file with its own token for its policies and data (`--token-for {owner}=...`)"
            );
            steps.push(Step { kind: "owner", name: owner.to_string(), change: "waiting", detail });
        }
        Ok(steps)
    }

    fn template(&self, label: &str, template: &TemplateFile) -> Result<Step> {
        let Some(room) = &self.args.room else {
            return Err(Fault::usage(format!("`{label}` is a template, and no room is named"), "add `--room NAME`"));
        };
        self.put_template(&format!("/v1/rooms/{}", segment(room)), template)
    }

    fn put_template(&self, room: &str, file: &TemplateFile) -> Result<Step> {
        let name = file.template.name.to_string();
        let reply = self.client.put(&format!("{room}/templates/{}", segment(&name)), "application/yaml", &file.text)?;
        Ok(Step { kind: "template", name, change: change(&reply), detail: file.template.digest() })
    }

    fn policy(&self, label: &str, text: &str, policy: &Policy) -> Result<Step> {
        let Some(room) = &self.args.room else {
            return Err(Fault::usage(format!("`{label}` is a policy, and no room is named"), "add `--room NAME`"));
        };
        let owner = policy.table.owner();
        let client = match self.given(owner)? {
            Some(token) => self.client.with_token(token),
            None => self.client.with_token(self.args.token.clone().unwrap_or_default()),
        };
        let path = format!("/v1/rooms/{}/tables/{}/policy", segment(room), segment(&policy.table.to_string()));
        let signature = signature_file::read(Path::new(label), policy, RoomName::new(room).ok().as_ref())?;
        let reply = client.put_policy(&path, text, signature.as_deref())?;
        let detail = format!("version {}", policy.version);
        Ok(Step { kind: "policy", name: policy.table.to_string(), change: change(&reply), detail })
    }

    /// A client with the owner's own token, where there is one.
    fn owner(&self, owner: &PartnerName, me: &Value) -> Result<Option<Client>> {
        let mine = me.get("partner").and_then(Value::as_str) == Some(owner.as_str());
        let token = match self.given(owner)? {
            Some(token) => Some(token),
            None if mine => self.args.token.clone(),
            None => None,
        };
        Ok(token.map(|token| self.client.with_token(token)))
    }

    fn given(&self, owner: &PartnerName) -> Result<Option<String>> {
        for pair in &self.args.token_for {
            let Some((name, token)) = pair.split_once('=') else {
                return Err(Fault::usage(
                    "`--token-for` is not `PARTNER=TOKEN`",
                    "write it as `--token-for retailer=crs_...`",
                ));
            };
            if name == owner.as_str() {
                return Ok(Some(token.to_owned()));
            }
        }
        let variable = format!("CLEANROOM_TOKEN_{}", owner.as_str().to_ascii_uppercase().replace('-', "_"));
        Ok(std::env::var(variable).ok())
    }
}

fn media_type(format: DataFormat) -> &'static str {
    match format {
        DataFormat::Parquet => media::PARQUET,
        DataFormat::Csv => media::CSV,
        DataFormat::JsonLines => media::JSON_LINES,
        DataFormat::ArrowStream => media::ARROW,
    }
}

fn change(reply: &Value) -> &'static str {
    match reply.get("change").and_then(Value::as_str) {
        Some("created") => "created",
        Some("updated") => "updated",
        _ => "unchanged",
    }
}
