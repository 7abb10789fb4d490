//! Witnesses as partners run them, a client made by hand that asks them, and what an auditor holds against a log.

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cleanroom_log::{LogDirectory, LogKey, Origin, consistency_proof};
use cleanroom_verify::{Checkpoint, Cosigner, Key, SUBMISSION_LIMIT};
use serde_json::Value;

use crate::server::{Server, data_dir};
use crate::support::{Room, cleanroom, copy};

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: two
partners:
  - name: shop
    abilities: [contribute, query, receive]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
";
const POLICY: &str = "\
apiVersion: cleanroom/v1
kind: Policy
table: shop.sales
version: 1
unit: {column: card, space: card}
columns:
  card: {use: [join, count]}
release: {min_units: 2}
access: {analysts: [shop], receivers: [shop]}
";

fn used() -> Room {
    let room = Room::new(ROOM, &[("sales.yaml", POLICY), ("sales.csv", "card\na\nb\nc\nd\n")]);
    room.ask("shop", "SELECT COUNT(DISTINCT card) FROM shop.sales");
    room
}

fn log_of(room: &Room) -> PathBuf {
    room.path().join(".cleanroom/log/two")
}

/// A checkpoint that the log signed earlier, and its size.
fn earlier(room: &Room, back: usize) -> (u64, String) {
    let listed = room.run(&["audit", "checkpoints", "--room", "room.yaml", "--format", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let one = &listed[back];
    (one["size"].as_u64().unwrap(), one["note"].as_str().unwrap().to_owned())
}

fn submission(room: &Room, old: u64, note: &str) -> String {
    let size = Checkpoint::claimed(note).unwrap().size;
    let log = LogDirectory::open(log_of(room)).unwrap();
    let proof = consistency_proof(&log.tiles(size), old, size).unwrap();
    let proof: String = proof.iter().map(|hash| format!("{}\n", hash.to_base64())).collect();
    format!("old {old}\n{proof}\n{note}")
}

/// A running witness of the room's log.
struct Witness {
    process: Child,
    address: String,
    key: Cosigner,
}

impl Witness {
    fn start(room: &Room, name: &str) -> Self {
        let key_file = format!("{name}.key");
        let public = if room.path().join(&key_file).exists() {
            room.run(&["keys", "show", &key_file, "--witness", name, "--format", "json"])
        } else {
            room.run(&["keys", "new", "witness", "--name", name, "-o", &key_file, "--format", "json"])
        };
        let public: Value = serde_json::from_slice(&public.stdout).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Self::command(room, name, port).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let address = format!("127.0.0.1:{port}");
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end, "the witness does not get ready");
            thread::sleep(Duration::from_millis(20));
        }
        let address = format!("http://{address}");
        Self { process, address, key: public["id"].as_str().unwrap().parse().unwrap() }
    }

    fn command(room: &Room, name: &str, port: u16) -> std::process::Command {
        let mut command = cleanroom();
        let listen = format!("127.0.0.1:{port}");
        let key = format!("{name}.key");
        let arguments = ["audit", "witness", "--key", &key, "--name", name, "--data-dir", name, "--listen", &listen];
        command.args(arguments).arg("--log").arg(log_of(room).join("log.pub")).current_dir(room.path());
        command
    }

    fn post(&self, body: &str) -> (u16, String, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut reply = agent.post(format!("{}/add-checkpoint", self.address)).send(body).unwrap();
        let media = reply.headers().get("Content-Type").map_or("", |media| media.to_str().unwrap()).to_owned();
        (reply.status().as_u16(), media, reply.body_mut().read_to_string().unwrap())
    }

    fn line(&self) -> String {
        format!("witness {} {} {}\n", self.key.name(), self.key, self.address)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // As a power failure would end it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn policy(room: &Room, lines: &str) {
    fs::write(room.path().join("policy"), lines).unwrap();
}

fn codes(output: &Output) -> Vec<String> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["logs"][0]["findings"].as_array().unwrap().iter();
    findings.filter(|found| found["failure"] == true).map(|found| found["code"].as_str().unwrap().to_owned()).collect()
}

fn verify(room: &Room, more: &[&str]) -> Output {
    room.run(&[&["audit", "verify", ".cleanroom", "--format", "json"], more].concat())
}

