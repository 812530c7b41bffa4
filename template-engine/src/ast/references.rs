//! What a program reads and calls: reference chains and filters (template §15).

use super::{Ast, NodeId, NodeKind};
use crate::number::write_number;
use crate::span::Span;

/// A chain of members and indexes rooted at a name of the scope: `state.incident[id].status` (template §15.4). Chains are
/// maximal; a chain inside an index is one of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference<'a> {
    /// The root name.
    pub root: &'a str,
    /// Where the root name is written.
    pub root_span: Span,
    /// The accesses behind it, in order.
    pub segments: Vec<Segment>,
    /// The node of the whole chain.
    pub node: NodeId,
    /// The source of the whole chain.
    pub span: Span,
}

impl Reference<'_> {
    /// The names of the leading static segments: as far as the text alone tells.
    pub fn static_path(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map_while(Segment::name)
    }
}

/// One access of a [`Reference`].
#[derive(Clone, Debug, PartialEq)]
pub enum Segment {
    /// A member name, or a literal String or Number index (a Number as its text).
    Static {
        /// The key.
        name: String,
        /// Where it is written.
        span: Span,
    },
    /// Any other index expression.
    Dynamic {
        /// The expression; [`Expression::part`](crate::Expression::part) evaluates it alone.
        index: NodeId,
        /// Where it is written.
        span: Span,
    },
}

impl Segment {
    /// The key, when the text alone tells it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Segment::Static { name, .. } => Some(name),
            Segment::Dynamic { .. } => None,
        }
    }
}

/// A filter call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FilterUse<'a> {
    /// The filter.
    pub name: &'a str,
    /// Where its name is written.
    pub span: Span,
    /// The node of the call.
    pub node: NodeId,
}

impl Ast {
    /// Every reference to the scope, in the order they are written.
    pub fn references(&self) -> Vec<Reference<'_>> {
        let mut continued = vec![false; self.nodes.len()];
        for node in &self.nodes {
            if let NodeKind::Member { object, .. } | NodeKind::Index { object, .. } = node.kind {
                continued[object.0 as usize] = true;
            }
        }
        let mut references: Vec<Reference<'_>> = self
            .nodes()
            .filter(|(id, _)| !continued[id.0 as usize])
            .filter_map(|(id, _)| self.chain(id))
            .collect();
        references.sort_by_key(|r| r.span.start);
        references
    }

    /// The filters called, in the order they are written; branches that never run included (template §15.2).
    pub fn filters(&self) -> impl Iterator<Item = FilterUse<'_>> {
        let mut uses: Vec<FilterUse<'_>> = self
            .nodes()
            .filter_map(|(node, n)| match &n.kind {
                NodeKind::Filter {
                    name, name_span, ..
                } => Some(FilterUse {
                    name,
                    span: *name_span,
                    node,
                }),
                _ => None,
            })
            .collect();
        uses.sort_by_key(|u| u.span.start);
        uses.into_iter()
    }

    /// The chain that ends at a node, if it is one and begins with a name.
    fn chain(&self, node: NodeId) -> Option<Reference<'_>> {
        let mut segments = Vec::new();
        let mut at = node;
        loop {
            match &self.get(at)?.kind {
                NodeKind::Member {
                    object,
                    name,
                    name_span,
                } => {
                    segments.push(Segment::Static {
                        name: name.clone(),
                        span: *name_span,
                    });
                    at = *object;
                }
                NodeKind::Index { object, index } => {
                    segments.push(self.segment(*index)?);
                    at = *object;
                }
                NodeKind::Identifier(root) => {
                    segments.reverse();
                    let root_span = self.get(at)?.span;
                    return Some(Reference {
                        root,
                        root_span,
                        segments,
                        node,
                        span: self.get(node)?.span,
                    });
                }
                _ => return None,
            }
        }
    }

    fn segment(&self, index: NodeId) -> Option<Segment> {
        let node = self.get(index)?;
        let name = match &node.kind {
            NodeKind::String(s) => s.clone(),
            NodeKind::Number(n) => {
                let mut text = String::new();
                write_number(&mut text, *n);
                text
            }
            _ => {
                return Some(Segment::Dynamic {
                    index,
                    span: node.span,
                });
            }
        };
        Some(Segment::Static {
            name,
            span: node.span,
        })
    }
}
