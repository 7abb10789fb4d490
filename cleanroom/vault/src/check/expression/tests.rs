//! Whatever a row holds, what the checker lets through computes: no error, no panic, the same twice, and not much of it.
//!
//! Statements are planned as questions are, sent through [`expression`], and their total forms run by the engine over
//! columns of every type that a snapshot can hold, with the ends of each type among random values.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::Analyzer;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Scope, expression};
use crate::check::label::Label;
use crate::execute;
use crate::refusal::Refusal;

const ROWS: usize = 3_000;
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;

/// Half ends of the type, half anything, and some NULLs.
fn column<T: Clone + std::fmt::Debug>(
    runner: &mut TestRunner,
    ends: &[T],
    any: impl Strategy<Value = T>,
) -> Vec<Option<T>> {
    let strategy = (0_u8..20, 0..ends.len(), any);
    (0..ROWS)
        .map(|_row| {
            let (kind, end, any) = strategy.new_tree(runner).unwrap().current();
            match kind {
                0 => None,
                1..=10 => ends.get(end).cloned(),
                _ => Some(any),
            }
        })
        .collect()
}

/// Columns by the letter of their kind: (n)umbers, (s) texts, (t) times, (b) truth values.
fn batch() -> RecordBatch {
    let runner = &mut TestRunner::deterministic();
    let whole = [
        i64::MIN,
        i64::MIN + 1,
        -9_007_199_254_740_993,
        i64::from(i32::MIN),
        -129,
        -128,
        -1,
        0,
        1,
        2,
        127,
        1_000,
        i64::from(i32::MAX),
        9_007_199_254_740_993,
        i64::MAX - 1,
        i64::MAX,
    ];
    let float = [
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        f64::EPSILON,
        -0.0,
        0.0,
        0.5,
        -0.5,
        1.0,
        -1.0,
        2.5,
        1e18,
        -1e18,
        9.3e18,
        1e308,
        3.5e38,
        65_520.0,
    ];
    let power = |digits: u32| 10_i128.pow(digits);
    let decimal = |digits: u32| {
        [
            1 - power(digits),
            power(digits) - 1,
            -1,
            0,
            1,
            99,
            100,
            50,
            -50,
            power(digits - 1),
            power(digits) / 2,
            -power(digits) / 2,
        ]
    };
    let texts: Vec<String> = [
        "",
        " ",
        "a",
        "ß",
        "ŉ",
        "ΐ",
        "İ",
        "e\u{301}",
        "👩‍👩‍👧",
        "\u{0}",
        "%",
        "_",
        "\\",
        "a,b,,c",
        "N",
        "ʼN",
        "2024-01-01",
        "2024-02-30T25:00:00",
        "+262142-12-31",
        "-0001-01-01",
        "9999-12-31T23:59:59.999999999",
        "1e400",
        "NaN",
        "-9223372036854775808",
        "true",
        "ﬃ",
        "ά",
        "Ωmega",
        "\u{202e}x",
        "ﷺ",
        "𝔘𝔫𝔦",
    ]
    .iter()
    .map(|text| (*text).to_owned())
    .chain(["a".repeat(5_000), "ΐ👩é ".repeat(700), ",".repeat(3_000)])
    .collect();
    // The strange long ones are rare, so that the test is not all copying.
    let texts: Vec<String> =
        texts.iter().take(31).cycle().take(31 * 8).cloned().chain(texts.iter().skip(31).cloned()).collect();
    let days =
        [FIRST_DAY, FIRST_DAY + 1, -106_752, -106_751, -1, 0, 1, 59, 106_751, 106_752, 11_016, LAST_DAY - 1, LAST_DAY];
    let micro = 86_400_000_000_i64;
    let moments: Vec<i64> =
        days.iter().flat_map(|day| [i64::from(*day) * micro, i64::from(*day) * micro + micro - 1]).collect();
    let any_text = || proptest::string::string_regex(".{0,24}").unwrap();
    let any_moment = i64::from(FIRST_DAY) * micro..i64::from(LAST_DAY) * micro;
    let decimals = |runner: &mut TestRunner, precision: u8, scale: i8| -> ArrayRef {
        let ends = decimal(u32::from(precision));
        let most = power(u32::from(precision)) - 1;
        let values = column(runner, &ends, -most..=most);
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("b1", Arc::new(BooleanArray::from(column(runner, &[true, false], any::<bool>())))),
        ("i1", Arc::new(Int64Array::from(column(runner, &whole, any::<i64>())))),
        ("i2", Arc::new(Int64Array::from(column(runner, &whole, any::<i64>())))),
        ("f1", Arc::new(Float64Array::from(column(runner, &float, any::<f64>())))),
        ("f2", Arc::new(Float64Array::from(column(runner, &float, any::<f64>())))),
        ("d1", decimals(runner, 10, 2)),
        ("d2", decimals(runner, 38, 0)),
        ("d3", decimals(runner, 38, 10)),
        ("d4", decimals(runner, 38, 38)),
        ("s1", Arc::new(StringArray::from(column(runner, &texts, any_text())))),
        ("s2", Arc::new(StringArray::from(column(runner, &texts, any_text())))),
        ("y1", Arc::new(Date32Array::from(column(runner, &days, FIRST_DAY..=LAST_DAY)))),
        ("y2", Arc::new(Date32Array::from(column(runner, &days, FIRST_DAY..=LAST_DAY)))),
        ("t1", Arc::new(TimestampMicrosecondArray::from(column(runner, &moments, any_moment.clone())))),
        ("t2", Arc::new(TimestampMicrosecondArray::from(column(runner, &moments, any_moment)))),
    ];
    let schema = Schema::new(
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect::<Vec<_>>(),
    );
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_name, array)| array).collect()).unwrap()
}

