//! Templates and daily limits over REST.

use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};

use crate::server::{OVERLAP, ROOM, Reply, Server, data_dir, purchases_policy};
use crate::support::cleanroom;

const TEMPLATE: &str = "\
apiVersion: cleanroom/v1
kind: Template
name: reach
parameters:
  campaign: {type: text, values: [c0, c1]}
  least: {type: integer}
sql: |
  SELECT e.campaign, COUNT(DISTINCT p.person) AS people
  FROM retailer.purchases p JOIN agency.exposures e ON p.person = e.person
  WHERE e.campaign = :campaign AND :least < 100
  GROUP BY e.campaign
";

impl Server {
    fn yaml(&self, path: &str, token: &str, text: &str) -> Reply {
        let headers = [("content-type", "application/yaml")];
        self.call("PUT", &format!("/v1/rooms/spring/{path}"), token, &headers, text.as_bytes())
    }

    fn post(&self, token: &str, body: &Value, more: &[(&str, &str)]) -> Reply {
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(more);
        self.call("POST", "/v1/rooms/spring/queries", token, &headers, body.to_string().as_bytes())
    }

    fn policy(&self, token: &str, version: u32, access: &str) -> Reply {
        let text = purchases_policy()
            .replace("version: 1", &format!("version: {version}"))
            .replace("[agency]}", &format!("[agency]{access}}}"));
        self.yaml("tables/retailer.purchases/policy", token, &text)
    }
}

#[test]
fn owners_approve_templates_and_analysts_ask_through_them() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    let reach = json!({ "template": "reach", "params": { "campaign": "c0", "least": 3 } });

    // An owner cannot approve what is not there.
    assert_eq!(server.policy(&retailer, 2, ", templates: [reach]").status, 409);
    assert_eq!(server.post(&agency, &reach, &[]).json()["error"]["code"], "CR1005");
    let put = server.yaml("templates/reach", &agency, TEMPLATE);
    assert_eq!((put.status, put.json()["change"].as_str().unwrap()), (201, "created"));
    let digest = put.json()["digest"].as_str().unwrap().to_owned();
    assert_eq!(server.yaml("templates/reach", &agency, TEMPLATE).json()["change"], "unchanged");
    assert_eq!(server.yaml("templates/other", &agency, TEMPLATE).status, 400);
    let broken = server.yaml("templates/reach", &agency, &TEMPLATE.replace("SELECT e.campaign", "DELETE e.campaign"));
    assert_eq!((broken.status, broken.json()["error"]["code"].as_str().unwrap()), (400, "CR1001"));
    let approved = server.policy(&retailer, 2, ", templates: [reach]");
    assert_eq!(approved.json()["approved"], json!([format!("reach@{digest}")]));
    let shown = server.call("GET", "/v1/rooms/spring/templates/reach", &retailer, &[], b"");
    assert_eq!(shown.json()["digest"], digest.as_str());
    assert_eq!(shown.json()["author"], "agency");
    let list = server.call("GET", "/v1/rooms/spring/templates", &retailer, &[], b"");
    assert_eq!(list.json()["templates"].as_array().unwrap().len(), 1);

    // Only through it, and only with its values.
    assert_eq!(server.post(&agency, &reach, &[]).json()["rows"], json!([["c0", 67]]));
    assert_eq!(server.ask(&agency, OVERLAP).json()["error"]["code"], "CR2402");
    let exposures = json!({ "sql": "SELECT COUNT(DISTINCT person) AS c FROM agency.exposures WHERE campaign = :c", "params": { "c": "c1" } });
    assert_eq!(server.post(&agency, &exposures, &[]).json()["rows"], json!([[133]]));
    for (params, detail) in [
        (json!({ "campaign": "c2", "least": 3 }), "`campaign`"),
        (json!({ "campaign": "c0' OR '1'='1", "least": 3 }), "`campaign`"),
        (json!({ "campaign": { "sql": "1" }, "least": 3 }), "`campaign`"),
        (json!({ "campaign": ["c0"], "least": 3 }), "`campaign`"),
        (json!({ "campaign": null, "least": 3 }), "`campaign`"),
        (json!({ "campaign": "c0", "least": 3.5 }), "`least`"),
        (json!({ "campaign": "c0", "least": true }), "`least`"),
        (json!({ "campaign": "c0", "least": "0 OR 1=1" }), "`least`"),
        (json!({ "campaign": "c0" }), "`least`"),
        (json!({ "campaign": "c0", "least": 3, "more": 1 }), "`more`"),
    ] {
        let refused = server.post(&agency, &json!({ "template": "reach", "params": params }), &[]);
        assert_eq!((refused.status, refused.json()["error"]["code"].as_str().unwrap()), (400, "CR1006"), "{params}");
        assert!(refused.json()["detail"].as_str().unwrap().contains(detail), "{params}");
    }
    let huge = r#"{"template": "reach", "params": {"campaign": "c0", "least": 99999999999999999999999999}}"#;
    let headers = [("content-type", "application/json")];
    let huge = server.call("POST", "/v1/rooms/spring/queries", &agency, &headers, huge.as_bytes());
    assert_eq!(huge.json()["error"]["code"], "CR1006");
    let twice = br#"{"template": "reach", "params": {"campaign": "c0", "campaign": "c1", "least": 1}}"#;
    assert_eq!(server.call("POST", "/v1/rooms/spring/queries", &agency, &headers, twice).status, 400);
    let many: serde_json::Map<String, Value> = (0..100).map(|n| (format!("p{n}"), json!(n))).collect();
    assert_eq!(
        server.post(&agency, &json!({ "template": "reach", "params": many }), &[]).json()["error"]["code"],
        "CR1004"
    );

    // Under one idempotency key other values are another request.
    let key = [("idempotency-key", "once")];
    let first = server.post(&agency, &reach, &key).json();
    assert_eq!(server.post(&agency, &reach, &key).json()["query_id"], first["query_id"]);
    let other = json!({ "template": "reach", "params": { "campaign": "c1", "least": 3 } });
    assert_eq!(server.post(&agency, &other, &key).status, 409);

    // Nobody but its author and the administrator replaces it, and nobody's change is approved.
    let widened = TEMPLATE.replace("WHERE e.campaign = :campaign", "WHERE e.campaign <> :campaign");
    assert_eq!(server.yaml("templates/reach", &retailer, &widened).status, 409);
    for (token, text) in [(&agency, widened.clone()), (&server.admin(), widened.replace("< 100", "< 101"))] {
        assert_eq!(server.yaml("templates/reach", token, &text).json()["change"], "updated");
        assert_eq!(server.post(&agency, &reach, &[]).json()["error"]["code"], "CR2402");
        // What was approved before is not approved anew by saying it again.
        assert_eq!(server.policy(&retailer, 2, ", templates: [reach]").json()["change"], "unchanged");
        assert_eq!(server.post(&agency, &reach, &[]).json()["error"]["code"], "CR2402");
    }
    assert_eq!(server.policy(&retailer, 3, ", templates: [reach]").status, 200);
    assert_eq!(server.post(&agency, &reach, &[]).json()["rows"], json!([["c1", 66], ["c2", 67]]));

    // The same through the command line.
    let run = |arguments: &[&str]| {
        let output = cleanroom()
            .args(["query", "--room", "spring", "--server", server.address(), "--token", &agency, "--format", "json"])
            .args(arguments)
            .output()
            .unwrap();
        (output.status.code().unwrap(), serde_json::from_slice::<Value>(&output.stdout).unwrap_or(Value::Null))
    };
    let (exit, answer) = run(&["--template", "reach", "--param", "campaign=c0", "--param", "least=3"]);
    assert_eq!((exit, answer["rows"].as_array().unwrap().len()), (0, 2));
    let (exit, refused) = run(&["--template", "reach", "--param", "campaign=c0", "--param", "least=many"]);
    assert_eq!((exit, refused["error"]["code"].as_str().unwrap()), (3, "CR1006"));
    // Applied together: the room, then the template, then the policy that approves it.
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("room.yaml", &ROOM.replacen("{upload: true}}", "{upload: true}, policy: purchases.yaml}", 1));
    write("spend.yaml", &TEMPLATE.replace("name: reach", "name: spend"));
    write(
        "purchases.yaml",
        &purchases_policy().replace("version: 1", "version: 9").replace("[agency]}", "[agency], templates: [spend]}"),
    );
    let applied = cleanroom()
        .args(["apply", "-f", "spend.yaml", "room.yaml", "--server", server.address(), "--token", &retailer])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let spend = json!({ "template": "spend", "params": { "campaign": "c0", "least": 3 } });
    assert_eq!(server.post(&agency, &spend, &[]).json()["rows"], json!([["c0", 67]]));
    assert_eq!(server.post(&agency, &reach, &[]).json()["error"]["code"], "CR2402");

    // A room that somebody is not in has no templates either.
    let stranger = server.token("stranger");
    assert_eq!(server.call("GET", "/v1/rooms/spring/templates", &stranger, &[], b"").status, 404);
    assert_eq!(server.yaml("templates/mine", &stranger, &TEMPLATE.replace("reach", "mine")).status, 404);
}

