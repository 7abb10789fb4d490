//! What an owner writes policies with: `cleanroom policy new`, `check`, `explain`, `diff` and `attack`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Room, cleanroom, shared};

const SALES: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.sales\nversion: 1\n\
    unit: {column: card, space: card}\ncolumns:\n  card: {use: [join, count]}\n  city: {use: [dimension, filter]}\n  \
    kind: {use: [dimension, filter]}\n  spent: {use: [measure], functions: [sum, avg], bounds: [0, 1000], step: 0.01}\n\
    release: {min_units: 10}\naccess: {analysts: [media], receivers: [media]}\n";

const ADS: &str = "apiVersion: cleanroom/v1\nkind: Policy\ntable: media.ads\nversion: 1\n\
    unit: {column: card, space: card}\ncolumns:\n  card: {use: [join, count]}\n  ad: {use: [dimension, filter]}\n\
    release: {min_units: 10}\naccess: {analysts: [media], receivers: [media]}\n";

const ROOM: &str = "apiVersion: cleanroom/v1\nkind: Room\nname: first\npartners:\n  - name: shop\n    abilities: [contribute]\n    tables:\n      \
    - {name: sales, source: {file: sales.csv}, policy: sales.yaml}\n  - name: media\n    abilities: [contribute, query, receive]\n    tables:\n      \
    - {name: ads, source: {file: ads.csv}, policy: ads.yaml}\n";

/// 200 cards in four cities and, but for three of them, of one kind. One card of the city `west` spends more than all others there, and
/// one card alone is of the kind `solo`.
fn sales() -> String {
    let mut csv = "card,city,kind,spent,note\n".to_owned();
    for card in 0..200 {
        let city = ["north", "east", "south", "west"][card % 4];
        let kind = match card {
            7 => "solo",
            8 | 9 => "pair",
            _ => "usual",
        };
        let spent = if card == 3 { 987.65 } else { 1.5 };
        writeln!(csv, "c{card},{city},{kind},{spent},secret{card}").unwrap();
    }
    csv
}

fn room() -> Room {
    let room = Room::new(ROOM, &[("sales.yaml", SALES), ("ads.yaml", ADS)]);
    fs::write(room.path().join("sales.csv"), sales()).unwrap();
    let ads: String = (100..300).map(|card| format!("c{card},{}\n", ["red", "blue"][card % 2])).collect();
    fs::write(room.path().join("ads.csv"), format!("card,ad\n{ads}")).unwrap();
    room
}