/// The table, and the engine as it is set up for questions.
pub(crate) struct Bench {
    state: SessionState,
    batch: RecordBatch,
    schema: Arc<DFSchema>,
    runtime: tokio::runtime::Runtime,
}

/// What stands for each kind of argument in a template.
fn choices(kind: char) -> &'static [&'static str] {
    match kind {
        'n' => &[
            "i1",
            "f1",
            "d1",
            "d2",
            "d3",
            "d4",
            "CAST(i2 AS TINYINT)",
            "CAST(i2 AS SMALLINT)",
            "CAST(i2 AS INT)",
            "CAST(f2 AS REAL)",
            "i2",
            "f2",
        ],
        's' => &["s1", "s2"],
        't' => &["y1", "t1", "CAST(t2 AS TIMESTAMP)", "y2", "t2"],
        'b' => &["b1", "(i1 > i2)"],
        'a' => &["b1", "i1", "f1", "d1", "d3", "s1", "y1", "t1", "i2", "f2", "s2", "t2"],
        _ => panic!("no such kind of argument: {kind}"),
    }
}

/// A template with every choice for every place.
fn expanded(template: &str) -> Vec<String> {
    let Some((before, rest)) = template.split_once('{') else { return vec![template.to_owned()] };
    let (kind, after) = rest.split_once('}').unwrap();
    choices(kind.chars().next().unwrap())
        .iter()
        .flat_map(|choice| expanded(&format!("{before}{choice}{after}")))
        .collect()
}

impl Bench {
    pub(crate) fn new() -> Self {
        let batch = batch();
        let schema = Arc::new(DFSchema::try_from_qualified_schema("t", &batch.schema()).unwrap());
        let state = execute::session(&Arc::new(RuntimeEnv::default()), Some(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { state, batch, schema, runtime }
    }

    fn scan(&self) -> LogicalPlanBuilder {
        // Batches of one row and of a few take other ways through the engine than long ones.
        let parts = [(0, 1), (1, 7), (8, self.batch.num_rows() - 8)];
        let batches = parts.iter().map(|(from, length)| self.batch.slice(*from, *length)).collect();
        let table = MemTable::try_new(self.batch.schema(), vec![batches]).unwrap();
        LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(table)), None).unwrap()
    }

    /// The planner's expression, where the text has one.
    fn planned(&self, sql: &str) -> Option<Expr> {
        let expr = self.state.create_logical_expr(sql, &self.schema).ok()?;
        let plan = self.scan().project([expr.alias("e")]).ok()?.build().ok()?;
        let plan = Analyzer::new().execute_and_check(plan, self.state.config_options(), |_plan, _rule| {}).ok()?;
        let LogicalPlan::Projection(projection) = plan else { panic!("{sql} is no projection") };
        projection.expr.first().cloned()
    }

    /// What the checker makes of a text.
    pub(crate) fn checked(&self, sql: &str) -> Option<Result<Expr, Refusal>> {
        let expr = self.planned(sql)?;
        let labels: Vec<Label> =
            self.schema.fields().iter().map(|_field| Label::value(crate::snapshot::owner_uses())).collect();
        let scope = Scope { schema: &self.schema, labels: &labels, policies: &|_label| None };
        let checked = expression(&expr, &scope).map(|(total, _label)| total);
        if let Ok(total) = &checked {
            let (was, is) =
                (expr.get_type(self.schema.as_ref()).unwrap(), total.get_type(self.schema.as_ref()).unwrap());
            assert_eq!(was, is, "the total form of `{sql}` has another type");
        }
        Some(checked)
    }

