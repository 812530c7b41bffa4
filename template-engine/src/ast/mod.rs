//! The syntax tree: for validation, scope analysis, wake references and editors.
//!
//! Nodes live in one list, children before their parents, and refer to each other by [`NodeId`]; a pass over
//! [`Ast::nodes`] sees everything without recursion, however long a chain is. Every node carries the [`Span`] of source
//! it stands for, from its leftmost token on, parentheses not counted (template §10.3).
//!
//! ```
//! use template_engine::{Expression, ast::Segment};
//!
//! let ast = Expression::parse("state.incident[id].status | default('x')").unwrap().ast();
//! let references = ast.references();
//! assert_eq!(references[0].root, "state");
//! assert!(matches!(&references[0].segments[0], Segment::Static { name, .. } if name == "incident"));
//! assert!(matches!(references[0].segments[1], Segment::Dynamic { .. }));
//! assert_eq!(references[1].root, "id");
//! assert_eq!(ast.filters().next().unwrap().name, "default");
//! ```

mod build;
mod references;

pub use references::{FilterUse, Reference, Segment};

use crate::code::Program;
use crate::span::Span;

/// A node of an [`Ast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

/// A syntax tree, or several: a template has one per block.
#[derive(Clone, Debug, PartialEq)]
pub struct Ast {
    pub(crate) nodes: Vec<Node>,
    pub(crate) roots: Vec<NodeId>,
}

/// A node and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// The source it stands for.
    pub span: Span,
    /// The instructions that compute it.
    pub(crate) code: (u32, u32),
}

/// The forms of expressions (template §4).
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number literal.
    Number(f64),
    /// A string literal, escapes resolved.
    String(String),
    /// A root name of the scope.
    Identifier(String),
    /// `object.name`
    Member {
        /// What is accessed.
        object: NodeId,
        /// The member.
        name: String,
        /// Where the name is written.
        name_span: Span,
    },
    /// `object[index]`
    Index {
        /// What is accessed.
        object: NodeId,
        /// The key expression.
        index: NodeId,
    },
    /// `!x`, `not x`
    Not(NodeId),
    /// `-x`
    Negate(NodeId),
    /// A binary operator.
    Binary {
        /// Which.
        operator: BinaryOperator,
        /// Its left side.
        left: NodeId,
        /// Its right side.
        right: NodeId,
    },
    /// `test ? then : otherwise`
    Conditional {
        /// The condition.
        test: NodeId,
        /// Its value when truthy.
        then: NodeId,
        /// Its value when falsy.
        otherwise: NodeId,
    },
    /// `input | name(args)`
    Filter {
        /// The piped value.
        input: NodeId,
        /// The filter.
        name: String,
        /// Where its name is written: the place to report an unknown filter at.
        name_span: Span,
        /// Its arguments.
        args: Vec<NodeId>,
    },
}

/// Binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOperator {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `>`
    Greater,
    /// `<=`
    LessOrEqual,
    /// `>=`
    GreaterOrEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

impl BinaryOperator {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOperator::Or => "||",
            BinaryOperator::And => "&&",
            BinaryOperator::Equal => "==",
            BinaryOperator::NotEqual => "!=",
            BinaryOperator::Less => "<",
            BinaryOperator::Greater => ">",
            BinaryOperator::LessOrEqual => "<=",
            BinaryOperator::GreaterOrEqual => ">=",
            BinaryOperator::Add => "+",
            BinaryOperator::Subtract => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::Remainder => "%",
        }
    }

    /// Whether it compares: `== != < > <= >=`.
    pub fn is_comparison(self) -> bool {
        use BinaryOperator as B;
        matches!(
            self,
            B::Equal | B::NotEqual | B::Less | B::Greater | B::LessOrEqual | B::GreaterOrEqual
        )
    }
}

impl Ast {
    pub(crate) fn of(program: &Program) -> Self {
        build::build(program)
    }

    /// All nodes with their ids, children before parents.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .map(|(i, node)| (NodeId(i as u32), node))
    }

    /// A node. Ids of another tree answer some node or none.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }

    /// The outermost expressions: one for an expression, one per block for a template.
    pub fn roots(&self) -> &[NodeId] {
        &self.roots
    }

    /// The direct parts of a node, in source order.
    pub fn children(&self, id: NodeId) -> Vec<NodeId> {
        match self.get(id).map(|node| &node.kind) {
            Some(NodeKind::Member { object, .. }) => vec![*object],
            Some(NodeKind::Index { object, index }) => vec![*object, *index],
            Some(NodeKind::Not(operand) | NodeKind::Negate(operand)) => vec![*operand],
            Some(NodeKind::Binary { left, right, .. }) => vec![*left, *right],
            Some(NodeKind::Conditional {
                test,
                then,
                otherwise,
            }) => vec![*test, *then, *otherwise],
            Some(NodeKind::Filter { input, args, .. }) => {
                let mut parts = vec![*input];
                parts.extend(args);
                parts
            }
            _ => Vec::new(),
        }
    }
}
