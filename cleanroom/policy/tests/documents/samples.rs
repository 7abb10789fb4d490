//! Good documents that the tests read, bend and break.

/// Every key the format knows, as the contract shows it.
pub(crate) const POLICY: &str = r#"apiVersion: cleanroom/v1
kind: Policy
table: retailer.purchases
version: 3
unit: {column: household_id, space: household}
columns:
  household_id: {use: [join, count]}
  department:   {use: [dimension, filter]}
  campaign_id:  {use: [dimension, filter], values: ["8", "13", "18"]}
  bought_at:    {use: [filter], grain: day}
  sales_value:
    use: [measure]
    functions: [sum, avg, count]
    bounds: [0, 500]
    step: 0.01
    unit_bounds: [0, 2000]
rows: "store_id <> 'test'"
joins: {require: other_partner, with: [agency.*], types: [inner, semi], analyst_tables: distinct}
release:
  min_units: 25
  dominance: {top: 1, max_share: 0.5}
  small_groups: drop
  difference: 10
  audience: 20
  max_cells: 1000
  round_to: 10
noise:
  mechanism: gaussian
  epsilon: 1.0
  delta: 1e-8
  groups_per_unit: 4
  rows_per_unit: 50
  budget: {epsilon: 20, delta: 1e-6, refresh: monthly, lifetime: 100}
access:
  analysts: [agency]
  receivers: [agency]
  queries: {per_day: 200}
  templates: any
"#;

pub(crate) const SMALL_POLICY: &str = r#"apiVersion: cleanroom/v1
kind: Policy
table: retailer.purchases
version: 1
unit: {column: id, space: email}
columns:
  id: {use: [join, count]}
  dept: {use: [dimension]}
  amount: {use: [measure], bounds: [0, 10]}
release: {min_units: 25}
access: {analysts: [agency]}
"#;

pub(crate) const REFERENCE: &str = r#"apiVersion: cleanroom/v1
kind: Policy
table: retailer.products
version: 1
public: true
columns:
  product_id: {use: [join]}
  brand: {use: [dimension, filter]}
  price: {use: [measure]}
access: {analysts: [agency]}
"#;

pub(crate) const ROOM: &str = r#"apiVersion: cleanroom/v1
kind: Room
name: retail-media
description: Did the spring campaign sell?
partners:
  - name: retailer
    abilities: [contribute]
    tables:
      - name: purchases
        description: One row per basket line.
        source: {file: data/purchases.parquet}
        policy: policies/purchases.yaml
      - name: products
        source: {upload: true}
  - name: agency
    abilities: [contribute, query, receive]
    tables:
      - name: exposures
        source: {s3: "s3://bucket/exposures"}
  - name: watchdog
    abilities: [audit]
"#;

pub(crate) const TEMPLATE: &str = r#"apiVersion: cleanroom/v1
kind: Template
name: reach
description: People reached by one campaign.
parameters:
  campaign: {type: text, values: ["8", "13"]}
  since: {type: date}
sql: |
  SELECT COUNT(DISTINCT household_id) AS households
  FROM agency.exposures
  WHERE campaign_id = :campaign AND day >= :since
"#;
