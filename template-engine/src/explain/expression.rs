//! Explaining expressions: down the tree to what decided, then its values.
//!
//! The walk keeps its own list of what is still to be looked at, so a chain of a thousand members costs no stack. Parts
//! are evaluated by running their instructions alone; one scratch program serves them all.

use super::{Facts, text};
use crate::ast::{Ast, BinaryOperator, NodeId, NodeKind};
use crate::code::Program;
use crate::compare::truthy;
use crate::env::Env;
use crate::error::Error;
use crate::machine;
use crate::scope::Scope;

/// The longest chain of members that is searched for the place where it breaks off.
const SEARCHED: usize = 32;

/// Adds why a program's value is what it is.
pub(super) fn explain(program: &Program, scope: &dyn Scope, env: &Env<'_>, facts: &mut Facts) {
    let ast = Ast::of(program);
    let Some(root) = ast.roots().first().copied() else {
        return;
    };
    let mut walk = Walk {
        chains: Chains::of(&ast),
        ast: &ast,
        program,
        scratch: program.clone(),
        scope,
        env,
    };
    walk.explain(root, facts);
}

/// The whole expression as it is written, without what may stand around it.
pub(super) fn source(program: &Program) -> &str {
    let ast = Ast::of(program);
    let root = ast.roots().first().and_then(|id| ast.get(*id));
    text::part(program.source(), root.map(|n| n.span).unwrap_or_default())
}

/// What evaluating a part gave.
struct Seen {
    truthy: bool,
    missing: bool,
    text: String,
}

/// Which nodes are references: a name and the members and indexes behind it.
struct Chains {
    chain: Vec<bool>,
    /// Another member or index follows.
    continued: Vec<bool>,
}

impl Chains {
    fn of(ast: &Ast) -> Self {
        let n = ast.nodes().count();
        let (mut chain, mut continued) = (vec![false; n], vec![false; n]);
        // Children come before their parents.
        for (id, node) in ast.nodes() {
            let at = id.0 as usize;
            match &node.kind {
                NodeKind::Identifier(_) => chain[at] = true,
                NodeKind::Member { object, .. } | NodeKind::Index { object, .. } => {
                    chain[at] = chain[object.0 as usize];
                    continued[object.0 as usize] = true;
                }
                _ => {}
            }
        }
        Self { chain, continued }
    }

    fn is_chain(&self, id: NodeId) -> bool {
        self.chain.get(id.0 as usize).copied().unwrap_or(false)
    }

    fn is_whole(&self, id: NodeId) -> bool {
        self.is_chain(id) && !self.continued[id.0 as usize]
    }
}

struct Walk<'w> {
    ast: &'w Ast,
    chains: Chains,
    program: &'w Program,
    scratch: Program,
    scope: &'w dyn Scope,
    env: &'w Env<'w>,
}

