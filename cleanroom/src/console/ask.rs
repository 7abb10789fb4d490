//! Asking a question.

use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use cleanroom_policy::Room;
use cleanroom_registry::{IdempotencyState, QueryId, QueryRecord};
use cleanroom_vault::Request;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::form::{Fields, Sent};
use super::page::{Failed, Page, Tab, form_token, may_ask, room_path, text};
use super::rooms::field;
use super::session::{ID_LENGTH, Visitor, random};
use super::{catalog, go_to};
use crate::http::asking::{Begun, start};
use crate::http::{App, Problem, QueryBody, templates};

/// How long a question is waited for before its page is shown, which waits on.
const WAIT: Duration = Duration::from_secs(5);

/// What stands in the fields of the editor.
#[derive(Debug, Default)]
pub(super) struct Draft {
    sql: String,
    params: String,
    epsilon: String,
}

impl Draft {
    /// The question that was asked.
    pub(super) fn of(record: &QueryRecord) -> Self {
        let params: Map<String, Value> =
            record.params.as_deref().and_then(|params| serde_json::from_str(params).ok()).unwrap_or_default();
        let params: Vec<String> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self { sql: record.sql.clone(), params: params.join("\n"), epsilon: String::new() }
    }
}

/// What to begin with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Begin {
    /// The name of a template.
    template: String,
}

/// The page to ask on.
pub(super) async fn form(
    State(app): State<App>,
    visitor: Visitor,
    Path(name): Path<String>,
    begin: Result<Query<Begin>, QueryRejection>,
) -> Result<Response, Failed> {
    let (room, _) = app.member(&visitor.caller, &name).await?;
    let Query(begin) =
        begin.map_err(|_| Problem::bad_request("the address is not readable", "use the links of the pages"))?;
    let listed = templates::list(State(app.clone()), visitor.caller.clone(), Path(name.clone())).await?.0;
    let listed = listed.get("templates").and_then(Value::as_array).cloned().unwrap_or_default();
    let chosen = listed.iter().find(|template| field(template, "name") == begin.template);
    let tables = catalog::of(&app, &visitor, &name).await?;
    let content = html! {
        @if !may_ask(&visitor, &room) { p.notice.bad { "Your organisation may not ask in this room: what you ask will be refused." } }
        @match chosen {
            Some(template) => { (through(&visitor, &room, template)?) },
            None => { (editor(&visitor, &room, &Draft::default())?) },
        }
        @if !listed.is_empty() {
            h2 { "Templates" }
            p { "Questions that are written already. Some tables are answered through approved ones only." }
            ul {
                @for template in &listed {
                    @let name = field(template, "name");
                    li { a href=(room_path(&room, &format!("/ask?template={name}"))) { (name) } " " (text(field(template, "description"))) }
                }
            }
        }
        h2 { "What you may name" }
        @if tables.is_empty() { p { "No policy grants you a table yet." } }
        @for table in &tables {
            details {
                summary { code { (field(table, "name")) } }
                (catalog::columns(table))
            }
        }
    };
    Ok(Page::new("Ask", &visitor).of(&room, Tab::Ask).show(&content))
}

/// The editor, with the two things that can be done.
pub(super) fn editor(visitor: &Visitor, room: &Room, draft: &Draft) -> Result<Markup, Problem> {
    let once = random()?;
    Ok(html! {
        form.sheet.ask method="post" action=(room_path(room, "/ask")) {
            (form_token(visitor))
            input type="hidden" name="once" value=(once);
            div.field {
                label for="sql" { "SQL" }
                textarea #sql name="sql" rows="9" required spellcheck="false" autocapitalize="off" autocomplete="off" aria-describedby="sql-help" {
                    // The parser of HTML takes the first line end away.
                    "\n" (draft.sql)
                }
                p #sql-help .help { "One SELECT. A name after a colon stands for a parameter." }
            }
            (parameters(&draft.params))
            (spending(&draft.epsilon))
            (buttons())
        }
    })
}

fn parameters(params: &str) -> Markup {
    html! {
        div.field {
            label for="params" { "Parameters (optional)" }
            textarea #params name="params" rows="2" spellcheck="false" autocapitalize="off" autocomplete="off" aria-describedby="params-help" { "\n" (params) }
            p #params-help .help { "One " code { "name=value" } " a line. A JSON number, boolean or string is one; anything else is text." }
        }
    }
}

fn spending(epsilon: &str) -> Markup {
    html! {
        div.field.narrow {
            label for="epsilon" { "Epsilon to spend (optional)" }
            input #epsilon type="text" name="epsilon" inputmode="decimal" autocomplete="off" value=(epsilon) aria-describedby="epsilon-help";
            p #epsilon-help .help { "Where policies ask for noise. Empty: as much as each lets one question spend." }
        }
    }
}

fn buttons() -> Markup {
    html! {
        div.buttons {
            button.quiet type="submit" name="do" value="dry" { "Dry run" }
            button type="submit" name="do" value="ask" { "Ask" }
            span.help { "A dry run decides and prices, and reads nothing." }
        }
    }
}

