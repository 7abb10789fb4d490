//! What an auditor does: verify a log over the network, follow questions, take the log along, add up.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::UInt64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{OVERLAP, ROOM, Server, data_dir};
use crate::support::{cleanroom, copy};

const NOISY: &str = "SELECT department, COUNT(DISTINCT person) AS people FROM retailer.visits GROUP BY department";
const VISITS: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: retailer.visits\nversion: 7\nunit: {column: person, space: email}\n\
     columns:\n  person: {use: [join, count]}\n  department: {use: [dimension, filter], values: [grocery, dairy]}\n\
     release: {min_units: 25}\nnoise: {mechanism: laplace, epsilon: 1, delta: 1e-9, groups_per_unit: 4, rows_per_unit: 5, \
     budget: {epsilon: 20, delta: 1e-6, refresh: monthly, lifetime: 100}}\naccess: {analysts: [agency]}\n";

/// A room with an auditor in it, and one of another room.
struct Scene {
    _folder: TempDir,
    data: PathBuf,
    server: Server,
    agency: String,
    inspector: String,
    stranger: String,
}

impl Scene {
    fn set() -> Self {
        let (folder, data) = data_dir();
        let server = Server::start(&data);
        let (retailer, agency) = server.room();
        let room = ROOM.replace(
            "      - {name: purchases, source: {upload: true}}\n",
            "      - {name: purchases, source: {upload: true}}\n      - {name: visits, source: {upload: true}}\n",
        ) + "  - {name: inspector, abilities: [audit]}\n";
        let other = "apiVersion: cleanroom/v1\nkind: Room\nname: autumn\npartners:\n  - {name: stranger, abilities: [audit]}\n  \
             - {name: agency, abilities: [query]}\n";
        let visits: String = (0..400).map(|n| format!("p{n}@example.org,{}\n", ["grocery", "dairy"][n % 2])).collect();
        let put = |path: &str, token: &str, kind: &str, body: &str| {
            let reply = server.call("PUT", path, token, &[("content-type", kind)], body.as_bytes());
            assert!((200..300).contains(&reply.status), "{path}: {}", String::from_utf8_lossy(&reply.body));
        };
        put("/v1/rooms/spring", &server.admin(), "application/yaml", &room);
        put("/v1/rooms/autumn", &server.admin(), "application/yaml", other);
        put("/v1/rooms/spring/tables/retailer.visits/policy", &retailer, "application/yaml", VISITS);
        let csv = format!("person,department,diagnosis\n{}", visits.replace('\n', ",x\n"));
        put("/v1/rooms/spring/tables/retailer.visits/data", &retailer, "text/csv", &csv);
        let (inspector, stranger) = (server.token("inspector"), server.token("stranger"));
        Self { _folder: folder, data, server, agency, inspector, stranger }
    }

    /// One question of each end; the identifier of the noisy one.
    fn ask(&self) -> String {
        assert_eq!(self.server.ask(&self.agency, OVERLAP).status, 200);
        assert_eq!(self.server.ask(&self.agency, "SELECT * FROM retailer.purchases").status, 422);
        let noisy = self.server.ask(&self.agency, NOISY).json();
        assert_eq!(noisy["outcome"], "released", "{noisy}");
        let body = json!({ "sql": OVERLAP, "dry_run": true }).to_string();
        let headers = [("content-type", "application/json")];
        let path = "/v1/rooms/spring/queries";
        assert_eq!(self.server.call("POST", path, &self.agency, &headers, body.as_bytes()).status, 200);
        let id = noisy["query_id"].as_str().unwrap().to_owned();
        assert_eq!(self.server.call("GET", &format!("{path}/{id}/result"), &self.agency, &[], b"").status, 200);
        id
    }

    fn url(&self) -> String {
        format!("{}/v1/rooms/spring/log", self.server.address())
    }

    /// A command about the room, over the server.
    fn audit(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["audit"];
        all.extend(arguments);
        all.extend(["--server", self.server.address(), "--room", "spring", "--token", &self.inspector]);
        cleanroom().args(all).output().unwrap()
    }

    fn found(&self, filter: &[&str]) -> Vec<Value> {
        let output = self.audit(&[&["log", "--format", "json"], filter].concat());
        let Value::Array(entries) = read(&output) else { panic!("{output:?}") };
        entries
    }

