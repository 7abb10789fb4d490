//! What a snapshot was made from, to tell without work that it would come out the same.

use std::collections::BTreeMap;

use cleanroom_policy::{Policy, Subject, Use};
use serde::{Deserialize, Serialize};

use super::layout::Want;
use super::source::{Format, SourceFile, Stamp};

/// Grows with every change of this module's family that makes other snapshots of the same source.
const PIPELINE: u32 = 4;

/// Source and everything else that a snapshot depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    source: Stamp,
    /// BLAKE3 of the source.
    content: String,
    recipe: Recipe,
}

impl Fingerprint {
    pub(crate) fn new(source: Stamp, content: String, recipe: Recipe) -> Self {
        Self { source, content, recipe }
    }

    /// Reads one back; `None` where another version of the program wrote it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether the source is the same without looking into it.
    pub(crate) fn surely(&self, source: &SourceFile, recipe: &Recipe) -> bool {
        self.recipe == *recipe && self.source.vouches_for(&source.stamp)
    }

    /// Whether that content comes out the same.
    pub(crate) fn covers(&self, content: &str, recipe: &Recipe) -> bool {
        self.recipe == *recipe && self.content == content
    }
}

/// How a source is turned into a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    pipeline: u32,
    format: Format,
    unit: Option<(String, String)>,
    room_key: Option<String>,
    /// What the policy wants of each column it lists.
    columns: BTreeMap<String, String>,
}

impl Recipe {
    pub(crate) fn new(policy: &Policy, format: Format, room_key: Option<String>) -> Self {
        let unit = match &policy.subject {
            Subject::Unit { column, space } => Some((column.to_string(), space.to_string())),
            Subject::Public => None,
        };
        let columns = policy.columns.iter().map(|(name, rule)| {
            let want = match Want::of(policy, name.as_str()) {
                Want::Identity => "identity",
                Want::Number => "number",
                Want::Time => "time",
                Want::Any if rule.uses.contains(&Use::Join) => "join",
                Want::Any => "any",
            };
            (name.to_string(), want.to_owned())
        });
        Self { pipeline: PIPELINE, format, unit, room_key, columns: columns.collect() }
    }
}
