//! Whether a policy fits the room it is used in.

use crate::error::DocumentError;
use crate::model::{Ability, Policy, Room};

/// What in a policy does not fit a room: a table, analyst, receiver or join partner that the room does not have, or a partner without
/// the ability that the policy counts on. The errors name the policy by its table: see [`DocumentError::in_file`].
pub fn check_policy_in_room(room: &Room, policy: &Policy) -> Vec<DocumentError> {
    let file = policy.table.to_string();
    let mut errors = Vec::new();
    let mut refuse = |rule: &str, message: String, remedy: String| {
        errors.push(DocumentError { file: file.clone(), line: policy.line(rule), column: None, message, remedy });
    };
    if room.table(&policy.table).is_none() {
        refuse(
            "table",
            format!("room `{}` has no table `{}`", room.name, policy.table),
            "declare it under its owner in the room, or mend `table`".to_owned(),
        );
    }
    if policy.noise.as_ref().is_some_and(|noise| noise.test_only) && !room.test_only {
        refuse(
            "noise.test_only",
            format!("the policy is for tests alone, and room `{}` is not", room.name),
            "take `test_only` away, with an `epsilon` that protects; a room for tests alone says `test_only: true`, too"
                .to_owned(),
        );
    }
    let roles = [
        ("access.analysts", &policy.access.analysts, Ability::Query),
        ("access.receivers", &policy.access.receivers, Ability::Receive),
    ];
    for (rule, names, ability) in roles {
        for name in names {
            match room.partner(name) {
                None => refuse(
                    rule,
                    format!("room `{}` has no partner `{name}`", room.name),
                    format!("add the partner to the room, or remove it from `{rule}`"),
                ),
                Some(partner) if !partner.abilities.contains(&ability) => refuse(
                    rule,
                    format!("partner `{name}` lacks the ability `{ability}` in room `{}`", room.name),
                    format!("add the ability in the room, or remove the partner from `{rule}`"),
                ),
                Some(_) => {}
            }
        }
    }
    for pattern in policy.joins.with.iter().flatten() {
        let Some(partner) = room.partner(&pattern.partner) else {
            refuse(
                "joins.with",
                format!("room `{}` has no partner `{}`", room.name, pattern.partner),
                "add the partner to the room, or remove the pattern".to_owned(),
            );
            continue;
        };
        if let Some(table) = &pattern.table
            && !partner.tables.iter().any(|known| known.name.table() == table)
        {
            refuse(
                "joins.with",
                format!("room `{}` has no table `{}.{table}`", room.name, pattern.partner),
                "declare it in the room, or remove the pattern".to_owned(),
            );
        }
    }
    errors
}