    fn kinds(&self, filter: &[&str]) -> Vec<String> {
        self.found(filter).iter().map(|entry| entry["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn read(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn verify(url: &str, token: &str, more: &[&str]) -> (i32, Value, String) {
    let mut all = vec!["audit", "verify", url, "--token", token, "--format", "json"];
    all.extend(more);
    let output = cleanroom().args(all).output().unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), told, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn codes(told: &Value) -> Vec<String> {
    let findings = told["logs"][0]["findings"].as_array().unwrap_or_else(|| panic!("{told}"));
    findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_auditor_verifies_a_log_over_the_network() {
    let scene = Scene::set();
    scene.ask();
    let key = scene.server.call("GET", "/v1/rooms/spring/log/key", &scene.inspector, &[], b"").body;
    let key = String::from_utf8(key).unwrap().trim_end().to_owned();
    let (exit, told, error) = verify(&scene.url(), &scene.inspector, &["--key", &key]);
    assert_eq!(
        (exit, &told["verified"], &told["logs"][0]["key_on_trust"]),
        (0, &json!(true), &json!(false)),
        "{told} {error}"
    );
    assert_eq!(codes(&told), ["unsigned", "unsigned", "withheld"], "{told}");
    assert_eq!(verify(scene.server.address(), &scene.inspector, &["--room", "spring"]).0, 0);

    // With the key of another log; as somebody who may not read the texts; as somebody who is not in the room.
    let other = key.replacen("/room/spring", "/room/winter", 1);
    assert!(verify(&scene.url(), &scene.inspector, &["--key", &other]).0 == 2, "the text of a key was changed");
    let autumn = scene.server.call("GET", "/v1/rooms/autumn/log/key", &scene.stranger, &[], b"").body;
    let autumn = String::from_utf8(autumn).unwrap();
    assert_eq!(verify(&scene.url(), &scene.inspector, &["--key", autumn.trim_end()]).0, 6);
    let (exit, _, error) = verify(&scene.url(), &scene.agency, &[]);
    assert!(exit == 5 && error.contains("`audit`"), "{exit} {error}");
    assert_eq!(verify(&scene.url(), &scene.stranger, &[]).0, 2);

    // Texts: to auditors of the room, and schemas to nobody.
    let text = |room: &str, digest: &str, token: &str| {
        scene.server.call("GET", &format!("/v1/rooms/{room}/log/blobs/{digest}"), token, &[], b"")
    };
    let hex = |kind: &str, field: &str| {
        let entry = scene.server.entries(&scene.inspector, kind).pop().unwrap();
        entry[field].as_str().unwrap().trim_start_matches("sha256:").to_owned()
    };
    let (sql, policy, schema) =
        (hex("query.refused", "sql"), hex("policy.active", "digest"), hex("table.version", "schema"));
    assert_eq!(text("spring", &sql, &scene.inspector).body, b"SELECT * FROM retailer.purchases");
    assert_eq!(text("spring", &policy, &scene.inspector).status, 200);
    assert_eq!(text("spring", &schema, &scene.inspector).status, 403, "it names hidden columns");
    for token in [&scene.agency, &scene.server.admin()] {
        assert_eq!(text("spring", &sql, token).status, 403);
    }
    assert_eq!(text("spring", &sql, &scene.stranger).status, 404);
    assert_eq!(text("autumn", &sql, &scene.stranger).status, 404, "a text of another room");
    for wrong in ["0", "..%2F..%2Fcheckpoint", &sql.to_uppercase(), &"0".repeat(64)] {
        assert_eq!(text("spring", wrong, &scene.inspector).status, 404, "{wrong}");
    }
    let openapi = scene.server.call("GET", "/openapi.json", "", &[], b"").json();
    assert!(openapi["paths"]["/v1/rooms/{room}/log/blobs/{digest}"]["get"].is_object());
}

#[test]
fn a_mirror_grows_with_its_log_and_tells_a_fork() {
    let mut scene = Scene::set();
    scene.ask();
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let mirrored = ["--mirror", mirror.to_str().unwrap()];
    let (exit, first, error) = verify(&scene.url(), &scene.inspector, &mirrored);
    assert_eq!(exit, 0, "{first} {error}");
    // The copy stands by itself.
    let alone = cleanroom().args(["audit", "verify", mirror.to_str().unwrap()]).output().unwrap();
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));

    // The same log goes on in two ways.
    scene.server.kill();
    let fork = folder.path().join("fork");
    copy(&scene.data, &fork);
    scene.server = Server::start(&scene.data);
    scene.ask();
    let (exit, second, error) = verify(&scene.url(), &scene.inspector, &mirrored);
    assert_eq!(exit, 0, "{second} {error}");
    assert!(second["logs"][0]["size"].as_u64() > first["logs"][0]["size"].as_u64());
    let kept = fs::read(mirror.join("checkpoint")).unwrap();

    let other = Server::start(&fork);
    let url = format!("{}/v1/rooms/spring/log", other.address());
    let (exit, told, error) = verify(&url, &scene.inspector, &mirrored);
    assert_eq!((exit, codes(&told).last().unwrap().as_str()), (6, "fork"), "shorter: {told} {error}");
    for _ in 0..6 {
        other.ask(&scene.agency, OVERLAP);
    }
    let (exit, told, error) = verify(&url, &scene.inspector, &mirrored);
    assert_eq!((exit, codes(&told).last().unwrap().as_str()), (6, "fork"), "longer: {told} {error}");
    assert_eq!(fs::read(mirror.join("checkpoint")).unwrap(), kept, "the mirror stays what it was");
    // What the other one signed is kept as evidence.
    assert!(Path::new(told["logs"][0]["directory"].as_str().unwrap()).join("checkpoint").is_file());
    // By itself, the other one is as good.
    assert_eq!(verify(&url, &scene.inspector, &[]).0, 0);
    assert_eq!(verify(&scene.url(), &scene.inspector, &mirrored).0, 0);

    // A folder of somebody's own is not written into.
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("thesis.txt"), "x").unwrap();
    let (exit, _, error) = verify(&scene.url(), &scene.inspector, &["--mirror", own.to_str().unwrap()]);
    assert!(exit == 2 && error.contains("something else"), "{error}");
    assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
}

#[test]
fn full_tiles_are_copied_once() {
    let mut scene = Scene::set();
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let mirrored = ["--mirror", mirror.to_str().unwrap()];
    let asked = |count: usize| {
        (0..count).for_each(|_| drop(scene.server.ask(&scene.agency, "SELECT * FROM retailer.purchases")))
    };
    asked(20);
    assert_eq!(verify(&scene.url(), &scene.inspector, &mirrored).0, 0);
    let early = fs::read(mirror.join("checkpoint")).unwrap();
    asked(250);
    let (exit, told, error) = verify(&scene.url(), &scene.inspector, &mirrored);
    assert!(exit == 0 && told["logs"][0]["size"].as_u64() > Some(256), "{told} {error}");
    let bundle = mirror.join("tile/entries/000");
    assert!(bundle.is_file() && !mirror.join("tile/0/000").metadata().unwrap().is_dir());
    assert!(fs::read_dir(mirror.join("tile/entries/000.p")).unwrap().next().is_none(), "of the earlier checkpoint");

    // Nothing that is there already is asked for again.
    scene.server.kill();
    let log = scene.data.join("log/spring");
    let once = |name: &str| name == "tile/entries/000" || name == "tile/0/000" || name.starts_with("blobs/");
    let liar = Liar::of(&log, move |name| once(name).then_some(Said::Status("500 Internal Server Error\r\n")));
    let (exit, told, error) = liar.verify_with(&mirrored);
    assert_eq!(exit, 1, "a schema is asked for each time: {told} {error}");
    let schemas: Vec<String> =
        fs::read_to_string(mirror.join("withheld")).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(schemas.len(), 3);
    let liar = Liar::of(&log, move |name| {
        let schema = schemas.iter().any(|schema| name.ends_with(schema));
        let wrong = if schema { "403 Forbidden\r\n" } else { "500 Internal Server Error\r\n" };
        once(name).then_some(Said::Status(wrong))
    });
    let (exit, told, error) = liar.verify_with(&mirrored);
    assert_eq!(exit, 0, "{told} {error}");
    // A log that outgrows a tile while it is copied has the full one in its place.
    let lie = move |name: &str| (name == "checkpoint").then(|| Said::Bytes(early.clone()));
    let (exit, told, error) = Liar::of(&log, lie).verify();
    assert!(exit == 0 && codes(&told).contains(&"beyond-checkpoint".to_owned()), "{told} {error}");
    // A mirror that was damaged is mended from a log that holds.
    let whole = fs::read(&bundle).unwrap();
    let mut broken = whole.clone();
    broken[40] ^= 1;
    fs::remove_file(&bundle).unwrap();
    fs::write(&bundle, broken).unwrap();
    let (exit, told, error) = Liar::of(&log, |_| None).verify_with(&mirrored);
    assert_eq!((exit, fs::read(&bundle).unwrap() == whole), (0, true), "{told} {error}");
}

/// A server that says what it likes.
struct Liar {
    address: String,
}

type Lie = Box<dyn Fn(&str) -> Said + Send + Sync>;

enum Said {
    Bytes(Vec<u8>),
    Status(&'static str),
    Endless,
}

impl Liar {
    fn start(lie: Lie) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &lie);
            }
        });
        Self { address }
    }

    /// The log of a folder, with another answer where `lie` has one.
    fn of(log: &Path, lie: impl Fn(&str) -> Option<Said> + Send + Sync + 'static) -> Self {
        let log = log.to_owned();
        Self::start(Box::new(move |name| {
            let file = match name {
                "key" => log.join("log.pub"),
                name => match name.strip_prefix("blobs/") {
                    Some(hex) => log.join("blobs").join(&hex[..2]).join(hex),
                    None => log.join(name),
                },
            };
            lie(name).unwrap_or_else(|| fs::read(file).map_or(Said::Status("404 Not Found\r\n"), Said::Bytes))
        }))
    }

    fn verify(&self) -> (i32, Value, String) {
        self.verify_with(&[])
    }

    fn verify_with(&self, more: &[&str]) -> (i32, Value, String) {
        verify(&format!("{}/v1/rooms/spring/log", self.address), "crs_x", more)
    }
}

