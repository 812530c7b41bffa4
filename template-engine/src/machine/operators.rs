//! Operators that evaluate both of their sides: comparisons and arithmetic.

use std::borrow::Cow;

use super::Machine;
use super::operand::Slot;
use super::work::weight;
use crate::code::Binary;
use crate::compare::{are_equal, number_of, order_of, text_within};
use crate::error::Error;
use crate::limits::Overflow;
use crate::number::parse_number;
use crate::span::Span;
use crate::value::Value;
use crate::view::View;

impl<'v> Machine<'v, '_> {
    /// A binary operator over operands that are used up by it.
    #[inline(never)]
    pub(super) fn binary(
        &mut self,
        operator: Binary,
        left: Slot<'v>,
        right: Slot<'v>,
        span: Span,
    ) -> Result<Slot<'v>, Error> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let mut read = weight(self.view(right));
        // A chain of `+` grows its first text where it is.
        if operator != Binary::Add || matches!(left, Slot::View(_)) {
            read += weight(self.view(left));
        }
        if read > 0 {
            self.spend(read, span)?;
        }
        let (a, b) = (self.view(left), self.view(right));
        let holds = match operator {
            Binary::Equal => are_equal(a, b),
            Binary::NotEqual => are_equal(a, b).map(|equal| !equal),
            Binary::Less => order_of(a, b).map(|o| o == Some(Less)),
            Binary::Greater => order_of(a, b).map(|o| o == Some(Greater)),
            Binary::LessOrEqual => order_of(a, b).map(|o| matches!(o, Some(Less | Equal))),
            Binary::GreaterOrEqual => order_of(a, b).map(|o| matches!(o, Some(Greater | Equal))),
            _ => {
                let result = self.calculate(operator, left, right);
                return result.map_err(|overflow| self.overflow(overflow, span));
            }
        };
        self.release(right);
        self.release(left);
        match holds {
            Ok(holds) => Ok(Slot::View(View::Bool(holds))),
            Err(overflow) => Err(self.overflow(overflow, span)),
        }
    }

    /// Arithmetic (Q10): what cannot be calculated is Undefined.
    fn calculate(
        &mut self,
        operator: Binary,
        left: Slot<'v>,
        right: Slot<'v>,
    ) -> Result<Slot<'v>, Overflow> {
        let calculate: fn(f64, f64) -> f64 = match operator {
            Binary::Subtract => |a, b| a - b,
            Binary::Multiply => |a, b| a * b,
            Binary::Divide => |a, b| a / b,
            Binary::Remainder => |a, b| a % b,
            _ => return self.add(left, right),
        };
        let result = match (factor(self.view(left)), factor(self.view(right))) {
            (Some(a), Some(b)) => finite(calculate(a, b)),
            _ => View::Undefined,
        };
        self.release(right);
        self.release(left);
        Ok(Slot::View(result))
    }

    /// `+`: numbers add, a string joins with a string, number or boolean.
    fn add(&mut self, left: Slot<'v>, right: Slot<'v>) -> Result<Slot<'v>, Overflow> {
        let joins = |v: View<'_>| matches!(v, View::String(_) | View::Number(_) | View::Bool(_));
        let is_text = |v: View<'_>| matches!(v, View::String(_));
        let right = self.take(right);
        let left = self.take(left);
        let (a, b) = (left.view(), right.view());
        if let (View::Number(a), View::Number(b)) = (a, b) {
            return Ok(Slot::View(finite(a.as_f64() + b.as_f64())));
        }
        if !(joins(a) && joins(b) && (is_text(a) || is_text(b))) {
            return Ok(Slot::View(View::Undefined));
        }
        let b = text_within(b, 0)?;
        if text_within(a, 0)?.len() + b.len() > self.program.limits.bytes {
            return Err(Overflow::Size);
        }
        let joined = match left {
            // A chain of `+` grows its first text.
            Value::String(Cow::Owned(a)) => a + &b,
            a => [&*text_within(a.view(), 0)?, &*b].concat(),
        };
        Ok(self.keep(Value::from(joined)))
    }
}

/// One side of `- * / %`: a Number, or a String that converts to a finite one.
pub(super) fn factor(value: View<'_>) -> Option<f64> {
    match value {
        View::Number(_) => Some(number_of(value)),
        View::String(s) => Some(parse_number(s)).filter(|n| n.is_finite()),
        _ => None,
    }
}

/// A computed number; one that is not finite is Undefined.
pub(super) fn finite<'v>(n: f64) -> View<'v> {
    if n.is_finite() {
        View::float(n)
    } else {
        View::Undefined
    }
}
