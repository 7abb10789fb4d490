//! Each listed function computes on every row; the page on functions is made of the list.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write;

use super::PROTECTED;
use super::table::Class;
use crate::check::expression::tests::Bench;
use crate::pages;

/// How each function is tried: `{n}` is every number, `{s}` every text, `{t}` every time, `{a}` anything.
const TRIED: &[(&str, &[&str])] = &[
    ("abs", &["abs({n})", "abs(-{n})"]),
    ("acos", &["acos({n})"]),
    ("ascii", &["ascii({s})"]),
    ("asin", &["asin({n})"]),
    ("atan", &["atan({n})"]),
    ("atan2", &["atan2({n}, {n})"]),
    ("bit_length", &["bit_length({s})"]),
    ("btrim", &["btrim({s})", "btrim({s}, 'aß ')", "TRIM(BOTH 'a' FROM {s})", "TRIM({s})"]),
    ("cbrt", &["cbrt({n})"]),
    ("ceil", &["ceil({n})", "CEIL({n} / 3)", "ceil(CAST(d1 AS DECIMAL(3,1)))", "ceil(CAST(f1 AS DECIMAL(38,1)))"]),
    ("character_length", &["character_length({s})", "length({s})", "char_length({s})"]),
    ("coalesce", &["coalesce({a}, {a})", "coalesce({n}, {n}, 1)"]),
    ("concat", &["concat({a}, {s})", "concat({s}, 'x', {s})"]),
    ("concat_ws", &["concat_ws('-', {s}, {a})"]),
    ("contains", &["contains({s}, {s})", "contains({s}, 'a')"]),
    ("cos", &["cos({n})"]),
    ("cot", &["cot({n})"]),
    (
        "date_bin",
        &[
            "date_bin(INTERVAL '15 minutes', {t})",
            "date_bin(INTERVAL '1 month', {t}, TIMESTAMP '2001-01-01 00:00:00')",
            "date_bin(INTERVAL '100 years', {t})",
        ],
    ),
    (
        "date_part",
        &[
            "date_part('year', {t})",
            "date_part('WEEK', {t})",
            "date_part('doy', {t})",
            "EXTRACT(quarter FROM {t})",
            "date_part('second', {t})",
            "EXTRACT(dow FROM {t} + INTERVAL '100 years')",
        ],
    ),
    (
        "date_trunc",
        &[
            "date_trunc('year', {t})",
            "date_trunc('week', {t})",
            "date_trunc('quarter', {t})",
            "date_trunc('second', {t} - INTERVAL '100 years')",
        ],
    ),
    ("degrees", &["degrees({n})"]),
    ("ends_with", &["ends_with({s}, {s})"]),
    ("exp", &["exp({n})"]),
    ("find_in_set", &["find_in_set({s}, 'a,ß,,c')"]),
    ("floor", &["floor({n})", "floor(CAST(d1 AS DECIMAL(3,1)))", "FLOOR({n})"]),
    ("greatest", &["greatest({a}, {a})", "greatest({n}, {n})"]),
    ("initcap", &["initcap({s})"]),
    ("isnan", &["isnan({n})"]),
    ("iszero", &["iszero({n})"]),
    ("least", &["least({a}, {a})", "least({n}, 0)"]),
    ("left", &["left({s}, 0)", "left({s}, 1000)"]),
    ("ln", &["ln({n})"]),
    ("log", &["log({n})", "log({n}, {n})", "log(2, {n})"]),
    ("log10", &["log10({n})"]),
    ("log2", &["log2({n})"]),
    ("lower", &["lower({s})", "lower(upper({s}))"]),
    ("lpad", &["lpad({s}, 100)", "lpad({s}, 7, 'ß👩')", "lpad({s}, 0)"]),
    ("ltrim", &["ltrim({s})", "ltrim({s}, 'aΐ')", "TRIM(LEADING 'a' FROM {s})"]),
    ("nanvl", &["nanvl({n}, {n})"]),
    ("nullif", &["nullif({a}, {a})", "nullif({n}, 0)"]),
    ("nvl", &["nvl({a}, {a})", "ifnull({n}, 0)"]),
    ("nvl2", &["nvl2({a}, {n}, {n})"]),
    ("octet_length", &["octet_length({s})"]),
    ("pi", &["pi()", "pi() * {n}"]),
    (
        "power",
        &["power({n}, 2)", "power({n}, -2)", "pow({n}, 0.5)", "power({n}, -0.5)", "power({n}, 0)", "power({n}, 100)"],
    ),
    ("radians", &["radians({n})"]),
    ("replace", &["replace({s}, 'a', 'b')", "replace({s}, 'ß', 'ss')", "replace({s}, 'a', '')"]),
    ("reverse", &["reverse({s})"]),
    ("right", &["right({s}, 0)", "right({s}, 1000)"]),
    (
        "round",
        &[
            "round({n})",
            "round({n}, 2)",
            "round({n}, -1)",
            "round({n}, -18)",
            "round({n}, 18)",
            "round(CAST(d1 AS DECIMAL(2,0)), -1)",
        ],
    ),
    ("rpad", &["rpad({s}, 100)", "rpad({s}, 7, 'ß👩')", "rpad({s}, 3, '')"]),
    ("rtrim", &["rtrim({s})", "rtrim({s}, 'a')", "TRIM(TRAILING 'a' FROM {s})"]),
    ("signum", &["signum({n})"]),
    ("sin", &["sin({n})"]),
    ("split_part", &["split_part({s}, ',', 1)", "split_part({s}, '', 2)", "split_part({s}, 'ab', 1000)"]),
    ("sqrt", &["sqrt({n})"]),
    ("starts_with", &["starts_with({s}, {s})", "starts_with({s}, 'a%_')"]),
    ("strpos", &["strpos({s}, {s})", "POSITION('a' IN {s})"]),
    ("substr", &["substr({s}, 1)", "substr({s}, 2, 3)", "SUBSTRING({s} FROM 1000 FOR 1000)"]),
    (
        "substr_index",
        &[
            "substr_index({s}, ',', 2)",
            "substring_index({s}, ',', -2)",
            "substr_index({s}, '', 1)",
            "substr_index({s}, 'a', 0)",
        ],
    ),
    ("tan", &["tan({n})"]),
    (
        "to_char",
        &[
            "to_char({t}, '%Y-%m-%d')",
            "date_format({t}, '%F %T %j %u %w %a %A %b %B %y %V %G')",
            "to_char({t}, '%e %p %I %C %R %S %M %H %h %d %m %Y %%')",
        ],
    ),
    ("to_date", &["to_date({s})", "to_date({t})"]),
    ("to_hex", &["to_hex(i1)", "to_hex(CAST(i1 AS INT))"]),
    ("to_timestamp", &["to_timestamp({s})", "to_timestamp({t})"]),
    ("translate", &["translate({s}, 'aß,', 'x')", "translate({s}, 'ʼN', 'yz')", "translate({s}, '', 'z')"]),
    ("trunc", &["trunc({n})", "trunc({n}, 2)", "trunc({n}, -18)", "trunc({n}, 18)"]),
    ("upper", &["upper({s})", "upper(lower({s}))"]),
];

