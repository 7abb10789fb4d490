//! Terms: what an expression computes, whatever its columns, tables and aliases are called, as text that no two different
//! terms share.

use std::sync::Arc;

/// Most nodes of a term: beyond that its statement is like no other.
const MAX_SIZE: usize = 100_000;

/// A question that is like no other, as far as is known here: it is never answered with another one's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unlike;

/// A column of one of the leaves that rows are joined of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Leaf {
    /// Which of them.
    pub(super) place: usize,
    pub(super) name: Arc<str>,
}

#[derive(Debug)]
enum Node {
    /// A leaf's column; `key` where it holds a unit's number, which is never NULL.
    Leaf {
        leaf: Leaf,
        key: bool,
    },
    Text(String),
    /// Parts in an order that matters.
    List(&'static str, Vec<Term>),
    /// Parts in any order.
    Set(&'static str, Vec<Term>),
}

/// What an expression computes.
#[derive(Debug, Clone)]
pub(super) struct Term {
    node: Arc<Node>,
    size: usize,
}

impl Term {
    pub(super) fn leaf(place: usize, name: impl Into<Arc<str>>, key: bool) -> Self {
        Self { node: Arc::new(Node::Leaf { leaf: Leaf { place, name: name.into() }, key }), size: 1 }
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { node: Arc::new(Node::Text(text.into())), size: 1 }
    }

    pub(super) fn list(tag: &'static str, parts: Vec<Self>) -> Result<Self, Unlike> {
        let size = size_of(&parts)?;
        Ok(Self { node: Arc::new(Node::List(tag, parts)), size })
    }

    /// The same set where one of its parts is a set under the same tag: `and` and `or`, whose parts may stand in any order and
    /// any number of times.
    pub(super) fn set(tag: &'static str, parts: Vec<Self>) -> Result<Self, Unlike> {
        let size = size_of(&parts)?;
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part.node.as_ref() {
                Node::Set(of, inner) if *of == tag => flat.extend(inner.iter().cloned()),
                Node::Leaf { .. } | Node::Text(_) | Node::List(..) | Node::Set(..) => flat.push(part),
            }
        }
        Ok(Self { node: Arc::new(Node::Set(tag, flat)), size })
    }

    /// Two parts of which either may come first.
    pub(super) fn pair(tag: &'static str, one: Self, other: Self) -> Result<Self, Unlike> {
        let parts = vec![one, other];
        let size = size_of(&parts)?;
        Ok(Self { node: Arc::new(Node::Set(tag, parts)), size })
    }

    /// The parts of a set, or the term alone.
    pub(super) fn parts_of(self, tag: &'static str) -> Vec<Self> {
        match self.node.as_ref() {
            Node::Set(of, parts) if *of == tag => parts.clone(),
            Node::Leaf { .. } | Node::Text(_) | Node::List(..) | Node::Set(..) => vec![self],
        }
    }

    /// A unit's number in a leaf.
    pub(super) fn key(&self) -> Option<&Leaf> {
        match self.node.as_ref() {
            Node::Leaf { leaf, key: true } => Some(leaf),
            Node::Leaf { .. } | Node::Text(_) | Node::List(..) | Node::Set(..) => None,
        }
    }

    /// Two units' numbers that are equal.
    pub(super) fn equal_keys(&self) -> Option<(&Leaf, &Leaf)> {
        match self.node.as_ref() {
            Node::Set(super::EQUAL, parts) => match parts.as_slice() {
                [one, other] => one.key().zip(other.key()),
                _ => None,
            },
            Node::Leaf { .. } | Node::Text(_) | Node::List(..) | Node::Set(..) => None,
        }
    }

    /// With its leaves so many places further on.
    pub(super) fn moved(&self, by: usize) -> Self {
        if by == 0 {
            return self.clone();
        }
        let all = |parts: &[Self]| parts.iter().map(|part| part.moved(by)).collect();
        let node = match self.node.as_ref() {
            Node::Leaf { leaf, key } => {
                Node::Leaf { leaf: Leaf { place: leaf.place + by, name: Arc::clone(&leaf.name) }, key: *key }
            }
            Node::Text(text) => Node::Text(text.clone()),
            Node::List(tag, parts) => Node::List(tag, all(parts)),
            Node::Set(tag, parts) => Node::Set(tag, all(parts)),
        };
        Self { node: Arc::new(node), size: self.size }
    }

    /// The text of it, its leaves being called as `called` says. Texts are self-delimiting: none is the beginning of another.
    pub(super) fn written(&self, called: &dyn Fn(&Leaf, bool) -> Leaf) -> String {
        match self.node.as_ref() {
            Node::Leaf { leaf, key } => {
                let leaf = called(leaf, *key);
                format!("#{}.{}", leaf.place, atom(&leaf.name))
            }
            Node::Text(text) => atom(text),
            Node::List(tag, parts) => wrapped(tag, parts.iter().map(|part| part.written(called)).collect()),
            Node::Set(tag, parts) => {
                let mut parts: Vec<String> = parts.iter().map(|part| part.written(called)).collect();
                parts.sort();
                parts.dedup();
                wrapped(tag, parts)
            }
        }
    }
}

fn size_of(parts: &[Term]) -> Result<usize, Unlike> {
    let size = parts.iter().fold(1_usize, |size, part| size.saturating_add(part.size));
    if size > MAX_SIZE { Err(Unlike) } else { Ok(size) }
}

/// A text with its length before it.
pub(super) fn atom(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// Self-delimiting texts under a tag, which is one of a few words.
pub(super) fn wrapped(tag: &str, parts: Vec<String>) -> String {
    format!("({tag} {})", parts.concat())
}

/// A short name of a text, which no other text has.
pub(super) fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]
mod tests {
    use super::{Leaf, Term};

