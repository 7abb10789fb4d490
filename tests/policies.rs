//! The sample policies: every case of theirs is answered or refused as it says, on data made up from their schemas.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::Room;

/// A small generator of its own, so that the data is the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

fn yaml(path: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn days(text: &str) -> i64 {
    use datafusion::arrow::datatypes::Date32Type;
    i64::from(<Date32Type as datafusion::arrow::compute::kernels::cast_utils::Parser>::parse(text).unwrap())
}

fn date(days: i64) -> String {
    datafusion::arrow::temporal_conversions::date32_to_datetime(i32::try_from(days).unwrap())
        .unwrap()
        .format("%Y-%m-%d")
        .to_string()
}

fn value(column: &Value, space: Option<&str>, row: u64, random: &mut Random) -> String {
    if let Some(units) = column["units"].as_u64() {
        let unit = if column["distinct"].as_bool() == Some(true) { row } else { random.next(units) };
        return if space == Some("email") { format!("person{unit}@example.org") } else { (1000 + unit).to_string() };
    }
    if let Some(values) = column["values"].as_array() {
        let value = &values[usize::try_from(random.next(values.len() as u64)).unwrap()];
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    }
    if let Some(first) = column["sequence"].as_u64() {
        return format!("{}{}", column["prefix"].as_str().unwrap_or(""), first + row);
    }
    let (low, high) = (&column["range"][0], &column["range"][1]);
    match column["type"].as_str().unwrap() {
        "date" => {
            let (low, high) = (days(low.as_str().unwrap()), days(high.as_str().unwrap()));
            date(low + i64::try_from(random.next(u64::try_from(high - low + 1).unwrap())).unwrap())
        }
        "integer" => {
            let (low, high) = (low.as_i64().unwrap(), high.as_i64().unwrap());
            (low + i64::try_from(random.next(u64::try_from(high - low + 1).unwrap())).unwrap()).to_string()
        }
        _ => {
            let (low, high) = (low.as_f64().unwrap(), high.as_f64().unwrap());
            format!("{:.2}", low + (high - low) * random.next(10_001) as f64 / 10_000.0)
        }
    }
}

fn check(sample: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(sample);
    let mut policies = Vec::new();
    let mut spaces = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        if document["kind"] == "Policy" {
            spaces.push((document["table"].clone(), document["unit"]["space"].as_str().map(str::to_owned)));
        }
        policies.push((path.file_name().unwrap().to_str().unwrap().to_owned(), text));
    }
    let named: Vec<(&str, &str)> = policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let room = Room::new(&fs::read_to_string(folder.join("room.yaml")).unwrap(), &named);

    let mut random = Random(7);
    fs::create_dir_all(room.path().join("data")).unwrap();
    for (table, made) in yaml(&folder.join("schema.yaml")).as_object().unwrap() {
        let columns = made["columns"].as_object().unwrap();
        let space = spaces.iter().find(|(name, _)| name == table).and_then(|(_, space)| space.as_deref());
        let mut csv = columns.keys().cloned().collect::<Vec<_>>().join(",") + "\n";
        for row in 0..made["rows"].as_u64().unwrap() {
            let cells: Vec<String> = columns.values().map(|column| value(column, space, row, &mut random)).collect();
            writeln!(csv, "{}", cells.join(",")).unwrap();
        }
        let file = format!("data/{}.csv", table.split_once('.').unwrap().1);
        fs::write(room.path().join(file), csv).unwrap();
    }

    let cases = yaml(&folder.join("cases.yaml"));
    let mut wrong = String::new();
    for case in cases["accepted"].as_array().unwrap() {
        let answer = room.ask(case["as"].as_str().unwrap(), case["sql"].as_str().unwrap());
        if answer.outcome() != "released" || answer.json["rows"].as_array().is_none_or(Vec::is_empty) {
            writeln!(wrong, "not answered: {}\n{}\n", case["sql"], answer.json).unwrap();
        }
    }
    for case in cases["refused"].as_array().unwrap() {
        let answer = room.ask(case["as"].as_str().unwrap(), case["sql"].as_str().unwrap());
        if answer.outcome() != "refused" || answer.code() != case["code"] {
            writeln!(wrong, "not refused with {}: {}\n{}\n", case["code"], case["sql"], answer.json).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{sample}:\n{wrong}");
    assert!(room.verify().status.success());
}

#[test]
fn advertising() {
    check("advertising");
}

#[test]
fn retail() {
    check("retail");
}

#[test]
fn health() {
    check("health");
}
