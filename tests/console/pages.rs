//! What pages say, and to whom.

use std::fs;

use super::{BY_DAY, BY_DEPARTMENT, Client, HOSTILE, NOISY, REFUSED, Scene, hidden, text};
use crate::server::{Server, data_dir};
use crate::support::cleanroom;

const PAGES: [&str; 12] = [
    "",
    "/tables",
    "/tables/retailer.purchases",
    "/tables/retailer.visits",
    "/tables/agency.exposures",
    "/catalog",
    "/budgets",
    "/ask",
    "/queries",
    "/log",
    "/log/0",
    "/log/checkpoint",
];

fn room(rest: &str) -> String {
    format!("/console/rooms/spring{rest}")
}

#[test]
fn every_response_carries_the_headers_and_no_script() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let agency = Client::signed_in(&server, &scene.agency);
    let answered = agency.ask(BY_DEPARTMENT, "ask");
    let nobody = Client::new(&server);
    let mut replies: Vec<_> = PAGES.iter().map(|page| agency.get(&room(page))).collect();
    assert!(replies.iter().all(|reply| reply.status == 200));
    for path in ["/console", "/console/", "/console/style.css", "/console/codes/CR2104", &answered] {
        replies.push(agency.get(path));
        assert_eq!(replies.last().unwrap().status, 200, "{path}");
    }
    for file in ["receipt.txt", "answer.json", "answer.csv", "answer.parquet"] {
        replies.push(agency.get(&format!("{answered}/{file}")));
        assert_eq!(replies.last().unwrap().status, 200, "{file}");
    }
    for (path, status) in [
        ("/console/nonesuch", 404),
        ("/console/rooms/nonesuch", 404),
        ("/console/rooms/%ff", 400),
        ("/console/codes/CR9999", 404),
        ("/console/sign-out", 405),
        ("/console/rooms/spring/log?nonesuch=1", 400),
        ("/console/rooms/spring/log/99999", 404),
        ("/console/rooms/spring/log/x", 404),
    ] {
        replies.push(agency.get(path));
        assert_eq!(replies.last().unwrap().status, status, "{path}");
    }
    replies.push(nobody.get("/console"));
    replies.push(nobody.get("/console/sign-in"));
    replies.push(nobody.post_plain("/console/sign-in", &[("token", "wrong")]));
    replies.push(nobody.post_plain(&room("/ask"), &[]));
    for reply in &replies {
        assert_eq!(
            reply.header("content-security-policy"),
            "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("cache-control"), "no-store");
        if reply.header("content-type").starts_with("text/html") {
            let page = text(reply);
            assert!(!page.contains("<script") && !page.contains(" style=") && !page.contains(" onerror="), "{page}");
        }
    }
}

#[test]
fn a_page_shows_what_the_token_may_see() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let agency = Client::signed_in(&server, &scene.agency);
    let retailer = Client::signed_in(&server, &scene.retailer);
    let inspector = Client::signed_in(&server, &scene.inspector);
    let admin = Client::signed_in(&server, &server.admin());
    let answered = agency.ask(BY_DEPARTMENT, "ask");

    // A room one is not in looks like none.
    let stranger = Client::signed_in(&server, &scene.stranger);
    assert!(!stranger.page("/console").contains("spring"));
    let none = stranger.get("/console/rooms/nonesuch");
    for page in PAGES {
        let reply = stranger.get(&room(page));
        assert_eq!((reply.status, text(&reply)), (404, text(&none)), "{page}");
    }
    let token = stranger.form_token();
    let once = "0".repeat(64);
    for page in ["/ask", "/log/verify"] {
        let reply = stranger.post_plain(&room(page), &[("form_token", &token), ("once", &once), ("sql", "SELECT 1")]);
        assert_eq!(reply.status, 404, "{page}");
    }

    // A question is its asker's own.
    for other in [&retailer, &inspector] {
        assert_eq!(other.get(&answered).status, 404);
        assert_eq!(other.get(&format!("{answered}/answer.json")).status, 404);
        assert_eq!(other.post(&format!("{answered}/cancel"), &[]).status, 404);
        assert!(!other.page(&room("/queries")).contains("SUM"));
    }
    assert_eq!(admin.get(&answered).status, 403);
    assert_eq!(admin.get(&room("/ask")).status, 403);
    assert_eq!(agency.get(&room("/queries/00000000000000000000000000000000")).status, 404);
    assert_eq!(agency.get(&room("/queries/..%2f..")).status, 404);

    // What a policy says in full, and who asked, is its owner's and the operator's.
    let table = room("/tables/retailer.purchases");
    for owner in [&retailer, &admin] {
        let page = owner.page(&table);
        for part in
            ["The policy in force", "min_units: 25", "Version 1", "loosens", "release.min_units", "Who asked", "agency"]
        {
            assert!(page.contains(part), "`{part}` is missing");
        }
        assert!(page.contains("sha256:") && !page.contains("SELECT"), "statements are shown by their digest");
    }
    for other in [&agency, &inspector] {
        if other.get(&room("/catalog")).status == 200 {
            let page = other.page(&table);
            assert!(
                !page.contains("The policy in force") && !page.contains("min_units:") && !page.contains("Who asked")
            );
        }
    }
    assert!(agency.page(&table).contains("Columns of retailer.purchases"));
    assert!(inspector.page(&table).contains("Its policy grants you nothing"));
    assert_eq!(retailer.get(&room("/tables/retailer.nonesuch")).status, 404);

    // Of budgets an analyst sees its own part.
    agency.ask(NOISY, "ask");
    assert!(agency.page(&room("/budgets")).contains("retailer.visits"));
    let owners = retailer.page(&room("/tables/retailer.visits"));
    for part in ["Budget over time", "limit 20", "Epsilon so far", "What the answers of each analyst add up to"] {
        assert!(owners.contains(part), "`{part}` is missing");
    }
}

