//! Two worlds, with one person and without: rows that need not match, branches that need not hold anyone, and flags that
//! tell one from the other. Nothing that is printed differs between the worlds.

use serde_json::Value;

use super::all_refused;
use crate::support::Room;

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: worlds
description: With and without one person
partners:
  - name: retailer
    abilities: [contribute]
    tables:
      - {name: sales, source: {file: sales.csv}, policy: sales.yaml}
      - {name: users, source: {file: users.csv}, policy: users.yaml}
  - name: partner
    abilities: [contribute, query, receive]
    tables:
      - {name: own, source: {file: own.csv}, policy: own.yaml}
      - {name: own2, source: {file: own2.csv}, policy: own2.yaml}
";

/// The retailer's floor is 25; the analyst's own is the least there is, so that nothing else hides a leak.
pub(super) fn world(alice: bool, release: &str, joins: &str) -> Room {
    let policy = |table: &str, columns: &str, release: &str, joins: &str| {
        format!(
            "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\nunit: {{column: hid, space: household}}\n\
             columns:\n  hid: {{use: [join, count]}}\n{columns}joins: {{{joins}}}\nrelease: {{{release}}}\n\
             access: {{analysts: [partner], receivers: [partner]}}\n"
        )
    };
    let every = "require: none, types: [inner, semi, left, right, full, anti]";
    let sales = policy(
        "retailer.sales",
        "  category: {use: [dimension, filter]}\n  ts: {use: [dimension, filter]}\n  \
         amount: {use: [measure], functions: [sum, avg, count], bounds: [0, 1000], step: 0.01}\n",
        release,
        joins,
    );
    let users = policy(
        "retailer.users",
        "  state: {use: [dimension, filter]}\n  score: {use: [measure], functions: [sum], bounds: [0, 1000]}\n",
        release,
        every,
    );
    let segment = "  seg: {use: [dimension, filter]}\n";
    // Small groups are merged where every owner has it so.
    let few = if release.contains("merge") { "min_units: 2, small_groups: merge" } else { "min_units: 2" };
    let own = policy("partner.own", &format!("{segment}  lab: {{use: [dimension, filter]}}\n"), few, every);
    let own2 = policy("partner.own2", segment, few, every);
    let room =
        Room::new(ROOM, &[("sales.yaml", &sales), ("users.yaml", &users), ("own.yaml", &own), ("own2.yaml", &own2)]);
    let write = |name: &str, header: &str, rows: Vec<String>| {
        std::fs::write(room.path().join(name), format!("{header}\n{}\n", rows.join("\n"))).unwrap();
    };
    let category = |row: usize| ["garden", "toys", "books"][row % 3];
    let mut sales: Vec<String> = (1..=200)
        .flat_map(|person| {
            (0..=person % 3).map(move |row| {
                format!(
                    "{person},{},{}.25,2024-01-{:02}",
                    category(person + row),
                    10 + person % 50,
                    1 + (person + row) % 28
                )
            })
        })
        .collect();
    let mut users: Vec<String> =
        (1..=150).map(|person| format!("{person},{},{person}", if person % 2 == 1 { "CA" } else { "NY" })).collect();
    if alice {
        sales.extend((0..3).map(|row| format!("1000,garden,{}.31,2024-02-0{}", 791 + row, row + 1)));
        users.push("1000,AK,97".to_owned());
    }
    write("sales.csv", "hid,category,amount,ts", sales);
    write("users.csv", "hid,state,score", users);
    // Customers, people nobody knows, and one that is looked for beside one who does not exist.
    let own = (1..=60).map(|person| format!("{person},z,{}", person % 4));
    let unknown = (2000..2100).map(|person| format!("{person},y,7"));
    write("own.csv", "hid,seg,lab", own.chain(unknown).chain(["1000,x,9".to_owned(), "2500,x,9".to_owned()]).collect());
    let unknown = (3000..3100).map(|person| format!("{person},y"));
    write("own2.csv", "hid,seg", ["1000,x".to_owned(), "2500,x".to_owned()].into_iter().chain(unknown).collect());
    room
}

pub(super) const ANY_JOIN: &str =
    "require: none, types: [inner, semi, left, right, full, anti], analyst_tables: distinct";

/// In a UNION the analyst's own rows weigh nobody, however often they are listed.
#[test]
fn rows_that_are_listed_often_count_once_in_a_union() {
    let room = world(true, "min_units: 25", ANY_JOIN);
    let own = "SELECT hid,'o' AS t FROM partner.own";
    let often = [own; 4].join(" UNION ALL ");
    for of in [
        "SELECT SUM(n) s FROM (SELECT hid, COUNT(*) AS n, COUNT(CASE WHEN t='s' THEN 1 END) AS m FROM ({own} UNION ALL SELECT hid,'s' AS t FROM retailer.sales) u GROUP BY hid) p WHERE m > 0",
        "SELECT COUNT(*) c FROM (SELECT hid, t, MAX(t) OVER (PARTITION BY hid) x FROM ({own} UNION ALL SELECT hid,'s' AS t FROM retailer.sales) u) v WHERE x = 's'",
    ] {
        let once = room.ask("partner", &of.replace("{own}", own));
        let listed = room.ask("partner", &of.replace("{own}", &often));
        assert_eq!(once.outcome(), "released", "{of}: {}", once.json);
        assert_eq!(once.rows(), listed.rows(), "{of}");
    }
}

/// Own rows that meet none of their own kind are not further rows of a person: grouped by two keys they would be.
#[test]
fn rows_parted_by_an_own_match_weigh_nobody_twice() {
    let (once, twice) = (world(true, "min_units: 25", ANY_JOIN), world(true, "min_units: 25", ANY_JOIN));
    let own = std::fs::read_to_string(twice.path().join("own.csv")).unwrap();
    std::fs::write(twice.path().join("own.csv"), format!("{}\n1000,x,8\n", own.trim_end())).unwrap();
    let parted = "SELECT l.hid k, b.hid k2 FROM partner.own l LEFT JOIN (SELECT hid FROM partner.own GROUP BY hid) b ON b.hid=l.hid AND l.lab <> 8 GROUP BY l.hid, b.hid";
    let united = "SELECT k, k2 FROM (SELECT l.hid k, b.hid k2 FROM partner.own l LEFT JOIN (SELECT hid FROM partner.own WHERE lab = 8) b ON b.hid=l.hid UNION ALL SELECT hid AS k, hid AS k2 FROM partner.own) u GROUP BY k, k2";
    for pairs in [parted, united] {
        let sql = format!(
            "SELECT COUNT(*) n, COUNT(DISTINCT s.hid) u, SUM(s.amount) a FROM ({pairs}) w JOIN retailer.sales s ON s.hid = w.k"
        );
        let (once, twice) = (once.ask("partner", &sql), twice.ask("partner", &sql));
        assert_eq!((once.outcome(), once.rows()), (twice.outcome(), twice.rows()), "{sql}");
    }
}

