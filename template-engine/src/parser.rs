//! Tokens into code: precedence climbing (template §4).
//!
//! The parser emits postfix instructions as it goes. It recurses only where the author nests: once per parenthesis,
//! bracket, argument list, ternary or prefix operator (bounded by [`Limits::nesting`]), and once per precedence level
//! inside one. A chain on one level is a loop.

use crate::code::{Binary, Instr, Op, Program, Text};
use crate::error::{Detail, Error};
use crate::filters::Builtin;
use crate::lexer::{Lexer, Mode, Tok, Token, unescape};
use crate::limits::Limits;
use crate::span::Span;

/// Parses a bare expression: the part `within` of `source`, all of it.
pub(crate) fn expression(
    source: &str,
    within: std::ops::Range<usize>,
    limits: &Limits,
) -> Result<Program, Error> {
    // A part that does not fit the source is empty, which the parser refuses.
    let within = if source.get(within.clone()).is_some() {
        within
    } else {
        source.len()..source.len()
    };
    let mut parser = Parser::new(source, within, Mode::Expression, limits)?;
    parser.advance()?;
    parser.conditional()?;
    parser.expect(Tok::End, "the end of the expression")?;
    Ok(parser.finish())
}

/// Parses a template.
pub(crate) fn template(source: &str, limits: &Limits) -> Result<Program, Error> {
    let mut parser = Parser::new(source, 0..source.len(), Mode::Template, limits)?;
    loop {
        let (text, block) = parser.lexer.next_block();
        if text.end > text.start {
            parser.literal_bytes += text.end - text.start;
            parser.emit(Op::Text(Text::of(text)), text);
        }
        if !block {
            return Ok(parser.finish());
        }
        parser.advance()?;
        let span = parser.conditional()?;
        // The lexer stands behind `}}` when that is the current token: no look-ahead into the text.
        if parser.lexer.token.tok != Tok::CloseBlock {
            return Err(parser.expected("`}}`"));
        }
        parser.emit(Op::Emit, span);
        parser.pop(1);
    }
}

struct Parser<'s> {
    source: &'s str,
    lexer: Lexer<'s>,
    code: Vec<Instr>,
    /// Values of literals with escapes; they go behind the source.
    literals: String,
    limits: &'s Limits,
    nesting: usize,
    nodes: usize,
    /// Values held at this point of the code, and the most so far.
    held: u32,
    stack: u32,
    literal_bytes: u32,
}

/// Binding powers, weakest first.
const OR: u8 = 1;
const AND: u8 = 2;
const EQUALITY: u8 = 3;
const COMPARE: u8 = 4;
const SUM: u8 = 5;
const PRODUCT: u8 = 6;

/// What an infix token does.
enum Infix {
    Or,
    And,
    Op(Binary),
}

#[inline]
fn infix(tok: Tok) -> Option<(u8, Infix)> {
    Some(match tok {
        Tok::OrOr => (OR, Infix::Or),
        Tok::AndAnd => (AND, Infix::And),
        Tok::EqEq => (EQUALITY, Infix::Op(Binary::Equal)),
        Tok::NotEq => (EQUALITY, Infix::Op(Binary::NotEqual)),
        Tok::Less => (COMPARE, Infix::Op(Binary::Less)),
        Tok::Greater => (COMPARE, Infix::Op(Binary::Greater)),
        Tok::LessEq => (COMPARE, Infix::Op(Binary::LessOrEqual)),
        Tok::GreaterEq => (COMPARE, Infix::Op(Binary::GreaterOrEqual)),
        Tok::Plus => (SUM, Infix::Op(Binary::Add)),
        Tok::Minus => (SUM, Infix::Op(Binary::Subtract)),
        Tok::Star => (PRODUCT, Infix::Op(Binary::Multiply)),
        Tok::Slash => (PRODUCT, Infix::Op(Binary::Divide)),
        Tok::Percent => (PRODUCT, Infix::Op(Binary::Remainder)),
        _ => return None,
    })
}

