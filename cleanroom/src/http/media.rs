//! Media types.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};

use super::problem::Problem;

pub(crate) const JSON: &str = "application/json";
pub(crate) const PROBLEM: &str = "application/problem+json";
pub(crate) const CSV: &str = "text/csv";
pub(crate) const ARROW: &str = "application/vnd.apache.arrow.stream";
pub(crate) const PARQUET: &str = "application/vnd.apache.parquet";
pub(crate) const JSON_LINES: &str = "application/x-ndjson";
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";

/// Media types of a document; JSON is YAML too.
const DOCUMENT: &[&str] = &["application/yaml", "application/x-yaml", "text/yaml", JSON];

/// Refuses a body that does not say it is JSON.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    if content_type(headers)? == JSON { Ok(()) } else { Err(Problem::media(JSON)) }
}

/// Refuses a body that does not say it is a document.
pub(super) fn must_be_document(headers: &HeaderMap) -> Result<(), Problem> {
    if DOCUMENT.contains(&content_type(headers)?.as_str()) {
        Ok(())
    } else {
        Err(Problem::media("application/yaml or application/json"))
    }
}

/// The media type of the body, in lower case. A charset other than UTF-8 is refused, since only that is read.
pub(super) fn content_type(headers: &HeaderMap) -> Result<String, Problem> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_owned();
    for parameter in parts {
        if let Some(charset) = parameter.strip_prefix("charset=")
            && charset.trim_matches('"') != "utf-8"
        {
            return Err(Problem::media("a body in UTF-8"));
        }
    }
    Ok(essence)
}

/// The best of `offered` that the client accepts; the first where it does not say.
pub(super) fn accepted<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Option<&'a str> {
    let mut accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if accept.peek().is_none() {
        return offered.first().copied();
    }
    let ranges: Vec<(String, f32)> = accept.flat_map(|value| value.split(',')).map(range).collect();
    let quality = |media: &str| {
        // The most specific range that fits says how welcome a type is.
        let family = media.split('/').next().unwrap_or_default();
        [media.to_owned(), format!("{family}/*"), "*/*".to_owned()]
            .iter()
            .find_map(|wanted| ranges.iter().find(|(range, _)| range == wanted))
            .map_or(0.0, |(_, quality)| *quality)
    };
    let mut best: Option<(&str, f32)> = None;
    for media in offered {
        let quality = quality(media);
        if quality > best.map_or(0.0, |(_, best)| best) {
            best = Some((media, quality));
        }
    }
    best.map(|(media, _)| media)
}

fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
    (media, quality)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const OFFERED: &[&str] = &[JSON, CSV, ARROW, PARQUET];

    fn best(accept: Option<&str>) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        accepted(&headers, OFFERED)
    }

    #[test]
    fn the_most_welcome_type_is_sent() {
        assert_eq!(best(None), Some(JSON));
        assert_eq!(best(Some("*/*")), Some(JSON));
        assert_eq!(best(Some("text/*")), Some(CSV));
        assert_eq!(best(Some("application/json;q=0.5, text/csv")), Some(CSV));
        assert_eq!(best(Some("*/*;q=0.1, application/vnd.apache.parquet")), Some(PARQUET));
        assert_eq!(best(Some("application/json;q=0, */*")), Some(CSV));
        assert_eq!(best(Some("image/png")), None);
    }

    #[test]
    fn only_utf_8_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "Application/JSON; charset=UTF-8".parse().unwrap());
        assert!(must_be_json(&headers).is_ok());
        headers.insert(CONTENT_TYPE, "application/json; charset=latin1".parse().unwrap());
        assert!(must_be_json(&headers).is_err());
        headers.insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(must_be_json(&headers).is_err());
    }
}