    fn written(term: &Term) -> String {
        term.written(&|leaf: &Leaf, _key| leaf.clone())
    }

    fn and(parts: &[&Term]) -> Term {
        Term::set("and", parts.iter().map(|part| (*part).clone()).collect()).unwrap()
    }

    #[test]
    fn parts_of_a_set_have_no_order_and_no_number() {
        let [a, b, c] = ["a", "b", "c"].map(Term::text);
        assert_eq!(written(&and(&[&a, &b, &c])), written(&and(&[&and(&[&c, &b]), &a, &b])));
        assert_ne!(written(&and(&[&a, &b])), written(&and(&[&a, &c])));
        assert_ne!(written(&and(&[&a, &b])), written(&Term::set("or", vec![a.clone(), b.clone()]).unwrap()));
        assert_ne!(
            written(&Term::list("<", vec![a.clone(), b.clone()]).unwrap()),
            written(&Term::list("<", vec![b, a]).unwrap())
        );
    }

    #[test]
    fn no_text_is_made_of_others() {
        let list = |parts: &[&str]| Term::list("list", parts.iter().map(|part| Term::text(*part)).collect()).unwrap();
        let all = [
            list(&["ab", "c"]),
            list(&["a", "bc"]),
            list(&["abc"]),
            list(&["a", "b", "c"]),
            list(&["", "abc"]),
            list(&["2:ab1:c"]),
            list(&["ab)(list 1:c"]),
            Term::text("(list 2:ab1:c)"),
            Term::leaf(1, "a", false),
            Term::leaf(11, "a", false),
            Term::leaf(1, "1.a", false),
            Term::text("#1.1:a"),
            Term::list("list", vec![list(&["ab"]), Term::text("c")]).unwrap(),
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert!(!written(other).starts_with(&written(one)) && !written(one).starts_with(&written(other)));
            }
        }
    }

    #[test]
    fn terms_that_grow_without_end_are_unlike() {
        let mut term = Term::text("a");
        for _ in 0..40 {
            match Term::list("plus", vec![term.clone(), term.clone()]) {
                Ok(next) => term = next,
                Err(_unlike) => return,
            }
        }
        panic!("a term of 2^40 nodes");
    }
}