/// The analyst's own labels are as many as it likes: their number weighs nobody.
#[test]
fn values_of_own_rows_are_not_counted_for_others() {
    let room = world(true, "min_units: 25", ANY_JOIN);
    let rows = (1..=60).flat_map(|person| (0..3).map(move |lab| format!("{person},z,{lab}")));
    let many = (0..50).map(|lab| format!("1000,x,{lab}"));
    let rows: Vec<String> = ["hid,seg,lab".to_owned()].into_iter().chain(rows).chain(many).collect();
    std::fs::write(room.path().join("own.csv"), rows.join("\n")).unwrap();
    // Rows that are there anyway hide nobody's.
    for n in [
        "COUNT(*) FILTER (WHERE l.seg='z' OR s.ts >= '2024-02-01')",
        "COUNT(COALESCE(s.category, 'x')) FILTER (WHERE l.lab = 0)",
    ] {
        let sql = format!(
            "SELECT SUM(n) FROM (SELECT l.hid, {n} n FROM partner.own l LEFT JOIN retailer.sales s ON s.hid=l.hid AND l.seg='x' GROUP BY l.hid) t"
        );
        all_refused(&room, "partner", &[(&sql, &["CR2108"])]);
    }
    for sql in [
        "SELECT SUM(k) FROM (SELECT o.hid, COUNT(DISTINCT o.lab) k FROM partner.own o JOIN retailer.sales s ON s.hid=o.hid GROUP BY o.hid) t",
        "SELECT AVG(k) FROM (SELECT s.hid, COUNT(DISTINCT CASE WHEN s.ts > '2024-01-01' THEN o.lab END) k FROM partner.own o JOIN retailer.sales s ON s.hid=o.hid GROUP BY s.hid) t",
        "SELECT SUM(k) FROM (SELECT hid, COUNT(DISTINCT lab) k FROM partner.own GROUP BY hid) o JOIN retailer.sales s ON s.hid=o.hid",
    ] {
        all_refused(&room, "partner", &[(sql, &["CR2108", "CR2207"])]);
    }
}

/// What anyone sees of an answer, but for its number and time.
pub(super) fn seen(room: &Room, sql: &str) -> Value {
    let mut answer = room.ask("partner", sql).json;
    if let Some(answer) = answer.as_object_mut() {
        answer.remove("query_id");
        answer.remove("receipt");
    }
    answer
}