fn answer(stream: TcpStream, lie: &Lie) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let name = first.split(' ').nth(1).unwrap_or("").trim_start_matches("/v1/rooms/spring/log/").to_owned();
    let mut stream = stream;
    // A reader that has had enough hangs up.
    let _ = match lie(&name) {
        Said::Bytes(bytes) => stream
            .write_all(
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes(),
            )
            .and_then(|()| stream.write_all(&bytes)),
        Said::Status(status) => {
            stream.write_all(format!("HTTP/1.1 {status}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}").as_bytes())
        }
        Said::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
            Ok(())
        }
    };
}

#[test]
fn a_server_that_lies_is_found_out() {
    let mut scene = Scene::set();
    scene.ask();
    scene.server.kill();
    let log = scene.data.join("log/spring");
    assert_eq!(Liar::of(&log, |_| None).verify().0, 0, "an honest one is believed");

    let (exit, told, _) = Liar::of(&log, |name| (name == "checkpoint").then(|| Said::Bytes(vec![0xff; 99]))).verify();
    assert_eq!((exit, codes(&told)), (6, vec!["checkpoint".to_owned()]));
    // A tile with another hash; a bundle that is not there, or no bundle; a text that is not what its name says.
    let flipped = |log: &Path, name: &str| {
        let mut bytes = fs::read(log.join(name)).unwrap();
        bytes[40] ^= 1;
        Said::Bytes(bytes)
    };
    let folder = log.clone();
    let (exit, told, _) =
        Liar::of(&log, move |name| name.starts_with("tile/0/").then(|| flipped(&folder, name))).verify();
    assert!(exit == 6 && codes(&told).contains(&"tile-mismatch".to_owned()), "{told}");
    let folder = log.clone();
    let (exit, told, _) =
        Liar::of(&log, move |name| name.starts_with("tile/entries/").then(|| flipped(&folder, name))).verify();
    assert!(exit == 6 && codes(&told).contains(&"root-mismatch".to_owned()), "{told}");
    let gone = |name: &str| name.starts_with("tile/entries/").then_some(Said::Status("404 Not Found\r\n"));
    let (exit, told, _) = Liar::of(&log, gone).verify();
    assert!(exit == 6 && codes(&told).contains(&"missing-file".to_owned()), "{told}");
    let (exit, told, _) =
        Liar::of(&log, |name| name.starts_with("blobs/").then(|| Said::Bytes(b"{}".to_vec()))).verify();
    assert!(exit == 6 && codes(&told).contains(&"blob-mismatch".to_owned()), "{told}");
    // Only what names hidden columns may be kept back.
    let (exit, _, error) =
        Liar::of(&log, |name| name.starts_with("blobs/").then_some(Said::Status("403 Forbidden\r\n"))).verify();
    assert!(exit == 5, "{error}");

    for part in ["checkpoint", "key", "tile/entries/", "tile/0/"] {
        let lie = move |name: &str| name.starts_with(part).then_some(Said::Endless);
        let (exit, _, error) = Liar::of(&log, lie).verify();
        assert!(exit == 1 && error.contains("sends more than"), "{part}: {exit} {error}");
        let elsewhere = "307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\n";
        let lie = move |name: &str| name.starts_with(part).then_some(Said::Status(elsewhere));
        let (exit, _, error) = Liar::of(&log, lie).verify();
        assert!(exit == 1 && error.contains("not followed"), "{part}: {exit} {error}");
    }
}

