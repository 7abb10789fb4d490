//! H: what two answers tell that neither of them does.

use super::{PLANTED, policy, unseen};
use crate::support::{Answer, Room, shared};

/// The sum over everybody.
const EVERYBODY: &str = "SELECT COUNT(DISTINCT p.email_hash) n, SUM(p.amount) s FROM retailer.purchases p \
                         JOIN publisher.users u ON p.email_hash = u.email_hash WHERE u.state <> 'ZZ'";
/// The sum over everybody but Alice.
const BUT_ONE: &str = "SELECT COUNT(DISTINCT p.email_hash) n, SUM(p.amount) s FROM retailer.purchases p \
                       JOIN publisher.users u ON p.email_hash = u.email_hash WHERE u.state <> 'AK'";

/// The catalogue's room with a guard on the retailer's table, or with what else is asked for there.
fn guarded(release: &str) -> Room {
    let data = shared("data/adversarial");
    guarded_over(release, data.join("purchases.parquet").to_str().unwrap())
}

fn guarded_over(release: &str, purchases: &str) -> Room {
    let data = shared("data/adversarial");
    let with = |text: String, rule: &str| text.replace("{min_units: 25}", &format!("{{min_units: 25{rule}}}"));
    let purchases_policy = with(
        policy(
            "retailer.purchases",
            "  category: {use: [dimension, filter]}\n  amount: {use: [measure], functions: [sum, avg], bounds: none}\n",
        ),
        release,
    );
    let users =
        policy("publisher.users", "  state: {use: [dimension, filter]}\n  age_band: {use: [dimension, filter]}\n");
    let impressions = policy(
        "publisher.impressions",
        "  campaign: {use: [dimension, filter]}\n  device: {use: [dimension, filter]}\n",
    );
    let room = super::ROOM
        .replace("DATA/purchases.parquet", purchases)
        .replace("DATA", data.to_str().unwrap())
        .replace("name: publisher\n", "name: agency\n    abilities: [query, receive]\n  - name: publisher\n");
    let open = |text: &str| text.replace("[publisher, retailer]", "[publisher, retailer, agency]");
    Room::new(
        &room,
        &[
            ("purchases.yaml", &open(&purchases_policy)),
            ("users.yaml", &open(&users)),
            ("impressions.yaml", &open(&impressions)),
        ],
    )
}

const GUARD: &str = ", difference: 10";

fn numbers(answer: &Answer) -> Vec<Vec<Option<f64>>> {
    unseen(answer);
    answer.rows().iter().map(|row| row.iter().map(serde_json::Value::as_f64).collect()).collect()
}

#[test]
fn without_the_guard_one_person_is_the_difference() {
    // What the other tests are about; should this fail, they test nothing.
    let room = guarded("");
    let (all, but_one) = (numbers(&room.ask("publisher", EVERYBODY)), numbers(&room.ask("publisher", BUT_ONE)));
    let difference = all[0][1].unwrap() - but_one[0][1].unwrap();
    assert!((difference - 7919.13).abs() < 0.001);
}

#[test]
fn a_tracker_gets_the_earlier_answer() {
    let room = guarded(GUARD);
    let all = numbers(&room.ask("publisher", EVERYBODY));
    assert_eq!(all, [[Some(1201.0), Some(244_129.13)]]);
    for sql in [
        BUT_ONE,
        EVERYBODY,
        // By other names, conditions, aggregates and ways to join.
        &BUT_ONE.replace("u.state <> 'AK'", "NOT (u.state = 'AK')"),
        "SELECT COUNT(*) AS m, SUM(t.a) AS b FROM (SELECT p.email_hash, SUM(p.amount) AS a FROM retailer.purchases p \
         WHERE p.email_hash IN (SELECT email_hash FROM publisher.users WHERE state <> 'AK') GROUP BY p.email_hash) t",
        "SELECT COUNT(DISTINCT CASE WHEN u.state <> 'AK' THEN p.email_hash END), \
                SUM(CASE WHEN u.state <> 'AK' THEN p.amount ELSE 0 END) \
         FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash",
    ] {
        assert_eq!(numbers(&room.ask("publisher", sql)), all, "{sql}");
    }
    // As many twice over.
    let twice = room.ask(
        "publisher",
        "SELECT SUM(t.amount) s FROM (SELECT * FROM retailer.purchases UNION ALL SELECT * FROM retailer.purchases) t \
         JOIN publisher.users u ON t.email_hash = u.email_hash WHERE u.state <> 'AK'",
    );
    assert_eq!(numbers(&twice), [[Some(488_258.26)]]);
    let scaled = room.ask("publisher", "SELECT SUM(amount * 0.5) FROM retailer.purchases");
    assert_eq!(scaled.code(), "CR2108");
    assert!(scaled.json["error"]["policy"]["rule"].as_str().unwrap().contains("difference"), "{}", scaled.json);
    assert!(room.verify().status.success());
}