const QUESTIONS: &[&str] = &[
    // The rows of one person beside many without a match.
    "SELECT COUNT(*) FILTER (WHERE seg='y' OR (seg='x' AND ts='2024-02-02' AND category='garden')) b, COUNT(*) FILTER (WHERE seg='y' OR (seg='x' AND ts='2024-02-05')) c FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid",
    "SELECT COUNT(*) FILTER (WHERE l.seg IN ('x','y')) FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid",
    "SELECT COUNT(DISTINCT l.hid) FILTER (WHERE l.seg='y' OR (l.seg='x' AND l.hid IN (SELECT hid FROM retailer.sales))) FROM partner.own l",
    "SELECT COUNT(DISTINCT l.hid) FILTER (WHERE l.seg IN ('x','y')) FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE o.hid IS NOT NULL OR l.seg='y'",
    "SELECT o.hid IS NOT NULL m, COUNT(DISTINCT l.hid) FILTER (WHERE l.seg='x') c FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY 1",
    // The same through sums, counts and windows for each person.
    "SELECT COUNT(DISTINCT hid) n, SUM(s) FILTER (WHERE seg IN ('x','p')) pair FROM (SELECT l.hid, l.seg, SUM(o.amount) s FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY l.hid, l.seg) t",
    "SELECT SUM(n) FILTER (WHERE seg IN ('x','y')) r, COUNT(*) c FROM (SELECT l.hid, l.seg, COUNT(o.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY l.hid, l.seg) t",
    "SELECT COUNT(*) FILTER (WHERE n = 0 AND seg = 'x') FROM (SELECT l.hid, l.seg, COUNT(o.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY l.hid, l.seg) t",
    "SELECT COUNT(*) FILTER (WHERE n = 0 AND seg IN ('x')) FROM (SELECT l.hid, l.seg, COUNT(o.hid) OVER (PARTITION BY l.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid) t",
    "SELECT COUNT(*) FILTER (WHERE n >= 3 OR seg = 'y') FROM (SELECT l.hid, l.seg, ROW_NUMBER() OVER (PARTITION BY l.hid ORDER BY o.ts) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE l.seg <> 'z') t",
    // Tags that excuse more than they tell.
    "SELECT t, COUNT(DISTINCT hid) n FROM (SELECT l.hid,'a' t FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE l.seg IN ('x','y') UNION ALL SELECT hid,'b' FROM partner.own) u GROUP BY t",
    "SELECT t, COUNT(DISTINCT hid) n FROM (SELECT hid,'a' t FROM (SELECT hid FROM partner.own UNION ALL SELECT hid FROM retailer.users WHERE state='AK') i UNION ALL SELECT hid,'b' FROM partner.own) u GROUP BY t",
    "SELECT t, COUNT(DISTINCT hid) n FROM (SELECT hid, 1 AS t FROM partner.own UNION ALL SELECT hid, 1.0 FROM retailer.users WHERE state='AK') u GROUP BY t",
    "SELECT t, COUNT(DISTINCT hid) n FROM (SELECT hid, CAST('x' AS BIGINT) AS t FROM partner.own UNION ALL SELECT hid, CAST('y' AS BIGINT) FROM retailer.users WHERE state='AK') u GROUP BY t",
    "SELECT t, COUNT(DISTINCT hid) n FROM (SELECT hid, DATE '2024-01-01' AS t FROM partner.own UNION ALL SELECT hid, DATE '2024-1-1' FROM retailer.users WHERE state='AK') u GROUP BY t",
    "SELECT t, COUNT(DISTINCT hid) n FROM (SELECT hid, 0.0 AS t FROM partner.own UNION ALL SELECT hid, -0.0 FROM retailer.users WHERE state='AK') u GROUP BY t",
    "SELECT CASE WHEN seg = 'z' THEN 'z' ELSE 'xy' END s, CASE WHEN o.hid IS NULL THEN 0.0 ELSE -0.0 END m, COUNT(DISTINCT l.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY 1, 2",
    // Counts of an optional side under other names.
    "SELECT COUNT(*) FILTER (WHERE hid IN (SELECT hid FROM retailer.sales)) FROM retailer.users WHERE state = 'AK'",
    "SELECT COUNT(m) b, AVG(CASE WHEN n > 0 THEN 1 ELSE 0 END) sh FROM (SELECT u.hid, MAX(s.category) m, COUNT(s.hid) n FROM partner.own2 u LEFT JOIN retailer.sales s ON u.hid = s.hid WHERE u.seg = 'x' GROUP BY u.hid) t",
    // What a window carries from one branch into the other.
    "SELECT t, COUNT(DISTINCT hid) c FROM (SELECT hid,t, MAX(t) OVER (PARTITION BY hid) x FROM (SELECT hid,'o' AS t FROM partner.own WHERE seg='x' UNION ALL SELECT hid,'s' AS t FROM retailer.sales) u) v WHERE x='o' GROUP BY t",
    "SELECT t, COUNT(DISTINCT hid) c FROM (SELECT hid,t, LAG(t) OVER (PARTITION BY hid ORDER BY t DESC) x FROM (SELECT hid,'o' AS t FROM partner.own WHERE seg='x' UNION ALL SELECT hid,'s' AS t FROM retailer.sales WHERE hid IN (SELECT hid FROM retailer.users WHERE state='AK')) u) v WHERE x IS NULL AND t='o' GROUP BY t",
    "SELECT t, x, COUNT(DISTINCT hid) c FROM (SELECT hid,t, COALESCE(MAX(q) OVER (PARTITION BY hid),'AK') x FROM (SELECT hid,'o' AS t, CAST(NULL AS VARCHAR) AS q FROM partner.own WHERE seg='x' UNION ALL SELECT hid,'s' AS t, state AS q FROM retailer.users) u) v GROUP BY t, x",
    "SELECT t, COUNT(*) c FROM (SELECT hid, t, COUNT(*) OVER (PARTITION BY hid) k FROM (SELECT hid, t, COUNT(*) n FROM (SELECT hid,'o' AS t FROM partner.own WHERE seg='x' UNION ALL SELECT hid,'s' AS t FROM retailer.sales) u GROUP BY hid, t) p) v WHERE k=1 AND t='o' GROUP BY t",
    // A branch's tag as a flag of who matches.
    "SELECT u.t, COUNT(DISTINCT l.hid) n FROM partner.own2 l LEFT JOIN (SELECT hid,'a' t FROM retailer.sales UNION ALL SELECT hid,'b' FROM retailer.sales) u ON l.hid=u.hid WHERE l.seg='x' GROUP BY u.t",
    // Those without a match, made optional.
    "SELECT COUNT(DISTINCT c.hid) all_c, COUNT(DISTINCT x.hid) non FROM partner.own2 c LEFT JOIN (SELECT a.hid FROM partner.own a LEFT JOIN retailer.sales b ON a.hid=b.hid WHERE b.hid IS NULL) x ON c.hid=x.hid",
    "SELECT COUNT(DISTINCT c.hid) FROM retailer.sales s FULL JOIN partner.own2 c ON c.hid=s.hid WHERE s.hid IS NULL",
    "SELECT s.hid IS NULL, COUNT(DISTINCT c.hid) FROM retailer.sales s FULL JOIN partner.own2 c ON c.hid=s.hid GROUP BY 1",
    "SELECT COUNT(DISTINCT hid) FROM partner.own2 WHERE hid NOT IN (SELECT hid FROM retailer.sales)",
    // Expressions that look like flags and are none: one value for some with a match and those without.
    "SELECT CASE WHEN o.category = 'garden' THEN 'g' ELSE 'n' END f, COUNT(DISTINCT l.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid AND o.ts >= '2024-02-01' GROUP BY 1",
    "SELECT COALESCE(o.category, 'garden') f, l.seg, COUNT(DISTINCT l.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid AND o.ts >= '2024-02-01' WHERE l.seg <> 'z' GROUP BY 1, 2",
    "SELECT CASE WHEN l.seg = 'x' THEN 'x' WHEN o.hid IS NULL THEN 'none' ELSE 'some' END f, COUNT(DISTINCT l.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY 1",
    "SELECT f, COUNT(*) n FROM (SELECT l.hid, MIN(CASE WHEN o.hid IS NULL OR o.ts < '2024-02-01' THEN 0 ELSE 1 END) f FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE l.seg <> 'z' GROUP BY l.hid) t GROUP BY f",
    // Flags of one person beside people who are known to match, or not to.
    "SELECT CASE WHEN o.hid IS NULL THEN 'none' ELSE 'some' END || l.seg f, COUNT(DISTINCT l.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY 1",
    "SELECT CASE WHEN o.hid IS NULL THEN 'none' WHEN l.seg = 'x' THEN 'x' ELSE 'some' END f, COUNT(DISTINCT l.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE l.seg <> 'z' GROUP BY 1",
    "SELECT f, seg, COUNT(*) n FROM (SELECT l.hid, l.seg, MAX(CASE WHEN o.hid IS NULL THEN 0 ELSE 1 END) f FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE l.seg <> 'z' GROUP BY l.hid, l.seg) t GROUP BY f, seg",
    "SELECT COUNT(DISTINCT l.hid) FILTER (WHERE l.hid IN (SELECT hid FROM retailer.sales)) a, COUNT(DISTINCT l.hid) FILTER (WHERE l.hid NOT IN (SELECT hid FROM retailer.sales)) b FROM partner.own2 l",
    // Sums to which one person adds, and shares of one.
    "SELECT SUM(n) s, COUNT(*) c FROM (SELECT hid, COUNT(*) FILTER (WHERE category = 'garden' AND ts >= '2024-02-01') n FROM retailer.sales WHERE hid IN (SELECT hid FROM retailer.users WHERE state <> 'AK') GROUP BY hid) t",
    "SELECT SUM(n) s FROM (SELECT hid, SUM(CASE WHEN ts >= '2024-02-01' THEN 1 ELSE 0 END) n FROM retailer.sales GROUP BY hid) t",
    "SELECT SUM(n) s FROM (SELECT hid, SUM(CASE WHEN ts >= '2024-02-01' THEN amount ELSE 0 END) n FROM retailer.sales GROUP BY hid) t",
    "SELECT AVG(CASE WHEN ts >= '2024-02-01' THEN 1 ELSE 0 END) s FROM retailer.sales",
    "SELECT SUM(CAST(ts >= '2024-02-01' AS INTEGER)) s FROM retailer.sales",
    // The same through counts that are 0, or 1 for all but one, and through flags of each person.
    "SELECT SUM(n) s, AVG(n) a FROM (SELECT hid, COUNT(DISTINCT CASE WHEN ts >= '2024-02-01' THEN category END) n FROM retailer.sales GROUP BY hid) t",
    "SELECT SUM(n) s, AVG(n) a FROM (SELECT hid, COUNT(DISTINCT CASE WHEN category = 'garden' AND ts >= '2024-02-01' THEN ts ELSE '2024-01-01' END) n FROM retailer.sales GROUP BY hid) t",
    "SELECT SUM(f) s, AVG(f) a FROM (SELECT hid, MAX(CASE WHEN ts >= '2024-02-01' THEN 1 ELSE 0 END) f FROM retailer.sales GROUP BY hid) t",
    "SELECT SUM(CAST(f AS BIGINT)) s, AVG(CAST(f AS BIGINT)) a FROM (SELECT hid, BOOL_OR(ts >= '2024-02-01') f FROM retailer.sales GROUP BY hid) t",
    "SELECT SUM(f) s, AVG(f) a FROM (SELECT hid, CASE WHEN ts >= '2024-02-01' THEN 1 ELSE 0 END f FROM retailer.sales) t",
    // Counts of an optional side: one person's rows beside many who have none, and one who has none beside many who have.
    "SELECT SUM(n) s, AVG(n) a, COUNT(*) c FROM (SELECT l.hid, COUNT(o.hid) n FROM partner.own2 l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY l.hid) t",
    "SELECT SUM(n) s, AVG(n) a, COUNT(*) c FROM (SELECT l.hid, COUNT(DISTINCT o.category) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE l.seg <> 'z' GROUP BY l.hid) t",
    "SELECT seg, SUM(n) s, AVG(n) a FROM (SELECT l.hid, l.seg, COUNT(o.ts) FILTER (WHERE o.ts >= '2024-02-01') n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY l.hid, l.seg) t GROUP BY seg",
    "SELECT SUM(f) s, AVG(f) a FROM (SELECT l.hid, MAX(CASE WHEN o.hid IS NULL THEN 0 ELSE 1 END) f FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE l.seg <> 'z' GROUP BY l.hid) t",
    "SELECT f, COUNT(*) n FROM (SELECT l.hid, BOOL_OR(o.hid IS NOT NULL) f FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid WHERE l.seg <> 'z' GROUP BY l.hid) t GROUP BY f",
    "SELECT AVG(COALESCE(o.amount, 0)) a, SUM(COALESCE(o.amount, 0)) s FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid AND o.ts >= '2024-02-01'",
    // A count that stands for none where nobody matches.
    "SELECT COALESCE(k.n, 0) c, COUNT(DISTINCT l.hid) h FROM partner.own2 l LEFT JOIN (SELECT hid, COUNT(*) n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid GROUP BY 1",
    "SELECT COALESCE(k.n, 3) c, COUNT(DISTINCT l.hid) h FROM partner.own l LEFT JOIN (SELECT hid, COUNT(*) n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid WHERE l.seg <> 'z' GROUP BY 1",
    "SELECT COALESCE(k.n, 0) c, COUNT(DISTINCT l.hid) h FROM partner.own l LEFT JOIN (SELECT hid, COUNT(*) FILTER (WHERE category='toys') n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid WHERE l.seg <> 'z' GROUP BY 1",
    // A count of what is NULL by its own words is 0 with a match, too: in groups, and as a condition.
    "SELECT CASE WHEN l.seg='z' THEN 'z' ELSE 'xy' END s, COALESCE(k.n, 0) c, COUNT(DISTINCT l.hid) h FROM partner.own l LEFT JOIN (SELECT hid, COUNT(NULL) n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid GROUP BY 1, 2",
    "SELECT COUNT(*) FILTER (WHERE l.seg='y' OR (l.seg='x' AND k.cat='garden')) a, COUNT(*) c FROM partner.own l LEFT JOIN (SELECT hid, MAX(category) cat, COUNT(CAST('x' AS BIGINT)) n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid WHERE COALESCE(k.n, 0) = 0",
    "SELECT COUNT(*) FILTER (WHERE l.seg='y' OR (l.seg='x' AND k.cat='garden')) a, COUNT(*) c FROM partner.own l LEFT JOIN (SELECT hid, MAX(category) cat, COUNT(CAST('9999999-01-01' AS DATE)) n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid WHERE COALESCE(k.n, 0) = 0",
    // The first row of each person.
    "SELECT category, COUNT(*) n FROM (SELECT DISTINCT ON (hid) hid, category FROM retailer.sales WHERE ts >= '2024-02-01' ORDER BY hid, ts) t GROUP BY category",
    "SELECT COUNT(DISTINCT hid) n FROM partner.own2 JOIN retailer.sales USING (hid) JOIN retailer.users USING (hid)",
];

