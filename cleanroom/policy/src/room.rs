//! `kind: Room`

use std::collections::HashSet;
use std::path::PathBuf;

use crate::fields::Fields;
use crate::model::{Ability, Partner, Room, Source, TableDeclaration};
use crate::names::{PartnerName, RoomName, TableName};
use crate::report::Report;
use crate::yaml::Node;

const KEYS: &[&str] = &["apiVersion", "kind", "name", "description", "partners", "templates", "strict", "test_only"];
const PARTNER_KEYS: &[&str] = &["name", "abilities", "tables", "key", "membership", "since", "rotation"];
const TABLE_KEYS: &[&str] = &["name", "description", "source", "policy"];
const SOURCE_KEYS: &[&str] = &["file", "upload", "s3", "postgres", "flight"];

pub(crate) fn read(report: &mut Report<'_>, node: &Node) -> Option<Room> {
    let fields = Fields::open(report, node, "", KEYS)?;
    let name = fields
        .require(report, "name", "give the room a name")
        .and_then(|node| report.name(node, "a room's name", RoomName::new));
    let description = description(report, &fields);
    let partners =
        fields.require(report, "partners", "list the partners of the room").and_then(|node| partners(report, node));
    let templates = match fields.get(report, "templates") {
        Some(node) => templates(report, node),
        None => Some(Vec::new()),
    };
    let [strict, test_only] = ["strict", "test_only"].map(|key| match fields.get(report, key) {
        Some(node) => report.flag(node, &format!("`{key}`")),
        None => Some(false),
    });
    Some(Room {
        name: name?,
        description: description?,
        partners: partners?,
        templates: templates?,
        strict: strict?,
        test_only: test_only?,
    })
}

fn templates(report: &mut Report<'_>, node: &Node) -> Option<Vec<PathBuf>> {
    let items = report.list(node, "`templates`")?;
    items.iter().map(|item| report.filled_text(item, "the path of a template").map(PathBuf::from)).collect()
}

impl Room {
    /// The partner of that name.
    pub fn partner(&self, name: &PartnerName) -> Option<&Partner> {
        self.partners.iter().find(|partner| partner.name == *name)
    }

    /// The table of that name.
    pub fn table(&self, name: &TableName) -> Option<&TableDeclaration> {
        let tables = &self.partner(name.owner())?.tables;
        tables.iter().find(|table| table.name == *name)
    }
}

fn description(report: &mut Report<'_>, fields: &Fields<'_>) -> Option<String> {
    if !fields.has("description") {
        return Some(String::new());
    }
    let node = fields.get(report, "description")?;
    report.text(node, "a description").map(str::to_owned)
}

fn partners(report: &mut Report<'_>, node: &Node) -> Option<Vec<Partner>> {
    let items = report.filled_list(node, "`partners`")?;
    let mut seen = HashSet::new();
    let mut partners = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let partner = partner(report, item, &format!("partners.{index}"));
        if let Some(partner) = &partner
            && !seen.insert(partner.name.clone())
        {
            let message = format!("partner `{}` is listed twice", partner.name);
            report.error(item.at, message, "give each partner one entry");
        }
        partners.push(partner);
    }
    partners.into_iter().collect()
}

fn partner(report: &mut Report<'_>, node: &Node, path: &str) -> Option<Partner> {
    let fields = Fields::open(report, node, path, PARTNER_KEYS)?;
    let name = fields
        .require(report, "name", "give the partner a name")
        .and_then(|node| report.name(node, "a partner's name", PartnerName::new));
    let abilities = fields
        .require(report, "abilities", "list what the partner may do: `contribute`, `query`, `receive`, `audit`")
        .and_then(|node| report.word_set(node, "an ability", Ability::WORDS));
    let tables = match fields.get(report, "tables") {
        Some(node) => name.as_ref().and_then(|owner| tables(report, node, owner, &fields.path_of("tables"))),
        None => Some(Vec::new()),
    };
    let signed = ["key", "membership", "since", "rotation"];
    let [key, membership, since, rotation] = signed.map(|key| match fields.get(report, key) {
        Some(node) => report.filled_text(node, &format!("`{key}`")).map(|text| Some(text.to_owned())),
        None => Some(None),
    });
    let (name, abilities, tables) = (name?, abilities?, tables?);
    let (key, membership, since, rotation) = (key?, membership?, since?, rotation?);
    let keyed = key.is_some();
    if [membership.is_some(), since.is_some()] != [keyed; 2] || (rotation.is_some() && !keyed) {
        let at = fields.at_key(signed.into_iter().find(|key| fields.has(key)).unwrap_or("key"));
        let message = format!("partner `{name}` has some of `key`, `membership` and `since`, and not all");
        report.error(at, message, "put the lines that `cleanroom keys join` prints, all of them");
    }
    if !tables.is_empty() && !abilities.contains(&Ability::Contribute) {
        let message = format!("partner `{name}` has tables and may not contribute");
        let remedy = "add the ability `contribute`, or take the tables away";
        report.error(fields.at_key("tables"), message, remedy);
    }
    Some(Partner { name, abilities, tables, key, membership, since, rotation })
}

fn tables(report: &mut Report<'_>, node: &Node, owner: &PartnerName, path: &str) -> Option<Vec<TableDeclaration>> {
    let items = report.list(node, "`tables`")?;
    let mut seen = HashSet::new();
    let mut tables = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let table = table(report, item, owner, &format!("{path}.{index}"));
        if let Some(table) = &table
            && !seen.insert(table.name.clone())
        {
            let message = format!("table `{}` is listed twice", table.name);
            report.error(item.at, message, "give each table one entry");
        }
        tables.push(table);
    }
    tables.into_iter().collect()
}

fn table(report: &mut Report<'_>, node: &Node, owner: &PartnerName, path: &str) -> Option<TableDeclaration> {
    let fields = Fields::open(report, node, path, TABLE_KEYS)?;
    let name = fields
        .require(report, "name", "give the table a name, without its owner")
        .and_then(|node| report.name(node, "a table's name", |text| TableName::new(owner.clone(), text)));
    let description = description(report, &fields);
    let source = fields
        .require(report, "source", "write `source: {file: PATH}` or `source: {upload: true}`")
        .and_then(|node| source(report, node, &fields.path_of("source")));
    let policy = match fields.get(report, "policy") {
        Some(node) => report.filled_text(node, "the path of a policy").map(|path| Some(PathBuf::from(path))),
        None => Some(None),
    };
    Some(TableDeclaration {
        name: name?,
        description: description?,
        source: source?,
        policy: policy?,
        line: node.at.line,
    })
}

fn source(report: &mut Report<'_>, node: &Node, path: &str) -> Option<Source> {
    let fields = Fields::open(report, node, path, SOURCE_KEYS)?;
    let [entry] = fields.entries() else {
        report.error(
            fields.at,
            "a source is of exactly one kind",
            "write `source: {file: PATH}` or `source: {upload: true}`",
        );
        return None;
    };
    let value = fields.get(report, &entry.key)?;
    match entry.key.as_str() {
        "file" => report.filled_text(value, "the path of a file").map(|path| Source::File(PathBuf::from(path))),
        "upload" => {
            if report.flag(value, "`upload`")? {
                return Some(Source::Upload);
            }
            report.error(value.at, "`upload: false` leaves no source", "write `upload: true`, or `file`");
            None
        }
        "s3" => Some(Source::Unsupported("s3")),
        "postgres" => Some(Source::Unsupported("postgres")),
        "flight" => Some(Source::Unsupported("flight")),
        // An unknown key has been reported.
        _ => None,
    }
}