#[test]
fn the_tracker_is_met_whoever_asks_and_in_either_order() {
    let room = guarded(GUARD);
    let first = numbers(&room.ask("agency", BUT_ONE));
    assert_eq!(first[0][0], Some(1200.0));
    // A process each: what was released is on disk.
    for analyst in ["publisher", "agency"] {
        assert_eq!(numbers(&room.ask(analyst, EVERYBODY)), first, "{analyst}");
    }
    let average = room.ask("publisher", &EVERYBODY.replace("SUM(p.amount)", "AVG(p.amount)"));
    let count = room.ask("agency", &EVERYBODY.replace("SUM(p.amount)", "COUNT(*)"));
    let (average, rows) = (numbers(&average)[0][1].unwrap(), numbers(&count)[0][1].unwrap());
    assert!((average * rows - first[0][1].unwrap()).abs() < 0.01, "{average} of {rows}");
}

#[test]
fn both_in_one_statement_are_one() {
    let room = guarded(GUARD);
    let both = numbers(&room.ask(
        "publisher",
        "SELECT SUM(p.amount) AS a, SUM(p.amount) FILTER (WHERE u.state <> 'AK') AS b, AVG(p.amount) AS c, COUNT(*) AS n \
         FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash",
    ));
    assert_eq!(both[0][0], both[0][1]);
    let unions = numbers(&room.ask("publisher", &format!("{BUT_ONE} UNION ALL {EVERYBODY}")));
    assert_eq!(unions.first(), unions.last());
}

#[test]
fn inclusion_and_exclusion_tell_nothing() {
    let room = guarded(GUARD);
    let count = |condition: &str| {
        numbers(&room.ask(
            "publisher",
            &format!(
                "SELECT COUNT(DISTINCT p.email_hash) FROM retailer.purchases p \
                 JOIN publisher.users u ON p.email_hash = u.email_hash WHERE {condition}"
            ),
        ))
    };
    // Alice bought garden: the first pair differs by nobody, the second by her. They look alike.
    assert_eq!(count("u.state = 'AK' OR p.category = 'garden'"), count("p.category = 'garden'"));
    assert_eq!(count("u.state = 'AK' OR p.category = 'toys'"), count("p.category = 'toys'"));
}

#[test]
fn parts_and_totals_over_several_queries_follow_from_each_other() {
    let room = guarded(GUARD);
    let part = |category: &str| {
        numbers(&room.ask(
            "agency",
            &format!("SELECT COUNT(*), SUM(amount) FROM retailer.purchases WHERE category = '{category}'"),
        ))
    };
    let categories = ["garden", "toys", "books", "food", "sport", "whale", "edge25"];
    let parts: Vec<Vec<Vec<Option<f64>>>> = categories.iter().map(|category| part(category)).collect();
    let total = |column: usize| parts.iter().map(|part| part[0][column].unwrap()).sum::<f64>();
    // All that was shown, and five people beside: they are not in the answer.
    let listed = categories.map(|category| format!("'{category}'")).join(", ");
    let sql = format!("SELECT COUNT(*), SUM(amount) FROM retailer.purchases WHERE category IN ({listed}, 'bulk')");
    let with_five = numbers(&room.ask("publisher", &sql));
    assert_eq!(with_five[0][0], Some(total(0)));
    assert!((with_five[0][1].unwrap() - total(1)).abs() < 0.001);

    // The other way round: the last part is what is left of the total.
    let room = guarded(GUARD);
    let ask = |sql: &str| numbers(&room.ask("publisher", sql))[0][0].unwrap();
    let total = ask("SELECT SUM(amount) FROM retailer.purchases WHERE category IN ('garden', 'toys', 'bulk')");
    let toys = ask("SELECT SUM(amount) FROM retailer.purchases WHERE category = 'toys'");
    let garden = ask("SELECT SUM(amount) FROM retailer.purchases WHERE category = 'garden'");
    assert!((total - toys - garden).abs() < 0.001, "bulk has {}", total - toys - garden);
    assert!((garden - 87_549.71).abs() > 1.0, "an answer of its own");
}

