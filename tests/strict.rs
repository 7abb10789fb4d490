//! Servers that show their checkpoints to witnesses: real ones, that come, go and remember.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cleanroom_verify::{Checkpoint, Cosigner};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{OVERLAP, ROOM, Reply, Server};
use crate::support::{cleanroom, copy};

/// A server's folder, and the witnesses that its policy names.
struct Scene {
    folder: TempDir,
}

/// A witness at an address of its own, running or not.
struct Watcher {
    name: &'static str,
    key: Cosigner,
    port: u16,
    folder: PathBuf,
    process: Option<Child>,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        cleanroom().args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    fn watcher(&self, name: &'static str) -> Watcher {
        let made = self.run(&["keys", "new", "witness", "--name", name, "-o", name, "--format", "json"]);
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = self.folder.path().to_owned();
        Watcher { name, key: made["id"].as_str().unwrap().parse().unwrap(), port, folder, process: None }
    }

    /// Writes the policy that all of them must cosign.
    fn policy(&self, watchers: &[&Watcher]) {
        let mut text: String = watchers
            .iter()
            .map(|one| format!("witness {} {} http://127.0.0.1:{}\n", one.name, one.key, one.port))
            .collect();
        let names: Vec<&str> = watchers.iter().map(|one| one.name).collect();
        text.push_str(&format!("group all all {}\nquorum all\n", names.join(" ")));
        fs::write(self.path("policy"), text).unwrap();
    }

    fn start(&self) -> Server {
        Server::start_with(&self.data(), &["--witness-policy", self.path("policy").to_str().unwrap()])
    }

    fn note(&self) -> String {
        fs::read_to_string(self.data().join("log/spring/checkpoint")).unwrap()
    }

