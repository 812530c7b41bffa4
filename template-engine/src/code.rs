//! The compiled form: one flat sequence of instructions, operands before their operator.
//!
//! Parsing writes it directly. It is the syntax tree in postfix order, so evaluating it needs no recursion, however
//! long a chain of `||`, members or filters is, and dropping it frees three blocks of memory. The tree itself is
//! rebuilt from it when somebody wants to look ([`ast`](crate::ast)).

use crate::filters::Builtin;
use crate::limits::OutputLimits;
use crate::span::Span;

/// A piece of [`Program::text`]: part of the source, or of the literals behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub start: u32,
    pub len: u32,
}

impl Text {
    pub fn of(span: Span) -> Self {
        Text {
            start: span.start,
            len: span.end - span.start,
        }
    }

    pub fn span(self) -> Span {
        Span::new(self.start, self.start + self.len)
    }
}

/// One instruction. "Top" is the value pushed last.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Null,
    Bool(bool),
    Number(f64),
    String(Text),
    /// Push the value of a root name.
    Root(Text),
    /// Replace top by its member.
    Member(Text),
    /// Pop the index, replace top by its element.
    Index,
    Not,
    Negate,
    Binary(Binary),
    /// Top falsy: jump. Else pop.
    And(u32),
    /// Top truthy: jump. Else pop.
    Or(u32),
    /// Pop; falsy: jump.
    Branch(u32),
    Jump(u32),
    /// Pop the arguments, replace top by the result. `at` is where the name is written.
    Builtin {
        filter: Builtin,
        args: u32,
        at: u32,
    },
    /// Fail unless the filter is registered: asked before its arguments are evaluated (template §6.8).
    Require(Text),
    /// Like `Builtin`, for a filter looked up by name.
    Call {
        name: Text,
        args: u32,
    },
    /// Append literal text to the output.
    Text(Text),
    /// Pop and append to the output.
    Emit,
}

/// Operators that evaluate both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// An instruction and the source it stands for: the whole sub-expression, from its leftmost token on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instr {
    pub op: Op,
    pub span: Span,
}

/// A compiled template or expression: immutable, and independent of the source it was parsed from.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The source, followed by the values of those string literals that contain escapes.
    pub text: Box<str>,
    pub source_len: u32,
    pub code: Vec<Instr>,
    /// How many values evaluation holds at most.
    pub stack: u32,
    /// Bytes of literal text in a template.
    pub literal_bytes: u32,
    /// Bounds on what it produces.
    pub limits: OutputLimits,
}

impl Program {
    pub fn source(&self) -> &str {
        &self.text[..self.source_len as usize]
    }

    #[inline]
    pub fn text(&self, text: Text) -> &str {
        &self.text[text.start as usize..(text.start + text.len) as usize]
    }

    /// The bytes of a text, which is all that comparing it takes.
    #[inline]
    pub fn bytes(&self, text: Text) -> &[u8] {
        &self.text.as_bytes()[text.start as usize..(text.start + text.len) as usize]
    }

    /// The part of the program that computes one sub-expression, as a program of its own. `range` is what the tree
    /// recorded for its node; a sub-expression's code is contiguous and its jumps stay inside.
    pub fn part(&self, range: std::ops::Range<u32>) -> Program {
        Program {
            code: self.moved(range),
            ..self.clone()
        }
    }

    /// The instructions of a part, their jumps moved to where they then stand.
    pub fn moved(&self, range: std::ops::Range<u32>) -> Vec<Instr> {
        let moved = |target: u32| target.saturating_sub(range.start);
        let code = self
            .code
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default();
        code.iter()
            .map(|instr| {
                let op = match instr.op {
                    Op::And(target) => Op::And(moved(target)),
                    Op::Or(target) => Op::Or(moved(target)),
                    Op::Branch(target) => Op::Branch(moved(target)),
                    Op::Jump(target) => Op::Jump(moved(target)),
                    op => op,
                };
                Instr {
                    op,
                    span: instr.span,
                }
            })
            .collect()
    }
}
