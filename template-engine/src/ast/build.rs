//! From the postfix program back to the tree.
//!
//! Operands precede their operator, so a stack of finished nodes is all it takes. Short-circuit operators are jumps in
//! the program: they wait in a second stack until the place they jump to, which is where their last operand ends.

use super::{Ast, BinaryOperator, Node, NodeId, NodeKind};
use crate::code::{Binary, Op, Program};
use crate::span::Span;

/// An operator whose last operand is still to come.
enum Pending {
    Logical {
        operator: BinaryOperator,
        left: NodeId,
    },
    /// Between `?` and `:`.
    Then { test: NodeId },
    /// Behind `:`.
    Otherwise { test: NodeId, then: NodeId },
}

struct Waiting {
    operator: Pending,
    span: Span,
    /// Where it ends.
    target: u32,
}

struct Builder<'p> {
    program: &'p Program,
    /// How many instructions have been read.
    at: u32,
    nodes: Vec<Node>,
    /// Finished nodes that are not yet part of another.
    open: Vec<NodeId>,
    waiting: Vec<Waiting>,
    roots: Vec<NodeId>,
}

pub(super) fn build(program: &Program) -> Ast {
    let mut builder = Builder {
        program,
        at: 0,
        nodes: Vec::with_capacity(program.code.len()),
        open: Vec::new(),
        waiting: Vec::new(),
        roots: Vec::new(),
    };
    for instr in &program.code {
        builder.close();
        builder.at += 1;
        builder.step(instr.op, instr.span);
    }
    builder.close();
    builder.roots.append(&mut builder.open);
    Ast {
        nodes: builder.nodes,
        roots: builder.roots,
    }
}

impl Builder<'_> {
    /// Adds a node whose code reaches up to `self.at` and begins where that of `first`, its first part, does.
    fn node_from(&mut self, first: NodeId, kind: NodeKind, span: Span) {
        let start = self
            .nodes
            .get(first.0 as usize)
            .map_or(0, |node| node.code.0);
        self.add(start, kind, span);
    }

    /// Adds a node of a single instruction.
    fn leaf(&mut self, kind: NodeKind, span: Span) {
        self.add(self.at - 1, kind, span);
    }

    fn add(&mut self, start: u32, kind: NodeKind, span: Span) {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node {
            kind,
            span,
            code: (start, self.at),
        });
        self.open.push(id);
    }

    /// The node finished last. Programs come from the parser, which never lets an operator go without operands.
    fn take(&mut self) -> NodeId {
        self.open.pop().unwrap_or(NodeId(0))
    }

    /// Finishes the operators that end here, innermost first.
    fn close(&mut self) {
        let here = self.at;
        while let Some(Waiting { operator, span, .. }) = self.waiting.pop_if(|w| w.target == here) {
            let last = self.take();
            let (first, kind) = match operator {
                Pending::Logical { operator, left } => (
                    left,
                    NodeKind::Binary {
                        operator,
                        left,
                        right: last,
                    },
                ),
                Pending::Otherwise { test, then } => (
                    test,
                    NodeKind::Conditional {
                        test,
                        then,
                        otherwise: last,
                    },
                ),
                // `Then` is replaced by `Otherwise` at the jump just before its target.
                Pending::Then { test } => (
                    test,
                    NodeKind::Conditional {
                        test,
                        then: last,
                        otherwise: last,
                    },
                ),
            };
            self.node_from(first, kind, span);
        }
    }

    fn step(&mut self, op: Op, span: Span) {
        let text = |t| self.program.text(t).to_owned();
        match op {
            Op::Null => self.leaf(NodeKind::Null, span),
            Op::Bool(b) => self.leaf(NodeKind::Bool(b), span),
            Op::Number(n) => self.leaf(NodeKind::Number(n), span),
            Op::String(t) => self.leaf(NodeKind::String(text(t)), span),
            Op::Root(t) => self.leaf(NodeKind::Identifier(text(t)), span),
            Op::Member(t) => {
                let name = text(t);
                let object = self.take();
                self.node_from(
                    object,
                    NodeKind::Member {
                        object,
                        name,
                        name_span: t.span(),
                    },
                    span,
                );
            }
            Op::Index => {
                let index = self.take();
                let object = self.take();
                self.node_from(object, NodeKind::Index { object, index }, span);
            }
            Op::Not => {
                let operand = self.take();
                self.node_from(operand, NodeKind::Not(operand), span);
            }
            Op::Negate => {
                let operand = self.take();
                self.node_from(operand, NodeKind::Negate(operand), span);
            }
            Op::Binary(operator) => {
                let right = self.take();
                let left = self.take();
                self.node_from(
                    left,
                    NodeKind::Binary {
                        operator: operator.into(),
                        left,
                        right,
                    },
                    span,
                );
            }
            Op::And(target) => self.wait_logical(BinaryOperator::And, target, span),
            Op::Or(target) => self.wait_logical(BinaryOperator::Or, target, span),
            Op::Branch(target) => {
                let test = self.take();
                self.waiting.push(Waiting {
                    operator: Pending::Then { test },
                    span,
                    target,
                });
            }
            Op::Jump(target) => {
                let then = self.take();
                if let Some(Waiting {
                    operator: Pending::Then { test },
                    span,
                    ..
                }) = self.waiting.pop()
                {
                    let operator = Pending::Otherwise { test, then };
                    self.waiting.push(Waiting {
                        operator,
                        span,
                        target,
                    });
                }
            }
            Op::Builtin { filter, args, at } => {
                let name = filter.name();
                let name_span = Span::new(at, at + name.len() as u32);
                self.filter(name.to_owned(), name_span, args, span);
            }
            Op::Require(_) | Op::Text(_) => {}
            Op::Call { name, args } => self.filter(text(name), name.span(), args, span),
            Op::Emit => {
                let root = self.take();
                self.roots.push(root);
            }
        }
    }

    fn filter(&mut self, name: String, name_span: Span, args: u32, span: Span) {
        let args = self
            .open
            .split_off(self.open.len().saturating_sub(args as usize));
        let input = self.take();
        self.node_from(
            input,
            NodeKind::Filter {
                input,
                name,
                name_span,
                args,
            },
            span,
        );
    }

    fn wait_logical(&mut self, operator: BinaryOperator, target: u32, span: Span) {
        let left = self.take();
        self.waiting.push(Waiting {
            operator: Pending::Logical { operator, left },
            span,
            target,
        });
    }
}

impl From<Binary> for BinaryOperator {
    fn from(operator: Binary) -> Self {
        match operator {
            Binary::Equal => BinaryOperator::Equal,
            Binary::NotEqual => BinaryOperator::NotEqual,
            Binary::Less => BinaryOperator::Less,
            Binary::Greater => BinaryOperator::Greater,
            Binary::LessOrEqual => BinaryOperator::LessOrEqual,
            Binary::GreaterOrEqual => BinaryOperator::GreaterOrEqual,
            Binary::Add => BinaryOperator::Add,
            Binary::Subtract => BinaryOperator::Subtract,
            Binary::Multiply => BinaryOperator::Multiply,
            Binary::Divide => BinaryOperator::Divide,
            Binary::Remainder => BinaryOperator::Remainder,
        }
    }
}
