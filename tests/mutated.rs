//! Damage: statements and uploads that began as good ones. Every statement ends in a decision, every upload is taken whole or
//! leaves nothing, and the process lives.
//!
//! `FUZZ_CASES` (150) of each are tried from `FUZZ_SEED` (1) on.

use std::fs;

use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::ipc::writer::StreamWriter;
use cleanroom_vault::IngestError;
use parquet::arrow::ArrowWriter;

use crate::fixture::{Opened, block_on, fixed_rows};
use crate::golden::folder;
use crate::random::{Random, from_env};
use crate::three::statements;

/// Words that stand anywhere in place of another.
const WORDS: &[&str] = &[
    "",
    "(",
    ")",
    ",",
    ".",
    "*",
    "=",
    "<>",
    "<",
    "||",
    "::",
    ";",
    "'",
    "\"",
    "--",
    "/*",
    "NULL",
    "TRUE",
    "NOT",
    "AND",
    "OR",
    "IN",
    "IS",
    "LIKE",
    "BETWEEN",
    "CASE",
    "WHEN",
    "END",
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "HAVING",
    "ORDER BY 1",
    "LIMIT 1",
    "UNION ALL",
    "EXCEPT",
    "JOIN",
    "LEFT JOIN",
    "FULL JOIN",
    "CROSS JOIN",
    "LATERAL",
    "ON",
    "USING (card)",
    "AS x",
    "DISTINCT",
    "COUNT(*)",
    "SUM(amount)",
    "SUM(1)",
    "MAX(card)",
    "GROUPING(kind)",
    "ROLLUP(kind)",
    "CUBE(kind, region)",
    "OVER ()",
    "OVER (PARTITION BY card)",
    "FILTER (WHERE kind = 'red')",
    "EXISTS (SELECT 1 FROM media.users)",
    "(SELECT COUNT(*) FROM shop.sales)",
    "shop.sales",
    "shop.sales s",
    "media.users u",
    "panel.homes",
    "shop.regions",
    "card",
    "s.card",
    "u.card",
    "kind",
    "region",
    "amount",
    "at",
    "secret",
    "0",
    "-1",
    "1e308",
    "9223372036854775808",
    "'red'",
    "X'00'",
    "DATE '2024-13-45'",
    "INTERVAL '1 fortnight'",
    ":p",
    "$1",
    "é",
    "\u{0}",
    "INTO t",
    "VALUES (1)",
    "TABLESAMPLE (1)",
    "INTERSECT",
];

fn damaged_sql(random: &mut Random, corpus: &[String]) -> String {
    let tokens = |sql: &str| -> Vec<String> {
        let mut tokens: Vec<String> = Vec::new();
        for char in sql.chars() {
            match tokens.last_mut() {
                Some(last)
                    if (char.is_alphanumeric() || char == '_')
                        && last.chars().all(|c| c.is_alphanumeric() || c == '_') =>
                {
                    last.push(char);
                }
                _ => tokens.push(char.to_string()),
            }
        }
        tokens
    };
    let mut parts = tokens(&corpus[random.below(corpus.len())]);
    for _ in 0..1 + random.below(2) {
        let at = random.below(parts.len());
        match random.below(7) {
            0 => drop(parts.remove(at)),
            1 => parts.insert(at, format!(" {} ", random.of(WORDS))),
            2 => parts[at] = format!(" {} ", random.of(WORDS)),
            3 => {
                let next = (at + 1) % parts.len();
                parts.swap(at, next);
            }
            4 => parts.insert(at, parts[at].clone()),
            5 => {
                // The end of another statement.
                let other = tokens(&corpus[random.below(corpus.len())]);
                parts.truncate(at);
                parts.extend(other[random.below(other.len())..].iter().cloned());
            }
            _ => parts[at] = char::from_u32(random.below(0x3000) as u32).unwrap_or(' ').to_string(),
        }
        if parts.is_empty() {
            parts.push(" ".to_owned());
        }
    }
    parts.concat()
}

#[test]
fn damaged_statements_end_in_a_decision() {
    let cases = from_env("FUZZ_CASES", 150);
    let mut random = Random::new(from_env("FUZZ_SEED", 1) as u64);
    let mut corpus = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "sql")) {
        corpus.extend(statements(&fs::read_to_string(path).unwrap()));
    }
    block_on(async {
        let opened = Opened::new(&fixed_rows()).await;
        let (mut released, mut refused) = (0, 0);
        for case in 0..cases {
            let sql = if case % 10 == 9 {
                let bytes: Vec<u8> = (0..random.below(200)).map(|_| random.below(256) as u8).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            } else {
                damaged_sql(&mut random, &corpus)
            };
            let told = opened.ask(&sql, false).await;
            match told.outcome() {
                "released" => released += 1,
                "refused" => {
                    refused += 1;
                    let error = &told.document["error"];
                    assert!(!error["detail"].as_str().unwrap().is_empty(), "`{sql}`: {error}");
                    // What is pointed at is in the text.
                    let lines = sql.lines().count().max(1) as u64;
                    assert!(
                        error["span"]["line"].as_u64().is_none_or(|line| (1..=lines + 1).contains(&line)),
                        "`{sql}`: {error}"
                    );
                }
                other => panic!("{other}: `{sql}`: {:?}", told.document),
            }
        }
        assert!(cases < 150 || (released > 5 && refused > 50), "{released} released, {refused} refused");
        let honest = opened.ask("SELECT COUNT(DISTINCT card) AS n FROM shop.sales", false).await;
        assert_eq!(honest.rows, [["60"]]);
    });
}