#[test]
fn of_many_questions_at_once_no_more_are_answered_than_the_day_allows() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    assert_eq!(server.policy(&retailer, 2, ", queries: {per_day: 3}").status, 200);
    // Dry runs and refusals do not count: neither reads a row.
    for _ in 0..4 {
        assert_eq!(server.post(&agency, &json!({ "sql": OVERLAP, "dry_run": true }), &[]).status, 200);
        assert_eq!(server.ask(&agency, "SELECT person FROM retailer.purchases").status, 422);
    }
    let begin = Barrier::new(8);
    let answers: Vec<(u16, String)> = thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    begin.wait();
                    let reply = server.ask(&agency, OVERLAP);
                    (reply.status, reply.json()["error"]["code"].as_str().unwrap_or("none").to_owned())
                })
            })
            .collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 3, "{answers:?}");
    assert!(
        answers.iter().all(|(status, code)| *status == 200 || (*status, code.as_str()) == (429, "CR4104")),
        "{answers:?}"
    );
    // The day stays used up, by whatever door; what does not read the table is free.
    let cli = cleanroom()
        .args(["query", "--room", "spring", "--server", server.address(), "--token", &agency, OVERLAP])
        .output()
        .unwrap();
    assert_eq!(cli.status.code(), Some(4), "{}", String::from_utf8_lossy(&cli.stderr));
    assert_eq!(server.ask(&agency, "SELECT COUNT(DISTINCT person) AS c FROM agency.exposures").status, 200);
    // A policy of a higher version that says the same gives no new day.
    assert_eq!(server.policy(&retailer, 3, ", queries: {per_day: 3}").status, 200);
    assert_eq!(server.ask(&agency, OVERLAP).json()["error"]["code"], "CR4104");
}
