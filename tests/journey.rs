//! Real data: the questions an analyst asks of it are answered exactly as a plain engine answers them, once groups below
//! the floor are left out.

use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use serde_json::Value;

use crate::support::{Answer, Room, shared};

const ROOM: &str = "\
apiVersion: cleanroom/v1
kind: Room
name: journey
description: What did the campaigns sell?
partners:
  - name: retailer
    abilities: [contribute]
    tables:
      - {name: transactions, source: {file: DATA/transactions.parquet}, policy: transactions.yaml}
      - {name: products, source: {file: DATA/products.parquet}, policy: products.yaml}
      - {name: redemptions, source: {file: DATA/coupon_redemptions.csv}, policy: redemptions.yaml}
  - name: agency
    abilities: [contribute, query, receive]
    tables:
      - {name: exposures, source: {file: DATA/campaign_exposures.csv}, policy: exposures.yaml}
      - {name: campaigns, source: {file: DATA/campaigns.csv}, policy: campaigns.yaml}
      - {name: demographics, source: {file: DATA/demographics.csv}, policy: demographics.yaml}
";

fn protected(table: &str, columns: &str) -> String {
    format!(
        "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\n\
         unit: {{column: household_id, space: household}}\ncolumns:\n  household_id: {{use: [join, count]}}\n{columns}\
         joins: {{require: none, types: [inner, semi]}}\nrelease: {{min_units: 25}}\n\
         access: {{analysts: [agency], receivers: [agency]}}\n"
    )
}

fn reference(table: &str, columns: &str) -> String {
    format!(
        "apiVersion: cleanroom/v1\nkind: Policy\ntable: {table}\nversion: 1\npublic: true\ncolumns:\n{columns}\
         access: {{analysts: [agency], receivers: [agency]}}\n"
    )
}

fn room() -> Room {
    let data = shared("data/complete_journey");
    let policies = [
        (
            "transactions.yaml",
            protected(
                "retailer.transactions",
                "  product_id: {use: [join]}\n  store_id: {use: [dimension, filter]}\n  week: {use: [dimension, filter]}\n  \
                 transaction_timestamp: {use: [dimension, filter]}\n  \
                 sales_value: {use: [measure], functions: [sum, avg, count], bounds: [0, 1000], step: 0.01}\n  \
                 quantity: {use: [measure], bounds: none}\n",
            ),
        ),
        (
            "products.yaml",
            reference(
                "retailer.products",
                "  product_id: {use: [join]}\n  department: {use: [dimension, filter]}\n  brand: {use: [dimension, filter]}\n",
            ),
        ),
        (
            "redemptions.yaml",
            protected(
                "retailer.redemptions",
                "  campaign_id: {use: [join, dimension, filter]}\n  redemption_date: {use: [dimension, filter]}\n",
            ),
        ),
        ("exposures.yaml", protected("agency.exposures", "  campaign_id: {use: [join, dimension, filter]}\n")),
        (
            "campaigns.yaml",
            reference(
                "agency.campaigns",
                "  campaign_id: {use: [join, dimension, filter]}\n  campaign_type: {use: [dimension, filter]}\n  \
                 start_date: {use: [dimension, filter]}\n  end_date: {use: [dimension, filter]}\n",
            ),
        ),
        (
            "demographics.yaml",
            protected(
                "agency.demographics",
                "  age: {use: [dimension, filter]}\n  income: {use: [dimension, filter]}\n  household_size: {use: [dimension, filter]}\n",
            ),
        ),
    ];
    let policies: Vec<(&str, &str)> = policies.iter().map(|(name, text)| (*name, text.as_str())).collect();
    Room::new(&ROOM.replace("DATA", data.to_str().unwrap()), &policies)
}

/// A plain engine over the same files, in which household ids are made text.
struct Plain {
    context: SessionContext,
}

