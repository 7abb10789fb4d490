//! Names that are nearly those of the statement. One that the asker may not name makes no statement that is accepted, so it
//! is not offered.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, Query, visit_expressions_mut, visit_relations, visit_relations_mut,
};

use crate::facts::RoomFacts;
use crate::refusal::Span;

/// Most names that are tried: each costs a plan.
const MAX_TRIED: usize = 3;

/// The statement with a column called what a column of its tables is called, the nearest first.
pub(super) fn columns(query: &Query, room: &RoomFacts, name: &str) -> Vec<Option<Query>> {
    let mut tables: Vec<String> = Vec::new();
    let _: ControlFlow<()> = visit_relations(query, |relation| {
        tables.push(plain(relation));
        ControlFlow::Continue(())
    });
    let named = room.tables.iter().filter(|facts| tables.contains(&facts.name.to_string()));
    let columns = named.flat_map(|facts| {
        let schema = facts.granted();
        schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
    });
    nearest(name, columns.collect())
        .into_iter()
        .map(|column| {
            let mut query = query.clone();
            let _: ControlFlow<()> = visit_expressions_mut(&mut query, |expr| {
                let called = match expr {
                    Expr::Identifier(ident) => Some(ident),
                    Expr::CompoundIdentifier(parts) => parts.last_mut(),
                    _ => None,
                };
                if let Some(called) = called.filter(|called| called.value.eq_ignore_ascii_case(name)) {
                    *called = written(&column);
                }
                ControlFlow::Continue(())
            });
            Some(query)
        })
        .collect()
}

/// The same for a table.
pub(super) fn tables(query: &Query, room: &RoomFacts, span: Span) -> Vec<Option<Query>> {
    let mut found = None;
    let _: ControlFlow<()> = visit_relations(query, |relation| {
        let here = |ident: &Ident| ident.span.start.line == span.line && ident.span.start.column == span.column;
        if relation.0.iter().filter_map(|part| part.as_ident()).any(here) {
            found = Some(relation.clone());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let Some(found) = found else { return Vec::new() };
    nearest(&plain(&found), room.tables.iter().map(|facts| facts.name.to_string()).collect())
        .into_iter()
        .map(|table| {
            let mut query = query.clone();
            let parts = ObjectName::from(table.split('.').map(written).collect::<Vec<_>>());
            let _: ControlFlow<()> = visit_relations_mut(&mut query, |relation| {
                if *relation == found {
                    *relation = parts.clone();
                }
                ControlFlow::Continue(())
            });
            Some(query)
        })
        .collect()
}

fn plain(name: &ObjectName) -> String {
    let parts = name.0.iter().filter_map(|part| part.as_ident());
    parts.map(|part| part.value.to_lowercase()).collect::<Vec<_>>().join(".")
}

fn written(name: &str) -> Ident {
    let plain = name.chars().all(|character| character.is_ascii_lowercase() || matches!(character, '_' | '0'..='9'));
    if plain { Ident::new(name) } else { Ident::with_quote('"', name) }
}

/// Names a few letters away, or of which one begins or ends with the other.
fn nearest(name: &str, known: Vec<String>) -> Vec<String> {
    let name = name.to_lowercase();
    let mut near: Vec<(usize, String)> = known
        .into_iter()
        .filter_map(|known| {
            let lower = known.to_lowercase();
            let letters = strsim::damerau_levenshtein(&name, &lower);
            let long = name.len().min(lower.len()) >= 3;
            let within = lower.starts_with(&name) || lower.ends_with(&name) || name.ends_with(&lower);
            (letters > 0 && (letters <= 1 + name.len() / 4 || (long && within))).then_some((letters, known))
        })
        .collect();
    near.sort();
    near.dedup();
    near.into_iter().take(MAX_TRIED).map(|(_letters, known)| known).collect()
}