/// Groups that tell of themselves alone that nobody in them matches, and what tells as much of counts.
const TOLD_ALONE: &[&str] = &[
    // A group of rows without a match beside groups that do not tell: whoever is in none of two lists.
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM retailer.users u WHERE u.hid=l.hid AND u.state <> 'AK') THEN 'user' WHEN EXISTS (SELECT 1 FROM retailer.sales s WHERE s.hid=l.hid AND s.ts >= '2024-02-01') THEN 'late' ELSE 'none' END f, COUNT(*) n FROM partner.own l GROUP BY 1",
    "SELECT CASE WHEN l.seg='z' THEN 'z' WHEN o.hid IS NULL THEN 'none' ELSE 'some' END f, COUNT(DISTINCT l.hid) n FROM partner.own l LEFT JOIN retailer.sales o ON l.hid=o.hid AND o.ts >= '2024-02-01' GROUP BY 1",
    "SELECT CASE WHEN l.seg='q' THEN 'q' WHEN o.hid IS NULL THEN 'none' ELSE 'some' END f, COUNT(*) n FROM partner.own2 l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY 1",
    "SELECT CASE WHEN l.seg='q' THEN NULL WHEN o.hid IS NULL THEN NULL ELSE 'some' END f, COUNT(*) n FROM partner.own2 l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY 1",
    "SELECT CASE WHEN l.seg='x' THEN 'none' WHEN o.hid IS NULL THEN 'none' WHEN l.seg='q' THEN 'some' ELSE 'none' END f, COUNT(*) n FROM partner.own2 l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY 1",
    "SELECT CASE WHEN l.seg='q' THEN 'q' WHEN u.state IS NULL THEN 'none' ELSE u.state END f, COUNT(*) n FROM partner.own l LEFT JOIN retailer.users u ON l.hid=u.hid WHERE l.seg <> 'z' GROUP BY 1",
    "WITH r AS (SELECT l.hid, CASE WHEN l.seg='q' THEN 'q' WHEN o.hid IS NULL THEN 'none' ELSE 'some' END f FROM partner.own2 l LEFT JOIN retailer.sales o ON l.hid=o.hid) SELECT f, COUNT(*) n FROM r GROUP BY f UNION ALL SELECT 'all', COUNT(*) FROM r",
    // What comes of flags and counts by arithmetic and comparisons.
    "SELECT SUM(1 - f) s, SUM(f * f) m, COUNT(*) c FROM (SELECT l.hid, MAX(CASE WHEN o.hid IS NULL THEN 0 ELSE 1 END) f FROM partner.own2 l LEFT JOIN retailer.sales o ON l.hid=o.hid GROUP BY l.hid) t",
    "SELECT SUM(1 - f) s FROM (SELECT hid, MAX(CASE WHEN ts >= '2024-02-01' THEN 0 ELSE 1 END) f FROM retailer.sales GROUP BY hid) t",
    "SELECT LEAST(COALESCE(k.n, 0), 3) c, COUNT(DISTINCT l.hid) h FROM partner.own2 l LEFT JOIN (SELECT hid, COUNT(*) n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid GROUP BY 1",
    "SELECT CASE WHEN COALESCE(k.n, 0) >= 1 THEN 'some' ELSE 'none' END c, COUNT(DISTINCT l.hid) h FROM partner.own2 l LEFT JOIN (SELECT hid, COUNT(*) n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid GROUP BY 1",
    "SELECT CASE WHEN COALESCE(k.n, 0) >= 1 THEN 'some' ELSE 'none' END c, COUNT(DISTINCT l.hid) h FROM partner.own l LEFT JOIN (SELECT hid, COUNT(*) FILTER (WHERE ts >= '2024-02-01') n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid WHERE l.seg <> 'z' GROUP BY 1",
    "SELECT LEAST(COALESCE(k.n, 0), 0) c, COUNT(DISTINCT l.hid) h FROM partner.own l LEFT JOIN (SELECT hid, COUNT(*) n FROM retailer.sales GROUP BY hid) k ON k.hid=l.hid WHERE l.seg <> 'z' GROUP BY 1",
    "SELECT GREATEST(COALESCE(k.n, 0), 1) c, COUNT(DISTINCT l.hid) h FROM partner.own l LEFT JOIN (SELECT hid, COUNT(*) n FROM retailer.sales WHERE ts >= '2024-02-01' GROUP BY hid) k ON k.hid=l.hid GROUP BY 1",
];