impl Plain {
    async fn new() -> Self {
        let data = shared("data/complete_journey");
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        for schema in ["retailer", "agency"] {
            context.sql(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        }
        for (table, file) in [
            ("retailer.transactions", "transactions.parquet"),
            ("retailer.products", "products.parquet"),
            ("retailer.redemptions", "coupon_redemptions.csv"),
            ("agency.exposures", "campaign_exposures.csv"),
            ("agency.campaigns", "campaigns.csv"),
            ("agency.demographics", "demographics.csv"),
        ] {
            let path = data.join(file);
            let raw = format!("raw_{}", table.replace('.', "_"));
            if file.ends_with("csv") {
                context.register_csv(&raw, path.to_str().unwrap(), CsvReadOptions::new()).await.unwrap();
            } else {
                context.register_parquet(&raw, path.to_str().unwrap(), ParquetReadOptions::new()).await.unwrap();
            }
            let columns = match table {
                "retailer.products" | "agency.campaigns" => "*".to_owned(),
                _ => "* EXCLUDE (household_id), CAST(household_id AS VARCHAR) AS household_id".to_owned(),
            };
            context
                .sql(&format!("CREATE TABLE {table} AS SELECT {columns} FROM {raw}"))
                .await
                .unwrap()
                .collect()
                .await
                .unwrap();
        }
        Self { context }
    }

    async fn ask(&self, sql: &str) -> Vec<Vec<Value>> {
        let batches = self.context.sql(sql).await.unwrap().collect().await.unwrap();
        let mut rows = Vec::new();
        for batch in &batches {
            let texts: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| {
                    datafusion::arrow::util::display::ArrayFormatter::try_new(column, &Default::default()).unwrap()
                })
                .collect();
            for row in 0..batch.num_rows() {
                rows.push(
                    texts
                        .iter()
                        .zip(batch.columns())
                        .map(|(text, column)| {
                            if column.is_null(row) {
                                Value::Null
                            } else if column.data_type().is_numeric() {
                                serde_json::from_str(&text.value(row).to_string()).unwrap()
                            } else {
                                Value::String(text.value(row).to_string())
                            }
                        })
                        .collect(),
                );
            }
        }
        rows
    }
}

fn same(question: &str, ours: &Answer, plain: &[Vec<Value>]) {
    let mut left: Vec<Vec<Value>> = ours.rows();
    let mut right: Vec<Vec<Value>> = plain.to_vec();
    assert!(!right.is_empty(), "{question}: the plain engine has no answer to compare with");
    if !question.contains("ORDER BY") {
        let key = |row: &Vec<Value>| row.iter().map(ToString::to_string).collect::<Vec<_>>().join("|");
        left.sort_by_key(key);
        right.sort_by_key(key);
    }
    assert_eq!(left.len(), right.len(), "{question}\n{left:?}\n{right:?}");
    for (left, right) in left.iter().zip(&right) {
        for (left, right) in left.iter().zip(right) {
            let equal = match (left.as_f64(), right.as_f64()) {
                // The plain engine adds floating point numbers in whatever order they come; its sum is off in the last digits.
                (Some(left), Some(right)) => (left - right).abs() <= 1e-9 * right.abs().max(1.0),
                _ => left == right,
            };
            assert!(equal, "{question}: {left} is not {right}");
        }
    }
}