fn damaged_bytes(random: &mut Random, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..1 + random.below(2) {
        if bytes.is_empty() {
            break;
        }
        // Binary formats say what is where at their ends.
        let at = match random.below(3) {
            0 => random.below(bytes.len().min(64)),
            1 => bytes.len() - 1 - random.below(bytes.len().min(300)),
            _ => random.below(bytes.len()),
        };
        match random.below(7) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..bytes.len().min(at + 1 + random.below(30)))),
            4 => {
                let number = [u32::MAX, i32::MAX as u32, 0, 1 << 31][random.below(4)].to_le_bytes();
                for (place, byte) in number.into_iter().enumerate() {
                    if let Some(here) = bytes.get_mut(at + place) {
                        *here = byte;
                    }
                }
            }
            5 => {
                let words: &[&[u8]] = &[
                    b"\"", b",", b"\n", b"\r", b"\0", b"\xff", b"NaN", b"1e999", b"{", b"}", b"[[", b"null", b"c1",
                    b"-",
                ];
                bytes.splice(at..at, random.of(words).iter().copied());
            }
            _ => {
                let piece = bytes[at..bytes.len().min(at + 50)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[test]
fn damaged_uploads_are_taken_whole_or_leave_nothing() {
    let cases = from_env("FUZZ_CASES", 150);
    let mut random = Random::new(from_env("FUZZ_SEED", 1) as u64);
    let csv = format!("card,size,income\n{}\n", fixed_rows()["panel.homes"].join("\n")).into_bytes();
    let (schema, _) = Format::default().with_header(true).infer_schema(csv.as_slice(), None).unwrap();
    let schema = std::sync::Arc::new(schema);
    let mut reader = ReaderBuilder::new(schema.clone()).with_header(true).build(csv.as_slice()).unwrap();
    let batch = reader.next().unwrap().unwrap();
    let mut parquet = ArrowWriter::try_new(Vec::new(), schema.clone(), None).unwrap();
    parquet.write(&batch).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    stream.write(&batch).unwrap();
    let lines: String = fixed_rows()["panel.homes"]
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split(',').collect();
            format!("{{\"card\": \"{}\", \"size\": {}, \"income\": {}}}\n", cells[0], cells[1], cells[2])
        })
        .collect();
    let good = [
        ("csv", csv),
        ("parquet", parquet.into_inner().unwrap()),
        ("arrows", stream.into_inner().unwrap()),
        ("jsonl", lines.into_bytes()),
    ];
    block_on(async {
        let opened = Opened::new(&fixed_rows()).await;
        let policy = opened.policy("panel.homes").await;
        let (mut taken, mut refused) = (0, 0);
        for (ending, bytes) in &good {
            opened.take(&policy, ending, bytes).await.unwrap_or_else(|error| panic!("{ending}: {error}"));
        }
        for case in 0..cases {
            let (ending, bytes) = &good[case % good.len()];
            let bytes = damaged_bytes(&mut random, bytes);
            let before = opened.version(&policy.table).await;
            let result = opened.take(&policy, ending, &bytes).await;
            let after = opened.version(&policy.table).await;
            match result {
                Ok(ingested) => {
                    taken += 1;
                    assert_eq!(
                        (ingested.version, before + u64::from(ingested.changed)),
                        (after, after),
                        "{ending}, case {case}"
                    );
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(before, after, "{ending}, case {case}: {error}");
                    assert!(!matches!(error, IngestError::Internal { .. }), "{ending}, case {case}: {error}");
                }
            }
            // One folder is the engine's own, for as long as it runs.
            let left = fs::read_dir(opened.file("data/tmp"))
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().path().is_dir())
                .count();
            assert_eq!(left, 1, "{ending}, case {case}");
        }
        assert!(cases < 150 || (taken > 3 && refused > 30), "{taken} taken, {refused} refused");
        let honest = opened.ask("SELECT COUNT(DISTINCT card) AS n FROM shop.sales", false).await;
        assert_eq!(honest.rows, [["60"]]);
    });
}