    /// Waits until these have cosigned the newest checkpoint.
    fn cosigned(&self, watchers: &[&Watcher]) -> u64 {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let note = self.note();
            if watchers.iter().all(|one| one.key.has_cosigned(&note)) {
                return Checkpoint::claimed(&note).unwrap().size;
            }
            assert!(Instant::now() < end, "nobody cosigned: {note}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Watcher {
    fn begin(&mut self, data: &Path) {
        let listen = format!("127.0.0.1:{}", self.port);
        let memory = format!("{}.seen", self.name);
        let arguments =
            ["audit", "witness", "--key", self.name, "--name", self.name, "--data-dir", &memory, "--listen", &listen];
        let mut command = cleanroom();
        command.args(arguments).arg("--log").arg(data.join("log/spring/log.pub")).current_dir(&self.folder);
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&listen).is_err() {
            assert!(Instant::now() < end, "the witness does not get ready");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.kill();
    }
}

fn strict() -> String {
    format!("{ROOM}strict: true\n")
}

fn get(server: &Server, token: &str, path: &str) -> Reply {
    server.call("GET", path, token, &[("prefer", "wait=20")], b"")
}

#[test]
fn a_strict_room_withholds_its_answers_until_the_quorum_signed() {
    let scene = Scene::new();
    let (mut one, mut two) = (scene.watcher("one.example"), scene.watcher("two.example"));
    scene.policy(&[&one, &two]);
    let server = scene.start();
    let (retailer, agency) = server.room_of(&strict());
    let data = scene.data();
    let shown = server.call("GET", "/v1/rooms/spring", &agency, &[], b"").json();
    assert_eq!(shown["strict"], json!(true), "{shown}");
    let asking = |key: &str| {
        let headers = [("content-type", "application/json"), ("prefer", "wait=20"), ("idempotency-key", key)];
        let body = json!({ "sql": OVERLAP }).to_string();
        server.call("POST", "/v1/rooms/spring/queries", &agency, &headers, body.as_bytes())
    };
    let withheld = |reply: &Reply| {
        let told = reply.json();
        assert_eq!((reply.status, &told["error"]["code"]), (503, &json!("CR4205")), "{told}");
        assert!(told.get("rows").is_none() && told.get("receipt").is_none(), "{told}");
        let id = told["query_id"].as_str().unwrap().to_owned();
        let said = String::from_utf8_lossy(&reply.body).replace(&id, "");
        assert!(!said.contains("200"), "{told}");
        id
    };

    // Nobody is there, and one alone is not enough.
    let id = withheld(&asking("first"));
    one.begin(&data);
    assert_eq!(withheld(&asking("first")), id);
    let path = format!("/v1/rooms/spring/queries/{id}");
    // It has ended, whether or not it can be told yet: there is nothing to cancel, nor anybody to be waited for.
    let cancel = server.call("DELETE", &path, &agency, &[], b"");
    assert_eq!(cancel.status, 409, "{}", cancel.json());
    let nobodys = format!("/v1/rooms/spring/queries/{}", "0".repeat(32));
    assert_eq!(server.call("DELETE", &nobodys, &agency, &[], b"").status, 404);
    assert_eq!(server.call("DELETE", &path, &retailer, &[], b"").status, 404);
    thread::scope(|scope| {
        for part in ["", "/result", "/receipt"] {
            let path = format!("{path}{part}");
            scope.spawn(|| withheld(&get(&server, &agency, &{ path })));
        }
    });
    // It is recorded as any other answer, and was asked once.
    let statuses = |kind: &str| server.entries(&agency, kind).len();
    assert_eq!((statuses("query.intent"), statuses("query.outcome"), statuses("result.delivered")), (1, 1, 0));
    assert_eq!(server.entries(&agency, "query.outcome")[0]["status"], "released");
    // A refusal tells nothing that would have to wait.
    assert_eq!(server.ask(&agency, "SELECT * FROM retailer.purchases").status, 422);

    two.begin(&data);
    let answer = get(&server, &agency, &path);
    assert_eq!((answer.status, &answer.json()["rows"]), (200, &json!([[200]])));
    assert_eq!(asking("first").json()["query_id"], id.as_str());
    assert_eq!(statuses("query.intent"), 1);
    let answer = asking("second").json();
    assert_eq!(answer["rows"], json!([[200]]));

    // The receipt stands by itself, witnesses and all; and so does the log.
    fs::write(scene.path("answer.json"), answer.to_string()).unwrap();
    let key = data.join("log/spring/log.pub");
    let (key, policy) = (key.to_str().unwrap(), scene.path("policy"));
    let policy = policy.to_str().unwrap();
    let receipt = scene.run(&["audit", "receipt", "verify", "answer.json", "--key", key, "--witness-policy", policy]);
    assert_eq!(receipt.status.code(), Some(0), "{}", String::from_utf8_lossy(&receipt.stdout));
    scene.cosigned(&[&one, &two]);
    let verified = scene.run(&["audit", "verify", "data", "--key", key, "--witness-policy", policy]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));

    // One that is killed withholds again, and remembers what it saw when it is back.
    one.kill();
    let id = withheld(&asking("third"));
    one.begin(&data);
    assert_eq!(get(&server, &agency, &format!("/v1/rooms/spring/queries/{id}")).json()["rows"], json!([[200]]));
}

#[test]
fn a_witness_that_does_not_answer_delays_nothing_in_an_ordinary_room() {
    let scene = Scene::new();
    let (mut there, away) = (scene.watcher("there.example"), scene.watcher("away.example"));
    scene.policy(&[&there, &away]);
    // It takes connections, and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", away.port)).unwrap();
    let held = thread::spawn(move || silent.incoming().take(64).collect::<Vec<_>>());
    let server = scene.start();
    let (_retailer, agency) = server.room();
    there.begin(&scene.data());
    assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[200]]));
    let begun = Instant::now();
    let answer = server.ask(&agency, OVERLAP);
    // A silent one is given five seconds.
    assert!(begun.elapsed() < Duration::from_secs(4), "the answer waited: {:?}", begun.elapsed());
    assert_eq!(answer.json()["rows"], json!([[200]]));
    scene.cosigned(&[&there]);
    drop(held);
}

#[test]
fn a_room_whose_witness_saw_more_is_not_served() {
    let scene = Scene::new();
    let mut witness = scene.watcher("w.example");
    scene.policy(&[&witness]);
    let data = scene.data();
    let mut server = scene.start();
    let (_retailer, agency) = server.room();
    let other = ROOM.replace("name: spring", "name: summer");
    let put = server.call(
        "PUT",
        "/v1/rooms/summer",
        &server.admin(),
        &[("content-type", "application/yaml")],
        other.as_bytes(),
    );
    assert_eq!(put.status, 201, "{}", String::from_utf8_lossy(&put.body));
    witness.begin(&data);
    server.kill();
    copy(&data, &scene.path("backup"));
    let mut server = scene.start();
    let went_on = server.ask(&agency, OVERLAP);
    assert_eq!(went_on.status, 200);
    let seen = scene.cosigned(&[&witness]);
    server.kill();

    fs::remove_dir_all(&data).unwrap();
    copy(&scene.path("backup"), &data);
    let restored = scene.note();
    let mut server = scene.start();
    for reply in [
        server.ask(&agency, OVERLAP),
        server.call("GET", "/v1/rooms/spring", &agency, &[], b""),
        server.call("GET", "/v1/rooms/spring/log/checkpoint", &agency, &[], b""),
        server.call(
            "PUT",
            "/v1/rooms/spring",
            &server.admin(),
            &[("content-type", "application/yaml")],
            strict().as_bytes(),
        ),
    ] {
        let told = reply.json();
        assert_eq!((reply.status, &told["error"]["code"]), (503, &json!("CR4205")), "{told}");
        assert!(told["detail"].as_str().unwrap().contains(&format!("it saw {seen} entries")), "{told}");
    }
    // Nothing was signed that the witness would have to call a fork.
    assert_eq!(scene.note(), restored);
    // Of the other room no witness said anything.
    assert_eq!(server.call("GET", "/v1/rooms/summer", &agency, &[], b"").status, 200);
    server.kill();

    // A witness that cannot be asked keeps no ordinary room from being served.
    witness.kill();
    let server = scene.start();
    assert_eq!(server.call("GET", "/v1/rooms/spring", &agency, &[], b"").status, 200);
}