#[test]
fn entries_are_found_exported_and_added_up() {
    let scene = Scene::set();
    let noisy = scene.ask();
    let both = |filter: &[&str]| scene.kinds(filter);
    assert_eq!(both(&["--outcome", "refused"]), ["query.refused"]);
    assert_eq!(both(&["--outcome", "priced", "--partner", "agency"]), ["query.priced"]);
    assert_eq!(both(&["--outcome", "released", "--table", "retailer.visits"]), ["query.outcome"]);
    let of_visits = ["policy.active", "table.version", "query.intent", "query.outcome", "result.delivered"];
    assert_eq!(both(&["--table", "retailer.visits"]), of_visits);
    let by_policy = ["policy.active", "query.intent", "query.outcome", "result.delivered"];
    assert_eq!(both(&["--policy", "retailer.visits@7"]), by_policy);
    let digest = scene.found(&["--type", "policy.active", "--table", "retailer.visits"])[0]["body"]["digest"].clone();
    assert_eq!(both(&["--policy", digest.as_str().unwrap()]), by_policy);
    assert_eq!(both(&["--policy", "retailer.visits@6"]), Vec::<String>::new());
    let all = scene.found(&[]);
    let refused = all.iter().find(|entry| entry["type"] == "query.refused").unwrap();
    let time = refused["time"].as_str().unwrap();
    assert!(scene.found(&["--since", time, "--until", time]).contains(refused));
    assert_eq!(scene.found(&["--until", "2001-01-01"]), Vec::<Value>::new());
    assert_eq!(scene.found(&["--since", &time[..10]]).first().unwrap()["time"].as_str().unwrap()[..10], time[..10]);
    for wrong in [["--since", "yesterday"], ["--policy", "visits"], ["--outcome", "won"]] {
        assert_eq!(scene.audit(&[&["log"], &wrong[..]].concat()).status.code(), Some(2), "{wrong:?}");
    }

    // One question, from its intent to its delivery.
    let story = read(&scene.audit(&["log", "--query", &noisy, "--format", "json"]));
    assert_eq!(
        (&story["analyst"], &story["outcome"], &story["sql"]),
        (&json!("agency"), &json!("released"), &json!(NOISY))
    );
    assert_eq!(
        (&story["charge"][0]["table"], &story["charge"][0]["epsilon"]),
        (&json!("retailer.visits"), &json!("1"))
    );
    assert_eq!(story["delivered"][0]["to"], "agency");
    assert_eq!(story["entries"].as_array().unwrap().len(), 3);
    let receipt = &all[usize::try_from(story["receipt"].as_u64().unwrap()).unwrap()];
    assert_eq!((&receipt["type"], &receipt["request"]), (&json!("query.outcome"), &json!(noisy)));
    let told = String::from_utf8(scene.audit(&["log", "--query", &noisy]).stdout).unwrap();
    assert!(
        told.contains("epsilon 1") && told.contains("delivered") && told.contains("FROM retailer.visits"),
        "{told}"
    );
    assert_eq!(scene.audit(&["log", "--query", "none"]).status.code(), Some(2));

    // Taken along: lines are the very bytes of the leaves.
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for name in ["log.jsonl", "log.csv", "log.parquet"] {
        let output = scene.audit(&["export", "--to", file(name).to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let lines = fs::read_to_string(file("log.jsonl")).unwrap();
    let bundle = fs::read(scene.data.join(format!("log/spring/tile/entries/000.p/{}", all.len()))).unwrap();
    let mut leaves = Vec::new();
    for line in lines.lines() {
        leaves.extend(u16::try_from(line.len()).unwrap().to_be_bytes());
        leaves.extend(line.as_bytes());
    }
    assert_eq!(leaves, bundle);
    let csv = fs::read_to_string(file("log.csv")).unwrap();
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|column| *column == name).unwrap();
    assert_eq!(rows.len(), all.len() + 1);
    assert_eq!((rows[1][column("type")], rows[1][column("strict")]), ("room.put", "false"));
    let intent =
        rows.iter().find(|row| row[column("query")] == noisy && row[column("type")] == "query.intent").unwrap();
    assert_eq!(
        ["actor", "tables", "table_versions", "charged", "epsilon"].map(|name| intent[column(name)]),
        ["agency", "retailer.visits", "retailer.visits@1", "retailer.visits", "1"]
    );
    let delivery = rows.iter().find(|row| row[column("query")] == noisy && row[column("delivered_to")] == "agency");
    assert_eq!(delivery.unwrap()[column("analyst")], "agency");
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file("log.parquet")).unwrap()).unwrap().build();
    let batches: Vec<RecordBatch> = reader.unwrap().map(Result::unwrap).collect();
    assert_eq!(batches[0].num_columns(), rows[0].len());
    let sequences: Vec<u64> = batches[0]["sequence"].as_primitive::<UInt64Type>().values().to_vec();
    assert_eq!(sequences, (0..all.len() as u64).collect::<Vec<_>>());
    assert_eq!(batches[0]["type"].as_string::<i32>().value(0), "room.put");
    let output = scene.audit(&["export", "--to", "-", "--format", "json", "--query", &noisy]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3);
    assert_eq!(scene.audit(&["export", "--to", file("log.xls").to_str().unwrap()]).status.code(), Some(2));

    // What it adds up to for the owner; of the analyst's own tables nothing is said here.
    let summary = read(&scene.audit(&["summary", "--owner", "retailer", "--analyst", "agency", "--format", "json"]));
    let analyst = &summary["analysts"][0];
    let tables = analyst["tables"].as_array().unwrap();
    assert_eq!(tables.len(), 2, "{summary}");
    assert_eq!(
        tables[0],
        json!({ "table": "retailer.purchases", "asked": 1, "answered": 1, "not_answered": {}, "open": 0, "repeated": 0,
            "rho": null, "delta": null, "epsilon": null })
    );
    assert_eq!((&tables[1]["asked"], &tables[1]["epsilon"]), (&json!(1), &json!("1")), "{summary}");
    assert_eq!((&analyst["refused_in_room"], &analyst["priced_in_room"]), (&json!({ "CR2101": 1 }), &json!(1)));
    assert_eq!(analyst["delivered"], 1);
    // The same question again costs nothing, and is counted.
    assert_eq!(scene.server.ask(&scene.agency, NOISY).status, 200);
    let summary = read(&scene.audit(&["summary", "--owner", "retailer", "--format", "json"]));
    let visits = &summary["analysts"][0]["tables"][1];
    assert_eq!((&visits["asked"], &visits["repeated"], &visits["epsilon"]), (&json!(2), &json!(1), &json!("1")));
    assert_eq!(scene.audit(&["summary", "--owner", "nobody"]).status.code(), Some(2));
}