/// A question through a template.
fn through(visitor: &Visitor, room: &Room, template: &Value) -> Result<Markup, Problem> {
    let once = random()?;
    let parameters = template.get("parameters").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(html! {
        p { "Through template " strong { (field(template, "name")) } ". " a href=(room_path(room, "/ask")) { "Write SQL instead" } }
        @if !field(template, "description").is_empty() { p.lead { (text(field(template, "description"))) } }
        (super::statement::statement(field(template, "sql"), None))
        form.sheet.ask method="post" action=(room_path(room, "/ask")) {
            (form_token(visitor))
            input type="hidden" name="once" value=(once);
            input type="hidden" name="template" value=(field(template, "name"));
            @for (name, parameter) in &parameters {
                @let values = parameter.get("values").and_then(Value::as_array);
                div.field.narrow {
                    label for={ "param-" (name) } { (name) " (" (text(field(parameter, "type"))) ")" }
                    @match values {
                        Some(values) => {
                            select id={ "param-" (name) } name={ "param." (name) } {
                                @for value in values {
                                    @let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                                    option value=(value) { (text(&value)) }
                                }
                            }
                        },
                        None => { input id={ "param-" (name) } type="text" name={ "param." (name) } required autocomplete="off"; },
                    }
                }
            }
            (spending(""))
            (buttons())
        }
    })
}

/// Puts a question to the vault, as `POST /v1/rooms/{room}/queries` does, and goes to its page.
pub(super) async fn ask(State(app): State<App>, Path(name): Path<String>, sent: Sent) -> Result<Response, Failed> {
    let (room, analyst) = app.member(&sent.visitor.caller, &name).await?;
    let asked = QueryBody::parse(body(&sent.fields)?.to_string().as_bytes())?;
    let mut id = QueryId::generate()?;
    let path = |id: &QueryId| room_path(&room, &format!("/queries/{id}"));
    // A form that is sent twice is one question.
    let once = sent.fields.get("once");
    if once.len() != ID_LENGTH || !once.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::bad_request("the form is not complete", "load the page again and send its form").into());
    }
    let digest = asked.digest();
    // What is asked is part of the key: a form that was changed and sent again is another question.
    let key = format!("console-{once}-{digest}");
    match app.registry().reserve_key(&room.name, &analyst, &key, &digest, &id).await? {
        IdempotencyState::New => {}
        IdempotencyState::Same(known) => match app.registry().query(&room.name, &known).await? {
            Some(_) => return Ok(go_to(&path(&known))),
            // Taken by a request that never came to its question.
            None => id = known,
        },
        IdempotencyState::Conflict => {
            return Err(Problem::internal("a key that names its request stands for another").into());
        }
    }
    let request = Request {
        query_id: id.clone(),
        room: room.name.clone(),
        analyst: analyst.clone(),
        question: asked.question,
        params: asked.params,
        dry_run: asked.dry_run,
        spending: asked.spending,
        receiver: analyst,
    };
    match start(&app, request) {
        Begun::Answering(answer) => match tokio::time::timeout(WAIT, answer).await {
            // There is no record to show of a question that could not be decided on.
            Ok(Ok(Err(problem))) => Err(problem.into()),
            // The question's page shows what is recorded of it.
            _ => Ok(go_to(&path(&id))),
        },
        Begun::Already => Ok(go_to(&path(&id))),
        Begun::TooMany => Err(Problem::busy().into()),
    }
}

/// The body that REST is sent.
fn body(fields: &Fields) -> Result<Value, Problem> {
    let mut body = json!({ "dry_run": fields.get("do") != "ask" });
    let Some(members) = body.as_object_mut() else { return Err(Problem::internal("an object is none")) };
    let template = fields.get("template");
    if template.is_empty() {
        members.insert("sql".to_owned(), json!(fields.get("sql")));
        members.insert("params".to_owned(), Value::Object(written(fields.get("params"))?));
    } else {
        members.insert("template".to_owned(), json!(template));
        // The template knows the types.
        let params: Map<String, Value> =
            fields.starting("param.").map(|(name, value)| (name.to_owned(), json!(value))).collect();
        members.insert("params".to_owned(), Value::Object(params));
    }
    let epsilon = fields.get("epsilon").trim();
    if !epsilon.is_empty() {
        let number = epsilon.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or_else(|| {
            Problem::bad_request("the epsilon to spend is not a number", "write it as 0.5, or leave it empty")
        })?;
        members.insert("epsilon".to_owned(), json!(number));
    }
    Ok(body)
}

/// Parameters as `name=value`, one a line, each name once.
fn written(text: &str) -> Result<Map<String, Value>, Problem> {
    let mut params = Map::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Some((name, text)) = line.split_once('=') else {
            return Err(Problem::bad_request("a line of the parameters is not `name=value`", "write it as campaign=8"));
        };
        let value = match serde_json::from_str::<Value>(text.trim()) {
            Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::String(_))) => value,
            Ok(Value::Null | Value::Array(_) | Value::Object(_)) | Err(_) => json!(text),
        };
        if params.insert(name.trim().to_owned(), value).is_some() {
            return Err(Problem::bad_request("a parameter stands twice", "give each parameter one value"));
        }
    }
    Ok(params)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_line_by_line() {
        let params = written("a=1\n\nb = x=y \nc=\"1\"\nd=[1]\n").unwrap();
        assert_eq!(Value::Object(params), json!({ "a": 1, "b": " x=y ", "c": "1", "d": "[1]" }));
        assert!(written("a=1\na=2").is_err() && written("a").is_err());
    }
}
