//! Q: keys and uploads.

use std::fs;
use std::path::Path;

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
