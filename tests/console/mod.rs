//! The console: what its pages say and to whom, asked as a browser asks, and looked at in one.

mod browser;
mod pages;
mod signing;
mod views;

use std::path::Path;
use std::time::Duration;

use crate::server::{Reply, Server};

/// What a careless page would run.
const HOSTILE: &str = "<script>alert(1)</script>";

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: spring
description: Did the spring campaign sell?
partners:
  - name: retailer
    abilities: [contribute]
    tables:
      - {name: purchases, description: 'One row a basket <script>alert(1)</script>', source: {upload: true}}
      - {name: visits, description: One row a visit., source: {upload: true}}
  - name: agency
    abilities: [contribute, query, receive]
    tables:
      - {name: exposures, description: Who saw which campaign., source: {upload: true}}
  - {name: inspector, abilities: [audit]}
";

const OTHER_ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: autumn
description: Another matter.
partners:
  - {name: stranger, abilities: [contribute, query, receive]}
";

const TEMPLATE: &str = "\
apiVersion: cleanroom/v1
kind: Template
name: reach
description: How many people bought in a department.
parameters:
  department: {type: text, values: [grocery, dairy]}
sql: SELECT COUNT(DISTINCT person) AS people FROM retailer.purchases WHERE department = :department
";

fn policy(table: &str, version: u32, floor: u32, columns: &str, noise: &str) -> String {
    format!(
        "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: {version}\nunit: {{column: person, space: email}}\n\
         columns:\n  person: {{use: [join, count]}}\n{columns}release: {{min_units: {floor}}}\n{noise}access: {{analysts: [agency]}}\n"
    )
}

const PURCHASES: &str = "  department: {use: [dimension, filter]}\n  day: {use: [dimension, filter]}\n  \
     amount: {use: [measure], bounds: [0, 500], step: 0.01}\n";
const NOISE: &str = "noise: {mechanism: laplace, epsilon: 1, delta: 1e-9, groups_per_unit: 4, rows_per_unit: 5, \
     budget: {epsilon: 20, delta: 1e-6, refresh: monthly, lifetime: 100, per_analyst: 10}}\n";

const BY_DEPARTMENT: &str = "SELECT department, COUNT(DISTINCT person) AS people, SUM(amount) AS spent\nFROM retailer.purchases\nGROUP BY department\nORDER BY people DESC";
const BY_DAY: &str = "SELECT day, COUNT(DISTINCT person) AS people FROM retailer.purchases GROUP BY day ORDER BY day";
const NOISY: &str = "SELECT department, COUNT(DISTINCT person) AS people FROM retailer.visits GROUP BY department";
const REFUSED: &str = "SELECT COUNT(*)\nFROM retailer.purchases\nWHERE person = 'ann@example.org'";

/// A room with two owners, one of them the analyst, an auditor, and a partner of another room.
struct Scene {
    retailer: String,
    agency: String,
    inspector: String,
    stranger: String,
}

impl Scene {
    fn set(server: &Server) -> Self {
        let put = |path: &str, token: &str, kind: &str, body: &str| {
            let reply = server.call("PUT", path, token, &[("content-type", kind)], body.as_bytes());
            assert!((200..300).contains(&reply.status), "{path}: {}", String::from_utf8_lossy(&reply.body));
        };
        put("/v1/rooms/spring", &server.admin(), "application/yaml", ROOM);
        put("/v1/rooms/autumn", &server.admin(), "application/yaml", OTHER_ROOM);
        let scene = Self {
            retailer: server.token("retailer"),
            agency: server.token("agency"),
            inspector: server.token("inspector"),
            stranger: server.token("stranger"),
        };
        let table = |name: &str, part: &str| format!("/v1/rooms/spring/tables/{name}/{part}");
        let yaml = "application/yaml";
        let visits = "  department: {use: [dimension, filter], values: [grocery, dairy, bakery, toys]}\n";
        for (name, token, version, floor, columns, noise) in [
            ("retailer.purchases", &scene.retailer, 1, 30, PURCHASES, ""),
            ("retailer.purchases", &scene.retailer, 2, 25, PURCHASES, ""),
            ("retailer.visits", &scene.retailer, 1, 25, visits, NOISE),
            ("agency.exposures", &scene.agency, 1, 25, "  campaign: {use: [dimension, filter]}\n", ""),
        ] {
            put(&table(name, "policy"), token, yaml, &policy(name, version, floor, columns, noise));
        }
        put("/v1/rooms/spring/templates/reach", &scene.agency, yaml, TEMPLATE);
        for (name, token, rows) in [
            ("retailer.purchases", &scene.retailer, purchases()),
            ("retailer.visits", &scene.retailer, visits_rows()),
            ("agency.exposures", &scene.agency, exposures()),
        ] {
            put(&table(name, "data"), token, "text/csv", &rows);
        }
        scene
    }
}