#[test]
fn a_question_is_tried_asked_and_shown() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let agency = Client::signed_in(&server, &scene.agency);

    // A dry run that is refused marks the place, and says why.
    let refused = agency.page(&agency.ask(REFUSED, "dry"));
    assert!(refused.contains("<mark>"), "{refused}");
    assert!(refused.contains("href=\"/console/codes/CR2104\""));
    assert!(agency.page("/console/codes/CR2104").contains("A key compared with a value would ask for one person."));
    // The statement is in the editor again, to be changed.
    assert!(refused.contains("<textarea") && refused.contains("WHERE person = 'ann@example.org'"));

    // One that would be answered is priced, and nothing is read or charged.
    let priced = agency.page(&agency.ask(NOISY, "dry"));
    for part in ["It would be answered", "Nothing was read or charged", "It would cost", "laplace noise", "95 of 100"] {
        assert!(priced.contains(part), "`{part}` is missing in {priced}");
    }

    // Answers are tables with charts; what data and statements hold is text.
    let hostile = format!(
        "SELECT department AS \"{HOSTILE}\", COUNT(DISTINCT person) AS people FROM retailer.purchases GROUP BY department"
    );
    let answered = agency.page(&agency.ask(&hostile, "ask"));
    assert!(answered.contains("Answered") && answered.contains("class=\"bar\""));
    assert!(!answered.contains("<script") && answered.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(agency.page(&room("/tables")).contains("One row a basket &lt;script&gt;"));
    let over_days = agency.page(&agency.ask(BY_DAY, "ask"));
    assert!(over_days.contains("<polyline"), "{over_days}");
    let noisy_path = agency.ask(NOISY, "ask");
    let noisy = agency.page(&noisy_path);
    assert!(noisy.contains("class=\"error\"") && noisy.contains("class=\"off\"") && noisy.contains("It cost"));

    // A parameter, a template, and how much to spend.
    let once = || hidden(&agency.page(&room("/ask")), "once");
    let post = |fields: &[(&str, &str)]| {
        let once = once();
        let reply = agency.post(&room("/ask"), &[&[("do", "ask"), ("once", once.as_str())], fields].concat());
        (reply.status, reply.header("location").to_owned())
    };
    let sql = "SELECT COUNT(DISTINCT person) AS people FROM retailer.purchases WHERE department = :department";
    let (_, asked) = post(&[("sql", sql), ("params", "department=dairy")]);
    let (_, through) = post(&[("template", "reach"), ("param.department", "dairy")]);
    assert!(agency.page(&asked).contains("1 row") && agency.page(&through).contains("Through template"));
    assert!(agency.page(&room("/ask?template=reach")).contains("name=\"param.department\""));
    let (_, small) = post(&[("sql", NOISY), ("epsilon", "0.25"), ("params", "")]);
    assert!(agency.page(&small).contains("<td class=\"number\">0.25</td>"));
    for wrong in [
        &[("sql", sql), ("params", "department")][..],
        &[("sql", NOISY), ("epsilon", "much")],
        &[("sql", NOISY), ("epsilon", "inf")],
    ] {
        assert_eq!(post(wrong).0, 400, "{wrong:?}");
    }

    // The files verify offline, with the key of the log.
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let reply = agency.get(&format!("{noisy_path}/{name}"));
        assert!(reply.header("content-disposition").starts_with("attachment; filename="));
        let path = folder.path().join(name);
        fs::write(&path, reply.body).unwrap();
        path
    };
    let (receipt, answer) = (file("receipt.txt"), file("answer.json"));
    let key = data.join("log/spring/log.pub");
    let verified = cleanroom()
        .args(["audit", "receipt", "verify"])
        .arg(&receipt)
        .arg("--result")
        .arg(&answer)
        .arg("--key")
        .arg(&key)
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    // Every hand-out is in the log, in the form that it had.
    let delivered = server.entries(&scene.inspector, "result.delivered");
    for form in ["html", "json"] {
        assert!(delivered.iter().any(|entry| entry["to"] == "agency" && entry["format"] == form), "{form}");
    }
}

