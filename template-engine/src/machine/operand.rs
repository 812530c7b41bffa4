//! What the machine holds between instructions: operands, and the values made on the way.

use crate::value::Value;
use crate::view::View;

/// An operand.
#[derive(Clone, Copy)]
pub(super) enum Slot<'v> {
    /// Part of the scope or the program, or a plain value.
    View(View<'v>),
    /// A value made on the way: its index in [`Machine::made`]. Operands are never duplicated, so it has one owner.
    Made(u32),
}

/// Values created while running, used up in the reverse order. The first has its place here: most programs that create
/// any hold one at a time.
#[derive(Default)]
pub(super) struct Made<'v> {
    first: Value<'v>,
    more: Vec<Value<'v>>,
}

impl<'v> Made<'v> {
    pub fn push(&mut self, value: Value<'v>) -> u32 {
        if self.first.is_undefined() && self.more.is_empty() {
            self.first = value;
        } else {
            self.more.push(value);
        }
        self.more.len() as u32
    }

    pub fn get(&self, at: u32) -> &Value<'v> {
        match at.checked_sub(1) {
            Some(at) => self.more.get(at as usize).unwrap_or(&Value::Undefined),
            None => &self.first,
        }
    }

    pub fn take(&mut self, at: u32) -> Value<'v> {
        let Some(at) = at.checked_sub(1) else {
            return std::mem::take(&mut self.first);
        };
        let value = self
            .more
            .get_mut(at as usize)
            .map(std::mem::take)
            .unwrap_or_default();
        while self.more.pop_if(|last| last.is_undefined()).is_some() {}
        value
    }
}
