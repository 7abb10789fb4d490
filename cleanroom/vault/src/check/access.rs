//! Who may ask of a table, through what, and in which joins.

use std::collections::BTreeSet;
use std::sync::Arc;

use cleanroom_policy::{Require, TableName, TemplateApproval};

use super::{Checker, Rows};
use crate::facts::TableFacts;
use crate::refusal::{Code, Refusal, Rule};

/// A policy from before its owner had a key decides no more: anyone can have put it in the owner's name.
pub(crate) fn not_signed(table: &TableName) -> Refusal {
    Refusal::new(Code::NotSigned, format!("the owner of `{table}` has a key, and has not signed the policy in force"))
        .suggest("ask again once the owner has signed it")
}

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
        if !facts.signed {
            return Err(not_signed(&facts.name).about(facts.name.table()));
        }
        if let Some(named) = &access.templates {
            self.check_template(facts, named)?;
        }
        Ok(())
    }

    /// The question came through a template whose content the owner approved. Whoever changes a template, or puts another
    /// under its name, makes one that nobody has approved.
    fn check_template(&self, facts: &Arc<TableFacts>, named: &BTreeSet<TemplateApproval>) -> Result<(), Refusal> {
        let through = |approval: &TemplateApproval| {
            self.through.is_some_and(|template| {
                approval.name == template.name && approval.digest.as_ref() == Some(&template.digest)
            })
        };
        if facts.approved.iter().any(through) {
            return Ok(());
        }
        let names: BTreeSet<&str> = named.iter().map(|approval| approval.name.as_str()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let refusal = match self.through {
            Some(template) if named.iter().any(|approval| approval.name == template.name) => Refusal::new(
                Code::TemplateRequired,
                format!(
                    "the template `{}` is not the one that the policy of `{}` approves; it was changed since",
                    template.name, facts.name
                ),
            )
            .suggest("the owner approves it as it is now with a higher version of the policy"),
            _ => Refusal::new(
                Code::TemplateRequired,
                format!("`{}` is answered through approved templates only", facts.name),
            )
            .suggest(format!("ask through one of: {names}")),
        };
        Err(refusal.rule(Rule::of(&facts.policy, "access.templates")).about(facts.name.table()))
    }

    /// Joins that a policy requires before anything of its table is released.
    pub(super) fn check_required(&self, rows: &Rows) -> Result<(), Refusal> {
        let always = rows.always();
        for (place, beside) in rows.slots.iter().flat_map(|slot| slot.places.iter().map(|place| (*place, &slot.beside)))
        {
            let facts = self.facts(place)?;
            // Those that need not match, or do not, are not joined with it.
            let others = || {
                let joined = always.iter().chain(beside).filter_map(|other| self.instances.get(*other));
                joined.filter(|other| other.name != facts.name)
            };
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
