//! JSON that says each thing once.
//!
//! Readers differ in which of two members of one name they take, so of such an object no two need see the same.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Names by which the parser passes texts and numbers to itself. A document with such a name is read as something that does not
/// stand in it.
const PRIVATE: &str = "$serde_json::private::";

/// Reads JSON in which no object has two members of one name.
///
/// # Errors
/// Where it is no JSON, or an object in it has, or has a name that the parser keeps for itself; the latter two are errors of
/// data, not of syntax.
pub fn read_json(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice::<Once>(text)?;
    no_private_names(text)?;
    serde_json::from_slice(text)
}

/// Looks at the names as they are written: through the parser, a number looks like an object with a private name, too. `text` is
/// JSON, so every quotation mark outside a string begins one, and a string before a colon is a name.
fn no_private_names(text: &[u8]) -> serde_json::Result<()> {
    let mut rest = text;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let string = rest.get(start..).unwrap_or_default();
        let (string, after) = string.split_at_checked(string_length(string)).unwrap_or((string, b""));
        let is_name = after.trim_ascii_start().starts_with(b":");
        if is_name && serde_json::from_slice::<String>(string)?.starts_with(PRIVATE) {
            return Err(serde_json::Error::custom(format!(
                "a name in an object begins with `{PRIVATE}`, which no document of this log does"
            )));
        }
        rest = after;
    }
    Ok(())
}

/// Bytes of the string that `text` begins with, its quotation marks among them.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|byte| {
        let ends = !escaped && *byte == b'"';
        escaped = !escaped && *byte == b'\\';
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Any value; its objects have each name once.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnceVisitor)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_i64<E>(self, _value: i64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_u64<E>(self, _value: u64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_str<E>(self, _value: &str) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
        while items.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Once, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name stands twice in one object"));
            }
            members.next_value::<Once>()?;
        }
        Ok(Once)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_once() {
        for text in
            [r#"{"a":[1,-2.50,1e3,null,true,"x",{"a":12345678901234567890.10}],"b":{"a":1}}"#, "[]", "1", r#""x""#]
        {
            assert_eq!(read_json(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"c":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(read_json(text.as_bytes()).unwrap_err().is_data(), "{text}");
        }
        assert!(read_json(b"{").unwrap_err().is_eof());
    }

    #[test]
    fn what_the_parser_says_to_itself_is_no_document() {
        // The same name escaped, where nothing but its first byte is.
        let escaped = r#"{"\u0024serde_json::private::RawValue":"{}"}"#;
        for text in [
            r#"{"$serde_json::private::RawValue":"{\"a\":1,\"a\":2}"}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"{"$serde_json::private::Number" : "1"}"#,
            r#"{"a":["\"",{"b":{"$serde_json::private::RawValue":"1"}}]}"#,
            r#"{"a":"\\","$serde_json::private::Number":"1"}"#,
            escaped,
        ] {
            assert!(read_json(text.as_bytes()).unwrap_err().is_data(), "{text}");
        }
        // In a value it is a text as any other.
        for text in [r#"["$serde_json::private::RawValue"]"#, r#"{"sql":"\"$serde_json::private::Number\":"}"#] {
            assert_eq!(read_json(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
    }
}