/// Alice alone lives in AK: by state she is left out, by category and by age she is not.
#[test]
fn complete_tables_by_different_columns_tell_of_nobody() {
    let joined = "FROM retailer.purchases p JOIN publisher.users u ON p.email_hash = u.email_hash";
    let twice = "FROM (SELECT * FROM retailer.purchases UNION ALL SELECT * FROM retailer.purchases) p \
                 JOIN publisher.users u ON p.email_hash = u.email_hash";
    let total = |room: &Room, by: &str, from: &str| -> f64 {
        let answer = room.ask("agency", &format!("SELECT {by}, SUM(p.amount) AS s {from} GROUP BY {by}"));
        unseen(&answer);
        answer.rows().iter().map(|row| row[1].as_f64().unwrap()).sum()
    };
    let open = guarded("");
    let told = total(&open, "p.category", joined) - total(&open, "u.state", joined);
    assert!((told - 7919.13).abs() < 0.001, "without a guard: {told}");
    for order in [["p.category", "u.state", "u.age_band"], ["u.state", "u.age_band", "p.category"]] {
        let room = guarded(GUARD);
        let totals = order.map(|by| total(&room, by, joined));
        assert!(totals.iter().all(|other| (other - totals[0]).abs() < 0.001), "{order:?}: {totals:?}");
        let doubled = total(&room, "u.state", twice);
        assert!((doubled - 2.0 * totals[0]).abs() < 0.001, "{order:?}: {doubled}, {totals:?}");
    }
    // The other table twice over, and nothing else: a factor of 2 is no other question.
    let room = guarded(GUARD);
    let once = total(&room, "p.category", joined);
    let doubled = total(&room, "u.state", twice);
    assert!((doubled - 2.0 * once).abs() < 0.001, "{doubled} is not twice {once}");
    assert!(room.verify().status.success());
}

#[test]
fn a_row_more_is_not_seen_nor_is_one_less() {
    let data = shared("data/adversarial/purchases.parquet");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("purchases.parquet");
    std::fs::copy(&data, &file).unwrap();
    let room = guarded_over(GUARD, file.to_str().unwrap());
    let sql =
        "SELECT COUNT(DISTINCT email_hash) AS n, SUM(amount) AS s FROM retailer.purchases WHERE category = 'garden'";
    let first = numbers(&room.ask("publisher", sql));
    assert_eq!(first, [[Some(401.0), Some(87_549.71)]]);
    // A version of the data without three purchases, and with every row written anew.
    rewritten(&data, &file, 3);
    assert_eq!(numbers(&room.ask("publisher", sql)), first);
    // One without many of them is other data.
    rewritten(&data, &file, 600);
    assert_ne!(numbers(&room.ask("publisher", sql)), first);
}

/// The rows of a file without the first few of those in garden.
fn rewritten(from: &std::path::Path, to: &std::path::Path, without: usize) {
    use arrow::array::{Array as _, AsArray as _, BooleanArray};
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(from).unwrap()).unwrap().build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(to).unwrap(), batches[0].schema(), None).unwrap();
    let mut left = without;
    for batch in batches {
        let categories =
            arrow::compute::cast(batch.column_by_name("category").unwrap(), &arrow::datatypes::DataType::Utf8);
        let categories = categories.unwrap();
        let categories = categories.as_string::<i32>();
        let keep: BooleanArray = (0..batch.num_rows())
            .map(|row| {
                let cut = left > 0 && categories.is_valid(row) && categories.value(row) == "garden";
                left -= usize::from(cut);
                Some(!cut)
            })
            .collect();
        writer.write(&arrow::compute::filter_record_batch(&batch, &keep).unwrap()).unwrap();
    }
    writer.close().unwrap();
}