impl<'s> Parser<'s> {
    fn new(
        source: &'s str,
        within: std::ops::Range<usize>,
        mode: Mode,
        limits: &'s Limits,
    ) -> Result<Self, Error> {
        // Offsets are 32-bit, and literals may repeat the source once behind it.
        if source.len() > limits.source_bytes.min(u32::MAX as usize / 4) {
            return Err(Error::new(
                Detail::SourceLength,
                format!(
                    "The source is {} bytes long, more than the {} allowed",
                    source.len(),
                    limits.source_bytes
                ),
                source,
                Span::new(0, 0),
            ));
        }
        Ok(Parser {
            source,

            // One instruction per six bytes is typical of dense expressions; growing once is cheap.
            code: Vec::with_capacity(within.len() / 6 + 2),
            lexer: Lexer::new(source, within, mode),
            literals: String::new(),
            limits,
            nesting: 0,
            nodes: 0,
            held: 0,
            stack: 0,
            literal_bytes: 0,
        })
    }

    fn finish(&mut self) -> Program {
        let source = self.source;
        let text = if self.literals.is_empty() {
            Box::from(source)
        } else {
            [source, &self.literals].concat().into_boxed_str()
        };
        Program {
            text,
            source_len: source.len() as u32,
            code: std::mem::take(&mut self.code),
            stack: self.stack,
            literal_bytes: self.literal_bytes,
            limits: self.limits.output(),
        }
    }

    // ---- emitting ----

    #[inline]
    fn emit(&mut self, op: Op, span: Span) {
        self.code.push(Instr { op, span });
    }

    #[inline]
    fn push(&mut self) {
        self.held += 1;
        self.stack = self.stack.max(self.held);
    }

    #[inline]
    fn pop(&mut self, count: u32) {
        self.held -= count;
    }

