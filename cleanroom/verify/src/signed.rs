//! Signatures of partners in the log: who is in the room under which key, and whether its policies are its own.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::entry::Entry;
use super::finding::Code;
use super::replay::{names, text};
use crate::note::Key;
use cleanroom_format::{MEMBERSHIP_STATEMENT, POLICY_STATEMENT};

/// The keys of partners, as the log tells them; a partner that once had one is never without.
pub(super) struct Signers {
    // The name of the log.
    log: String,
    held: HashMap<String, Held>,
    // What whoever verifies knows from elsewhere.
    known: Vec<Key>,
    // Owners of which it was said that they have no key.
    unsigned: HashSet<String>,
    // Tables whose policy in force carries a signature; whether it is right was said when it came.
    signed: HashSet<String>,
}

/// The newest membership that a partner signed.
struct Held {
    key: Key,
    since: String,
    statement: String,
}

impl Signers {
    pub(super) fn knowing(known: &[Key], log: &str) -> Self {
        Self {
            log: log.to_owned(),
            held: HashMap::new(),
            known: known.to_vec(),
            unsigned: HashSet::new(),
            signed: HashSet::new(),
        }
    }

    /// The members of a `room.put`.
    pub(super) fn room(&mut self, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let room = entry.text(&["room"]).unwrap_or_default();
        for member in entry.list(&["body", "members"]) {
            let partner = text(member, "partner");
            let held = self.held.get(&partner);
            let Some(written) = member.get("key").and_then(Value::as_str) else {
                if held.is_some() {
                    wrong(Code::Membership, "a partner that has a key is in the room without it");
                }
                continue;
            };
            let key = match written.parse::<Key>() {
                Ok(key) if key.name() == partner => key,
                _ => {
                    wrong(Code::Membership, "the key of a partner is not one under its name");
                    continue;
                }
            };
            let mut abilities = names(member, "abilities");
            abilities.sort_unstable();
            let since = text(member, "since");
            // The oldest memberships are without a time: older than any.
            let line = if since.is_empty() { String::new() } else { format!("since {since}\n") };
            let abilities = abilities.join(" ");
            let stated = |log: &str| {
                format!(
                    "{MEMBERSHIP_STATEMENT}\nroom {room}\n{log}partner {partner}\nabilities {abilities}\n{line}key {written}\n"
                )
            };
            let signature = text(member, "signature");
            let (bound, unbound) = (stated(&format!("log {}\n", self.log)), stated(""));
            // Older memberships name no log.
            let is_unbound = !key.signed(&bound, &signature) && key.signed(&unbound, &signature);
            let statement = if is_unbound { unbound } else { bound };
            if is_unbound && held.is_none_or(|held| held.statement != statement) {
                let message = format!(
                    "the membership of `{partner}` names no log, so that it would hold in another one, too; let it sign again"
                );
                wrong(Code::UnboundMembership, &message);
            }
            if !is_unbound && !key.signed(&statement, &signature) {
                wrong(Code::Membership, "a partner is in the room on terms that it has not signed");
            }
            if held.is_some_and(|held| held.key != key && !held.key.signed(&statement, &text(member, "rotation"))) {
                wrong(Code::Membership, "a partner has another key, which the one before has not signed for");
            }
            // Times of one spelling are in order as texts are, and none comes before them. Of two without a time nobody can
            // tell which was signed last.
            let replaced = |held: &Held| !held.since.is_empty() && since <= held.since;
            if held.is_some_and(|held| held.statement != statement && replaced(held)) {
                wrong(Code::Membership, "a partner is in the room on terms that it has replaced since");
            }
            self.held.insert(partner, Held { key, since, statement });
        }
    }

    /// A `policy.active`.
    pub(super) fn policy(&mut self, entry: &Entry, wrong: &mut impl FnMut(Code, &str)) {
        let body = |name| entry.text(&["body", name]).unwrap_or_default();
        let (table, version) = (body("table"), entry.integer(&["body", "version"]).unwrap_or_default());
        let owner = table.split('.').next().unwrap_or_default();
        let mut statement = format!(
            "{POLICY_STATEMENT}\nroom {}\ntable {table}\nversion {version}\npolicy {}\n",
            entry.text(&["room"]).unwrap_or_default(),
            body("digest")
        );
        let templates = entry.list(&["body", "templates"]).iter();
        let mut templates: Vec<_> = templates.map(|one| (text(one, "name"), text(one, "digest"))).collect();
        templates.sort();
        for (name, digest) in templates {
            statement.push_str(&format!("template {name} {digest}\n"));
        }
        let signature = body("signature");
        if signature.is_empty() {
            self.signed.remove(table);
        } else {
            self.signed.insert(table.to_owned());
        }
        let known: Vec<_> = self.known.iter().filter(|key| key.name() == owner).collect();
        if !known.is_empty() && !known.iter().any(|key| key.signed(&statement, signature)) {
            wrong(Code::PolicySignature, "the policy is not signed by the key that you gave for its owner");
        }
        match self.held.get(owner) {
            Some(held) if !held.key.signed(&statement, signature) => {
                wrong(Code::PolicySignature, "the policy is not signed by its owner");
            }
            None if !signature.is_empty() => {
                wrong(Code::PolicySignature, "the policy is signed by an owner that has no key in the room");
            }
            None if self.unsigned.insert(owner.to_owned()) => {
                let owner = format!(
                    "`{owner}` has no key in the room: that its policies are its own rests on the operator's word"
                );
                wrong(Code::Unsigned, &owner);
            }
            None | Some(_) => {}
        }
    }

    /// A question that the policy in force of a table decided: one from before its owner had a key decides no more.
    pub(super) fn decided(&self, table: &str, wrong: &mut impl FnMut(Code, &str)) {
        let owner = table.split('.').next().unwrap_or_default();
        if self.held.contains_key(owner) && !self.signed.contains(table) {
            wrong(
                Code::PolicySignature,
                "it was decided by a policy from before its owner had a key, which is not signed",
            );
        }
    }
}