#[test]
fn an_analysts_questions_are_answered_exactly() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build().unwrap();
    let room = room();
    let floor = "HAVING COUNT(DISTINCT t.household_id) >= 25";
    let questions: Vec<(&str, String, String)> = vec![
        (
            "overlap",
            "SELECT COUNT(DISTINCT t.household_id) AS n FROM retailer.transactions t JOIN agency.exposures e ON t.household_id = e.household_id".into(),
            "SELECT COUNT(DISTINCT t.household_id) AS n FROM retailer.transactions t JOIN agency.exposures e ON t.household_id = e.household_id".into(),
        ),
        (
            "reach by campaign",
            "SELECT t.campaign_id, COUNT(DISTINCT t.household_id) AS n FROM agency.exposures t GROUP BY t.campaign_id".into(),
            format!("SELECT t.campaign_id, COUNT(DISTINCT t.household_id) AS n FROM agency.exposures t GROUP BY t.campaign_id {floor}"),
        ),
        (
            "sales of exposed households",
            "SELECT COUNT(DISTINCT household_id) AS n, SUM(sales_value) AS s, AVG(sales_value) AS a, COUNT(*) AS c FROM retailer.transactions WHERE household_id IN (SELECT household_id FROM agency.exposures)".into(),
            "SELECT COUNT(DISTINCT household_id) AS n, SUM(sales_value) AS s, AVG(sales_value) AS a, COUNT(*) AS c FROM retailer.transactions WHERE household_id IN (SELECT household_id FROM agency.exposures)".into(),
        ),
        (
            "sales while a campaign ran",
            "SELECT e.campaign_id, c.campaign_type, COUNT(DISTINCT t.household_id) AS n, SUM(t.sales_value) AS s FROM agency.exposures e JOIN agency.campaigns c ON e.campaign_id = c.campaign_id JOIN retailer.transactions t ON t.household_id = e.household_id AND t.transaction_timestamp >= c.start_date AND t.transaction_timestamp < c.end_date + INTERVAL '1 day' GROUP BY e.campaign_id, c.campaign_type".into(),
            format!("SELECT e.campaign_id, c.campaign_type, COUNT(DISTINCT t.household_id) AS n, SUM(t.sales_value) AS s FROM agency.exposures e JOIN agency.campaigns c ON e.campaign_id = c.campaign_id JOIN retailer.transactions t ON t.household_id = e.household_id AND t.transaction_timestamp >= c.start_date AND t.transaction_timestamp < c.end_date + INTERVAL '1 day' GROUP BY e.campaign_id, c.campaign_type {floor}"),
        ),
        (
            "by age and income",
            "SELECT d.age, d.income, COUNT(DISTINCT t.household_id) AS n, SUM(t.sales_value) AS s FROM retailer.transactions t JOIN agency.demographics d USING (household_id) GROUP BY d.age, d.income".into(),
            format!("SELECT d.age, d.income, COUNT(DISTINCT t.household_id) AS n, SUM(t.sales_value) AS s FROM retailer.transactions t JOIN agency.demographics d USING (household_id) GROUP BY d.age, d.income {floor}"),
        ),
        (
            "top departments ORDER BY",
            "SELECT p.department, SUM(t.sales_value) AS s FROM retailer.transactions t JOIN retailer.products p ON t.product_id = p.product_id GROUP BY p.department ORDER BY s DESC LIMIT 10".into(),
            format!("SELECT p.department, SUM(t.sales_value) AS s FROM retailer.transactions t JOIN retailer.products p ON t.product_id = p.product_id GROUP BY p.department {floor} ORDER BY s DESC LIMIT 10"),
        ),
        (
            "share of total",
            "SELECT p.brand, SUM(t.sales_value) / (SELECT SUM(sales_value) FROM retailer.transactions) AS share FROM retailer.transactions t JOIN retailer.products p ON t.product_id = p.product_id GROUP BY p.brand".into(),
            format!("SELECT p.brand, SUM(t.sales_value) / (SELECT SUM(sales_value) FROM retailer.transactions) AS share FROM retailer.transactions t JOIN retailer.products p ON t.product_id = p.product_id GROUP BY p.brand {floor}"),
        ),
        (
            "week over week ORDER BY",
            "WITH w AS (SELECT week, SUM(sales_value) AS s FROM retailer.transactions GROUP BY week) SELECT week, s, s - LAG(s) OVER (ORDER BY week) AS change FROM w ORDER BY week".into(),
            format!("WITH w AS (SELECT week, SUM(sales_value) AS s FROM retailer.transactions t GROUP BY week {floor}) SELECT week, s, s - LAG(s) OVER (ORDER BY week) AS change FROM w ORDER BY week"),
        ),
        (
            "average frequency",
            "SELECT AVG(n) AS frequency, COUNT(*) AS households FROM (SELECT household_id, COUNT(*) AS n FROM retailer.transactions GROUP BY household_id) t".into(),
            "SELECT AVG(n) AS frequency, COUNT(*) AS households FROM (SELECT household_id, COUNT(*) AS n FROM retailer.transactions GROUP BY household_id) t".into(),
        ),
        (
            "spend per household by age",
            "SELECT d.age, AVG(t.spend) AS spend, COUNT(*) AS households FROM (SELECT household_id, SUM(sales_value) AS spend FROM retailer.transactions GROUP BY household_id) t JOIN agency.demographics d ON t.household_id = d.household_id GROUP BY d.age".into(),
            format!("SELECT d.age, AVG(t.spend) AS spend, COUNT(*) AS households FROM (SELECT household_id, SUM(sales_value) AS spend FROM retailer.transactions GROUP BY household_id) t JOIN agency.demographics d ON t.household_id = d.household_id GROUP BY d.age {floor}"),
        ),
        (
            "redemption rate",
            "WITH r AS (SELECT campaign_id, COUNT(DISTINCT household_id) AS n FROM retailer.redemptions GROUP BY campaign_id), e AS (SELECT campaign_id, COUNT(DISTINCT household_id) AS n FROM agency.exposures GROUP BY campaign_id) SELECT e.campaign_id, CAST(r.n AS DOUBLE) / e.n AS rate FROM e JOIN r ON e.campaign_id = r.campaign_id".into(),
            "WITH r AS (SELECT campaign_id, COUNT(DISTINCT household_id) AS n FROM retailer.redemptions GROUP BY campaign_id HAVING COUNT(DISTINCT household_id) >= 25), e AS (SELECT campaign_id, COUNT(DISTINCT household_id) AS n FROM agency.exposures GROUP BY campaign_id HAVING COUNT(DISTINCT household_id) >= 25) SELECT e.campaign_id, CAST(r.n AS DOUBLE) / e.n AS rate FROM e JOIN r ON e.campaign_id = r.campaign_id".into(),
        ),
        (
            "frequent buyers by department",
            "SELECT p.department, COUNT(DISTINCT t.household_id) AS n FROM retailer.transactions t JOIN retailer.products p ON t.product_id = p.product_id JOIN (SELECT household_id, COUNT(*) AS n FROM retailer.transactions GROUP BY household_id HAVING COUNT(*) >= 40) f ON f.household_id = t.household_id GROUP BY p.department".into(),
            format!("SELECT p.department, COUNT(DISTINCT t.household_id) AS n FROM retailer.transactions t JOIN retailer.products p ON t.product_id = p.product_id JOIN (SELECT household_id, COUNT(*) AS n FROM retailer.transactions GROUP BY household_id HAVING COUNT(*) >= 40) f ON f.household_id = t.household_id GROUP BY p.department {floor}"),
        ),
        (
            "months and revenue per item",
            "SELECT date_trunc('month', transaction_timestamp) AS month, SUM(sales_value) / SUM(quantity) AS per_item FROM retailer.transactions GROUP BY 1".into(),
            "SELECT date_trunc('month', transaction_timestamp) AS month, SUM(sales_value) / SUM(quantity) AS per_item FROM retailer.transactions t GROUP BY 1 HAVING COUNT(DISTINCT household_id) >= 25".into(),
        ),
    ];
    runtime.block_on(async {
        let plain = Plain::new().await;
        for (question, ours, theirs) in &questions {
            let answer = room.ask("agency", ours);
            same(question, &answer, &plain.ask(theirs).await);
        }
    });
    assert!(room.verify().status.success());
}
