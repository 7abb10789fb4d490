//! The list of functions on protected rows. `docs/functions.md` is made of it.
//!
//! A function is listed if it gives the same result every time, if no value of a row can make it fail (where the engine's
//! can, its [`Form`] says what is put around it), if its result is not much longer than its arguments, and if the work is
//! in proportion to them. Not listed for that reason: `repeat` and `overlay` (make long texts), `levenshtein` (quadratic),
//! regular expressions (compiled when the first row reaches them), `chr`, `factorial`, `gcd`, `lcm` and `make_date` (fail on
//! some values), `random`, `now` and their like, and digests (a digest of a value is the value to whoever has a list).

use super::given::Given;

/// What a function is about; the order is that of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Text,
    Number,
    Choice,
    Time,
}

/// What is put around the engine's function so that no value makes it fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing: the engine's is total.
    AsIs,
    /// Arguments below 0 are NULL.
    NonNegative,
    /// Arguments of 0 and below are NULL.
    Positive,
    /// The least whole number of a type, which has no opposite, is taken for the one above it.
    Absolute,
    /// A decimal is given one more digit, and the result cut to its own type.
    Whole,
    /// To tens and above, whole numbers and decimals are rounded as floating point numbers.
    Round,
    /// A base of 0 is NULL where the exponent is negative.
    Power,
    /// Computed in microseconds: in nanoseconds the first and last years overflow.
    Coarse,
    /// Computed in microseconds, and in years that are times in nanoseconds, too.
    Truncated,
    /// As `Coarse`, and years outside 1 to 9999 are NULL.
    Written,
    /// A cast that gives NULL.
    Cast,
}

/// One function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is made of it"))]
    pub(crate) class: Class,
    /// How it is written.
    pub(crate) usage: &'static str,
    /// What it yields.
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is made of it"))]
    pub(crate) about: &'static str,
    /// Arguments, by position, that must be constants of some kind.
    pub(crate) given: &'static [(usize, Given)],
    pub(crate) form: Form,
    /// Its result can be longer than its arguments, so its constants are checked above the release, too.
    pub(crate) grows: bool,
}

/// Units that a time is cut to.
const UNITS: &[&str] = &["year", "quarter", "month", "week", "day", "hour", "minute", "second"];
/// Parts of a time.
const PARTS: &[&str] = &["year", "quarter", "month", "week", "day", "hour", "minute", "second", "dow", "doy"];

/// The function of this name, if it is listed.
pub(crate) fn protected(name: &str) -> Option<&'static Function> {
    PROTECTED.iter().find(|function| function.name == name)
}

const fn listed(
    name: &'static str,
    class: Class,
    usage: &'static str,
    about: &'static str,
    given: &'static [(usize, Given)],
    form: Form,
) -> Function {
    Function { name, class, usage, about, given, form, grows: false }
}

const fn growing(function: Function) -> Function {
    Function { grows: true, ..function }
}