#[test]
fn two_servers_that_tell_two_histories_are_found_out_while_they_run() {
    let scene = Scene::new();
    let mut witness = scene.watcher("w.example");
    scene.policy(&[&witness]);
    let data = scene.data();
    let mut server = scene.start();
    let (_retailer, agency) = server.room();
    witness.begin(&data);
    server.kill();
    // The operator runs the same room twice: one history for some, another one for others.
    let copied = scene.path("copied");
    copy(&data, &copied);
    let policy = scene.path("policy");
    let second = Server::start_with(&copied, &["--witness-policy", policy.to_str().unwrap()]);
    let first = scene.start();
    assert_eq!(second.ask(&agency, OVERLAP).status, 200);
    let end = Instant::now() + Duration::from_secs(20);
    let newest = || fs::read_to_string(copied.join("log/spring/checkpoint")).unwrap();
    while !witness.key.has_cosigned(&newest()) {
        assert!(Instant::now() < end, "nobody cosigned: {}", newest());
        thread::sleep(Duration::from_millis(50));
    }
    let seen = Checkpoint::claimed(&newest()).unwrap().size;
    // The first one's next checkpoint is not grown from what the witness saw, who says so.
    let _ = first.ask(&agency, OVERLAP);
    let told = loop {
        let reply = first.call("GET", "/v1/rooms/spring", &agency, &[], b"");
        if reply.status == 503 {
            break reply.json();
        }
        assert!(Instant::now() < end, "the room is served: {}", reply.json());
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(told["error"]["code"], "CR4205", "{told}");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("it saw other entries") || detail.contains(&format!("it saw {seen} entries")), "{told}");
    let before = scene.note();
    assert_eq!(first.ask(&agency, OVERLAP).status, 503);
    assert_eq!(scene.note(), before, "nothing is added to it");
    // To the other one nobody objects.
    assert_eq!(second.call("GET", "/v1/rooms/spring", &agency, &[], b"").status, 200);
}

#[test]
fn a_strict_room_needs_a_server_that_asks_witnesses() {
    let scene = Scene::new();
    let witness = scene.watcher("w.example");
    let data = scene.data();
    let put = |server: &Server| {
        server.call(
            "PUT",
            "/v1/rooms/spring",
            &server.admin(),
            &[("content-type", "application/yaml")],
            strict().as_bytes(),
        )
    };
    let mut server = Server::start(&data);
    let refused = put(&server);
    assert_eq!(refused.status, 409, "{}", String::from_utf8_lossy(&refused.body));
    assert!(refused.json()["detail"].as_str().unwrap().contains("no witnesses"));
    server.kill();
    scene.policy(&[&witness]);
    let mut server = scene.start();
    assert_eq!(put(&server).status, 201);
    server.kill();
    let serve = |more: &[&str]| {
        let output = scene.run(&[&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"], more].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (exit, said) = serve(&[]);
    assert!(exit == Some(2) && said.contains("is strict") && said.contains("--witness-policy"), "{said}");
    // A policy by which nobody can be asked is refused with what is wrong with it.
    for (policy, problem) in [
        ("quorum none\n".to_owned(), "`none`"),
        (format!("witness w {}\nquorum w\n", witness.key), "line 1"),
        ("witness w\n".to_owned(), "line 1"),
    ] {
        fs::write(scene.path("wrong"), policy).unwrap();
        let (exit, said) = serve(&["--witness-policy", "wrong"]);
        assert!(exit == Some(2) && said.contains(problem), "{said}");
    }
    // Without a server, nobody is asked.
    fs::write(scene.path("room.yaml"), strict().replace("{upload: true}", "{file: x.csv}, policy: x.yaml")).unwrap();
    let applied = scene.run(&["apply", "-f", "room.yaml"]);
    assert_eq!(applied.status.code(), Some(2));
}