#[test]
fn a_witness_cosigns_what_continues_what_it_saw_and_remembers_it_when_killed() {
    let room = used();
    let (size, newest) = earlier(&room, 0);
    let (old, before) = earlier(&room, 1);
    assert!(old < size);
    let witness = Witness::start(&room, "w.example");
    let (status, _, line) = witness.post(&submission(&room, 0, &before));
    assert_eq!(status, 200, "{line}");
    assert!(witness.key.has_cosigned(&format!("{before}{line}")));
    assert!(!witness.key.has_cosigned(&format!("{newest}{line}")));
    drop(witness);

    let witness = Witness::start(&room, "w.example");
    let conflict = |known: u64| (409, "text/x.tlog.size".to_owned(), format!("{known}\n"));
    assert_eq!(witness.post(&submission(&room, 0, &newest)), conflict(old), "it forgot");
    let (status, _, line) = witness.post(&submission(&room, old, &newest));
    assert_eq!(status, 200, "{line}");
    assert!(witness.key.has_cosigned(&format!("{newest}{line}")));
    // Back to where it was, by the log's own signature.
    assert_eq!(witness.post(&submission(&room, 0, &before)), conflict(size));
    assert_eq!(witness.post(&submission(&room, old, &before)), conflict(size));
    // The same again is no harm.
    assert_eq!(witness.post(&submission(&room, size, &newest)).0, 200);
    for (body, expected) in [
        (submission(&room, size, &newest).replace("/room/two", "/room/six"), 404),
        (submission(&room, size, &newest).replace("\n\u{2014} ", "\n\u{2014} x"), 403),
        (submission(&room, size, &newest).replace(&format!("old {size}"), "old 999"), 400),
        (submission(&room, size, &newest).replacen('\n', "\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 1), 422),
        ("garbage".to_owned(), 400),
        (String::new(), 400),
        // One byte too many; and so many that the answer must not come before all of it is sent.
        ("x".repeat(SUBMISSION_LIMIT + 1), 413),
        ("x".repeat(256 * SUBMISSION_LIMIT), 413),
    ] {
        let (status, _, said) = witness.post(&body);
        assert_eq!(status, expected, "{said}");
    }
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    assert_eq!(agent.get(format!("{}/add-checkpoint", witness.address)).call().unwrap().status(), 405);
    assert_eq!(agent.get(format!("{}/seen/0", witness.address)).call().unwrap().status(), 404);
    // Two at work on one memory could sign two histories.
    let second = Witness::command(&room, "w.example", 0).output().unwrap();
    assert_eq!(second.status.code(), Some(2), "{}", String::from_utf8_lossy(&second.stderr));
    drop(witness);
    // What it remembers is the log's signed word, or nothing is signed at all.
    let seen = fs::read_dir(room.path().join("w.example/seen")).unwrap().next().unwrap().unwrap().path();
    let honest = fs::read_to_string(&seen).unwrap();
    fs::write(&seen, honest.replacen(&format!("\n{size}\n"), &format!("\n{old}\n"), 1)).unwrap();
    let damaged = Witness::command(&room, "w.example", 0).output().unwrap();
    assert_eq!(damaged.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("does not hold a checkpoint"));
}

#[test]
fn a_quorum_of_witnesses_cosigns_and_an_auditor_demands_it() {
    let room = used();
    let (one, two) = (Witness::start(&room, "one.example"), Witness::start(&room, "two.example"));
    let lines = format!("{}{}group all all one.example two.example\nquorum all\n", one.line(), two.line());
    policy(&room, &lines);
    let log = log_of(&room);
    let cosign = |output: &str| {
        let log = log.to_str().unwrap();
        room.run(&["audit", "cosign", log, "--witness-policy", "policy", "--format", "json", "-o", output])
    };
    assert_eq!(codes(&verify(&room, &["--witness-policy", "policy"])), ["unwitnessed"]);
    assert_eq!(cosign("cosigned").status.code(), Some(0));
    let cosigned = fs::read_to_string(room.path().join("cosigned")).unwrap();
    assert!(one.key.has_cosigned(&cosigned) && two.key.has_cosigned(&cosigned));
    // Nobody asks witnesses about what another key signed.
    let other = LogKey::generate().unwrap().vkey(&Origin::for_room("localhost", "two").unwrap());
    fs::write(room.path().join("other.pub"), format!("{other}\n")).unwrap();
    let foreign = ["audit", "cosign", log.to_str().unwrap(), "--witness-policy", "policy", "--key", "other.pub"];
    let refused = room.run(&foreign);
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    // What it wrote is enough by itself, where it is given.
    assert_eq!(codes(&verify(&room, &["--witness-policy", "policy", "--kept", "cosigned"])), [] as [&str; 0]);
    assert_eq!(codes(&verify(&room, &["--witness-policy", "policy"])), ["unwitnessed"]);
    LogDirectory::open(&log).unwrap().write_checkpoint(&cosigned).unwrap();
    let verified = verify(&room, &["--witness-policy", "policy"]);
    assert_eq!((verified.status.code(), codes(&verified)), (Some(0), vec![]));
    let listed = room.run(&["audit", "checkpoints", "--room", "room.yaml"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("one.example, two.example"));

    // The next answer is under nobody's eyes yet, and one witness alone is not enough.
    room.ask("shop", "SELECT COUNT(DISTINCT card) FROM shop.sales");
    assert_eq!(codes(&verify(&room, &["--witness-policy", "policy"])), ["unwitnessed"]);
    drop(two);
    let half = cosign("half");
    assert_eq!(half.status.code(), Some(6));
    let said: Value = serde_json::from_slice(&half.stdout).unwrap();
    assert_eq!(said["problems"][0], "witness `two.example`: it cannot be reached");
    assert!(one.key.has_cosigned(&fs::read_to_string(room.path().join("half")).unwrap()));
    // Kept, it proves what the log was, and that it goes on from there.
    assert_eq!(verify(&room, &["--kept", "cosigned", "half"]).status.code(), Some(0));
}

#[test]
fn a_witness_that_lies_is_not_believed() {
    let room = used();
    let witness = Witness::start(&room, "w.example");
    let (size, newest) = earlier(&room, 0);
    let honest = witness.post(&submission(&room, 0, &newest)).2;
    let (_, other) = earlier(&room, 1);
    let log = log_of(&room);
    for (answer, problem) in [
        (reply("200 OK", "fine"), "not a cosignature"),
        (reply("200 OK", &honest.replace("w.example", "x.example")), "not a cosignature"),
        (reply("200 OK", newest.rsplit("\n\n").next().unwrap()), "not a cosignature"),
        (reply("200 OK", other.rsplit("\n\n").next().unwrap()), "not a cosignature"),
        (reply("409 Conflict", &format!("{}\n", size + 1)), "fewer"),
        (reply("409 Conflict", "0\n"), "other entries"),
        (reply("409 Conflict", "many\n"), "cannot be reached"),
        (reply("422 Unprocessable Entity", ""), "other entries"),
        (reply("302 Found\r\nLocation: http://127.0.0.1:1/", ""), "answered 302"),
        (reply("500 Internal Server Error", ""), "answered 500"),
        ("\0\0\0".to_owned(), "cannot be reached"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        policy(&room, &format!("witness w {} http://{address}\nquorum w\n", witness.key));
        let liar = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let mut read = 0;
            // The end of the checkpoint in the body is the end of the request.
            while !request[..read].ends_with(b"\n") || !String::from_utf8_lossy(&request[..read]).contains("\u{2014} ")
            {
                read += stream.read(&mut request[read..]).unwrap();
            }
            std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        });
        let log = log.to_str().unwrap();
        let output = room.run(&["audit", "cosign", log, "--witness-policy", "policy", "--format", "json"]);
        liar.join().unwrap();
        assert_eq!(output.status.code(), Some(6));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(said["problems"][0].as_str().unwrap().contains(problem), "{said}");
        assert_eq!(said["checkpoint"], newest.as_str(), "something that was not verified is kept");
    }
}

fn reply(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn a_log_that_went_back_or_forked_is_found_by_whoever_kept_a_checkpoint() {
    let room = used();
    let backup = room.path().join("backup");
    copy(&room.path().join(".cleanroom"), &backup);
    let answer = room.ask("shop", "SELECT COUNT(DISTINCT card) FROM shop.sales");
    fs::write(room.path().join("answer.json"), answer.json.to_string()).unwrap();
    let witness = Witness::start(&room, "w.example");
    policy(&room, &format!("{}quorum w.example\n", witness.line()));
    let cosign = |log: &Path| {
        let log = log.to_str().unwrap();
        room.run(&["audit", "cosign", log, "--witness-policy", "policy", "--format", "json", "-o", "kept"])
    };
    assert_eq!(cosign(&log_of(&room)).status.code(), Some(0));
    assert_eq!(verify(&room, &["--kept", "kept", "answer.json"]).status.code(), Some(0));
    fs::copy(room.path().join("kept"), room.path().join("newest")).unwrap();

    // The operator restores yesterday's state, which is whole by itself.
    fs::remove_dir_all(room.path().join(".cleanroom")).unwrap();
    copy(&backup, &room.path().join(".cleanroom"));
    assert_eq!(verify(&room, &[]).status.code(), Some(0));
    let gone = verify(&room, &["--kept", "newest"]);
    assert_eq!((gone.status.code(), codes(&gone)), (Some(6), vec!["rolled-back".to_owned()]));
    assert_eq!(codes(&verify(&room, &["--kept", "answer.json"])), ["rolled-back"]);
    let said: Value = serde_json::from_slice(&cosign(&log_of(&room)).stdout).unwrap();
    assert!(said["problems"][0].as_str().unwrap().contains("fewer"), "{said}");

    // It goes on from there, and is as long as it was: another history.
    while earlier(&room, 0).0
        <= Checkpoint::claimed(&fs::read_to_string(room.path().join("newest")).unwrap()).unwrap().size
    {
        room.ask("shop", "SELECT COUNT(*) FROM shop.sales");
    }
    assert_eq!(verify(&room, &[]).status.code(), Some(0));
    assert!(codes(&verify(&room, &["--kept", "newest"])).contains(&"forked".to_owned()));
    assert!(codes(&verify(&room, &["--kept", "answer.json"])).contains(&"forked".to_owned()));
    let said: Value = serde_json::from_slice(&cosign(&log_of(&room)).stdout).unwrap();
    assert!(said["problems"][0].as_str().unwrap().contains("other entries"), "{said}");
}

#[test]
fn a_server_shows_every_checkpoint_that_it_signed() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (_retailer, agency) = server.room();
    let get = |path: &str| server.call("GET", &format!("/v1/rooms/spring/log/{path}"), &agency, &[], b"");
    let newest = String::from_utf8(get("checkpoint").body).unwrap();
    let listed = get("checkpoints").json();
    let listed = listed["checkpoints"].as_array().unwrap();
    assert_eq!(listed[0]["note"], newest.as_str());
    assert!(listed.len() > 3);
    let sizes: Vec<u64> = listed.iter().map(|one| one["size"].as_u64().unwrap()).collect();
    assert!(sizes.windows(2).all(|pair| pair[0] > pair[1]), "{sizes:?}");
    let key: Key = String::from_utf8(get("key").body).unwrap().trim_end().parse().unwrap();
    for one in listed {
        let signed = Checkpoint::open(one["note"].as_str().unwrap(), &key).unwrap();
        assert_eq!((one["size"].as_u64(), one["root"].as_str()), (Some(signed.size), Some(&*signed.root.to_base64())));
        assert_eq!(one["signed_by"][0], key.name());
    }
    assert_eq!(get("checkpoints?limit=2").json()["checkpoints"].as_array().unwrap().len(), 2);
    assert_eq!(get("checkpoints?limit=all").status, 400);
    assert_eq!(get("checkpoints?from=0").status, 400);
    let arguments = ["audit", "checkpoints", "--server", server.address(), "--room", "spring", "--token", &agency];
    let shown = cleanroom().args(arguments).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains(key.name()), "{shown:?}");
}

#[test]
fn policies_and_kept_files_that_are_none_are_named_with_their_line() {
    let room = used();
    policy(&room, "# of nobody\nwitness w nonsense\nquorum w\n");
    let output = verify(&room, &["--witness-policy", "policy"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("policy`, line 2"), "{:?}", output.stderr);
    let output = verify(&room, &["--kept", "room.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let unnamed = room.run(&["keys", "new", "witness", "-o", "x.key"]);
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(!room.path().join("x.key").exists());
}