#[test]
fn one_person_more_or_less_changes_no_group_of_those_in_none_of_several_lists() {
    for release in ["min_units: 25", "min_units: 25, dominance: {top: 1, max_share: 0.5}"] {
        let (with, without) = (world(true, release, ANY_JOIN), world(false, release, ANY_JOIN));
        for sql in TOLD_ALONE {
            assert_eq!(seen(&with, sql), seen(&without, sql), "{release}: {sql}");
        }
    }
}

#[test]
fn one_person_more_or_less_changes_nothing_that_is_seen() {
    for release in ["min_units: 25", "min_units: 25, dominance: {top: 1, max_share: 0.5}"] {
        let (with, without) = (world(true, release, ANY_JOIN), world(false, release, ANY_JOIN));
        for sql in QUESTIONS {
            assert_eq!(seen(&with, sql), seen(&without, sql), "{release}: {sql}");
        }
    }
}

#[test]
fn what_an_owner_asks_of_joins_holds_in_unions_and_outer_joins() {
    let room =
        world(true, "min_units: 25", "require: other_partner, with: [retailer.*], types: [inner, semi, left, anti]");
    all_refused(
        &room,
        "partner",
        &[
            ("SELECT category, COUNT(*) FROM retailer.sales GROUP BY category", &["CR2204"]),
            (
                "SELECT t, category, COUNT(*) c FROM (SELECT hid, category, 'a' t FROM retailer.sales UNION ALL SELECT hid, seg, 'b' FROM partner.own) u GROUP BY t, category",
                &["CR2203", "CR2204"],
            ),
            (
                "SELECT category, COUNT(*) FROM retailer.sales s LEFT JOIN partner.own o ON s.hid = o.hid GROUP BY category",
                &["CR2203", "CR2204"],
            ),
            (
                "SELECT category, COUNT(*) FROM retailer.sales WHERE hid NOT IN (SELECT hid FROM partner.own) GROUP BY category",
                &["CR2203", "CR2204"],
            ),
        ],
    );
}

#[test]
fn a_union_does_not_hide_who_dominates_and_odd_forms_are_refused() {
    let room = world(true, "min_units: 25, dominance: {top: 1, max_share: 0.5}", ANY_JOIN);
    all_refused(
        &room,
        "partner",
        &[
            (
                "SELECT SUM(a) FROM (SELECT hid, amount a FROM retailer.sales WHERE category='garden' UNION ALL SELECT hid, amount*1000000 FROM retailer.sales WHERE category<>'garden') u",
                &["CR2302"],
            ),
            ("SELECT SUM(CAST('x' AS BIGINT)) FROM retailer.sales", &["CR2108"]),
            (
                "SELECT COUNT(*) FROM (SELECT hid, SUM(amount) OVER (PARTITION BY hid ORDER BY ts ROWS BETWEEN 5 PRECEDING AND 7 PRECEDING) s FROM retailer.sales) t",
                &["CR2302"],
            ),
            (
                "SELECT COUNT(*) FROM retailer.sales a JOIN retailer.sales b ON a.hid = b.hid JOIN retailer.sales c ON a.hid = c.hid",
                &["CR1004"],
            ),
            ("SELECT COUNT(DISTINCT hid) FROM retailer.sales FULL JOIN partner.own USING (hid)", &["CR1009"]),
            (
                "SELECT COUNT(DISTINCT hid) FROM (SELECT hid FROM partner.own EXCEPT ALL SELECT hid FROM retailer.sales) t",
                &["CR1003"],
            ),
        ],
    );
}

