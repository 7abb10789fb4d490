//! Who may ask of a table, and what a policy asks for that this version cannot enforce.

use std::collections::BTreeSet;
use std::sync::Arc;

use cleanroom_policy::Require;

use super::label::Instance;
use super::{Checker, Rows};
use crate::facts::TableFacts;
use crate::refusal::{Code, Refusal, Rule};

impl Checker<'_> {
    /// The analyst may ask of the table, the receiver be given what comes of it, and every rule of its policy can be kept.
    pub(super) fn check_access(&self, facts: &Arc<TableFacts>) -> Result<(), Refusal> {
        let policy = &facts.policy;
        let refuse = |code: Code, detail: String, rule: &str| {
            Err(Refusal::new(code, detail).rule(Rule::of(policy, rule)).about(facts.name.table()))
        };
        let access = &policy.access;
        if facts.owner() != self.analyst && !access.analysts.contains(self.analyst) {
            return refuse(
                Code::NotAnAnalyst,
                format!("`{}` is not among the analysts of `{}`", self.analyst, facts.name),
                "access.analysts",
            );
        }
        if facts.owner() != self.receiver && !access.receivers.contains(self.receiver) {
            return refuse(
                Code::NotAReceiver,
                format!("`{}` is not among the receivers of `{}`", self.receiver, facts.name),
                "access.receivers",
            );
        }
        let wanted = [
            (policy.noise.is_some(), "noise", "noise"),
            (access.templates.is_some(), "access.templates", "a list of templates"),
        ];
        for (asked, rule, what) in wanted {
            if asked {
                return refuse(
                    Code::RuleNotEnforced,
                    format!(
                        "the policy of `{}` asks for {what}, which this version cannot enforce; the table is closed",
                        facts.name
                    ),
                    rule,
                );
            }
        }
        Ok(())
    }

    /// Joins that a policy requires before anything of its table is released.
    pub(super) fn check_required(&self, rows: &Rows) -> Result<(), Refusal> {
        let all: BTreeSet<Instance> = rows.places();
        for instance in &all {
            let facts = self.facts(*instance)?;
            let others =
                || all.iter().filter_map(|other| self.instances.get(*other)).filter(|other| other.name != facts.name);
            let (met, what) = match facts.policy.joins.require {
                Require::None => (true, ""),
                Require::Any => (others().next().is_some(), "another protected table"),
                Require::OtherPartner => {
                    (others().any(|other| other.owner() != facts.owner()), "a protected table of another partner")
                }
            };
            if !met {
                return Err(Refusal::new(
                    Code::JoinRequired,
                    format!("`{}` is answered only in a join with {what}", facts.name),
                )
                .rule(Rule::of(&facts.policy, "joins.require"))
                .about(facts.name.table())
                .suggest(format!("join `{}` with {what} on the key", facts.name)));
            }
        }
        Ok(())
    }
}
