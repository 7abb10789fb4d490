//! Released tables as text, JSON, CSV, Arrow and Parquet.

mod columnar;
mod refusal;
mod table;
mod visible;

pub(crate) use columnar::{from_ipc, to_arrow, to_csv, to_parquet};
pub(crate) use refusal::refusal_text;
pub(crate) use table::{batch_table, text_csv, text_table};
pub(crate) use visible::visible;

/// A number in a few digits, for people.
pub(crate) fn short(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let size = number.abs();
    if !(1e-3..1e9).contains(&size) {
        return format!("{number:.2e}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most six digits")]
    let digits = (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{number:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