#[test]
fn under_a_guard_none_is_not_told_from_one() {
    let release = "min_units: 25, difference: 10";
    let (with, without) = (world(true, release, ANY_JOIN), world(false, release, ANY_JOIN));
    let sets = "SELECT category, COUNT(*) n FROM retailer.sales WHERE category='toys' OR (category='garden' AND ts>='2024-02-01') GROUP BY ROLLUP(category)";
    all_refused(&with, "partner", &[(sets, &["CR2302"])]);
    for sql in [
        "SELECT COUNT(DISTINCT s.hid) FROM partner.own o JOIN retailer.sales s ON s.hid=o.hid WHERE o.seg='z'",
        "SELECT COUNT(DISTINCT o.hid) a, COUNT(DISTINCT s.hid) n FROM partner.own o LEFT JOIN retailer.sales s ON s.hid=o.hid WHERE o.seg='z' OR o.lab=9",
        "WITH r AS (SELECT hid, category FROM retailer.sales WHERE category='toys' OR (category='garden' AND ts>='2024-02-01')) SELECT category, n, (SELECT COUNT(*) FROM r) t FROM (SELECT category, COUNT(*) n FROM r GROUP BY category) p",
    ] {
        let (one, other) = (seen(&with, sql), seen(&without, sql));
        let rows = |answer: &Value| answer["rows"].as_array().map(|rows| (rows.len(), nulls(rows)));
        assert_eq!(rows(&one), rows(&other), "{sql}: {one} {other}");
    }
}

/// Where nothing is shown.
fn nulls(rows: &[Value]) -> Vec<Vec<bool>> {
    rows.iter().map(|row| row.as_array().unwrap().iter().map(Value::is_null).collect()).collect()
}

/// Where more than the key is asked of a match, one of a unit's rows may have one and another none: what a window brings the
/// second of the first makes it no row of somebody without a match.
/// A remainder of groups without a match, and of one that one person is the only one in.
#[test]
fn nobody_decides_alone_whether_the_remainder_shows() {
    let release = "min_units: 25, small_groups: merge";
    let (with, without) = (world(true, release, ANY_JOIN), world(false, release, ANY_JOIN));
    for label in [
        "CASE WHEN l.seg='z' THEN 'z' WHEN o.hid IS NOT NULL THEN 'some' END",
        "CASE WHEN o.hid IS NOT NULL THEN COALESCE(l.seg, '?') END",
    ] {
        let sql = format!(
            "SELECT {label} f, COUNT(*) n FROM partner.own l LEFT JOIN (SELECT DISTINCT hid FROM retailer.sales) o ON o.hid=l.hid GROUP BY 1"
        );
        let (with, without) = (with.ask("partner", &sql), without.ask("partner", &sql));
        assert_eq!((with.outcome(), with.rows()), (without.outcome(), without.rows()), "{sql}");
    }
}

/// A key that one branch of a UNION has and another only where an outer join matches: of one person's rows one matches.
#[test]
fn a_key_of_some_branches_brings_no_match_to_rows_without_one() {
    let (garden, toys) = (world(true, "min_units: 25", ANY_JOIN), world(true, "min_units: 25", ANY_JOIN));
    let sales = std::fs::read_to_string(toys.path().join("sales.csv")).unwrap();
    assert!(sales.contains("\n1000,garden,"), "{sales}");
    std::fs::write(toys.path().join("sales.csv"), sales.replace("\n1000,garden,", "\n1000,toys,")).unwrap();
    let united = "SELECT l.hid AS h1, l.hid AS h2, l.seg FROM partner.own l UNION ALL SELECT l.hid AS h1, o.hid AS h2, l.seg FROM partner.own l LEFT JOIN (SELECT hid FROM retailer.users WHERE state <> 'AK') o ON o.hid = l.hid";
    let late = "SELECT hid, category FROM retailer.sales WHERE ts >= '2024-01-15'";
    let joined = format!(
        "SELECT u.h1, u.seg, s.hid IS NULL AS m, MAX(s.category) OVER (PARTITION BY u.h1) AS mx FROM ({united}) u LEFT JOIN ({late}) s ON s.hid = u.h2"
    );
    let told = "CASE WHEN (mx IS NULL AND seg <> 'x') OR (seg = 'x' AND mx = 'garden') THEN 'p' WHEN seg = 'z' THEN 'q' ELSE 'r' END";
    for sql in [
        format!("SELECT m, {told} AS f, COUNT(DISTINCT h1) AS n FROM ({joined}) j GROUP BY 1, 2"),
        format!(
            "SELECT CASE WHEN seg='q' THEN 'q' WHEN NOT m THEN 'some' ELSE 'none' END AS g, {told} AS f, COUNT(DISTINCT h1) AS n FROM ({joined}) j GROUP BY 1, 2"
        ),
        format!(
            "SELECT e, CASE WHEN seg = 'y' OR (seg = 'x' AND w = 1) THEN 'p' ELSE seg END AS f, COUNT(DISTINCT h1) AS n FROM (SELECT h1, seg, e, MAX(CASE WHEN e AND seg <> 'y' THEN 1 ELSE 0 END) OVER (PARTITION BY h1) AS w FROM (SELECT u.h1, u.seg, EXISTS (SELECT 1 FROM retailer.sales s WHERE s.hid = u.h2 AND s.category = 'garden') AS e FROM ({united}) u) v) j GROUP BY 1, 2"
        ),
    ] {
        assert_eq!(seen(&garden, &sql), seen(&toys, &sql), "{sql}");
    }
}

#[test]
fn a_window_brings_no_match_to_rows_without_one() {
    let (with, without) = (world(true, "min_units: 25", ANY_JOIN), world(false, "min_units: 25", ANY_JOIN));
    for room in [&with, &without] {
        let own = std::fs::read_to_string(room.path().join("own.csv")).unwrap();
        std::fs::write(room.path().join("own.csv"), format!("{}\n1000,x,8\n", own.trim_end())).unwrap();
    }
    let joined = "SELECT l.hid, s.hid IS NULL m, l.seg, MAX(s.category) OVER (PARTITION BY l.hid) mx, COUNT(*) OVER (PARTITION BY l.hid) c FROM partner.own l LEFT JOIN retailer.sales s ON s.hid=l.hid AND l.lab <> 8";
    // Grouped by both keys a unit has a row with a match and one without.
    let both_keys = "SELECT l.hid k, s.hid sk, MAX(l.seg) seg, MAX(s.category) cat FROM partner.own l LEFT JOIN retailer.sales s ON s.hid=l.hid AND l.lab <> 8 GROUP BY l.hid, s.hid";
    let flag = "EXISTS (SELECT 1 FROM retailer.sales s WHERE s.hid=l.hid AND l.lab <> 8)";
    for sql in [
        format!(
            "SELECT m, CASE WHEN seg='y' OR (seg='x' AND mx='garden') THEN 1 ELSE 0 END f, COUNT(DISTINCT hid) n FROM ({joined}) t GROUP BY 1, 2"
        ),
        format!(
            "SELECT COUNT(*) FILTER (WHERE seg='y' OR (seg='x' AND mx='garden')) n, COUNT(*) FILTER (WHERE seg='y' OR (seg='x' AND c > 2)) k FROM ({joined}) t WHERE m"
        ),
        format!(
            "SELECT m, CASE WHEN seg='y' OR (seg='x' AND mx='garden') THEN 1 ELSE 0 END f, COUNT(DISTINCT k) n FROM (SELECT k, sk IS NULL m, seg, MAX(cat) OVER (PARTITION BY k) mx FROM ({both_keys}) p) t GROUP BY 1, 2"
        ),
        format!(
            "SELECT m, CASE WHEN seg='y' OR (seg='x' AND w=1) THEN 1 ELSE 0 END f, COUNT(DISTINCT hid) n FROM (SELECT hid, seg, m, MAX(CASE WHEN m THEN 1 ELSE 0 END) OVER (PARTITION BY hid) w FROM (SELECT l.hid, l.seg, {flag} m FROM partner.own l) u) t GROUP BY 1, 2"
        ),
    ] {
        assert_eq!(seen(&with, &sql), seen(&without, &sql), "{sql}");
    }
    // By the key alone a unit's rows match together, and those without a match are told.
    let newest = "SELECT m, COUNT(DISTINCT hid) n FROM (SELECT l.hid, s.hid IS NULL m, ROW_NUMBER() OVER (PARTITION BY l.hid ORDER BY s.ts DESC) r FROM partner.own l LEFT JOIN retailer.sales s ON s.hid=l.hid) t WHERE r = 1 GROUP BY m";
    // Of several rows of the list, it would say which one is the first whether somebody matches.
    assert_eq!(with.ask("partner", newest).rows().len(), 0);
    let one_row = world(true, "min_units: 25", ANY_JOIN);
    assert_eq!(one_row.ask("partner", newest).rows().len(), 2);
}