#[test]
fn a_join_that_leaves_few_out_is_the_same_as_none() {
    let room = guarded(GUARD);
    let inner = "SELECT COUNT(DISTINCT p.email_hash), SUM(p.amount) FROM retailer.purchases p \
                 JOIN publisher.users u ON p.email_hash = u.email_hash";
    // 801 have no match: both are answered.
    assert_eq!(numbers(&room.ask("publisher", inner)), [[Some(1201.0), Some(244_129.13)]]);
    let all = numbers(&room.ask("publisher", "SELECT COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases"));
    assert_eq!(all[0][0], Some(2002.0));
    assert_eq!(all[0][1], Some(1_417_241.55));
}

#[test]
fn honest_questions_are_answered_under_a_guard() {
    let room = guarded(GUARD);
    let counts = room
        .ask("publisher", "SELECT category, COUNT(DISTINCT email_hash) AS n FROM retailer.purchases GROUP BY category");
    unseen(&counts);
    for (category, units) in [("garden", 401.0), ("toys", 401.0), ("books", 400.0), ("edge25", 25.0), ("whale", 30.0)] {
        assert_eq!(counts.number(category, 1), units);
    }
    assert_eq!(counts.rows().len(), 7);
    let sums = room.ask(
        "publisher",
        "SELECT i.campaign, COUNT(DISTINCT p.email_hash) AS n, SUM(p.amount) AS s, AVG(p.amount) AS a \
         FROM retailer.purchases p JOIN publisher.impressions i ON p.email_hash = i.email_hash \
         JOIN publisher.users u ON u.email_hash = p.email_hash \
         WHERE u.state IN ('CA', 'NY') AND p.category <> 'books' GROUP BY i.campaign",
    );
    assert_eq!(sums.rows().len(), 4);
    assert_eq!(sums.number("c0", 2), 21_882.4);
    let garden = room.ask(
        "retailer",
        "SELECT COUNT(DISTINCT email_hash), SUM(amount) FROM retailer.purchases WHERE category = 'garden'",
    );
    assert_eq!(numbers(&garden), [[Some(401.0), Some(87_549.71)]]);
    // The same once more, and a table without a guard.
    let again = room
        .ask("agency", "SELECT category, COUNT(DISTINCT email_hash) AS n FROM retailer.purchases GROUP BY category");
    assert_eq!(again.json["rows"], counts.json["rows"]);
    let free = room.ask("publisher", "SELECT COUNT(*) FROM publisher.users WHERE state <> 'AK'");
    let noted = |answer: &Answer| answer.json["notes"].to_string().contains("released before");
    assert!(noted(&again) && !noted(&free));
    assert!(room.verify().status.success());
}

#[test]
fn a_total_beside_its_parts_adds_up() {
    let room = guarded(GUARD);
    let both = room.ask(
        "publisher",
        "WITH r AS (SELECT email_hash, category, amount FROM retailer.purchases WHERE category IN ('garden', 'toys', 'food')) \
         SELECT category, SUM(amount) AS s FROM r GROUP BY category UNION ALL SELECT NULL, SUM(amount) FROM r",
    );
    unseen(&both);
    let rows = both.rows();
    let sum = |total: bool| {
        rows.iter().filter(|row| row[0].is_null() == total).map(|row| row[1].as_f64().unwrap()).sum::<f64>()
    };
    assert_eq!(rows.len(), 4);
    assert!((sum(true) - sum(false)).abs() < 0.001);
}

#[test]
fn many_at_once_see_each_other() {
    let room = guarded(GUARD);
    // Everything is taken in before the race.
    room.ask("publisher", "SELECT COUNT(*) FROM publisher.users");
    let states = ["AK", "HI"];
    let answers: Vec<Vec<Vec<Option<f64>>>> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..20)
            .map(|client| {
                let room = &room;
                let sql =
                    if client % 2 == 0 { EVERYBODY.to_owned() } else { BUT_ONE.replace("AK", states[client % 4 / 2]) };
                scope.spawn(move || numbers(&room.ask("publisher", &sql)))
            })
            .collect();
        asked.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let first = &answers[0];
    assert!(answers.iter().all(|answer| answer == first), "{answers:?}");
    assert!(room.verify().status.success());
}

