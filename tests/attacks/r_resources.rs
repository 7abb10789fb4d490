//! R: statements that would exhaust the process.

use std::time::{Duration, Instant};

use super::{room, unseen};
use crate::fixture::{Opened, Rows, block_on, fixed_rows};

#[test]
fn what_would_exhaust_the_process_is_refused_and_the_next_is_answered() {
    let room = room();
    let count = "SELECT COUNT(*) FROM retailer.purchases WHERE";
    let statements = [
        format!("SELECT category, SUM(amount){} FROM retailer.purchases GROUP BY category", "+1".repeat(1000)),
        format!("SELECT category{} FROM retailer.purchases GROUP BY category", "||''".repeat(1000)),
        format!("SELECT SUM(amount{}) FROM retailer.purchases", "::DOUBLE".repeat(2000)),
        format!("{count} {}", vec!["category = 'a'"; 20_000].join(" OR ")),
        format!("{count} {}true", "NOT ".repeat(20_000)),
        format!("{count} {}category = 'a'{}", "(".repeat(3000), ")".repeat(3000)),
        format!("SELECT {}", vec!["1 AS x"; 20_000].join(", ")),
        vec!["SELECT COUNT(*) FROM retailer.purchases"; 2000].join(" UNION ALL "),
        format!("{count} category IN ({})", (0..50_000).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ")),
        format!("SELECT {}COUNT(*){} FROM retailer.purchases", "CASE WHEN true THEN ".repeat(2000), " END".repeat(2000)),
        format!("SELECT COUNT(*) FROM {}retailer.purchases{}", "(SELECT * FROM ".repeat(500), ") t".repeat(500)),
        format!("SELECT COUNT(*) FROM retailer.purchases p0 {}", (1..9).map(|n| format!("JOIN retailer.purchases p{n} ON p0.email_hash = p{n}.email_hash ")).collect::<String>()),
        "SELECT MAX(length(lpad(category, 2147483647, 'x'))) FROM retailer.purchases".to_owned(),
        "SELECT COUNT(DISTINCT repeat(email_hash, 10000)) FROM retailer.purchases".to_owned(),
        "SELECT array_length(array_repeat(1, 2000000000))".to_owned(),
        "SELECT lpad('x', 2147483647)".to_owned(),
        "SELECT category, COUNT(*) FROM retailer.purchases GROUP BY CUBE(category, upper(category), lower(category), length(category), left(category, 1), left(category, 2), left(category, 3), left(category, 4), left(category, 5), left(category, 6), left(category, 7), left(category, 8))".to_owned(),
        "\u{0}".repeat(100_000),
        "/*".repeat(50_000),
        "'".repeat(100_001),
    ];
    for sql in &statements {
        // Longer than an argument of a command may be.
        std::fs::write(room.path().join("q.sql"), sql).unwrap();
        let start = Instant::now();
        let output =
            room.run(&["query", "--room", "room.yaml", "--as", "publisher", "--format", "json", "--file", "q.sql"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let beginning: String = sql.chars().take(80).collect();
        assert!(
            matches!(output.status.code(), Some(2 | 3)),
            "{:?} for `{beginning}`: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(start.elapsed() < Duration::from_secs(30), "`{beginning}` took {:?}", start.elapsed());
    }
    let answer =
        room.ask("publisher", "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY category");
    unseen(&answer);
    assert_eq!(answer.labels().len(), 7);
}

/// R05: the longest chain of operators that is read at all is planned in a moment, and so is what is made of short ones.
#[test]
fn long_chains_are_refused_before_the_planner_sees_them() {
    block_on(async {
        let room = Opened::new(&fixed_rows()).await;
        let chain = |link: &str, count: usize| {
            format!("SELECT COUNT(*) AS n FROM shop.sales WHERE at{} < DATE '2024-01-01'", link.repeat(count))
        };
        let multiplied = |links: usize| {
            let long = vec!["a"; links].join(" + ");
            format!(
                "WITH t AS (SELECT card, qty{} AS a FROM shop.sales), u AS (SELECT card, {long} AS b FROM t) \
                 SELECT COUNT(*) AS n FROM u WHERE b > 1",
                " + 1".repeat(20)
            )
        };
        for (sql, outcome) in [
            (chain(" + INTERVAL '1 day'", 199), "released"),
            (chain(" + INTERVAL '1 day'", 200), "refused"),
            (multiplied(40), "released"),
            (multiplied(170), "refused"),
        ] {
            let began = Instant::now();
            let told = room.ask(&sql, false).await;
            assert_eq!(told.outcome(), outcome, "{}", told.document);
            assert!(outcome == "released" || told.code() == "CR1004", "{}", told.document);
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
            let began = Instant::now();
            assert_eq!(room.ask("SELECT COUNT(*) AS n FROM shop.sales", false).await.outcome(), "released");
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        }
    });
}

/// R03: however long the texts of a table are, no statement makes an array that the engine cannot hold.
#[test]
fn texts_do_not_grow_beyond_what_a_batch_holds() {
    block_on(async {
        let room = Opened::new(&fixed_rows()).await;
        let doubled = |from: &str, times: usize| {
            let steps = (1..=times).map(|step| {
                let before = step - 1;
                format!(", t{step} AS (SELECT card, c || c AS c FROM t{before})")
            });
            format!("WITH t0 AS ({from}){}", steps.collect::<String>())
        };
        let rows = "SELECT card, kind AS c FROM shop.sales";
        let released = "SELECT 1 AS card, kind AS c, COUNT(*) AS n FROM shop.sales GROUP BY kind";
        let parts = |count: usize| vec!["kind"; count].join(", ");
        let grouped = |text: &str| format!("SELECT {text} AS c, COUNT(*) AS n FROM shop.sales GROUP BY 1");
        for (sql, outcome) in [
            (format!("{} SELECT c, COUNT(*) AS n FROM t4 GROUP BY c", doubled(rows, 4)), "released"),
            (format!("{} SELECT c, COUNT(*) AS n FROM t5 GROUP BY c", doubled(rows, 5)), "refused"),
            (format!("{} SELECT c FROM t4", doubled(released, 4)), "released"),
            (format!("{} SELECT c FROM t5", doubled(released, 5)), "refused"),
            (grouped(&format!("concat({})", parts(15))), "released"),
            (grouped(&format!("concat({})", parts(16))), "refused"),
            (grouped(&format!("concat_ws('{}', {})", "-".repeat(256), parts(8))), "released"),
            (grouped(&format!("upper(concat({}))", parts(5))), "released"),
            (grouped(&format!("upper(upper(concat({})))", parts(5))), "refused"),
            (grouped(&format!("left(concat({}), 1000) || concat({})", parts(15), parts(15))), "refused"),
            (grouped(&format!("concat({}, left(kind, 1))", parts(15))), "released"),
        ] {
            let told = room.ask(&sql, false).await;
            assert_eq!(told.outcome(), outcome, "{sql}: {}", told.document);
        }
        let three = format!(
            "SELECT {0} AS a, lower({0}) AS b, reverse({0}) AS c, COUNT(*) AS n FROM shop.sales GROUP BY 1, 2, 3",
            format!("concat({})", parts(5))
        );
        assert_eq!(room.ask(&three, false).await.outcome(), "released");
        assert_eq!(room.ask(&three.replace("reverse(", "initcap("), false).await.code(), "CR1004");

        // The table with such texts in it.
        let (policy, long) = (room.policy("shop.sales").await, "x".repeat(1 << 20));
        let rows = (0..40).map(|card| format!("c{card},{long},n,2024-01-01,1,1,s\n"));
        let csv: String = ["card,kind,region,at,amount,qty,secret\n".to_owned()].into_iter().chain(rows).collect();
        let taken = room.take(&policy, "csv", csv.as_bytes()).await.unwrap();
        assert_eq!(taken.notes, ["40 texts of column `kind` became NULL: longer than 4096 bytes"]);
        let told = room.ask(&grouped(&format!("concat({})", parts(15))), false).await;
        assert_eq!(told.rows, [["".to_owned(), "40".to_owned()]], "{}", told.document);
    });
}

/// People with four rows each of a kind that nobody else has, and as many more as is said.
fn crowd(more: usize) -> Rows {
    let mut rows = Rows::new();
    let (sales, users) = (0..4000 + more, 0..60);
    let sales = sales.flat_map(|person| {
        (0..4).map(move |line| format!("c{person},kind {person} {line},r{},2024-01-0{},1.5,1,s", person % 97, line + 1))
    });
    rows.insert("shop.sales", sales.collect());
    rows.insert("media.users", users.map(|person| format!("c{person},young,CA")).collect());
    rows
}

/// R07, R09: as many groups as rows, in little memory. Whether it is enough is told by a code alone, and no one person more
/// or less in groups that are not shown makes another answer of it.
#[test]
fn groups_without_end_end_in_an_answer_or_a_code() {
    const GROUPS: &str = "SELECT kind, region, at, upper(kind) AS u, reverse(kind) AS r, COUNT(*) AS n, SUM(amount) AS s \
                          FROM shop.sales GROUP BY kind, region, at, 4, 5";
    block_on(async {
        let mut ends = Vec::new();
        for memory in [64 << 10, 1 << 20, 64 << 20] {
            let mut worlds = Vec::new();
            for more in [0, 1] {
                let room = Opened::new(&crowd(more)).await.with_memory(memory);
                let told = room.ask(GROUPS, false).await;
                assert!(told.rows.is_empty(), "{:?}", told.rows.first());
                assert!(
                    told.outcome() == "released" || (told.outcome(), told.code()) == ("failed", "CR4202"),
                    "{}",
                    told.document
                );
                let began = Instant::now();
                let next = room.ask("SELECT band, COUNT(*) AS n FROM media.users GROUP BY band", false).await;
                if memory > 64 << 10 {
                    assert_eq!(next.rows, [["young", "60"]], "{}", next.document);
                    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
                }
                worlds.push(told);
            }
            assert_eq!(worlds.first(), worlds.last(), "at {memory} bytes");
            ends.extend(worlds.first().map(|told| told.outcome().to_owned()));
        }
        assert_eq!((ends.first().unwrap().as_str(), ends.last().unwrap().as_str()), ("failed", "released"));
    });
}