/// One person is a customer, and another with the very same rows is none; or the other way round: every number of the
/// retailer's tables alone is the same. The analyst's list has the one, known customers, and people who do not exist.
pub(super) fn swapped(first: bool, known: usize, release: &str, joins: &str) -> Room {
    let room = world(true, release, joins);
    let there = if first { "1000" } else { "5000" };
    for file in ["sales.csv", "users.csv"] {
        let path = room.path().join(file);
        let rows = std::fs::read_to_string(&path).unwrap().replace("\n1000,", &format!("\n{there},"));
        std::fs::write(path, rows).unwrap();
    }
    let path = room.path().join("own2.csv");
    let known: String = (1..=known).map(|person| format!("{person},x\n")).collect();
    let rows = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, format!("{rows}{known}")).unwrap();
    room
}

/// The floor of the analyst's own list is no floor of those who are found by it.
#[test]
fn a_low_floor_of_ones_own_lets_nobody_be_found() {
    let rest = "SELECT hid FROM partner.own2 UNION ALL SELECT hid FROM retailer.users";
    let questions = [
        format!("SELECT COUNT(*) FROM retailer.sales s WHERE s.hid IN ({rest})"),
        "SELECT COUNT(*) FROM retailer.sales s LEFT JOIN partner.own2 o ON o.hid = s.hid".to_owned(),
        "SELECT COUNT(DISTINCT hid), SUM(amount) FROM retailer.sales WHERE hid NOT IN (SELECT hid FROM partner.own2)".to_owned(),
        "SELECT COUNT(*) FROM (SELECT hid FROM retailer.sales EXCEPT SELECT hid FROM partner.own2) t".to_owned(),
        "SELECT EXISTS (SELECT 1 FROM partner.own2 o WHERE o.hid = s.hid) e, COUNT(*) FROM retailer.sales s GROUP BY 1".to_owned(),
        "SELECT COUNT(*) FROM retailer.sales s WHERE s.category = 'toys' OR EXISTS (SELECT 1 FROM partner.own2 o WHERE o.hid = s.hid)".to_owned(),
    ];
    for (release, joins) in [
        ("min_units: 25", ANY_JOIN),
        ("min_units: 25, difference: 10", ANY_JOIN),
        ("min_units: 25, small_groups: merge", ANY_JOIN),
        ("min_units: 25", "require: none, types: [inner, semi, left]"),
    ] {
        // With the one who is looked for they are as many as the analyst's own floor asks for.
        let (with, without) = (swapped(true, 1, release, joins), swapped(false, 1, release, joins));
        for sql in &questions {
            assert_eq!(seen(&with, sql), seen(&without, sql), "{release}: {sql}");
        }
    }
}

/// Rows of two owners side by side: the number of all of them tells how many stand on both sides.
#[test]
fn rows_side_by_side_do_not_tell_who_is_in_both() {
    let sides = "(SELECT hid, 'a' t FROM partner.own2 UNION ALL SELECT hid, 'b' FROM retailer.users) u";
    let some = "(SELECT hid, state, 's' t FROM retailer.users UNION ALL SELECT hid, 'AK', 'o' FROM partner.own2) u";
    let questions = [
        format!("SELECT COUNT(DISTINCT hid) d, COUNT(*) n FROM {sides}"),
        format!("SELECT n, COUNT(*) FROM (SELECT hid, COUNT(DISTINCT t) n FROM {sides} GROUP BY hid) v GROUP BY n"),
        format!("SELECT COUNT(*) FILTER (WHERE n = 1) FROM (SELECT hid, COUNT(DISTINCT t) n FROM {sides} GROUP BY hid) v"),
        format!("SELECT COUNT(*) FROM (SELECT DISTINCT hid FROM {sides}) v"),
        format!("SELECT state, COUNT(DISTINCT hid) d, COUNT(*) n FROM {some} GROUP BY state"),
        "SELECT COUNT(DISTINCT hid) FROM (SELECT hid FROM partner.own2 UNION SELECT hid FROM retailer.sales) u".to_owned(),
        "SELECT COUNT(*) FROM partner.own2 o FULL JOIN retailer.sales s ON o.hid = s.hid".to_owned(),
        "SELECT COUNT(*) FROM partner.own2 o FULL JOIN (SELECT * FROM retailer.users WHERE state IN ('AK', 'CA')) s ON o.hid = s.hid AND s.state = 'AK'".to_owned(),
        // What tags and flags tell apart stands together again in a remainder.
        "SELECT t, d, COUNT(DISTINCT hid) FROM (SELECT hid, 'o' t, seg d FROM partner.own2 UNION ALL SELECT hid, 's', CAST(ts AS VARCHAR) FROM retailer.sales) u GROUP BY t, d".to_owned(),
        "SELECT o.hid IS NULL a, COUNT(*) FROM partner.own2 o FULL JOIN retailer.users s ON o.hid = s.hid GROUP BY 1".to_owned(),
        "SELECT o.hid IS NULL a, s.hid IS NULL b, COUNT(*) FROM partner.own2 o FULL JOIN retailer.users s ON o.hid = s.hid GROUP BY 1, 2".to_owned(),
        "SELECT t, EXISTS (SELECT 1 FROM partner.own2 o WHERE o.hid = u.hid) e, COUNT(DISTINCT hid) FROM (SELECT hid, 'o' t FROM partner.own2 UNION ALL SELECT hid, 's' FROM retailer.sales) u GROUP BY 1, 2".to_owned(),
        "SELECT CASE WHEN o.seg = 'y' THEN 'y' ELSE 'n' END g, COUNT(*) FROM partner.own2 o FULL JOIN retailer.sales s ON o.hid = s.hid GROUP BY 1".to_owned(),
    ];
    for (release, joins) in [
        ("min_units: 25", ANY_JOIN),
        ("min_units: 25, difference: 10", ANY_JOIN),
        ("min_units: 25, small_groups: merge", ANY_JOIN),
        ("min_units: 25", "require: none, types: [inner, semi]"),
    ] {
        let (with, without) = (swapped(true, 0, release, joins), swapped(false, 0, release, joins));
        for sql in &questions {
            assert_eq!(seen(&with, sql), seen(&without, sql), "{release}: {sql}");
        }
    }
    // Where enough stand on both sides they are told, as a join would tell them.
    let room = swapped(true, 40, "min_units: 25", ANY_JOIN);
    for sql in [&questions[0], &questions[5], &questions[6]] {
        assert_eq!(room.ask("partner", sql).outcome(), "released", "{sql}");
    }
}