#[test]
fn a_question_that_runs_says_so_and_can_be_cancelled() {
    let (_folder, data) = data_dir();
    let server = Server::start_with(&data, &["--release-quantum-ms", "60000"]);
    let scene = Scene::set(&server);
    let agency = Client::signed_in(&server, &scene.agency);
    let path = agency.ask(BY_DAY, "ask");
    let running = agency.get(&path);
    assert_eq!((running.status, running.header("refresh")), (200, "5"));
    assert!(text(&running).contains("Running") && text(&running).contains("Look again"));
    assert_eq!(agency.post(&format!("{path}/cancel"), &[]).status, 303);
    let ended = agency.page(&path);
    assert!(ended.contains("Not finished") && ended.contains("CR4204"), "{ended}");
    assert_eq!(agency.post(&format!("{path}/cancel"), &[]).status, 409);
}

#[test]
fn an_auditor_follows_proves_and_verifies() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let scene = Scene::set(&server);
    let agency = Client::signed_in(&server, &scene.agency);
    agency.ask(BY_DEPARTMENT, "ask");
    agency.ask(REFUSED, "ask");
    let inspector = Client::signed_in(&server, &scene.inspector);
    let rows =
        |filter: &str| inspector.page(&room(&format!("/log?{filter}"))).matches("<tr>").count().saturating_sub(1);
    let all = rows("");
    assert!(all > 10);
    assert_eq!(rows("type=query.intent"), 1);
    assert_eq!(rows("outcome=refused"), 1);
    assert_eq!(rows("table=retailer.purchases&type=policy.active"), 2);
    assert!(rows("partner=agency") < all && rows("partner=agency") > 1);
    assert_eq!((rows("until=2020-01-01T00%3A00"), rows("since=2020-01-01")), (0, all));
    // What belongs to a question belongs to its tables and policies, as on the command line.
    assert_eq!(rows("policy=retailer.purchases%402&type=query.outcome"), 1);
    assert_eq!((rows("policy=retailer.purchases%401"), rows("policy=retailer.purchases%407")), (1, 0));
    assert_eq!(rows("table=retailer.purchases&outcome=released"), 1);
    assert_eq!(rows("before=3"), 3);
    let intent = inspector.page(&room("/log?type=query.intent"));
    let request = intent.split_once("/log?query=").unwrap().1.split('"').next().unwrap().to_owned();
    assert_eq!(rows(&format!("query={request}")), 2, "from its asking to its end");

    let entry = inspector.page(&room("/log/0"));
    for part in ["c2sp.org/tlog-proof@v1", "room.put", "Its leaf in the tree"] {
        assert!(entry.contains(part), "`{part}` is missing");
    }
    let key = fs::read_to_string(data.join("log/spring/log.pub")).unwrap();
    let checkpoint = inspector.page(&room("/log/checkpoint"));
    assert!(checkpoint.contains(key.trim_end()) && checkpoint.contains("cleanroom audit verify"));
    // Every checkpoint that was signed, with the last entry under it.
    let history = checkpoint.split_once("Earlier checkpoints").unwrap().1;
    let rest = server.call("GET", "/v1/rooms/spring/log/checkpoints", &scene.inspector, &[], b"").json();
    let signed = rest["checkpoints"].as_array().unwrap();
    assert!(signed.len() > 5, "{rest}");
    for one in signed {
        let (size, root) = (one["size"].as_u64().unwrap(), one["root"].as_str().unwrap());
        assert!(history.contains(root) && history.contains(&format!("/log/{}\"", size - 1)), "{size}");
    }
    let verify = || {
        let reply = inspector.post(&room("/log/verify"), &[]);
        assert_eq!(reply.status, 200);
        text(&reply)
    };
    let verified = verify();
    assert!(verified.contains("Verified by the server") && verified.contains("proves little"), "{verified}");
    assert!(verified.contains("The room is not strict"), "{verified}");

    // One bit on the disk is found.
    let bundle = fs::read_dir(data.join("log/spring/tile/entries/000.p")).unwrap().last().unwrap().unwrap().path();
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let broken = verify();
    assert!(broken.contains("Not verified") && broken.contains("Findings"), "{broken}");
}