    /// Runs a total form over all rows.
    pub(crate) fn run(&self, totals: &[(String, Expr)]) -> Vec<RecordBatch> {
        let named =
            totals.iter().enumerate().map(|(at, (_sql, total))| total.clone().unalias().alias(format!("e{at}")));
        let plan = self.scan().project(named).unwrap().build().unwrap();
        let ran = self.runtime.block_on(async {
            SessionContext::new_with_state(self.state.clone()).execute_logical_plan(plan).await?.collect().await
        });
        ran.unwrap_or_else(|error| {
            let texts: Vec<&str> = totals.iter().map(|(sql, _total)| sql.as_str()).collect();
            panic!("one of these failed on a row: {texts:#?}\n{error}")
        })
    }

    /// Every form of a template that the checker accepts computes on every row. The number of forms.
    pub(crate) fn holds(&self, template: &str) -> usize {
        let totals: Vec<(String, Expr)> = expanded(template)
            .into_iter()
            .filter_map(|sql| self.checked(&sql)?.ok().map(|total| (sql, total)))
            .collect();
        for some in totals.chunks(24) {
            let first = self.run(some);
            assert_eq!(first, self.run(some), "not the same twice: {template}");
            assert_eq!(first.iter().map(RecordBatch::num_rows).sum::<usize>(), ROWS);
            for batch in &first {
                for (column, (sql, _total)) in batch.columns().iter().zip(some) {
                    self.small(column, sql);
                }
            }
        }
        totals.len()
    }

    /// Texts are at most four times what they were made of, and a little.
    fn small(&self, column: &ArrayRef, sql: &str) {
        if let Some(texts) = column.as_any().downcast_ref::<StringArray>() {
            let longest = texts.iter().flatten().map(str::len).max().unwrap_or(0);
            assert!(longest <= 4 * 2 * 11_000 + 1_024, "`{sql}` made a text of {longest} bytes");
        } else {
            assert!(
                !matches!(column.data_type(), DataType::Binary | DataType::List(_)),
                "`{sql}` made {}",
                column.data_type()
            );
        }
    }

    /// The same, and at least one form is accepted.
    pub(crate) fn all_hold(&self, templates: &[&str]) {
        for template in templates {
            assert!(self.holds(template) > 0, "no form of `{template}` is accepted");
        }
    }

    /// The value of one column's text in the first row that has it, for tests of what a form means.
    pub(crate) fn value(&self, sql: &str) -> String {
        let total = self.checked(sql).unwrap().unwrap();
        let batches = self.run(&[(sql.to_owned(), total)]);
        let column = batches.last().unwrap().column(0);
        arrow::util::display::array_value_to_string(column, 0).unwrap()
    }
}

#[test]
fn arithmetic_fails_on_no_row() {
    let bench = Bench::new();
    bench.all_hold(&["{n} + {n}", "{n} - {n}", "{n} * {n}", "{n} / {n}", "{n} % {n}"]);
    bench.all_hold(&[
        "-{n}",
        "{n} / 0",
        "{n} % 0",
        "{n} / -1",
        "{n} % -1",
        "{n} / CAST(0.4 AS BIGINT)",
        "{n} * 1e300 * 1e300",
        "-(-{n}) - 1",
    ]);
}

#[test]
fn casts_fail_on_no_row() {
    let bench = Bench::new();
    let types = [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "REAL",
        "DOUBLE",
        "DECIMAL(1,0)",
        "DECIMAL(10,2)",
        "DECIMAL(38,0)",
        "DECIMAL(38,38)",
        "VARCHAR",
        "DATE",
        "TIMESTAMP",
    ];
    for to in types {
        assert!(bench.holds(&format!("CAST({{a}} AS {to})")) > 0, "nothing casts to {to}");
        assert!(bench.holds(&format!("TRY_CAST(CAST({{a}} AS VARCHAR) AS {to})")) > 0, "nothing casts to {to}");
        bench.holds(&format!("CAST({{n}} AS {to})"));
        bench.holds(&format!("CAST({{t}} AS {to})"));
        bench.holds(&format!("{{s}}::{to}"));
    }
}

