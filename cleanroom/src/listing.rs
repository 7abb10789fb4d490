//! What is shown of rooms, tables and queries: the same by both doors.

use cleanroom_policy::{Ability, PartnerName, Policy, Room, Source};
use cleanroom_registry::{PolicyRecord, QueryRecord, Registry, RegistryError, TemplateRecord};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A room as `viewer` may see it: sources and policy files are shown to their owner, and to nobody else but the operator.
pub(crate) fn room(room: &Room, viewer: Option<&PartnerName>) -> Value {
    let partners: Vec<Value> = room
        .partners
        .iter()
        .map(|partner| {
            let all = viewer.is_none_or(|viewer| *viewer == partner.name);
            let tables: Vec<Value> = partner
                .tables
                .iter()
                .map(|table| {
                    let mut shown = json!({ "name": table.name.table() });
                    if let Some(object) = shown.as_object_mut() {
                        if !table.description.is_empty() {
                            object.insert("description".to_owned(), json!(table.description));
                        }
                        if all {
                            object.insert("source".to_owned(), source(&table.source));
                            if let Some(policy) = &table.policy {
                                object.insert("policy".to_owned(), json!(policy.display().to_string()));
                            }
                        }
                    }
                    shown
                })
                .collect();
            let mut shown = json!({
                "name": partner.name.as_str(),
                "abilities": partner.abilities.iter().map(|ability| ability_word(*ability)).collect::<Vec<_>>(),
            });
            if !tables.is_empty()
                && let Some(object) = shown.as_object_mut()
            {
                object.insert("tables".to_owned(), Value::Array(tables));
            }
            shown
        })
        .collect();
    let mut shown = json!({
        "apiVersion": "cleanroom/v1", "kind": "Room",
        "name": room.name.as_str(), "description": room.description, "partners": partners,
    });
    if let (true, Some(object)) = (room.strict, shown.as_object_mut()) {
        object.insert("strict".to_owned(), json!(true));
    }
    if let (None, false, Some(object)) = (viewer, room.templates.is_empty(), shown.as_object_mut()) {
        let files: Vec<String> = room.templates.iter().map(|path| path.display().to_string()).collect();
        object.insert("templates".to_owned(), json!(files));
    }
    shown
}

/// The room's tables and how fresh they are.
pub(crate) async fn tables(registry: &Registry, room: &Room) -> Result<Vec<Value>, RegistryError> {
    let mut list = Vec::new();
    for table in room.partners.iter().flat_map(|partner| &partner.tables) {
        let policy = registry.policy(&room.name, &table.name).await?;
        let data = registry.table_version(&room.name, &table.name).await?;
        list.push(json!({
            "name": table.name.to_string(),
            "description": table.description,
            "policy_version": policy.map(|policy| policy.policy.version),
            "data_version": data.as_ref().map(|data| data.version),
            "updated": data.as_ref().map(|data| moment(data.at)),
        }));
    }
    Ok(list)
}

/// A template in force. Every partner of the room sees it: owners approve it, analysts ask through it.
pub(crate) fn template(record: &TemplateRecord) -> Value {
    let canonical: Value = serde_json::from_str(&record.template.canonical_json()).unwrap_or(Value::Null);
    json!({
        "name": record.template.name.as_str(),
        "version": record.version,
        "digest": record.digest,
        "author": record.author.as_ref().map(PartnerName::as_str),
        "sequence": record.sequence,
        "description": record.template.description,
        "parameters": canonical.get("parameters"),
        "sql": record.template.sql.value,
        "text": record.text,
    })
}

/// A policy in force.
pub(crate) fn policy(record: &PolicyRecord) -> Value {
    let mut shown = json!({
        "table": record.policy.table.to_string(),
        "version": record.policy.version,
        "digest": record.digest,
        "sequence": record.sequence,
        "policy": canonical(&record.policy),
        "text": record.text,
    });
    if let (true, Some(object)) = (record.policy.access.templates.is_some(), shown.as_object_mut()) {
        object.insert("approved".to_owned(), json!(approved(record)));
    }
    shown
}

/// The templates that a policy approves, each with its content's digest.
pub(crate) fn approved(record: &PolicyRecord) -> Vec<String> {
    record.approved.iter().map(ToString::to_string).collect()
}

/// A question and how it ended, without its rows.
pub(crate) fn query(record: &QueryRecord) -> Value {
    json!({
        "query_id": record.id.as_str(),
        "analyst": record.analyst.as_str(),
        "status": record.status.map_or("running", |status| status.as_str()),
        "code": record.document.get("error").and_then(|error| error.get("code")),
        "created": moment(record.created),
        "finished": record.finished.map(moment),
        "sequence": record.sequence,
        "sql": record.sql,
        "template": record.template.as_ref().map(|template| format!("{}@{}", template.name, template.digest)),
        "params": record.params.as_ref().and_then(|params| serde_json::from_str::<Value>(params).ok()),
    })
}

/// RFC 3339, in UTC.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// The word of the contract.
pub(crate) fn ability_word(ability: Ability) -> &'static str {
    match ability {
        Ability::Contribute => "contribute",
        Ability::Query => "query",
        Ability::Receive => "receive",
        Ability::Audit => "audit",
    }
}

fn source(source: &Source) -> Value {
    match source {
        Source::File(path) => json!({ "file": path.display().to_string() }),
        Source::Upload => json!({ "upload": true }),
        Source::Unsupported(kind) => json!({ *kind: {} }),
    }
}

fn canonical(policy: &Policy) -> Value {
    serde_json::from_str(&policy.canonical_json()).unwrap_or(Value::Null)
}

/// A signed checkpoint.
pub(crate) fn checkpoint(note: &str) -> Value {
    let claimed = cleanroom_verify::Checkpoint::claimed(note);
    let signatures = note.rsplit("\n\n").next().unwrap_or_default().lines();
    let signed_by: Vec<&str> = signatures.filter_map(|line| line.split(' ').nth(1)).collect();
    json!({
        "size": claimed.as_ref().map(|claimed| claimed.size),
        "root": claimed.as_ref().map(|claimed| claimed.root.to_base64()),
        "signed_by": signed_by,
        "note": note,
    })
}
