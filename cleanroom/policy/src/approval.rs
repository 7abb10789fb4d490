//! What an owner approves: a template by name, and by content where the owner says so.

use std::fmt;

use crate::names::{NameError, TemplateName};

/// One entry of `access.templates`: `name`, or `name@digest`.
///
/// Without a digest it approves the template as it stands when the policy is put; whoever keeps policies records which that
/// was. A template that changes later is another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateApproval {
    /// The template.
    pub name: TemplateName,
    /// SHA-256 of its canonical JSON, in lower-case hex; `None` for the one in force.
    pub digest: Option<String>,
}

/// Why a text is no approval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// The part before the `@`.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The part after it.
    #[error("after `@` stands the template's digest: 64 of 0-9 and a-f, as `cleanroom get templates` shows it")]
    Digest,
}

impl TemplateApproval {
    /// Reads `name` or `name@digest`.
    ///
    /// # Errors
    /// Where a part breaks its rule.
    pub fn parse(text: &str) -> Result<Self, ApprovalError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let hexadecimal = |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digest.is_some_and(|digest| !hexadecimal(digest)) {
            return Err(ApprovalError::Digest);
        }
        Ok(Self { name: TemplateName::new(name)?, digest: digest.map(str::to_owned) })
    }
}

impl fmt::Display for TemplateApproval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) => write!(f, "{}@{digest}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}
