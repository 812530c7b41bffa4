//! The frames around the action at hand, and what names mean in them (`dispatch §10`).

use super::{Live, View, Walker};
use crate::walk::frame::{Locals, lay_over, repeat_scope, visible};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// An iteration of `repeat`, or a branch of `parallel`.
pub(super) struct Frame {
    /// Everything in force here: the outer frame's with `vars` laid over it.
    variables: Value,
    /// What was set here.
    vars: Map<String, Value>,
    /// Artifacts as seen here, when a sibling branch's are hidden.
    artifacts: Option<Value>,
    /// `repeat` of an iteration.
    repeat: Option<Value>,
    /// Of a branch: action ids whose artifacts were made in it, and its last completed path.
    branch: Option<(Vec<String>, Option<String>)>,
}

impl Walker<'_> {
    pub(super) fn variables_here(&self) -> &Value {
        match self.frames.last() {
            Some(frame) => &frame.variables,
            None => &self.walk.variables,
        }
    }

    fn artifacts_here(&self) -> &Value {
        let seen = self.frames.iter().rev().find_map(|f| f.artifacts.as_ref());
        seen.unwrap_or(&self.walk.artifacts)
    }

    fn repeat_here(&self) -> Option<&Value> {
        self.frames.iter().rev().find_map(|f| f.repeat.as_ref())
    }

    /// All names at the action at hand.
    pub(super) fn view(&self) -> View<'_> {
        View {
            base: self.cx.base,
            live: &self.cx.base.live,
            variables: self.variables_here(),
            artifacts: self.artifacts_here(),
            repeat: self.repeat_here(),
            resume: self.walk.resume.as_ref(),
        }
    }

    /// The same with fresher live state.
    pub(super) fn view_with<'v>(&'v self, live: &'v Live) -> View<'v> {
        View {
            live,
            ..self.view()
        }
    }

    /// The same but for live state, to take along.
    pub(super) fn locals(&self) -> Locals {
        Locals {
            variables: self.variables_here().clone(),
            artifacts: self.artifacts_here().clone(),
            repeat: self.repeat_here().cloned(),
            resume: self.walk.resume.clone(),
        }
    }

    /// Sets variables in the innermost frame.
    pub(super) fn set_variables(&mut self, set: Map<String, Value>) {
        match self.frames.last_mut() {
            Some(frame) => {
                lay_over(&mut frame.variables, &set);
                frame.vars.extend(set);
            }
            None => lay_over(&mut self.walk.variables, &set),
        }
    }

    /// Adds an artifact to what is seen from here on.
    pub(super) fn expose(&mut self, action_id: &str, local: &str, data: &Value) {
        self.walk.expose(action_id, local, data.clone());
        for frame in &mut self.frames {
            if let Some(Value::Object(seen)) = &mut frame.artifacts {
                let entry = seen
                    .entry(action_id)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(of_action) = entry {
                    of_action.insert(local.to_owned(), data.clone());
                }
            }
            if let Some((made, _)) = &mut frame.branch
                && !made.iter().any(|m| m == action_id)
            {
                made.push(action_id.to_owned());
            }
        }
    }

    /// An action has ended: where recovery goes on (`dispatch §9.4`).
    pub(super) fn passed(&mut self) {
        for frame in &mut self.frames {
            if let Some((_, last)) = &mut frame.branch {
                *last = Some(self.path.clone());
            }
        }
        self.walk.last_path = Some(self.path.clone());
    }

    /// Runs `f` in an iteration's frame and answers what it set there.
    pub(super) fn in_iteration<T>(
        &mut self,
        (index, item): (u32, Option<&Value>),
        vars: Map<String, Value>,
        f: impl FnOnce(&mut Self) -> T,
    ) -> (T, Map<String, Value>) {
        let mut variables = self.variables_here().clone();
        lay_over(&mut variables, &vars);
        self.frames.push(Frame {
            variables,
            vars,
            artifacts: None,
            repeat: Some(repeat_scope(index, item)),
            branch: None,
        });
        let out = f(self);
        let frame = self.frames.pop();
        (out, frame.map(|f| f.vars).unwrap_or_default())
    }

    /// Runs `f` in a branch's frame, without the artifacts of its siblings.
    pub(super) fn in_branch<T>(
        &mut self,
        fork: &mut crate::walk::tree::Fork,
        hidden: &[String],
        f: impl FnOnce(&mut Self, &mut crate::walk::tree::Node) -> T,
    ) -> T {
        let mut variables = self.variables_here().clone();
        lay_over(&mut variables, &fork.vars);
        let artifacts = match visible(self.artifacts_here(), hidden) {
            Cow::Owned(seen) => Some(seen),
            Cow::Borrowed(_) => None,
        };
        self.frames.push(Frame {
            variables,
            vars: std::mem::take(&mut fork.vars),
            artifacts,
            repeat: None,
            branch: Some((std::mem::take(&mut fork.made), fork.last.take())),
        });
        let out = f(self, &mut fork.node);
        if let Some(frame) = self.frames.pop() {
            fork.vars = frame.vars;
            if let Some((made, last)) = frame.branch {
                fork.made = made;
                fork.last = last;
            }
        }
        out
    }
}
