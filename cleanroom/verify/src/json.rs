//! JSON that says each thing once.
//!
//! Readers differ in which of two members of one name they take, so of such an object no two need see the same.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Reads JSON in which no object has two members of one name.
///
/// # Errors
/// Where it is no JSON, or an object in it has; the latter is an error of data, not of syntax.
pub fn read_json(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice::<Once>(text)?;
    serde_json::from_slice(text)
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
}