/// Deterministic, total functions, by class and name.
pub(crate) const PROTECTED: &[Function] = &[
    listed(
        "ascii",
        Class::Text,
        "ascii(text)",
        "Code point of the first character; 0 for the empty text.",
        &[],
        Form::AsIs,
    ),
    listed("bit_length", Class::Text, "bit_length(text)", "Length in bits.", &[], Form::AsIs),
    listed(
        "btrim",
        Class::Text,
        "btrim(text [, characters])",
        "Without the characters (spaces) at both ends; also `TRIM(BOTH ... FROM text)`.",
        &[(1, Given::Text)],
        Form::AsIs,
    ),
    listed(
        "character_length",
        Class::Text,
        "character_length(text)",
        "Length in characters; also `length`, `char_length`.",
        &[],
        Form::AsIs,
    ),
    listed(
        "concat",
        Class::Text,
        "concat(text, ...)",
        "The texts one after the other, NULL as the empty text; also `||`, with NULL as NULL.",
        &[],
        Form::AsIs,
    ),
    listed(
        "concat_ws",
        Class::Text,
        "concat_ws(separator, text, ...)",
        "The texts that are not NULL, with the separator between them.",
        &[(0, Given::Text)],
        Form::AsIs,
    ),
    listed("contains", Class::Text, "contains(text, part)", "Whether the part stands in the text.", &[], Form::AsIs),
    listed("ends_with", Class::Text, "ends_with(text, part)", "Whether the text ends with the part.", &[], Form::AsIs),
    listed(
        "find_in_set",
        Class::Text,
        "find_in_set(text, list)",
        "Position of the text in a list of texts with commas between them; 0 where it is not there.",
        &[(1, Given::Text)],
        Form::AsIs,
    ),
    listed(
        "initcap",
        Class::Text,
        "initcap(text)",
        "First letter of each word in upper case, the others in lower case.",
        &[],
        Form::AsIs,
    ),
    listed(
        "left",
        Class::Text,
        "left(text, n)",
        "The first n characters.",
        &[(1, Given::Integer(0, 1000))],
        Form::AsIs,
    ),
    listed("lower", Class::Text, "lower(text)", "In lower case.", &[], Form::AsIs),
    growing(listed(
        "lpad",
        Class::Text,
        "lpad(text, n [, fill])",
        "Filled at the left, or cut at the right, to n characters.",
        &[(1, Given::Integer(0, 100)), (2, Given::Text)],
        Form::AsIs,
    )),
    listed(
        "ltrim",
        Class::Text,
        "ltrim(text [, characters])",
        "Without the characters (spaces) at the left; also `TRIM(LEADING ... FROM text)`.",
        &[(1, Given::Text)],
        Form::AsIs,
    ),
    listed("octet_length", Class::Text, "octet_length(text)", "Length in bytes.", &[], Form::AsIs),
    growing(listed(
        "replace",
        Class::Text,
        "replace(text, from, to)",
        "With every `from` replaced by `to`, which is no longer.",
        &[(1, Given::NotEmpty), (2, Given::NoLongerThan(1))],
        Form::AsIs,
    )),
    listed("reverse", Class::Text, "reverse(text)", "Characters in reverse order.", &[], Form::AsIs),
    listed(
        "right",
        Class::Text,
        "right(text, n)",
        "The last n characters.",
        &[(1, Given::Integer(0, 1000))],
        Form::AsIs,
    ),
    growing(listed(
        "rpad",
        Class::Text,
        "rpad(text, n [, fill])",
        "Filled, or cut, at the right to n characters.",
        &[(1, Given::Integer(0, 100)), (2, Given::Text)],
        Form::AsIs,
    )),
    listed(
        "rtrim",
        Class::Text,
        "rtrim(text [, characters])",
        "Without the characters (spaces) at the right; also `TRIM(TRAILING ... FROM text)`.",
        &[(1, Given::Text)],
        Form::AsIs,
    ),
    listed(
        "split_part",
        Class::Text,
        "split_part(text, separator, n)",
        "The n-th part between separators, from 1.",
        &[(1, Given::Text), (2, Given::Integer(1, 1000))],
        Form::AsIs,
    ),
    listed(
        "starts_with",
        Class::Text,
        "starts_with(text, part)",
        "Whether the text starts with the part.",
        &[],
        Form::AsIs,
    ),
    listed(
        "strpos",
        Class::Text,
        "strpos(text, part)",
        "Position of the part, from 1; 0 where it is not there; also `POSITION(part IN text)`.",
        &[],
        Form::AsIs,
    ),
    listed(
        "substr",
        Class::Text,
        "substr(text, start [, n])",
        "n characters from a position that counts from 1; also `SUBSTRING(text FROM start FOR n)`.",
        &[(1, Given::Integer(1, 1000)), (2, Given::Integer(1, 1000))],
        Form::AsIs,
    ),
    listed(
        "substr_index",
        Class::Text,
        "substr_index(text, separator, n)",
        "What stands before the n-th separator, or for a negative n after the n-th from the end; also `substring_index`.",
        &[(1, Given::Text), (2, Given::Integer(-1000, 1000))],
        Form::AsIs,
    ),
    listed("to_hex", Class::Text, "to_hex(whole number)", "In hexadecimal digits.", &[], Form::AsIs),
    growing(listed(
        "translate",
        Class::Text,
        "translate(text, from, to)",
        "Each character of `from` replaced by the one at its place in `to`, or left out.",
        &[(1, Given::Text), (2, Given::Ascii)],
        Form::AsIs,
    )),
    listed("upper", Class::Text, "upper(text)", "In upper case.", &[], Form::AsIs),
    listed(
        "abs",
        Class::Number,
        "abs(number)",
        "Without its sign. Of the least whole number of a type, the greatest.",
        &[],
        Form::Absolute,
    ),
    listed("acos", Class::Number, "acos(number)", "Arc cosine in radians; NaN outside -1 to 1.", &[], Form::AsIs),
    listed("asin", Class::Number, "asin(number)", "Arc sine in radians; NaN outside -1 to 1.", &[], Form::AsIs),
    listed("atan", Class::Number, "atan(number)", "Arc tangent in radians.", &[], Form::AsIs),
    listed("atan2", Class::Number, "atan2(y, x)", "Angle of the point (x, y) in radians.", &[], Form::AsIs),
    listed("cbrt", Class::Number, "cbrt(number)", "Cube root.", &[], Form::AsIs),
    listed(
        "ceil",
        Class::Number,
        "ceil(number)",
        "Least whole number that is not smaller; also `ceiling`. A decimal that does not fit its type is NULL.",
        &[],
        Form::Whole,
    ),
    listed("cos", Class::Number, "cos(radians)", "Cosine.", &[], Form::AsIs),
    listed("cot", Class::Number, "cot(radians)", "Cotangent.", &[], Form::AsIs),
    listed("degrees", Class::Number, "degrees(radians)", "In degrees.", &[], Form::AsIs),
    listed(
        "exp",
        Class::Number,
        "exp(number)",
        "e to the power of the number; infinite where it is too large.",
        &[],
        Form::AsIs,
    ),
    listed(
        "floor",
        Class::Number,
        "floor(number)",
        "Greatest whole number that is not larger. A decimal that does not fit its type is NULL.",
        &[],
        Form::Whole,
    ),
    listed("isnan", Class::Number, "isnan(number)", "Whether it is not a number (NaN).", &[], Form::AsIs),
    listed("iszero", Class::Number, "iszero(number)", "Whether it is 0.", &[], Form::AsIs),
    listed("ln", Class::Number, "ln(number)", "Natural logarithm; NULL for 0 and below.", &[], Form::Positive),
    listed(
        "log",
        Class::Number,
        "log([base,] number)",
        "Logarithm, to base 10 unless said; NULL where one of them is 0 or below.",
        &[],
        Form::Positive,
    ),
    listed("log10", Class::Number, "log10(number)", "Logarithm to base 10; NULL for 0 and below.", &[], Form::Positive),
    listed("log2", Class::Number, "log2(number)", "Logarithm to base 2; NULL for 0 and below.", &[], Form::Positive),
    listed("nanvl", Class::Number, "nanvl(a, b)", "a, or b where a is not a number (NaN).", &[], Form::AsIs),
    listed("pi", Class::Number, "pi()", "The number pi.", &[], Form::AsIs),
    listed(
        "power",
        Class::Number,
        "power(number, exponent)",
        "To the power of the exponent; NULL for 0 to a negative one; also `pow`.",
        &[(1, Given::Number(100.0))],
        Form::Power,
    ),
    listed("radians", Class::Number, "radians(degrees)", "In radians.", &[], Form::AsIs),
    listed(
        "round",
        Class::Number,
        "round(number [, places])",
        "To so many decimal places, 0 unless said; halves away from zero.",
        &[(1, Given::Integer(-18, 18))],
        Form::Round,
    ),
    listed("signum", Class::Number, "signum(number)", "-1, 0 or 1.", &[], Form::AsIs),
    listed("sin", Class::Number, "sin(radians)", "Sine.", &[], Form::AsIs),
    listed("sqrt", Class::Number, "sqrt(number)", "Square root; NULL below 0.", &[], Form::NonNegative),
    listed("tan", Class::Number, "tan(radians)", "Tangent.", &[], Form::AsIs),
    listed(
        "trunc",
        Class::Number,
        "trunc(number [, places])",
        "Cut off after so many decimal places, 0 unless said.",
        &[(1, Given::Integer(-18, 18))],
        Form::AsIs,
    ),
    listed("coalesce", Class::Choice, "coalesce(a, b, ...)", "The first that is not NULL.", &[], Form::AsIs),
    listed("greatest", Class::Choice, "greatest(a, b, ...)", "The greatest; NULLs are passed over.", &[], Form::AsIs),
    listed("least", Class::Choice, "least(a, b, ...)", "The least; NULLs are passed over.", &[], Form::AsIs),
    listed("nullif", Class::Choice, "nullif(a, b)", "NULL where both are equal, else a.", &[], Form::AsIs),
    listed("nvl", Class::Choice, "nvl(a, b)", "a, or b where a is NULL; also `ifnull`.", &[], Form::AsIs),
    listed("nvl2", Class::Choice, "nvl2(a, b, c)", "b where a is not NULL, else c.", &[], Form::AsIs),
    listed(
        "date_bin",
        Class::Time,
        "date_bin(interval, time [, origin])",
        "Start of the interval that the time lies in, counted from the origin (1970-01-01). NULL outside the years 1677 to 2262.",
        &[(0, Given::Stride), (2, Given::Moment)],
        Form::AsIs,
    ),
    listed(
        "date_part",
        Class::Time,
        "date_part(unit, time)",
        "A part of the time as a number; also `EXTRACT(unit FROM time)`. Of the time between two times: whole days.",
        &[(0, Given::Unit(PARTS))],
        Form::Coarse,
    ),
    listed(
        "date_trunc",
        Class::Time,
        "date_trunc(unit, time)",
        "Start of the unit that the time lies in. Of a date it is a time in nanoseconds, and so NULL outside the years 1677 to 2262.",
        &[(0, Given::Unit(UNITS))],
        Form::Truncated,
    ),
    listed(
        "to_char",
        Class::Time,
        "to_char(time, format)",
        "The time as text; also `date_format`.",
        &[(1, Given::Format)],
        Form::Written,
    ),
    listed(
        "to_date",
        Class::Time,
        "to_date(text or time)",
        "The date; NULL where the text is none. `TRY_CAST(text AS DATE)`.",
        &[],
        Form::Cast,
    ),
    listed(
        "to_timestamp",
        Class::Time,
        "to_timestamp(text or time)",
        "The time; NULL where the text is none. `TRY_CAST(text AS TIMESTAMP)`.",
        &[],
        Form::Cast,
    ),
];