#[test]
fn what_a_killed_process_released_still_counts() {
    let room = guarded(GUARD);
    room.ask("publisher", "SELECT COUNT(*) FROM publisher.users");
    let mut seen: Option<Vec<Vec<Option<f64>>>> = None;
    for milliseconds in [40, 80, 120, 160, 200, 260, 320] {
        let mut child = crate::support::cleanroom()
            .args(["query", "--room", "room.yaml", "--as", "publisher", "--format", "json", "--", BUT_ONE])
            .current_dir(room.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whichever of the two was first is the answer, from then on.
        let answer = numbers(&room.ask("agency", EVERYBODY));
        assert_eq!(answer.len(), 1);
        assert_eq!(&answer, seen.get_or_insert_with(|| answer.clone()));
    }
    assert_eq!(Some(numbers(&room.ask("publisher", BUT_ONE))), seen);
    assert!(room.verify().status.success());
}

#[test]
fn nothing_exact_stands_where_a_member_could_read_it() {
    let room = guarded(GUARD);
    let everybody = numbers(&room.ask("publisher", EVERYBODY));
    let cells = room.path().join(".cleanroom/rooms/adversarial/cells");
    let mut files: Vec<_> = std::fs::read_dir(&cells).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| path.extension().map(ToOwned::to_owned));
    let [sets, kept] = files.as_slice() else { panic!("{files:?}") };
    assert!(sets.extension().unwrap() == "cells" && kept.extension().unwrap() == "kept");
    use std::os::unix::fs::PermissionsExt as _;
    for file in &files {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        assert!(PLANTED.iter().all(|planted| !text.contains(planted)));
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o077, 0);
    }
    assert_eq!(std::fs::metadata(&cells).unwrap().permissions().mode() & 0o077, 0);
    // What was worked out about the sets is worked out anew where it is damaged or gone.
    let whole = std::fs::read(kept).unwrap();
    std::fs::write(kept, vec![1; whole.len()]).unwrap();
    assert_eq!(numbers(&room.ask("publisher", BUT_ONE)), everybody);
    assert!(std::fs::read(kept).unwrap() == whole);
    std::fs::remove_file(kept).unwrap();
    assert_eq!(numbers(&room.ask("agency", BUT_ONE)), everybody);
    assert!(std::fs::read(kept).unwrap() == whole);
    // A set that is gone cannot be compared with: no answer, rather than one that is not guarded.
    std::fs::remove_file(sets).unwrap();
    let answer = room.ask("publisher", BUT_ONE);
    assert_eq!(answer.outcome(), "failed");
    unseen(&answer);
}

#[test]
fn so_many_cells_and_no_more() {
    let room = guarded(", max_cells: 10");
    let sql = "SELECT category, COUNT(DISTINCT email_hash) FROM retailer.purchases GROUP BY category ORDER BY category";
    assert_eq!(room.ask("publisher", sql).rows().len(), 7);
    // Three are left, whoever asks.
    let rest = room.ask("agency", sql);
    assert_eq!(rest.labels().into_iter().collect::<Vec<_>>(), ["books", "edge25", "food"]);
    let none = room.ask("publisher", sql);
    assert_eq!((none.code(), none.exit), ("CR4105", 4), "{}", none.json);
    assert!(none.json["error"]["policy"]["rule"].as_str().unwrap().contains("max_cells"));
    // What is priced only reads nothing, and other tables have no such cap.
    assert_eq!(room.ask("publisher", "SELECT COUNT(*) FROM publisher.users").rows().len(), 1);
    assert!(room.verify().status.success());
}

