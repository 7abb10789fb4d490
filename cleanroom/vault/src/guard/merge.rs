//! Several vectors read side by side, unit by unit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::ops::ControlFlow;

use super::vector::{Entries, Vector};

/// Shows every unit with what it adds to each vector to which it adds something (the vector's place among them, and the share
/// without factor and scale): those from the place `from` on in their order, then those before it.
///
/// # Errors
/// Where a vector cannot be read.
pub(super) fn merge(
    vectors: &[&Vector],
    from: u32,
    mut visit: impl FnMut(u32, &[(usize, i128)]) -> ControlFlow<()>,
) -> io::Result<()> {
    if stretch(vectors, from, u32::MAX, &mut visit)?.is_continue()
        && let Some(until) = from.checked_sub(1)
    {
        // What is left is behind the end of the order, and before where it began.
        let _whole = stretch(vectors, 0, until, &mut visit)?;
    }
    Ok(())
}

fn stretch(
    vectors: &[&Vector],
    from: u32,
    until: u32,
    visit: &mut impl FnMut(u32, &[(usize, i128)]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut heads: Vec<(Entries<'_>, i128)> = Vec::with_capacity(vectors.len());
    let mut next = BinaryHeap::with_capacity(vectors.len());
    for (index, vector) in vectors.iter().enumerate() {
        let mut entries = if from == 0 { vector.entries() } else { vector.entries_near(from)? };
        let head = loop {
            match entries.next().transpose()? {
                Some((key, _share)) if key < from => {}
                head => break head,
            }
        };
        if let Some((key, _share)) = head {
            next.push(Reverse((key, index)));
        }
        heads.push((entries, head.map_or(0, |(_key, share)| share)));
    }
    let mut shares: Vec<(usize, i128)> = Vec::new();
    while let Some(Reverse((key, _index))) = next.peek().copied() {
        if key > until {
            break;
        }
        shares.clear();
        while let Some(Reverse((other, index))) = next.peek().copied()
            && other == key
        {
            next.pop();
            let Some((entries, share)) = heads.get_mut(index) else { continue };
            shares.push((index, *share));
            if let Some((key, following)) = entries.next().transpose()? {
                *share = following;
                next.push(Reverse((key, index)));
            }
        }
        if visit(key, &shares).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