fn purchases() -> String {
    let departments = ["grocery", "dairy", "bakery and confectionery of the house", HOSTILE];
    let mut csv = "person,department,day,amount\n".to_owned();
    for person in 0..600 {
        let department = departments[usize::min(person % 7, 3)];
        csv.push_str(&format!("p{person}@example.org,{department},2026-05-{:02},{}.50\n", person % 9 + 1, person % 40));
    }
    csv
}

fn visits_rows() -> String {
    let mut csv = "person,department\n".to_owned();
    for person in 0..900 {
        csv.push_str(&format!("p{person}@example.org,{}\n", ["grocery", "dairy", "bakery", "toys"][person % 5 % 4]));
    }
    csv
}

fn exposures() -> String {
    let mut csv = "person,campaign\n".to_owned();
    for person in 200..600 {
        csv.push_str(&format!("p{person}@example.org,c{}\n", person % 3));
    }
    csv
}

/// A browser without a window: keeps its cookie, follows nothing by itself.
struct Client<'a> {
    server: &'a Server,
    cookie: String,
}

impl<'a> Client<'a> {
    fn new(server: &'a Server) -> Self {
        Self { server, cookie: String::new() }
    }

    /// Signed in with a token.
    fn signed_in(server: &'a Server, token: &str) -> Self {
        let mut client = Self::new(server);
        let reply = client.post_plain("/console/sign-in", &[("token", token)]);
        assert_eq!(reply.status, 303, "{}", text(&reply));
        client.cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
        client
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.server.address()));
        if !self.cookie.is_empty() {
            request = request.header("cookie", &self.cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
            .collect();
        let body = response.into_body().read_to_vec().unwrap();
        Reply { status, headers, body }
    }

    fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    /// The text of a page that must be there.
    fn page(&self, path: &str) -> String {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", text(&reply));
        text(&reply)
    }

    /// A form as the console's own page sends it, but for the form's token.
    fn post_plain(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let origin = self.server.address().to_owned();
        self.post_from(path, fields, &[("origin", origin.as_str()), ("sec-fetch-site", "same-origin")])
    }

    fn post_from(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let kind = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &[&kind, headers].concat(), &body)
    }

    /// A form as its page sends it.
    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.form_token();
        self.post_plain(path, &[&[("form_token", token.as_str())], fields].concat())
    }

    fn form_token(&self) -> String {
        hidden(&self.page("/console"), "form_token")
    }

    /// Asks, and gives the question's page.
    fn ask(&self, sql: &str, action: &str) -> String {
        let once = hidden(&self.page("/console/rooms/spring/ask"), "once");
        let reply = self.post("/console/rooms/spring/ask", &[("sql", sql), ("do", action), ("once", &once)]);
        assert_eq!(reply.status, 303, "{}", text(&reply));
        reply.header("location").to_owned()
    }
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).unwrap()
}

/// The value of a page's hidden field.
fn hidden(page: &str, name: &str) -> String {
    let begin = format!("name=\"{name}\" value=\"");
    let rest = page.split_once(&begin).unwrap_or_else(|| panic!("no field {name} in {page}")).1;
    rest.split('"').next().unwrap().to_owned()
}

/// Charges on this day and days after it, as questions of these days will leave them, so that there is something to draw. The
/// server's ledger then lives in the last of them: its time does not go back.
fn charge_days(data: &Path) {
    use cleanroom_budget::{Delta, Loss, PureEpsilon};
    use cleanroom_policy::{PartnerName, RoomName, TableName};
    use cleanroom_registry::{Intent, OpenOptions, Price, QueryId, Registry};

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let room = RoomName::new("spring").unwrap();
        let table = TableName::parse("retailer.visits").unwrap();
        for (day, epsilon) in [(0, 1.5), (1, 0.5), (3, 2.0), (4, 1.0)] {
            let options = OpenOptions { data_dir: data.to_owned(), log_host: "localhost".to_owned() };
            let clock = move || time::OffsetDateTime::now_utc() + time::Duration::days(day);
            let registry = Registry::open_by(options, clock).await.unwrap();
            let digest = registry.policy(&room, &table).await.unwrap().unwrap().digest;
            let intent = Intent {
                query_id: QueryId::generate().unwrap(),
                room: room.clone(),
                analyst: PartnerName::new("agency").unwrap(),
                sql: "SELECT 1".to_owned(),
                template: None,
                params: None,
                plan: "Aggregate".to_owned(),
                policies: vec![(table.clone(), digest)],
                tables: vec![(table.clone(), 1)],
            };
            let loss = Loss::pure(PureEpsilon::nearest(epsilon), Delta::ZERO);
            drop(registry.reserve_at(intent, &[], &Price::Charge { loss, tables: vec![table.clone()] }).await.unwrap());
            registry.close().await;
        }
    });
}