/// Whoever chooses entries by command, over REST or in the console gets the same ones.
#[test]
fn every_door_chooses_alike() {
    let scene = Scene::set();
    let noisy = scene.ask();
    let digest = scene.found(&["--type", "policy.active", "--table", "retailer.visits"])[0]["body"]["digest"].clone();
    let get = |path: &str, token: &str| scene.server.call("GET", path, token, &[], b"");
    let rest = |filter: &str| {
        let (mut entries, mut from) = (Vec::new(), 0);
        // As a client does that was told to go on.
        loop {
            let page = get(&format!("/v1/rooms/spring/log/entries?limit=2&from={from}&{filter}"), &scene.inspector);
            assert_eq!(page.status, 200, "{filter}: {}", page.json());
            let page = page.json();
            entries.extend(page["entries"].as_array().unwrap().iter().cloned());
            match page["next"].as_u64() {
                Some(next) => from = next,
                None => return entries,
            }
        }
    };
    let all = rest("");
    let refused = all.iter().find(|entry| entry["type"] == "query.refused").unwrap();
    let time = refused["time"].as_str().unwrap();
    let choices: [&[(&str, &str)]; 13] = [
        &[("partner", "agency")],
        &[("partner", "nobody")],
        &[("table", "retailer.visits")],
        &[("policy", "retailer.visits@7")],
        &[("policy", digest.as_str().unwrap())],
        &[("policy", "retailer.visits@6")],
        &[("outcome", "refused")],
        &[("outcome", "exhausted")],
        &[("since", time), ("until", time)],
        &[("since", &time[..16]), ("type", "query.intent")],
        &[("until", "2001-01-01")],
        &[("query", &noisy)],
        &[("outcome", "released"), ("table", "retailer.visits"), ("partner", "agency"), ("until", &time[..10])],
    ];
    let sequence = |entry: &Value| entry["seq"].as_u64().unwrap();
    for choice in choices {
        let flags: Vec<String> =
            choice.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let query =
            choice.iter().fold(url::form_urlencoded::Serializer::new(String::new()), |mut query, (name, value)| {
                query.append_pair(name, value);
                query
            });
        let expected: Vec<u64> = match flags.as_slice() {
            // Of one question, `log` tells the story.
            ["--query", _] => all.iter().filter(|entry| entry["request"] == json!(noisy)).map(sequence).collect(),
            flags => scene.found(flags).iter().map(sequence).collect(),
        };
        let mut query = query;
        let by_rest: Vec<u64> = rest(&query.finish()).iter().map(sequence).collect();
        assert_eq!(by_rest, expected, "{choice:?}");
        for command in ["show", "export"] {
            let to: &[&str] = if command == "export" { &["--to", "-"] } else { &[] };
            let output = scene.audit(&[&[command, "--format", "json"], to, &flags].concat());
            assert!(output.status.success(), "{choice:?}: {}", String::from_utf8_lossy(&output.stderr));
            let lines = String::from_utf8(output.stdout).unwrap();
            let shown: Vec<u64> = lines.lines().map(|line| sequence(&serde_json::from_str(line).unwrap())).collect();
            assert_eq!(shown, expected, "{command} {choice:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let output = scene.audit(&[&["prove", "--to", folder.path().to_str().unwrap()], flags.as_slice()].concat());
        assert!(output.status.success(), "{choice:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), expected.len(), "{choice:?}");
        for number in &expected {
            let proof = fs::read_to_string(folder.path().join(format!("{number}.tlog-proof"))).unwrap();
            assert!(proof.contains(&format!("\nindex {number}\n")), "{proof}");
        }
    }
    // One proof is told, of several none without a place for them.
    let one = scene.audit(&["prove", "--outcome", "refused"]);
    assert!(String::from_utf8(one.stdout).unwrap().starts_with("c2sp.org/tlog-proof@v1\n"));
    for wrong in [&["prove", "--partner", "agency"][..], &["prove"], &["show"], &["show", "3", "--outcome", "refused"]]
    {
        assert_eq!(scene.audit(wrong).status.code(), Some(2), "{wrong:?}");
    }
    for wrong in
        ["outcome=won", "policy=visits", "since=noon", "until=2026-13-01", "before=3", "outcome=refused&outcome=failed"]
    {
        let told = get(&format!("/v1/rooms/spring/log/entries?{wrong}"), &scene.inspector);
        assert_eq!(told.status, 400, "{wrong}: {}", told.json());
    }
    // A choice opens no room.
    assert_eq!(get("/v1/rooms/spring/log/entries?outcome=refused", &scene.stranger).status, 404);
}

/// The same from a room's own files, without a server.
#[test]
fn the_log_is_read_from_files_alike() {
    let mut scene = Scene::set();
    let noisy = scene.ask();
    let over_server = scene.found(&["--table", "retailer.visits"]);
    scene.server.kill();
    let room = scene.data.with_extension("yaml");
    fs::write(&room, ROOM).unwrap();
    let files = |arguments: &[&str]| {
        let place = ["--room", room.to_str().unwrap(), "--data-dir", scene.data.to_str().unwrap(), "--format", "json"];
        read(&cleanroom().args(["audit"]).args(arguments).args(place).output().unwrap())
    };
    assert_eq!(files(&["log", "--table", "retailer.visits"]), Value::Array(over_server));
    let story = files(&["log", "--query", &noisy]);
    assert_eq!((&story["sql"], &story["outcome"]), (&json!(NOISY), &json!("released")));
    assert_eq!(files(&["summary", "--owner", "retailer"])["analysts"][0]["analyst"], "agency");
}