#[test]
fn comparisons_and_conditions_fail_on_no_row() {
    let bench = Bench::new();
    bench.all_hold(&[
        "{n} = {n}",
        "{n} < {n}",
        "{a} IS DISTINCT FROM {a}",
        "{a} <> {a}",
        "{s} >= {s}",
        "{t} = {t}",
        "{t} > {t}",
        "{a} = s1",
        "{n} BETWEEN i1 AND {n}",
        "{t} BETWEEN y1 AND t1",
        "{t} < TIMESTAMP '2024-01-01 00:00:00'",
        "{t} > DATE '9999-12-31'",
        "{t} IN (DATE '2024-01-01', TIMESTAMP '9999-12-31 00:00:00')",
        "{n} IN (1, 2.5, NULL)",
        "{s} IN ('a', 'ß')",
        "{s} LIKE '%a_ß%'",
        "{s} ILIKE '%ß%İ'",
        "{s} NOT LIKE '\\%'",
        "{a} IS NULL",
        "{a} IS NOT NULL",
        "{b} IS TRUE",
        "{b} IS NOT UNKNOWN",
        "NOT {b}",
        "{b} AND {b} OR {b}",
        "{s} || {s}",
        "{a} || s1",
        "CASE WHEN {b} THEN {n} ELSE {n} END",
        "CASE {n} WHEN i1 THEN 1 WHEN 2 THEN {n} END",
        "CASE WHEN {n} <> 0 THEN i1 / {n} END",
        "CASE {s} WHEN 'a' THEN s2 ELSE CAST(i1 AS VARCHAR) END",
    ]);
}

#[test]
fn times_fail_on_no_row() {
    let bench = Bench::new();
    bench.all_hold(&[
        "{t} + INTERVAL '100 years'",
        "{t} - INTERVAL '1 month 3 days 4 hours'",
        "INTERVAL '36500 days' + {t}",
        "y1 - y2",
        "t1 - t2",
        "{t} + INTERVAL '100 years' + INTERVAL '100 years' - INTERVAL '1 day'",
        "CAST(s1 AS DATE) + INTERVAL '1 year'",
        "CAST(s1 AS TIMESTAMP) < CAST(s2 AS TIMESTAMP)",
    ]);
    for refused in
        ["t1 + INTERVAL '101 years'", "y1 + INTERVAL '40000 days'", "CAST(i1 AS DATE)", "CAST(i1 AS TIMESTAMP)"]
    {
        assert!(bench.checked(refused).unwrap().is_err(), "{refused}");
    }
}

/// The end of time that data holds (9999-12-31) is after every day that can be written.
#[test]
fn far_dates_compare_with_times() {
    let bench = Bench::new();
    for (sql, want) in [
        ("CAST('9999-12-31' AS DATE) > TIMESTAMP '2024-01-01 00:00:00'", "true"),
        ("CAST(concat(left(s1, 0), '9999-12-31') AS DATE) > TIMESTAMP '2024-01-01 00:00:00'", "true"),
        (
            "CAST(concat(left(s1, 0), '9999-12-31') AS DATE) BETWEEN TIMESTAMP '2024-01-01 00:00:00' AND TIMESTAMP '9999-12-31 00:00:00'",
            "true",
        ),
        ("CAST(concat(left(s1, 0), '0001-01-01') AS DATE) IN (TIMESTAMP '0001-01-01 00:00:00')", "true"),
    ] {
        let value = bench.value(&format!("coalesce(CAST({sql} AS VARCHAR), 'NULL')").replace("s1", "coalesce(s1, '')"));
        assert_eq!(value, want, "{sql}");
    }
}

#[test]
fn division_by_either_zero_is_null() {
    let bench = Bench::new();
    for zero in ["0.0", "-0.0"] {
        let divisor = format!("CAST(concat(left(coalesce(s1, ''), 0), '{zero}') AS DOUBLE)");
        assert_eq!(bench.value(&format!("coalesce(CAST(1.5 / {divisor} AS VARCHAR), 'NULL')")), "NULL");
        assert_eq!(bench.value(&format!("coalesce(CAST(CAST(7 AS REAL) % {divisor} AS VARCHAR), 'NULL')")), "NULL");
        assert_eq!(bench.value(&format!("coalesce(CAST(1.5 / ({divisor} + 3.0) AS VARCHAR), 'NULL')")), "0.5");
    }
}

#[test]
fn the_types_of_the_table_are_those_of_snapshots() {
    let types: Vec<DataType> = batch().schema().fields().iter().map(|field| field.data_type().clone()).collect();
    for snapshot in [
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Utf8,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Microsecond, None),
    ] {
        assert!(types.contains(&snapshot), "{snapshot}");
    }
}