    /// Counts one AST node; the token it begins with is the offending one when there are too many.
    #[inline]
    fn node(&mut self) -> Result<(), Error> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(self.over_limit(
                Detail::NodeCount,
                "The expression has too many parts",
                self.limits.nodes,
            ));
        }
        Ok(())
    }

    #[inline]
    fn leaf(&mut self, op: Op, span: Span) -> Result<Span, Error> {
        self.node()?;
        self.emit(op, span);
        self.push();
        self.advance()?;
        Ok(span)
    }

    /// Lets a jump emitted at `at` land here, and gives it its span.
    fn land(&mut self, at: usize, span: Span) {
        let here = self.code.len() as u32;
        let instr = &mut self.code[at];
        instr.span = span;
        match &mut instr.op {
            Op::And(target) | Op::Or(target) | Op::Branch(target) | Op::Jump(target) => {
                *target = here
            }
            _ => {}
        }
    }

    // ---- tokens ----

    #[inline]
    fn advance(&mut self) -> Result<(), Error> {
        self.lexer.advance()
    }

    #[inline]
    fn expect(&mut self, tok: Tok, what: &str) -> Result<(), Error> {
        if self.lexer.token.tok != tok {
            return Err(self.expected(what));
        }
        if tok == Tok::End {
            Ok(())
        } else {
            self.advance()
        }
    }

    #[inline]
    fn enter(&mut self) -> Result<(), Error> {
        self.nesting += 1;
        let most = self.limits.nesting.min(Limits::MAX_NESTING);
        if self.nesting > most {
            return Err(self.over_limit(
                Detail::NestingDepth,
                "The expression is nested too deeply",
                most,
            ));
        }
        Ok(())
    }

    // ---- grammar ----

    /// `expr = pipe [ "?" expr ":" expr ]`
    fn conditional(&mut self) -> Result<Span, Error> {
        let test = self.pipe()?;
        if self.lexer.token.tok != Tok::Question {
            return Ok(test);
        }
        self.node()?;
        self.enter()?;
        self.advance()?;
        let branch = self.code.len();
        self.emit(Op::Branch(0), test);
        self.pop(1);
        self.conditional()?;
        self.expect(Tok::Colon, "`:`")?;
        let jump = self.code.len();
        self.emit(Op::Jump(0), test);
        self.pop(1);
        self.land(branch, test);
        let otherwise = self.conditional()?;
        let span = Span::new(test.start, otherwise.end);
        self.code[branch].span = span;
        self.land(jump, span);
        self.nesting -= 1;
        Ok(span)
    }

    /// `pipe = or { "|" name [ "(" [ expr { "," expr } ] ")" ] }`
    fn pipe(&mut self) -> Result<Span, Error> {
        let mut value = self.binary(OR)?;
        while self.lexer.token.tok == Tok::Pipe {
            self.node()?;
            self.advance()?;
            if self.lexer.token.tok != Tok::Name {
                return Err(self.expected("the name of a filter"));
            }
            let name = Text::of(self.lexer.token.span);
            let builtin = Builtin::named(name.span().text(self.source));
            value.end = self.lexer.token.span.end;
            self.advance()?;
            let mut args = 0;
            if self.lexer.token.tok == Tok::OpenParen {
                let require = self.code.len();
                if builtin.is_none() {
                    self.emit(Op::Require(name), value);
                }
                args = self.arguments(&mut value)?;
                if builtin.is_none() {
                    self.code[require].span = value;
                }
            }
            self.emit(
                match builtin {
                    Some(filter) => Op::Builtin {
                        filter,
                        args,
                        at: name.start,
                    },
                    None => Op::Call { name, args },
                },
                value,
            );
            self.pop(args);
        }
        Ok(value)
    }

    /// The argument list of a filter, from `(` on; extends the pipe's span to its end and answers how many there are.
    fn arguments(&mut self, pipe: &mut Span) -> Result<u32, Error> {
        self.enter()?;
        self.advance()?;
        let mut args = 0;
        if self.lexer.token.tok != Tok::CloseParen {
            loop {
                self.conditional()?;
                args += 1;
                if self.lexer.token.tok != Tok::Comma {
                    break;
                }
                self.advance()?;
            }
        }
        pipe.end = self.lexer.token.span.end;
        self.expect(Tok::CloseParen, "`,` or `)`")?;
        self.nesting -= 1;
        Ok(args)
    }

    /// The binary operators of at least this binding power, all associating left.
    fn binary(&mut self, weakest: u8) -> Result<Span, Error> {
        let mut left = self.unary()?;
        while let Some((power, operator)) = infix(self.lexer.token.tok) {
            if power < weakest {
                break;
            }
            self.node()?;
            let symbol = self.lexer.token;
            self.advance()?;
            if power >= SUM && self.lexer.token.tok == Tok::End {
                return Err(self.dangling(symbol));
            }
            left = match operator {
                Infix::Op(op) => {
                    let right = self.binary(power + 1)?;
                    let span = Span::new(left.start, right.end);
                    self.emit(Op::Binary(op), span);
                    self.pop(1);
                    span
                }
                Infix::And | Infix::Or => {
                    let at = self.code.len();
                    let op = if matches!(operator, Infix::And) {
                        Op::And(0)
                    } else {
                        Op::Or(0)
                    };
                    self.emit(op, left);
                    self.pop(1);
                    let right = self.binary(power + 1)?;
                    let span = Span::new(left.start, right.end);
                    self.land(at, span);
                    span
                }
            };
        }
        Ok(left)
    }

    /// `unary = ( "!" | "not" | "-" ) unary | postfix`
    fn unary(&mut self) -> Result<Span, Error> {
        let op = match self.lexer.token.tok {
            Tok::Bang => Op::Not,
            Tok::Minus => Op::Negate,
            Tok::Name if self.lexer.token.span.text(self.source) == "not" => Op::Not,
            _ => return self.postfix(),
        };
        let start = self.lexer.token.span.start;
        self.node()?;
        self.enter()?;
        self.advance()?;
        let operand = self.unary()?;
        let span = Span::new(start, operand.end);
        self.emit(op, span);
        self.nesting -= 1;
        Ok(span)
    }

    /// `postfix = primary { "." name | "[" expr "]" }`
    fn postfix(&mut self) -> Result<Span, Error> {
        let mut object = self.primary()?;
        loop {
            match self.lexer.token.tok {
                Tok::Dot => {
                    self.node()?;
                    self.advance()?;
                    if self.lexer.token.tok != Tok::Name {
                        return Err(self.expected("a member name"));
                    }
                    object.end = self.lexer.token.span.end;
                    self.emit(Op::Member(Text::of(self.lexer.token.span)), object);
                    self.advance()?;
                }
                Tok::OpenBracket => {
                    self.node()?;
                    self.enter()?;
                    self.advance()?;
                    self.conditional()?;
                    object.end = self.lexer.token.span.end;
                    self.expect(Tok::CloseBracket, "`]`")?;
                    self.emit(Op::Index, object);
                    self.pop(1);
                    self.nesting -= 1;
                }
                _ => return Ok(object),
            }
        }
    }

    /// `primary = number | string | "true" | "false" | "null" | name | "(" expr ")"`
    fn primary(&mut self) -> Result<Span, Error> {
        let span = self.lexer.token.span;
        match self.lexer.token.tok {
            Tok::Name => self.leaf(Op::Root(Text::of(span)), span),
            Tok::Number => {
                let value = self.lexer.number_value(self.lexer.token)?;
                self.leaf(Op::Number(value), span)
            }
            Tok::String(escaped) => {
                let mut text = Text {
                    start: span.start + 1,
                    len: span.end - span.start - 2,
                };
                if escaped {
                    let start = self.literals.len();
                    unescape(text.span().text(self.source), &mut self.literals);
                    text.start = (self.source.len() + start) as u32;
                    text.len = (self.literals.len() - start) as u32;
                }
                self.leaf(Op::String(text), span)
            }
            Tok::True => self.leaf(Op::Bool(true), span),
            Tok::False => self.leaf(Op::Bool(false), span),
            Tok::Null => self.leaf(Op::Null, span),
            Tok::OpenParen => {
                self.enter()?;
                self.advance()?;
                let inner = self.conditional()?;
                self.expect(Tok::CloseParen, "`)`")?;
                self.nesting -= 1;
                Ok(inner)
            }
            _ => Err(self.unexpected()),
        }
    }

    // ---- errors ----

    /// An operand was required.
    #[cold]
    fn unexpected(&mut self) -> Error {
        let found = self.found();
        let found = found.strip_prefix("the ").unwrap_or(&found);
        let message = format!("Unexpected {found}: a value was expected here");
        self.syntax_error(Detail::UnexpectedToken, message)
    }

    /// An arithmetic operator is the last thing in the source. The error is at the operator, not at the end as for the
    /// others: that is where earlier releases, which knew no arithmetic, refused such a source, and where the recorded
    /// cases expect it.
    #[cold]
    fn dangling(&mut self, operator: Token) -> Error {
        self.lexer.token = operator;
        let message = format!("Nothing follows {}: a value was expected", self.found());
        Error::new(Detail::UnexpectedToken, message, self.source, operator.span)
    }

    /// Another token was required.
    #[cold]
    fn expected(&mut self, what: &str) -> Error {
        let message = format!("Expected {what}, but found {}", self.found());
        self.syntax_error(Detail::ExpectedToken, message)
    }

    /// The current token, as a message names it.
    fn found(&self) -> String {
        match self.lexer.token.tok {
            Tok::End => "the end of the source".to_owned(),
            Tok::String(_) => "a string".to_owned(),
            _ => format!("`{}`", self.lexer.token.span.text(self.source)),
        }
    }

    /// A syntax error at the current token, unless a lexical error follows: that wins (template §10.1).
    fn syntax_error(&mut self, detail: Detail, message: String) -> Error {
        let found = self.lexer.token;
        if found.tok == Tok::Number
            && let Err(error) = self.lexer.number_value(found)
        {
            return error;
        }
        match self.lexer.first_error_ahead() {
            Some(lexical) => lexical,
            None => Error::new(detail, message, self.source, found.span),
        }
    }

    #[cold]
    fn over_limit(&self, detail: Detail, what: &str, limit: usize) -> Error {
        Error::new(
            detail,
            format!("{what} (at most {limit})"),
            self.source,
            self.lexer.token.span,
        )
    }
}