/// A retailer with 60 customers, and a publisher with two lists: 59 or 60 of the customers, and others who are none.
fn chosen(with_alice: bool) -> Room {
    let room = "\
apiVersion: cleanroom/v1
kind: Room
name: chosen
partners:
  - name: retailer
    abilities: [contribute]
    tables: [{name: sales, source: {file: sales.csv}, policy: sales.yaml}]
  - name: publisher
    abilities: [contribute, query, receive]
    tables: [{name: users, source: {file: users.csv}, policy: users.yaml}]
  - name: agency
    abilities: [query, receive]
";
    let policy = |table: &str, columns: &str, rule: &str| {
        format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\nunit: {{column: person, space: people}}\n\
             columns:\n  person: {{use: [join, count]}}\n{columns}joins: {{require: none, types: [inner, semi, left]}}\n\
             release: {{min_units: 25{rule}}}\naccess: {{analysts: [publisher, agency], receivers: [publisher, agency]}}\n"
        )
    };
    let sales = policy(
        "retailer.sales",
        "  shop: {use: [dimension, filter]}\n  amount: {use: [measure], bounds: [0, 100]}\n",
        ", audience: 20",
    );
    let users = policy("publisher.users", "  list: {use: [dimension, filter]}\n", "");
    let room = Room::new(room, &[("sales.yaml", &sales), ("users.yaml", &users)]);
    let customers = |shop: fn(u32) -> &'static str| -> Vec<String> {
        (0..60).map(|person| format!("p{person},{},{}", shop(person), person % 7)).collect()
    };
    let mut rows = customers(|person| if person % 2 == 0 { "north" } else { "south" });
    // Alice is person 60: a customer or not.
    rows.extend(with_alice.then(|| "p60,north,5".to_owned()));
    std::fs::write(room.path().join("sales.csv"), format!("person,shop,amount\n{}\n", rows.join("\n"))).unwrap();
    let known = (0..61).map(|person| format!("p{person},known"));
    let mixed = (0..60).map(|person| format!("p{person},mixed"));
    let strangers = (100..180).map(|person| format!("p{person},{}", if person < 140 { "mixed" } else { "strangers" }));
    let rows: Vec<String> = known.chain(mixed).chain(strangers).collect();
    std::fs::write(room.path().join("users.csv"), format!("person,list\n{}\n", rows.join("\n"))).unwrap();
    room
}

#[test]
fn a_list_of_known_members_is_no_audience() {
    const JOINED: &str = "SELECT COUNT(DISTINCT s.person) AS n, COUNT(*) AS m FROM retailer.sales s \
                          JOIN publisher.users u ON s.person = u.person";
    let rooms = [chosen(true), chosen(false)];
    for sql in [
        &format!("{JOINED} WHERE u.list = 'known'"),
        &format!("{JOINED} AND u.list = 'known'"),
        &format!("{JOINED} AND s.shop <> 'none' WHERE s.shop <> 'other' AND 'known' = u.list"),
        "SELECT COUNT(DISTINCT person) FROM retailer.sales WHERE person IN \
         (SELECT person FROM publisher.users WHERE list = 'known')",
        "SELECT COUNT(DISTINCT s.person) FROM retailer.sales s WHERE EXISTS \
         (SELECT 1 FROM publisher.users u WHERE u.person = s.person AND u.list = 'known')",
        "SELECT COUNT(DISTINCT person) FROM publisher.users WHERE list = 'known' AND person IN (SELECT person FROM retailer.sales)",
        "SELECT COUNT(DISTINCT s.person) FROM retailer.sales s JOIN \
         (SELECT person FROM publisher.users WHERE list = 'known' GROUP BY person) u ON s.person = u.person",
        "WITH j AS (SELECT s.person AS who, u.list AS l FROM publisher.users u JOIN retailer.sales s ON s.person = u.person) \
         SELECT COUNT(DISTINCT who) FROM j WHERE l = 'known'",
    ] {
        for room in &rooms {
            let answer = room.ask("publisher", sql);
            assert!(answer.rows().is_empty(), "{sql}: {}", answer.json);
        }
        // Whose list it is not has not chosen it.
        assert_eq!(rooms[0].ask("agency", sql).rows().len(), 1, "{sql}");
    }
    let by_list = rooms[0].ask("publisher", &format!("{} GROUP BY u.list", JOINED.replace("SELECT", "SELECT u.list,")));
    assert_eq!(by_list.labels().into_iter().collect::<Vec<_>>(), ["mixed"]);
    assert_eq!(by_list.number("mixed", 1), 60.0);
    assert!(by_list.json["notes"].to_string().contains("your own units"), "{}", by_list.json);
    // Beside others everybody may be asked about; a group of the other side's is of some of them.
    assert_eq!(rooms[0].ask("publisher", &JOINED.replace("COUNT(*)", "SUM(s.amount)")).rows().len(), 1);
    let by_shop = rooms[0].ask(
        "publisher",
        "SELECT s.shop, COUNT(DISTINCT s.person) FROM retailer.sales s JOIN publisher.users u ON s.person = u.person GROUP BY s.shop",
    );
    assert_eq!(by_shop.labels().into_iter().collect::<Vec<_>>(), ["north", "south"]);
    super::all_refused(
        &rooms[0],
        "publisher",
        &[
            (&format!("{JOINED} WHERE u.list = 'known' OR s.shop = 'none'"), &["CR1009"]),
            (&format!("{JOINED} AND (u.list = 'known' OR s.shop = 'none')"), &["CR1009"]),
            (&JOINED.replace("COUNT(*)", "COUNT(*) FILTER (WHERE u.list = 'known')"), &["CR1009"]),
            (&JOINED.replace("COUNT(*)", "COUNT(CASE WHEN u.list = 'known' THEN 1 END)"), &["CR1009"]),
            (&JOINED.replace("COUNT(*)", "COUNT(u.list)"), &["CR1009"]),
            (&format!("{} GROUP BY ROLLUP(u.list)", JOINED.replace("SELECT", "SELECT u.list,")), &["CR1009"]),
            (
                &format!(
                    "{} GROUP BY concat(u.list, s.shop)",
                    JOINED.replace("SELECT", "SELECT concat(u.list, s.shop),")
                ),
                &["CR1009"],
            ),
            (
                "SELECT COUNT(DISTINCT u.person) FROM publisher.users u LEFT JOIN retailer.sales s ON s.person = u.person",
                &["CR1009"],
            ),
            (
                "SELECT COUNT(*) FROM (SELECT s.person, MAX(u.list) l FROM retailer.sales s JOIN publisher.users u \
                 ON s.person = u.person GROUP BY s.person) t WHERE t.l = 'known'",
                &["CR1009"],
            ),
            (&format!("{JOINED} JOIN publisher.users v ON v.person = s.person WHERE v.list = 'known'"), &["CR1009"]),
        ],
    );
}

