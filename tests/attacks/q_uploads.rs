//! Q: keys and uploads.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::room;
use crate::server::{OVERLAP, Server, data_dir};

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

/// Q01: what is kept of a key is no digest that a list of addresses could be compared with.
#[test]
fn what_is_kept_holds_no_key_as_it_came() {
    const KEY: &str = "ff8d9819fc0e12bf0d24892e45987e249a28dce836a85cad60e28eaaa8c6d976";
    let room = room();
    assert_eq!(room.ask("publisher", "SELECT COUNT(DISTINCT email_hash) FROM retailer.purchases").rows().len(), 1);
    let mut found = Vec::new();
    files(&room.path().join(".cleanroom"), &mut found);
    assert!(
        found.iter().any(|(name, bytes)| name.ends_with(".parquet") && bytes.len() > 1000),
        "no snapshot to look at"
    );
    let raw: Vec<u8> = (0..KEY.len()).step_by(2).map(|at| u8::from_str_radix(&KEY[at..at + 2], 16).unwrap()).collect();
    for (name, bytes) in &found {
        for secret in [KEY.as_bytes(), KEY.to_uppercase().as_bytes(), &raw] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "a key stands in {name}");
        }
    }
}

/// Q03, Q05, Q11 and Q13: each is refused with words for its owner, and leaves the version before it.
#[test]
fn a_bad_upload_changes_nothing_and_is_not_quoted() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (retailer, agency) = server.room();
    let put = |token: &str, kind: &str, body: &[u8]| {
        server.call("PUT", "/v1/rooms/spring/tables/agency.exposures/data", token, &[("content-type", kind)], body)
    };
    let (csv, parquet, arrow, lines) =
        ("text/csv", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream", "application/x-ndjson");
    let bomb = [b"person,campaign\n".as_slice(), &b"a".repeat(20 << 20)].concat();
    for (kind, body) in [
        (csv, b"".as_slice()),
        (csv, b"person\nsecret1@example.org\n"),
        (csv, b"person,campaign\nsecret1 is no address,c1\n"),
        (csv, b"person,campaign\nsecret1@example.org\n"),
        (csv, b"person,campaign\nsecret1@example.org,c1,more\n"),
        (csv, b"person,person\nsecret1@example.org,c1\n"),
        (csv, b"person,campaign\n\"secret1@example.org,c1\n"),
        (csv, b"person,campaign\nsecret1\xff\xfe@example.org,c1\n"),
        (csv, b"person,campaign\n\x00\x00\x00,c1\n"),
        (csv, &bomb),
        (parquet, b"PAR1"),
        (parquet, b"PAR1secret1\xff\xff\xff\x7fPAR1"),
        (parquet, b"person,campaign\nsecret1@example.org,c1\n"),
        (arrow, b"\xff\xff\xff\xff\xff\xff\xff\x7fsecret1"),
        (arrow, b"secret1"),
        (lines, b"{\"person\": \"secret1@example.org\", \"campaign\": [1]}\n"),
        (lines, b"{\"person\": \"secret1@example.org\"\n"),
        (lines, b"[[[[[[[["),
        ("image/png", b"secret1"),
        ("text/html", b"secret1"),
    ] {
        let reply = put(&agency, kind, body);
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(
            (400..500).contains(&reply.status),
            "{} for {:?} as {kind}: {text}",
            reply.status,
            &body[..body.len().min(60)]
        );
        assert!(!text.contains("secret1"), "{text}");
        assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[200]]));
    }
    // Another's table.
    assert_eq!(put(&retailer, csv, b"person,campaign\np1@example.org,c1\n").status, 403);
    // Nothing is left of any of them.
    assert_eq!(fs::read_dir(data.join("uploads")).unwrap().count(), 0);
    let log = fs::read_to_string(data.with_extension("log")).unwrap();
    assert!(!log.contains("secret1"), "{log}");
    // One address in several spellings is one person.
    let spellings = "person,campaign\n P300@Example.org ,c1\np300@example.org,c1\nP300@EXAMPLE.ORG,c1\n";
    let many: String = (300..330).map(|person| format!("p{person}@example.org,c1\n")).collect();
    assert_eq!(put(&agency, csv, format!("{spellings}{many}").as_bytes()).status, 200);
    assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[30]]));
}

/// Q13: requests that lie about their size, never end or never begin; another partner is answered meanwhile.
#[test]
fn requests_without_an_end_are_ended_and_others_are_answered() {
    let (_folder, data) = data_dir();
    let server = Server::start(&data);
    let (_retailer, agency) = server.room();
    let address = server.address().strip_prefix("http://").unwrap().to_owned();
    let connect = || {
        let stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    };
    let begun = |text: &str| {
        let mut stream = connect();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let upload = format!(
        "PUT /v1/rooms/spring/tables/agency.exposures/data HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {agency}\r\n\
         content-type: text/csv\r\n"
    );
    let started = Instant::now();
    // Heads and bodies that do not end, and connections that say nothing.
    let heads: Vec<TcpStream> = (0..20).map(|_| begun("GET /v1/rooms HTTP/1.1\r\nhost: x\r\nx-slow: ")).collect();
    let bodies: Vec<TcpStream> =
        (0..20).map(|_| begun(&format!("{upload}content-length: 1000000\r\n\r\nperson,campaign\n"))).collect();
    let silent: Vec<TcpStream> = (0..200).map(|_| connect()).collect();
    let asked = Instant::now();
    assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[200]]));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());

    // More headers than anybody sends: refused, or the connection is closed on them.
    let mut many = connect();
    let headers: String = (0..100_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let _closed_early = many.write_all(format!("GET /v1/rooms HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes());
    let mut reply = String::new();
    let _reset = many.read_to_string(&mut reply);
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 431") || reply.starts_with("HTTP/1.1 400"), "{reply}");

    // A question in chunks without end.
    let question = format!(
        "POST /v1/rooms/spring/queries HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {agency}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let mut endless = begun(&question);
    let chunk = format!("10000\r\n{}\r\n", "[".repeat(0x10000));
    let sent = (0..4096).take_while(|_| endless.write_all(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 4096, "256 MiB of a question were taken");
    let mut reply = String::new();
    let _reset = endless.read_to_string(&mut reply);
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 413") || reply.starts_with("HTTP/1.1 400"), "{reply}");

    // A body that is shorter than it says, and one that is packed: nothing is registered.
    drop(begun(&format!("{upload}content-length: 1000\r\n\r\nperson,campaign\np1@example.org,c1\n")));
    let packed = [0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3];
    let headers = [("content-type", "text/csv"), ("content-encoding", "gzip")];
    let path = "/v1/rooms/spring/tables/agency.exposures/data";
    let reply = server.call("PUT", path, &agency, &headers, &packed);
    assert!((400..500).contains(&reply.status), "{}", reply.status);

    // Whoever has not finished a head by then is gone.
    for mut head in heads {
        let mut reply = String::new();
        let _reset = head.read_to_string(&mut reply);
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 408"), "{reply}");
    }
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    drop((bodies, silent));
    assert_eq!(server.ask(&agency, OVERLAP).json()["rows"], json!([[200]]));
    assert_eq!(fs::read_dir(data.join("uploads")).unwrap().count(), 0, "half a body was kept");
}
