//! What takes effect only with its owner's signature, whoever runs the machine.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::attacks::room;
use crate::server::{ROOM, Server, data_dir, purchases_policy};
use crate::support::{Room, cleanroom};

const ASKED: &str = "SELECT category, COUNT(DISTINCT email_hash) AS buyers FROM retailer.purchases GROUP BY category";

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command that must end so; gives what it printed.
fn run(room: &Room, exit: i32, arguments: &[&str]) -> String {
    let output = room.run(arguments);
    assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// Puts the lines that `keys join` prints under the retailer, in the stead of earlier ones.
fn join(room: &Room, arguments: &[&str]) {
    let lines = run(room, 0, &[&["keys", "join", "room.yaml", "--as", "retailer"], arguments].concat());
    let document = fs::read_to_string(room.path().join("room.yaml")).unwrap();
    let kept: Vec<&str> = document
        .lines()
        .filter(|line| {
            !["key:", "membership:", "since:", "rotation:"].iter().any(|key| line.trim_start().starts_with(key))
        })
        .collect();
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    let document =
        format!("{}\n", kept.join("\n")).replacen("  - name: retailer\n", &format!("  - name: retailer\n{lines}"), 1);
    fs::write(room.path().join("room.yaml"), document).unwrap();
}

fn edit(room: &Room, file: &str, from: &str, to: &str) {
    let path = room.path().join(file);
    let before = fs::read_to_string(&path).unwrap();
    assert!(before.contains(from), "{before}");
    fs::write(path, before.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_partner_with_a_key_signs_its_policies_and_its_membership() {
    let room = room();
    let apply = |exit: i32| run(&room, exit, &["apply", "-f", "room.yaml"]);
    let sign = |key: &str| run(&room, 0, &["policy", "sign", "purchases.yaml", "--room", "room.yaml", "--key", key]);
    for key in ["one.key", "two.key"] {
        run(&room, 0, &["keys", "new", "signing", "-o", key]);
    }
    join(&room, &["--key", "one.key"]);
    assert!(apply(2).contains("the policy is not signed"));
    let asked = run(&room, 2, &["query", "--room", "room.yaml", "--as", "publisher", ASKED]);
    assert!(asked.contains("the policy is not signed"), "{asked}");
    sign("two.key");
    assert!(apply(2).contains("another key"));
    sign("one.key");
    apply(0);
    assert_eq!(room.ask("publisher", ASKED).outcome(), "released");

    // A policy that was changed is not the one that was signed.
    edit(&room, "purchases.yaml", "version: 1", "version: 2");
    assert!(apply(2).contains("before it was changed"));
    // A signature for another room is none for this one.
    run(&room, 0, &["policy", "sign", "purchases.yaml", "--room", "elsewhere", "--key", "one.key"]);
    assert!(apply(2).contains("another room"));
    fs::write(
        room.path().join("purchases.yaml.sig"),
        fs::read_to_string(room.path().join("purchases.yaml.sig"))
            .unwrap()
            .replace("room elsewhere", "room adversarial"),
    )
    .unwrap();
    assert!(apply(2).contains("over something else"));
    sign("one.key");
    apply(0);

    // Neither more abilities, nor another key, nor none, without the partner.
    let signed = fs::read_to_string(room.path().join("room.yaml")).unwrap();
    let refused = |from: &str, to: &str| {
        edit(&room, "room.yaml", from, to);
        assert!(apply(2).contains("has not signed"), "{to}");
        fs::write(room.path().join("room.yaml"), &signed).unwrap();
    };
    refused("[contribute, query, receive]", "[contribute, query, receive, audit]");
    let key = signed.lines().find(|line| line.trim_start().starts_with("key:")).unwrap();
    let membership = signed.lines().find(|line| line.trim_start().starts_with("membership:")).unwrap();
    let since = signed.lines().find(|line| line.trim_start().starts_with("since:")).unwrap();
    refused(&format!("{key}\n{membership}\n{since}\n"), "");
    // A membership of a room of this name elsewhere is none of this one.
    join(&room, &["--key", "one.key", "--log-host", "elsewhere.example"]);
    let told = apply(2);
    assert!(told.contains("or not for the log `localhost/room/adversarial`"), "{told}");
    fs::write(room.path().join("room.yaml"), &signed).unwrap();
    run(&room, 2, &["keys", "join", "room.yaml", "--as", "retailer", "--key", "one.key", "--log-host", "a b"]);
    // Terms that were given up do not come back.
    let (fewer, more) = ("[contribute, query, receive]", "[contribute, query, receive, audit]");
    let [more, fewer] = [(fewer, more), (more, fewer)].map(|(from, to)| {
        edit(&room, "room.yaml", from, to);
        join(&room, &["--key", "one.key"]);
        apply(0);
        fs::read_to_string(room.path().join("room.yaml")).unwrap()
    });
    fs::write(room.path().join("room.yaml"), more).unwrap();
    assert!(apply(2).contains("not after that of the membership it signed last"));
    fs::write(room.path().join("room.yaml"), &fewer).unwrap();
    apply(0);
    join(&room, &["--key", "two.key"]);
    assert!(apply(2).contains("no `rotation`"));
    join(&room, &["--key", "two.key", "--previous", "two.key"]);
    assert!(apply(2).contains("its `rotation`"));
    join(&room, &["--key", "two.key", "--previous", "one.key"]);
    apply(0);
    edit(&room, "purchases.yaml", "version: 2", "version: 3");
    sign("one.key");
    assert!(apply(2).contains("another key"));
    sign("two.key");
    apply(0);

    // The log tells all of it, to somebody who knows the retailer's keys and to somebody who does not.
    let keys = ["one.key", "two.key"]
        .map(|file| run(&room, 0, &["--format", "json", "keys", "show", file, "--as", "retailer"]))
        .map(|shown| serde_json::from_str::<Value>(&shown).unwrap()["id"].as_str().unwrap().to_owned());
    let told = run(&room, 0, &["audit", "verify", ".cleanroom", "--member", &keys[0], "--member", &keys[1]]);
    assert!(told.contains("`publisher` has no key in the room") && !told.contains("`retailer` has no key"), "{told}");
    let told = run(&room, 6, &["audit", "verify", ".cleanroom", "--member", &keys[0]]);
    assert!(told.contains("not signed by the key that you gave"), "{told}");
}

#[test]
fn the_operator_of_a_server_cannot_put_a_policy_in_an_owners_name() {
    let (folder, data) = data_dir();
    let server = Server::start(&data);
    let local = |arguments: &[&str]| {
        let output = cleanroom().args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        text(&output)
    };
    fs::write(folder.path().join("room.yaml"), ROOM).unwrap();
    fs::write(folder.path().join("purchases.yaml"), purchases_policy()).unwrap();
    local(&["keys", "new", "signing", "-o", "retailer.key"]);
    let lines: String = local(&["keys", "join", "room.yaml", "--as", "retailer", "--key", "retailer.key"])
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    let document = ROOM.replacen("  - name: retailer\n", &format!("  - name: retailer\n{lines}"), 1);
    assert_ne!(document, ROOM);
    let yaml = [("content-type", "application/yaml")];
    let put = |path: &str, token: &str, headers: &[(&str, &str)], body: &str| {
        server.call("PUT", path, token, headers, body.as_bytes())
    };
    assert_eq!(put("/v1/rooms/spring", &server.admin(), &yaml, &document).status, 201);

    // The operator issues itself a token of the retailer, and has no more of it than that.
    let retailer = server.token("retailer");
    let at = "/v1/rooms/spring/tables/retailer.purchases/policy";
    let unsigned = put(at, &retailer, &yaml, &purchases_policy());
    assert_eq!(unsigned.status, 409, "{}", unsigned.json());
    assert!(unsigned.json()["detail"].as_str().unwrap().contains("not signed"), "{}", unsigned.json());
    local(&["policy", "sign", "purchases.yaml", "--room", "spring", "--key", "retailer.key"]);
    let note = fs::read_to_string(folder.path().join("purchases.yaml.sig")).unwrap();
    let signature = note.trim_end().rsplit(' ').next().unwrap();
    let signed = [yaml[0], ("cleanroom-signature", signature)];
    let weaker = purchases_policy().replace("25", "2");
    assert_eq!(put(at, &retailer, &signed, &weaker).status, 409);
    assert_eq!(put(at, &retailer, &signed, &purchases_policy()).status, 201);
    // Nor is the key to be got rid of.
    assert_eq!(put("/v1/rooms/spring", &server.admin(), &yaml, ROOM).status, 409);
    drop(server);
    local(&["audit", "verify", data.to_str().unwrap()]);
}

#[test]
fn a_room_key_goes_over_a_server_that_cannot_read_it() {
    let (folder, data) = data_dir();
    let server = Server::start(&data);
    let at = |arguments: &[&str]| cleanroom().args(arguments).current_dir(folder.path()).output().unwrap();
    let local = |arguments: &[&str]| {
        let output = at(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        text(&output)
    };
    fs::write(folder.path().join("room.yaml"), ROOM).unwrap();
    local(&["keys", "new", "room", "-o", "room.key"]);
    for partner in ["retailer", "agency"] {
        local(&["keys", "new", "signing", "-o", &format!("{partner}.key")]);
        let key = format!("{partner}.key");
        let lines: String = local(&["keys", "join", "room.yaml", "--as", partner, "--key", &key])
            .lines()
            .map(|line| format!("    {line}\n"))
            .collect();
        let document = fs::read_to_string(folder.path().join("room.yaml")).unwrap();
        let entry = format!("  - name: {partner}\n");
        fs::write(folder.path().join("room.yaml"), document.replacen(&entry, &format!("{entry}{lines}"), 1)).unwrap();
    }
    let document = fs::read_to_string(folder.path().join("room.yaml")).unwrap();
    let yaml = [("content-type", "application/yaml")];
    assert_eq!(server.call("PUT", "/v1/rooms/spring", &server.admin(), &yaml, document.as_bytes()).status, 201);
    let tokens = ["retailer", "agency"].map(|partner| server.token(partner));

    let share = [
        "keys",
        "share",
        "room.key",
        "--room",
        "room.yaml",
        "--as",
        "retailer",
        "--key",
        "retailer.key",
        "--to",
        "agency",
    ];
    let open = |key: &str, more: &[&str], output: &str| {
        at(&[
            &[
                "keys",
                "open",
                "--room",
                "room.yaml",
                "--as",
                "agency",
                "--key",
                key,
                "--from",
                "retailer",
                "-o",
                output,
            ],
            more,
        ]
        .concat())
    };
    local(&[&share[..], &["--server", server.address(), "--token", &tokens[0]]].concat());
    let fetched = open("agency.key", &["--server", server.address(), "--token", &tokens[1]], "theirs.key");
    assert!(fetched.status.success(), "{}", text(&fetched));
    let key = |file: &str| fs::read(folder.path().join(file)).unwrap();
    assert_eq!(key("room.key"), key("theirs.key"));

    // Nobody else fetches it or puts another in its place, and nothing of it lies on the server in plain.
    let path = "/v1/rooms/spring/keys/agency/retailer";
    assert_eq!(server.call("GET", path, &tokens[0], &[], b"").status, 403);
    let plain = [("content-type", "text/plain")];
    assert_eq!(server.call("PUT", path, &tokens[1], &plain, b"cleanroom/v1 sealed room key\n").status, 403);
    let secret = String::from_utf8(key("room.key")).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    let stored = server.call("GET", path, &tokens[1], &[], b"").body;
    assert!(!String::from_utf8(stored.clone()).unwrap().contains(secret));

    // What an operator could do: pass on another key, of its own making or of another partner's.
    fs::write(folder.path().join("sealed.txt"), &stored).unwrap();
    assert_eq!(open("retailer.key", &["sealed.txt"], "no.key").status.code(), Some(2), "the key of another");
    local(&["keys", "new", "signing", "-o", "operator.key"]);
    let mut forged = share.map(str::to_owned);
    forged[8] = "operator.key".to_owned();
    let forged: Vec<&str> = forged.iter().map(String::as_str).collect();
    assert_eq!(at(&[&forged[..], &["-o", "forged.txt"]].concat()).status.code(), Some(2), "not the retailer's key");
    let note = String::from_utf8(stored).unwrap();
    for (from, to) in [("from retailer", "from agency"), ("room spring", "room autumn"), ("\nsealed ", "\nsealed AAAA")]
    {
        let changed = note.replacen(from, to, 1);
        assert_ne!(changed, note);
        fs::write(folder.path().join("changed.txt"), changed).unwrap();
        let opened = open("agency.key", &["changed.txt"], "no.key");
        assert!(opened.status.code() == Some(2) && text(&opened).contains("not to be trusted"), "{}", text(&opened));
    }
    assert!(!folder.path().join("no.key").exists());
}

#[test]
fn a_policy_from_before_its_owner_had_a_key_decides_no_more() {
    let room = room();
    run(&room, 0, &["apply", "-f", "room.yaml"]);
    assert_eq!(room.ask("publisher", ASKED).outcome(), "released");
    run(&room, 0, &["keys", "new", "signing", "-o", "one.key"]);
    join(&room, &["--key", "one.key"]);
    // The room has the key from here on, and the policy that is in force is nobody's.
    assert!(run(&room, 2, &["apply", "-f", "room.yaml"]).contains("the policy is not signed"));
    assert!(run(&room, 2, &["query", "--room", "room.yaml", "--as", "publisher", ASKED]).contains("not signed"));
    let server = Server::start(&room.path().join(".cleanroom"));
    let publisher = server.token("publisher");
    for dry_run in [true, false] {
        let question = serde_json::json!({ "sql": ASKED, "dry_run": dry_run }).to_string();
        let json = [("content-type", "application/json")];
        let told = server.call("POST", "/v1/rooms/adversarial/queries", &publisher, &json, question.as_bytes());
        assert_eq!((told.status, &told.json()["error"]["code"]), (422, &Value::from("CR2404")), "{}", told.json());
    }
    drop(server);
    run(&room, 0, &["policy", "sign", "purchases.yaml", "--room", "room.yaml", "--key", "one.key"]);
    let applied = run(&room, 0, &["--format", "json", "apply", "-f", "room.yaml"]);
    assert!(applied.contains("updated"), "{applied}");
    assert!(!run(&room, 0, &["--format", "json", "apply", "-f", "room.yaml"]).contains("updated"));
    assert_eq!(room.ask("publisher", ASKED).outcome(), "released");
    run(&room, 0, &["audit", "verify", ".cleanroom"]);
}