/// As the guard's documentation says: what was released follows a table through its names, not to another owner.
#[test]
fn what_was_released_follows_a_table_to_another_name_and_not_to_another_owner() {
    let room = guarded(GUARD);
    let all = numbers(&room.ask("publisher", EVERYBODY));
    assert_eq!(all, [[Some(1201.0), Some(244_129.13)]]);
    let edit = |file: &str, changes: &[(&str, &str)]| {
        let path = room.path().join(file);
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{file}: {from}");
            text = text.replace(from, to);
        }
        std::fs::write(path, text).unwrap();
    };

    edit("room.yaml", &[("name: purchases\n", "name: orders\n")]);
    edit("purchases.yaml", &[("retailer.purchases", "retailer.orders")]);
    let renamed = |sql: &str| sql.replace("retailer.purchases", "retailer.orders");
    assert_eq!(numbers(&room.ask("publisher", &renamed(BUT_ONE))), all);
    assert_eq!(numbers(&room.ask("publisher", &renamed(EVERYBODY))), all);
    assert_eq!(room.ask("publisher", EVERYBODY).code(), "CR1005");

    // The same rows as another partner's: what that partner lets out is its own.
    let source = shared("data/adversarial").join("purchases.parquet");
    let table = format!(
        "abilities: [contribute, query, receive]\n    tables:\n      - name: orders\n        \
         source: {{file: {}}}\n        policy: agency.yaml\n  - name: publisher",
        source.display()
    );
    edit("room.yaml", &[("abilities: [query, receive]\n  - name: publisher", &table)]);
    let policy = std::fs::read_to_string(room.path().join("purchases.yaml")).unwrap();
    std::fs::write(room.path().join("agency.yaml"), policy.replace("retailer.orders", "agency.orders")).unwrap();
    let theirs = |sql: &str| sql.replace("retailer.purchases", "agency.orders");
    assert_eq!(numbers(&room.ask("publisher", &theirs(BUT_ONE)))[0][0], Some(1200.0));
    // From then on it holds there as well.
    assert_eq!(numbers(&room.ask("publisher", &theirs(EVERYBODY)))[0][0], Some(1200.0));
    assert_eq!(numbers(&room.ask("publisher", &renamed(BUT_ONE))), all);
    assert!(room.verify().status.success());
}