#[test]
fn listed_functions_fail_on_no_row() {
    let bench = Bench::new();
    for function in PROTECTED {
        let tried = TRIED.iter().find(|(name, _templates)| *name == function.name);
        let (_name, templates) = tried.unwrap_or_else(|| unreachable!("`{}` is not tried", function.name));
        bench.all_hold(templates);
    }
    assert_eq!(TRIED.len(), PROTECTED.len());
}

#[test]
fn constants_are_looked_at() {
    let bench = Bench::new();
    for refused in [
        "left(s1, i1)",
        "left(s1, -1)",
        "lpad(s1, 101)",
        "lpad(s1, CAST('7' AS BIGINT))",
        "rpad(s1, i1)",
        "substr(s1, 0)",
        "substr(s1, 1, -1)",
        "split_part(s1, ',', 0)",
        "split_part(s1, s2, 1)",
        "replace(s1, 'a', 'aa')",
        "replace(s1, s2, 'a')",
        "replace(s1, 'ʼ', 'ŉ')",
        "replace(s1, '', 'a')",
        "translate(s1, 'N', 'ŉ')",
        "power(f1, f2)",
        "power(f1, 101)",
        "round(f1, 19)",
        "round(f1, i1)",
        "date_trunc('century', t1)",
        "date_part('bogus', t1)",
        "date_part(s1, t1)",
        "date_bin(INTERVAL '0 days', t1)",
        "date_bin(INTERVAL '-1 day', t1)",
        "date_bin(INTERVAL '1 month 1 day', t1)",
        "to_char(t1, '%q')",
        "to_char(t1, '%')",
        "to_char(t1, s1)",
        "to_char(t1, '%+')",
        "to_date(s1, '%Y')",
        "to_timestamp(i1)",
        "s1 LIKE s2",
        "s1 SIMILAR TO 'a'",
        "s1 ~ 'a'",
        "repeat(s1, 2)",
        "md5(s1)",
        "random()",
        "now()",
        "chr(i1)",
        "levenshtein(s1, s2)",
        "factorial(i1)",
        "gcd(i1, i2)",
        "lcm(i1, i2)",
        "make_date(i1, i1, i1)",
        "uuid()",
        "arrow_typeof(s1)",
        "regexp_like(s1, 'a')",
        "to_unixtime(s1)",
        "from_unixtime(i1)",
    ] {
        if let Some(checked) = bench.checked(refused) {
            assert!(checked.is_err(), "`{refused}` is let through");
        }
    }
}