/// What a command printed, and how it ended.
struct Ran {
    exit: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

fn run(room: &Room, arguments: &[&str]) -> Ran {
    let output = room.run(arguments);
    Ran {
        exit: output.status.code().unwrap(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn rules(json: &Value) -> Vec<&str> {
    json["warnings"].as_array().unwrap().iter().map(|warning| warning["rule"].as_str().unwrap()).collect()
}

#[test]
fn check_tells_what_a_policy_is_against_its_data() {
    let room = room();
    let checked = run(&room, &["policy", "check", "sales.yaml", "--data", "sales.csv", "--format", "json"]);
    assert_eq!(checked.exit, 0);
    assert_eq!(rules(&checked.json()), Vec::<&str>::new(), "three rare cards of 200 are few: {}", checked.out);

    let oddities = SALES
        .replace(
            "kind: {use: [dimension, filter]}",
            "kind: {use: [dimension, filter], values: [usual, rare]}\n  note: {use: [dimension]}",
        )
        .replace("bounds: [0, 1000]", "bounds: [0, 1]")
        .replace("release:", "rows: \"spent > 0\"\nrelease:");
    fs::write(room.path().join("odd.yaml"), &oddities).unwrap();
    let checked = run(&room, &["policy", "check", "odd.yaml", "--data", "sales.csv", "--format", "json", "--strict"]);
    assert_eq!(checked.exit, 1, "{}", checked.err);
    let json = checked.json();
    assert_eq!(
        rules(&json),
        ["columns.kind.values", "columns.kind.values", "columns.note", "columns.spent.bounds", "rows"],
        "{json:#}"
    );
    let messages = json["warnings"].to_string();
    for part in
        ["1 of 2 values do not occur", "no group of `note` has 10 units", "cut off most values: 100 %", "drops no row"]
    {
        assert!(messages.contains(part), "`{part}` is missing in {messages}");
    }
    assert!(!checked.out.contains("secret") && !checked.err.contains("secret"), "values are never told");

    let none = SALES.replace("release: {min_units: 10}", "rows: \"city = 'nowhere'\"\nrelease: {min_units: 500}");
    fs::write(room.path().join("none.yaml"), none).unwrap();
    let checked = run(&room, &["policy", "check", "none.yaml", "--data", "sales.csv"]);
    assert!(checked.err.contains("warning: none.yaml:11: rows: the condition drops every row"), "{}", checked.err);
    let many = SALES.replace("min_units: 10", "min_units: 500");
    fs::write(room.path().join("many.yaml"), many).unwrap();
    let checked = run(&room, &["policy", "check", "many.yaml", "--data", "sales.csv"]);
    assert!(checked.err.contains("200 different card, fewer than the floor of 500"), "{}", checked.err);
}

#[test]
fn check_refuses_what_does_not_fit_the_data_and_knows_the_room() {
    let room = room();
    for (from, to, what) in [
        ("spent: {", "spend: {", "column `spend`: no such column"),
        ("city: {use: [dimension, filter]}", "city: {use: [dimension, filter], grain: day}", "column `city`"),
        ("release:", "rows: \"colour = 'red'\"\nrelease:", "`rows` is no condition"),
    ] {
        fs::write(room.path().join("bad.yaml"), SALES.replacen(from, to, 1)).unwrap();
        let checked = run(&room, &["policy", "check", "bad.yaml", "--data", "sales.csv"]);
        assert_eq!(checked.exit, 2, "{}", checked.out);
        assert!(checked.err.contains(what), "{}", checked.err);
    }
    // The room's data is looked at without being named, and the others' policies are known.
    let checked = run(&room, &["policy", "check", "sales.yaml", "ads.yaml", "--room", "room.yaml", "--format", "json"]);
    assert_eq!((checked.exit, rules(&checked.json())), (0, Vec::new()), "{}", checked.err);
    let other =
        SALES.replace("space: card", "space: email").replace("release:", "joins: {require: other_partner}\nrelease:");
    fs::write(room.path().join("sales.yaml"), other).unwrap();
    fs::remove_file(room.path().join("sales.csv")).unwrap();
    let checked = run(&room, &["policy", "check", "sales.yaml", "--room", "room.yaml", "--format", "json"]);
    assert_eq!(rules(&checked.json()), ["joins.require"]);
    assert!(checked.json()["notes"][0].as_str().unwrap().contains("its data is not here"));
}

#[test]
fn real_data_shows_who_is_singled_out_by_combinations() {
    let room = room();
    let data = shared("data/complete_journey/demographics.csv");
    let made = run(
        &room,
        &["policy", "new", data.to_str().unwrap(), "--table", "shop.people", "--analyst", "media", "-o", "people.yaml"],
    );
    assert_eq!(made.exit, 0, "{}", made.err);
    let checked = run(&room, &["policy", "check", "people.yaml", "--data", data.to_str().unwrap(), "--format", "json"]);
    let json = checked.json();
    let pair = json["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|warning| warning["message"].as_str())
        .find(|message| message.starts_with("`age` x `income` is quasi-identifying"))
        .unwrap_or_else(|| panic!("{json:#}"));
    // Recounted outside the program over the same file.
    assert!(pair.contains("52 of 62 groups fall under the floor of 25, 5 are one unit alone"), "{pair}");
}

#[test]
fn explain_says_what_every_sample_allows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut explained = 0;
    for sample in ["advertising", "health", "retail"] {
        for entry in fs::read_dir(folder.join(sample)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            if !text.contains("kind: Policy") {
                continue;
            }
            let output = cleanroom().args(["policy", "explain", "--format", "json"]).arg(&path).output().unwrap();
            let json: Value = serde_json::from_slice(&output.stdout).unwrap();
            let document: Value = serde_saphyr::from_str(&text).unwrap();
            let columns =
                json["sections"].as_array().unwrap().iter().find(|section| section["title"] == "Columns").unwrap();
            let sentences = columns["sentences"].as_array().unwrap();
            assert_eq!(
                sentences.len(),
                document["columns"].as_object().unwrap().len() + 1,
                "{path:?}: one a column, one for the rest"
            );
            assert!(json["in_short"].as_str().unwrap().contains(document["table"].as_str().unwrap()));
            explained += 1;
        }
    }
    assert_eq!(explained, 11, "every policy of the samples");
    let path = folder.join("retail/redemptions.yaml");
    let output = cleanroom().args(["policy", "explain"]).arg(path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("The table answers only together with a protected table of another partner."), "{text}");
}

#[test]
fn diff_tells_the_meaning_and_ends_like_git() {
    let room = room();
    let new = SALES
        .replace("version: 1", "version: 2")
        .replace("min_units: 10", "min_units: 20")
        .replace("functions: [sum, avg]", "functions: [sum, avg, count]");
    fs::write(room.path().join("new.yaml"), new).unwrap();
    fs::write(room.path().join("same.yaml"), SALES.replace("[sum, avg]", "[avg, sum]")).unwrap();
    let diff = run(&room, &["policy", "diff", "sales.yaml", "new.yaml", "--format", "json", "--exit-code"]);
    assert_eq!(diff.exit, 1);
    let changes = diff.json()["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["rule"].to_string(), c["effect"].to_string()))
        .collect::<Vec<_>>();
    let expected = [("version", "neutral"), ("columns.spent.functions", "loosens"), ("release.min_units", "tightens")];
    assert_eq!(changes, expected.map(|(rule, effect)| (format!("\"{rule}\""), format!("\"{effect}\""))));
    assert_eq!(run(&room, &["policy", "diff", "sales.yaml", "new.yaml"]).exit, 0);
    let same = run(&room, &["policy", "diff", "sales.yaml", "same.yaml", "--exit-code"]);
    assert_eq!((same.exit, same.out.trim()), (0, "the two say the same"));
    let other = run(&room, &["policy", "diff", "sales.yaml", "ads.yaml"]);
    assert_eq!(other.exit, 2);
    assert!(other.err.contains("`sales.yaml` is for `shop.sales`, and `ads.yaml` for `media.ads`"), "{}", other.err);
}

#[test]
fn diff_tells_which_past_questions_change_and_leaves_the_room_alone() {
    let room = room();
    let by_city = "SELECT city, COUNT(DISTINCT card) AS n FROM shop.sales GROUP BY city";
    let by_kind = "SELECT kind, SUM(spent) AS s FROM shop.sales GROUP BY kind";
    let counted = "SELECT city, COUNT(spent) AS n FROM shop.sales GROUP BY city";
    assert_eq!(room.ask("media", by_city).outcome(), "released");
    assert_eq!(room.ask("media", by_kind).outcome(), "released");
    assert_eq!(room.ask("media", counted).code(), "CR2109");
    assert_eq!(room.ask("media", "SELECT COUNT(DISTINCT card) AS n FROM media.ads").outcome(), "released");
    let before = run(&room, &["audit", "log", "--room", "room.yaml", "--format", "json"]).json();

    let new = SALES
        .replace("version: 1", "version: 2")
        .replace("  kind: {use: [dimension, filter]}\n", "")
        .replace("functions: [sum, avg]", "functions: [sum, avg, count]");
    fs::write(room.path().join("new.yaml"), new).unwrap();
    let diff = run(&room, &["policy", "diff", "sales.yaml", "new.yaml", "--room", "room.yaml", "--format", "json"]);
    assert_eq!(diff.exit, 0, "{}", diff.err);
    let past = &diff.json()["past_queries"];
    assert_eq!(past["decided"], 4);
    let changed = |sql: &str| past["changed"].as_array().unwrap().iter().find(|one| one["sql"] == sql).cloned();
    assert_eq!(changed(by_kind).unwrap()["new"], "refused, CR1005");
    let now = changed(counted).unwrap();
    assert_eq!(
        (&now["old"], &now["new"]),
        (&Value::from("refused, CR2109"), &Value::from("answered, shop.sales at least 10"))
    );
    assert_eq!(changed(by_city), None);
    assert_eq!(past["changed"].as_array().unwrap().len(), 2);

    // Another floor is another answer.
    fs::write(
        room.path().join("new.yaml"),
        SALES.replace("version: 1", "version: 2").replace("min_units: 10", "min_units: 30"),
    )
    .unwrap();
    let diff =
        run(&room, &["policy", "diff", "sales.yaml", "new.yaml", "--room", "room.yaml", "--format", "json"]).json();
    let floors: Vec<&Value> =
        diff["past_queries"]["changed"].as_array().unwrap().iter().map(|one| &one["new"]).collect();
    assert_eq!(
        floors,
        [&Value::from("answered, shop.sales at least 30"), &Value::from("answered, shop.sales at least 30")]
    );

    let after = run(&room, &["audit", "log", "--room", "room.yaml", "--format", "json"]).json();
    assert_eq!(before, after, "nothing is asked in the room itself");
}

#[test]
fn new_makes_a_policy_that_can_be_checked() {
    let room = room();
    let made =
        run(&room, &["policy", "new", "sales.csv", "--table", "shop.sales", "--analyst", "media", "-o", "made.yaml"]);
    assert_eq!(made.exit, 0, "{}", made.err);
    let text = fs::read_to_string(room.path().join("made.yaml")).unwrap();
    let document: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(document["unit"]["column"], "card");
    assert_eq!(document["columns"]["city"]["use"].to_string(), "[\"dimension\",\"filter\"]");
    assert_eq!(document["columns"]["spent"]["bounds"].as_array().unwrap().len(), 2);
    assert!(
        document["columns"]["note"].is_null() && text.contains("#   note: nearly every row has a value of its own"),
        "{text}"
    );
    assert!(document["noise"]["epsilon"].as_f64().unwrap() > 0.0);
    for value in ["north", "usual", "secret", "987"] {
        assert!(!text.contains(value), "`{value}` is a row's");
    }
    assert_eq!(run(&room, &["policy", "check", "made.yaml", "--room", "room.yaml"]).exit, 0);
    // An owner's file is never overwritten.
    let again = run(&room, &["policy", "new", "sales.csv", "-o", "made.yaml"]);
    assert_eq!(again.exit, 2);
    assert_eq!(fs::read_to_string(room.path().join("made.yaml")).unwrap(), text);
    // Values only where the owner asks for them.
    let valued = run(&room, &["policy", "new", "sales.csv", "--values"]);
    assert!(
        valued.out.contains("city: {use: [dimension, filter], values: [\"east\", \"north\", \"south\", \"west\"]}"),
        "{}",
        valued.out
    );
    assert!(!valued.out.contains("secret"));
}

#[test]
fn new_reads_every_format_and_odd_names() {
    let room = room();
    let transactions = shared("data/complete_journey/transactions.parquet");
    let made = run(&room, &["policy", "new", transactions.to_str().unwrap(), "--table", "retailer.transactions"]);
    let document: Value = serde_saphyr::from_str(&made.out).unwrap();
    assert_eq!(document["unit"]["space"], "household", "{}", made.out);
    assert_eq!(document["columns"]["transaction_timestamp"]["grain"], "week");
    assert_eq!(document["columns"]["week"]["use"].to_string(), "[\"dimension\",\"filter\"]");
    assert!(document["columns"]["basket_id"].is_null());
    let products = shared("data/complete_journey/products.parquet");
    let unsure = run(&room, &["policy", "new", products.to_str().unwrap()]);
    assert_eq!(unsure.exit, 2);
    assert!(unsure.err.contains("--unit COLUMN=SPACE"), "{}", unsure.err);
    let public = run(&room, &["policy", "new", products.to_str().unwrap(), "--public"]);
    let document: Value = serde_saphyr::from_str(&public.out).unwrap();
    assert_eq!((&document["public"], document["noise"].is_null()), (&Value::from(true), true));

    let lines =
        "{\"who\": \"a\", \"yes\": \"x\", \"a: #b\\\"\": 1.5}\n{\"who\": \"b\", \"yes\": \"x\", \"a: #b\\\"\": 2.5}\n";
    fs::write(room.path().join("odd.jsonl"), lines).unwrap();
    let odd = run(&room, &["policy", "new", "odd.jsonl", "--unit", "who=people", "-o", "odd.yaml"]);
    assert_eq!(odd.exit, 0, "{}", odd.err);
    let document: Value = serde_saphyr::from_str(&fs::read_to_string(room.path().join("odd.yaml")).unwrap()).unwrap();
    assert!(document["columns"]["yes"].is_object() && document["columns"]["a: #b\""].is_object(), "{document}");
    assert_eq!(run(&room, &["policy", "check", "odd.yaml", "--data", "odd.jsonl"]).exit, 0);
    let missing = run(&room, &["policy", "new", "odd.jsonl", "--unit", "whom=people"]);
    assert!(missing.exit == 2 && missing.err.contains("no column `whom`"), "{}", missing.err);
}

/// The attacks of one version of the policy, by name.
fn attacks<'j>(json: &'j Value, policy: &str) -> impl Fn(&str) -> &'j Value {
    let run = json["runs"].as_array().unwrap().iter().find(|run| run["policy"] == policy).unwrap();
    move |name| run["attacks"].as_array().unwrap().iter().find(|attack| attack["name"] == name).unwrap()
}

#[test]
fn attacks_show_what_floors_let_through_and_what_they_stop() {
    let room = room();
    let ran = run(&room, &["policy", "attack", "sales.yaml", "--data", "sales.csv", "--format", "json"]);
    assert_eq!(ran.exit, 0, "{}", ran.err);
    let json = ran.json();
    assert_eq!((json["units"].as_f64(), json["runs"].as_array().unwrap().len()), (Some(200.0), 1), "{json:#}");
    let attack = attacks(&json, "as written");
    for (name, code) in [
        ("raw-rows", "CR2101"),
        ("group-by-key", "CR2102"),
        ("key-literal", "CR2104"),
        ("extremes", "CR2107"),
        ("hidden-column", "CR1005"),
        ("own-measure", "CR2207"),
    ] {
        assert_eq!(
            (&attack(name)["verdict"], &attack(name)["code"]),
            (&Value::from("refused"), &Value::from(code)),
            "{name}"
        );
    }
    assert_eq!(attack("small-groups")["learned"], "5 of 7 groups shown, none of the 2 below the floor");
    assert_eq!(attack("quasi-identifiers")["verdict"], "suppressed");
    assert_eq!(attack("sparse-cell")["verdict"], "suppressed");
    assert_eq!(attack("weighted-join")["verdict"], "held");
    // The kinds `solo` (one card) and `pair` (two cards) are each a difference of two answers.
    assert_eq!(attack("differencing")["verdict"], "leaks");
    assert!(
        attack("differencing")["learned"]
            .as_str()
            .unwrap()
            .starts_with("2 of 2 pairs of answers differ in fewer than 10 units, 1 of them in one alone")
    );
    assert_eq!(attack("tracker")["verdict"], "leaks");
    assert_eq!(attack("chosen-audience")["verdict"], "leaks");
    // One card holds 987.65 of the 1061.15 that the west spends.
    assert_eq!(attack("outlier")["verdict"], "leaks");
    assert!(attack("outlier")["learned"].as_str().unwrap().contains("up to 93 %"), "{}", attack("outlier"));
    assert!(!ran.out.contains("987") && !ran.out.contains("solo") && !ran.out.contains("secret"), "no value is told");

    // A rule against the outlier stops that one, and nothing else.
    fs::write(
        room.path().join("guarded.yaml"),
        SALES.replace("min_units: 10", "min_units: 10, dominance: {top: 1, max_share: 0.5}"),
    )
    .unwrap();
    let json = run(&room, &["policy", "attack", "guarded.yaml", "--data", "sales.csv", "--format", "json"]).json();
    assert_eq!(attacks(&json, "as written")("outlier")["verdict"], "suppressed");
    assert_eq!(attacks(&json, "as written")("tracker")["verdict"], "leaks");
    // Tables of the analyst as they are: a weighted list reads the members.
    fs::write(room.path().join("full.yaml"), SALES.replace("release:", "joins: {analyst_tables: full}\nrelease:"))
        .unwrap();
    let json = run(&room, &["policy", "attack", "full.yaml", "--data", "sales.csv", "--format", "json"]).json();
    assert_eq!(attacks(&json, "as written")("weighted-join")["verdict"], "leaks", "{json:#}");
    assert_eq!(attacks(&json, "as written")("own-measure")["verdict"], "leaks");
}

#[test]
fn attacks_try_floors_alone_where_a_policy_has_more() {
    let room = room();
    let noise = "noise: {mechanism: gaussian, epsilon: 1, delta: 1e-8, groups_per_unit: 4, rows_per_unit: 5, budget: {epsilon: 20, delta: 1e-6}}\n";
    fs::write(room.path().join("sales.yaml"), format!("{SALES}{noise}")).unwrap();
    let ran = run(&room, &["policy", "attack", "--room", "room.yaml", "--table", "shop.sales", "--format", "json"]);
    assert_eq!(ran.exit, 0, "{}", ran.err);
    let json = ran.json();
    let written = json["runs"].as_array().unwrap().iter().find(|run| run["policy"] == "as written").unwrap();
    let leaks =
        |run: &Value| run["attacks"].as_array().unwrap().iter().filter(|attack| attack["verdict"] == "leaks").count();
    assert_eq!(leaks(written), 0, "{written:#}");
    let codes: Vec<&Value> = written["attacks"].as_array().unwrap().iter().map(|attack| &attack["code"]).collect();
    assert!(codes.len() > 10 && codes.iter().all(|code| *code != "CR2403"), "{written:#}");
    assert_eq!(attacks(&json, "floors alone")("tracker")["verdict"], "leaks");
    assert!(!room.path().join(".cleanroom").exists(), "the room itself is not touched");
}

#[test]
fn attacks_on_a_table_that_wants_a_join_come_with_one() {
    let room = room();
    fs::write(
        room.path().join("joined.yaml"),
        SALES.replace("release:", "joins: {require: other_partner, with: [media.ads]}\nrelease:"),
    )
    .unwrap();
    let json = run(&room, &["policy", "attack", "joined.yaml", "--data", "sales.csv", "--format", "json"]).json();
    let attack = attacks(&json, "as written");
    assert_eq!(attack("differencing")["verdict"], "leaks", "{json:#}");
    assert_eq!(attack("small-groups")["verdict"], "suppressed");
    // Units that may only be matched cannot be counted by those of the analyst's own table either.
    let matched = SALES
        .replace("use: [join, count]", "use: [join]")
        .replace("  spent: {use: [measure], functions: [sum, avg], bounds: [0, 1000], step: 0.01}\n", "");
    fs::write(room.path().join("matched.yaml"), matched).unwrap();
    let json = run(&room, &["policy", "attack", "matched.yaml", "--data", "sales.csv", "--format", "json"]).json();
    for name in ["differencing", "chosen-audience", "weighted-join"] {
        let attack = attacks(&json, "as written")(name);
        assert_eq!(
            (&attack["verdict"], &attack["code"]),
            (&Value::from("refused"), &Value::from("CR2110")),
            "{json:#}"
        );
    }
    // Where no table of the analyst may be joined, there is no way in.
    fs::write(
        room.path().join("alone.yaml"),
        SALES.replace("release:", "joins: {require: other_partner, with: [press.*]}\nrelease:"),
    )
    .unwrap();
    let json = run(&room, &["policy", "attack", "alone.yaml", "--data", "sales.csv", "--format", "json"]).json();
    assert_eq!(attacks(&json, "as written")("differencing")["verdict"], "refused");
    fs::write(room.path().join("public.yaml"), "apiVersion: cleanroom/v1\nkind: Policy\ntable: shop.kinds\nversion: 1\npublic: true\ncolumns: {kind: {use: [join]}}\naccess: {analysts: [media]}\n").unwrap();
    let public = run(&room, &["policy", "attack", "public.yaml", "--data", "sales.csv"]);
    assert!(public.exit == 2 && public.err.contains("reference table"), "{}", public.err);
}

#[test]
fn planted_people_are_told_of_by_number_only() {
    let room = room();
    let policy = SALES
        .replace("shop.sales", "retailer.purchases")
        .replace("card, space: card", "email_hash, space: email")
        .replace("card:", "email_hash:")
        .replace("city:", "category:")
        .replace("  kind: {use: [dimension, filter]}\n", "")
        .replace("spent: {", "amount: {")
        .replace("min_units: 10", "min_units: 25")
        .replace("[0, 1000]", "[0, 1000000]");
    fs::write(room.path().join("purchases.yaml"), policy).unwrap();
    let data = shared("data/adversarial/purchases.parquet");
    let ran = run(&room, &["policy", "attack", "purchases.yaml", "--data", data.to_str().unwrap(), "--format", "json"]);
    let json = ran.json();
    let attack = attacks(&json, "as written");
    // `edge24`, `bulk` and NULL are below the floor; the group `whale` is one person's million.
    assert_eq!(attack("small-groups")["learned"], "7 of 10 groups shown, none of the 3 below the floor");
    assert_eq!(attack("outlier")["verdict"], "leaks");
    for planted in
        ["ff8d9819fc0e12bf0d24892e45987e249a28dce836a85cad60e28eaaa8c6d976", "7919.13", "4111.11", "edge24", "whale"]
    {
        assert!(!ran.out.contains(planted) && !ran.err.contains(planted), "{planted}");
    }
}
