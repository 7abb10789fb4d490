//! ROLLUP, CUBE and GROUPING SETS written out as the sets they stand for.

use datafusion::logical_expr::{Expr, GroupingSet};

use crate::refusal::{Code, Refusal};

/// Most sets of a statement's GROUP BY.
const MAX_SETS: usize = 64;

/// Positions of each set's groups among the distinct ones.
pub(super) type Sets = Vec<Vec<usize>>;

/// The distinct group expressions, in the order in which the aggregate's schema has them, and the sets.
pub(super) fn sets(grouping: &GroupingSet) -> Result<(Vec<&Expr>, Option<Sets>), Refusal> {
    let distinct = grouping.distinct_expr();
    let position = |expr: &Expr| {
        distinct
            .iter()
            .position(|known| *known == expr)
            .ok_or_else(|| Refusal::new(Code::Internal, "a grouping set holds an unknown group"))
    };
    let many = || {
        Refusal::new(Code::TooLarge, format!("GROUP BY stands for more than {MAX_SETS} grouping sets")).about("GROUP")
    };
    let sets: Sets = match grouping {
        GroupingSet::Rollup(exprs) => (0..=exprs.len())
            .rev()
            .map(|kept| exprs.iter().take(kept).map(position).collect())
            .collect::<Result<_, Refusal>>()?,
        GroupingSet::Cube(exprs) => {
            let all = 1_usize.checked_shl(u32::try_from(exprs.len()).unwrap_or(u32::MAX)).ok_or_else(many)?;
            if all > MAX_SETS {
                return Err(many());
            }
            (0..all)
                .rev()
                .map(|set| {
                    let kept = exprs.iter().enumerate().filter(|(index, _expr)| set >> index & 1 == 1);
                    kept.map(|(_index, expr)| position(expr)).collect()
                })
                .collect::<Result<_, Refusal>>()?
        }
        GroupingSet::GroupingSets(sets) => {
            sets.iter().map(|set| set.iter().map(position).collect()).collect::<Result<_, Refusal>>()?
        }
    };
    if sets.len() > MAX_SETS {
        return Err(many());
    }
    for (index, set) in sets.iter().enumerate() {
        if sets
            .iter()
            .skip(index + 1)
            .any(|other| other.len() == set.len() && other.iter().all(|group| set.contains(group)))
        {
            return Err(Refusal::new(Code::Invalid, "one grouping set stands twice").about("GROUP"));
        }
    }
    Ok((distinct, Some(sets)))
}