impl Walk<'_> {
    fn explain(&mut self, root: NodeId, facts: &mut Facts) {
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            let Some(kind) = self.ast.get(id).map(|n| &n.kind) else {
                continue;
            };
            match kind {
                NodeKind::Binary {
                    operator: operator @ (BinaryOperator::And | BinaryOperator::Or),
                    ..
                } => {
                    let members = self.members(id, *operator);
                    match self.decisive(&members, *operator) {
                        Some(one) => open.push(one),
                        None => open.extend(members.into_iter().rev()),
                    }
                }
                NodeKind::Not(inner) => open.push(*inner),
                NodeKind::Conditional {
                    test,
                    then,
                    otherwise,
                } => {
                    match self.look(*test) {
                        Ok(seen) if seen.truthy => open.push(*then),
                        Ok(_) => open.push(*otherwise),
                        Err(_) => {}
                    }
                    open.push(*test);
                }
                NodeKind::Binary {
                    operator,
                    left,
                    right,
                } if operator.is_comparison() => {
                    self.comparison(id, *operator, *left, *right, facts);
                }
                _ => self.value(id, facts),
            }
            if facts.is_full() && !open.is_empty() {
                return facts.leave_out();
            }
        }
    }

    /// The members of a chain of one operator, in order.
    fn members(&self, id: NodeId, chain: BinaryOperator) -> Vec<NodeId> {
        let mut members = Vec::new();
        let mut at = id;
        while let Some(NodeKind::Binary {
            operator,
            left,
            right,
        }) = self.ast.get(at).map(|n| &n.kind)
            && *operator == chain
        {
            members.push(*right);
            at = *left;
        }
        members.push(at);
        members.reverse();
        members
    }

    /// The member at which evaluation stopped: the first falsy one of an `&&`, the first truthy one of an `||`, or one
    /// that failed before; none when all were evaluated and all count.
    fn decisive(&mut self, members: &[NodeId], operator: BinaryOperator) -> Option<NodeId> {
        let stops_at = operator == BinaryOperator::Or;
        members.iter().copied().find(|id| match self.look(*id) {
            Ok(seen) => seen.truthy == stops_at,
            Err(_) => true,
        })
    }

    fn look(&mut self, id: NodeId) -> Result<Seen, Error> {
        let (start, end) = self.ast.get(id).map_or((0, 0), |n| n.code);
        self.scratch.code = self.program.moved(start..end);
        let value = machine::run(&self.scratch, self.scope, self.env, &mut String::new())?;
        Ok(Seen {
            truthy: truthy(&value),
            missing: value.is_missing(),
            text: text::value(&value),
        })
    }

    fn source(&self, id: NodeId) -> &str {
        let span = self.ast.get(id).map(|n| n.span).unwrap_or_default();
        text::part(self.program.source(), span)
    }

    fn is_literal(&self, id: NodeId) -> bool {
        match self.ast.get(id).map(|n| &n.kind) {
            Some(NodeKind::Negate(inner)) => self.is_literal(*inner),
            Some(kind) => matches!(
                kind,
                NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) | NodeKind::String(_)
            ),
            None => false,
        }
    }

    /// A comparison: the value of the side that is not a literal; both when both are computed.
    fn comparison(
        &mut self,
        id: NodeId,
        operator: BinaryOperator,
        left: NodeId,
        right: NodeId,
        facts: &mut Facts,
    ) {
        let (a, b) = match (self.look(left), self.look(right)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(error), _) | (_, Err(error)) => return facts.add_error(&error),
        };
        let value = match (self.is_literal(left), self.is_literal(right)) {
            (true, false) => self.told(right, b),
            (false, true) => self.told(left, a),
            _ => {
                let (a, b) = (self.told(left, a), self.told(right, b));
                format!("{a} {} {b}", operator.symbol())
            }
        };
        facts.add(self.source(id), value);
        for side in [left, right] {
            if !self.is_literal(side) {
                self.parts(side, facts);
            }
        }
    }

    /// Any other part: its value, and what it is made of.
    fn value(&mut self, id: NodeId, facts: &mut Facts) {
        match self.look(id) {
            Ok(seen) => {
                let value = self.told(id, seen);
                facts.add(self.source(id), value);
            }
            Err(error) => facts.add_error(&error),
        }
        self.parts(id, facts);
    }

    /// The references inside a part, itself excepted: index expressions, what goes through filters and into sums.
    fn parts(&mut self, id: NodeId, facts: &mut Facts) {
        let Some((start, end)) = self.ast.get(id).map(|n| n.code) else {
            return;
        };
        let inside: Vec<NodeId> = self
            .ast
            .nodes()
            .filter(|(part, n)| *part != id && n.code.0 >= start && n.code.1 <= end)
            .filter(|(part, _)| self.chains.is_whole(*part))
            .map(|(part, _)| part)
            .collect();
        for part in inside {
            if facts.is_full() {
                return facts.leave_out();
            }
            match self.look(part) {
                Ok(seen) => {
                    let value = self.told(part, seen);
                    facts.add(self.source(part), value);
                }
                Err(error) => facts.add_error(&error),
            }
        }
    }

    /// A value in words; of a reference that leads nowhere, where it breaks off.
    fn told(&mut self, id: NodeId, seen: Seen) -> String {
        if !seen.missing || !self.chains.is_chain(id) {
            return seen.text;
        }
        match self.breaks_off(id) {
            Some(why) => format!("{} ({why})", seen.text),
            None => seen.text,
        }
    }

    fn breaks_off(&mut self, id: NodeId) -> Option<String> {
        let mut prefixes = Vec::new();
        let mut at = id;
        while let Some(NodeKind::Member { object, .. } | NodeKind::Index { object, .. }) =
            self.ast.get(at).map(|n| &n.kind)
        {
            if prefixes.len() == SEARCHED {
                return None;
            }
            prefixes.push(*object);
            at = *object;
        }
        for prefix in prefixes.into_iter().rev() {
            let seen = self.look(prefix).ok()?;
            if seen.missing {
                let name = text::source(self.source(prefix).to_owned());
                return Some(if seen.text == "null" {
                    format!("{name} is null")
                } else {
                    format!("there is no {name}")
                });
            }
        }
        None
    }
}