#[test]
fn total_forms_mean_what_the_functions_mean() {
    let bench = Bench::new();
    for (sql, want) in [
        ("abs(CAST(concat(left(s1, 0), '-9223372036854775808') AS BIGINT))", "9223372036854775807"),
        ("abs(CAST(concat(left(s1, 0), '-5') AS BIGINT))", "5"),
        ("ceil(CAST(concat(left(s1, 0), '1.01') AS DECIMAL(5,2)))", "2.00"),
        ("floor(CAST(concat(left(s1, 0), '-1.01') AS DECIMAL(5,2)))", "-2.00"),
        ("ceil(CAST(concat(left(s1, 0), '9.99') AS DECIMAL(3,2)))", ""),
        ("round(CAST(concat(left(s1, 0), '155') AS BIGINT), -1)", "160"),
        ("round(CAST(concat(left(s1, 0), '155.55') AS DECIMAL(5,2)), 1)", "155.60"),
        ("round(CAST(concat(left(s1, 0), '155.55') AS DECIMAL(5,2)), -1)", "160.00"),
        ("sqrt(CAST(concat(left(s1, 0), '-4') AS DOUBLE))", ""),
        ("sqrt(CAST(concat(left(s1, 0), '4') AS DOUBLE))", "2.0"),
        ("ln(CAST(concat(left(s1, 0), '0') AS DOUBLE))", ""),
        ("log(2, CAST(concat(left(s1, 0), '8') AS DOUBLE))", "3.0"),
        ("power(CAST(concat(left(s1, 0), '0') AS DOUBLE), -1)", ""),
        ("power(CAST(concat(left(s1, 0), '2') AS DOUBLE), -1)", "0.5"),
        ("to_char(CAST(concat(left(s1, 0), '2024-02-29') AS DATE), '%d.%m.%Y %H')", "29.02.2024 00"),
        ("to_date(concat(left(s1, 0), '2024-02-30'))", ""),
        ("to_date(concat(left(s1, 0), '2024-02-29'))", "2024-02-29"),
        ("date_trunc('month', CAST(concat(left(s1, 0), '9999-12-31') AS DATE))", ""),
        ("date_trunc('week', CAST(concat(left(s1, 0), '2023-02-01') AS DATE))", "2023-01-30T00:00:00"),
        ("date_part('year', CAST(concat(left(s1, 0), '9999-12-31') AS DATE))", "9999"),
        ("replace(concat(left(s1, 0), 'straße'), 'ß', 'ss')", "strasse"),
        ("translate(concat(left(s1, 0), 'äöü'), 'äöü', 'aou')", "aou"),
    ] {
        let value = bench.value(&sql.replace("s1", "coalesce(s1, '')"));
        assert_eq!(value, want, "{sql}");
    }
}

/// The page on functions says what the list says. `UPDATE_DOCS=1` writes it.
#[test]
fn the_page_on_functions_is_up_to_date() {
    let mut page = include_str!("page.md").to_owned();
    for (class, title) in [
        (Class::Text, "Texts"),
        (Class::Number, "Numbers"),
        (Class::Choice, "Choices and NULL"),
        (Class::Time, "Dates and times"),
    ] {
        write!(page, "\n## {title}\n\n| function | what it yields | what must be constant |\n|---|---|---|\n").unwrap();
        for function in PROTECTED.iter().filter(|function| function.class == class) {
            let given: Vec<String> =
                function.given.iter().map(|(position, given)| format!("argument {}: {given}", position + 1)).collect();
            writeln!(page, "| `{}` | {} | {} |", function.usage, function.about, given.join("; ")).unwrap();
        }
    }
    pages::up_to_date("functions.md", &page);
}