/// That enough others match is not said by people of another branch.
#[test]
fn the_matches_of_one_branch_excuse_no_other() {
    let both = "(SELECT hid,'o' t FROM partner.own2 UNION ALL SELECT hid,'s' FROM retailer.sales) u";
    let either = "(SELECT COALESCE(o.hid, s.hid) hid, o.hid IS NULL t FROM partner.own2 o FULL JOIN retailer.sales s ON o.hid = s.hid) u";
    for (release, joins) in [
        ("min_units: 25", ANY_JOIN),
        ("min_units: 25, difference: 10", ANY_JOIN),
        ("min_units: 25", "require: none, types: [inner, semi, left]"),
    ] {
        let (with, without) = (swapped(true, 0, release, joins), swapped(false, 0, release, joins));
        for rows in [both, either] {
            for of in [
                "SELECT t, m, COUNT(DISTINCT hid) FROM (SELECT u.hid, u.t, EXISTS (SELECT 1 FROM retailer.sales s WHERE s.hid = u.hid) m FROM {rows}) v GROUP BY t, m",
                "SELECT t, COUNT(DISTINCT u.hid) FROM {rows} WHERE u.hid NOT IN (SELECT hid FROM retailer.users) GROUP BY 1",
                "SELECT t, COUNT(DISTINCT u.hid) FROM {rows} LEFT JOIN retailer.users s ON s.hid = u.hid WHERE s.hid IS NULL GROUP BY 1",
                "SELECT t, s.hid IS NULL m, COUNT(DISTINCT u.hid) FROM {rows} LEFT JOIN retailer.users s ON s.hid = u.hid GROUP BY 1, 2",
            ] {
                let sql = of.replace("{rows}", rows);
                assert_eq!(seen(&with, &sql), seen(&without, &sql), "{release}: {sql}");
            }
        }
    }
}

/// Of people whom a third table all has, one or the other of two lists: the number of those tells how many are in both.
#[test]
fn one_or_the_other_does_not_tell_who_is_both() {
    let world = |first: bool, release: &str| {
        let room = swapped(first, 0, release, ANY_JOIN);
        // Both are users in either world, and so are sixty of the analyst's list who never bought.
        let users = (6000..6060).map(|person| format!("{person},TX,1\n")).collect::<String>();
        let add = |file: &str, more: &str| {
            let path = room.path().join(file);
            let rows = std::fs::read_to_string(&path).unwrap();
            std::fs::write(path, format!("{rows}{more}")).unwrap();
        };
        add("users.csv", &format!("{users}{},AK,97\n", if first { 5000 } else { 1000 }));
        add("own2.csv", &(6000..6060).map(|person| format!("{person},x\n")).collect::<String>());
        room
    };
    let united = "(SELECT DISTINCT hid, 'a' t FROM partner.own2 UNION ALL SELECT DISTINCT hid, 'b' FROM retailer.sales) u JOIN retailer.users x ON x.hid = u.hid";
    let beside = "retailer.users x LEFT JOIN partner.own2 o ON o.hid = x.hid LEFT JOIN (SELECT DISTINCT hid FROM retailer.sales) s ON s.hid = x.hid";
    let questions = [
        format!("SELECT COUNT(DISTINCT u.hid) d, COUNT(*) n FROM {united}"),
        format!("SELECT COUNT(*) FROM {beside} WHERE o.hid IS NOT NULL OR s.hid IS NOT NULL"),
        format!("SELECT COUNT(*) FILTER (WHERE o.hid IS NOT NULL OR s.hid IS NOT NULL) e, COUNT(o.hid) a, COUNT(s.hid) b FROM {beside}"),
        format!("SELECT COUNT(CASE WHEN o.hid IS NOT NULL THEN 1 WHEN s.hid IS NOT NULL THEN 1 END) e FROM {beside}"),
        format!("SELECT COUNT(COALESCE(o.hid, s.hid)) e FROM {beside}"),
        format!("SELECT COALESCE(o.hid, s.hid) IS NULL g, COUNT(*) e FROM {beside} GROUP BY 1"),
        format!("SELECT COUNT(*) FILTER (WHERE k > 0) FROM (SELECT x.hid, COUNT(o.hid) + COUNT(s.hid) k FROM {beside} GROUP BY x.hid) t"),
        "SELECT COUNT(*) FROM retailer.users x WHERE EXISTS (SELECT 1 FROM partner.own2 o WHERE o.hid = x.hid) OR EXISTS (SELECT 1 FROM retailer.sales s WHERE s.hid = x.hid)".to_owned(),
        "SELECT COUNT(*) FROM retailer.users x WHERE NOT (x.hid NOT IN (SELECT hid FROM partner.own2) AND x.hid NOT IN (SELECT hid FROM retailer.sales))".to_owned(),
        "SELECT COUNT(*) FROM retailer.users WHERE hid IN (SELECT hid FROM partner.own2 UNION SELECT hid FROM retailer.sales)".to_owned(),
    ];
    for release in ["min_units: 25", "min_units: 25, difference: 10", "min_units: 25, small_groups: merge"] {
        let (with, without) = (world(true, release), world(false, release));
        for sql in &questions {
            assert_eq!(seen(&with, sql), seen(&without, sql), "{release}: {sql}");
        }
    }
}
