//! A walk as its checkpoint stores it: without the secrets of its run (`dispatch §20`).
//!
//! What actions, events and expressions brought in is masked; what the tree itself is made of – ids
//! of steps, locks and actions, paths, counts – never is. A short secret may well occur in an id, and
//! a checkpoint with a mask in an id could not be read any more.

use super::tree::{Fork, ForkEnd, Node, Tries, Walk};
use plugin_api::masking::MaskSet;
use serde_json::{Map, Value};

impl Walk {
    /// The checkpoint, masked.
    pub fn checkpoint(&self, masks: &MaskSet) -> Value {
        let stored = |walk: &Walk| serde_json::to_value(walk).expect("a walk serialises");
        if masks.is_empty() {
            return stored(self);
        }
        // Every field is named, so that a new one is decided on here.
        let Walk {
            tree,
            variables,
            resume,
            steps,
            format,
            last_path: _,
            artifacts: _,
        } = self;
        let mut masked = Walk {
            tree: tree.clone(),
            variables: variables.clone(),
            resume: resume.clone(),
            steps: *steps,
            format: *format,
            ..Walk::new()
        };
        let clean = Clean(masks);
        clean.value(&mut masked.variables);
        masked.resume.iter_mut().for_each(|r| clean.value(r));
        clean.node(&mut masked.tree);
        stored(&masked)
    }
}

struct Clean<'a>(&'a MaskSet);

impl Clean<'_> {
    fn value(&self, value: &mut Value) {
        *value = self.0.mask_json(std::mem::take(value)).into_inner();
    }

    fn members(&self, members: &mut Map<String, Value>) {
        members.values_mut().for_each(|v| self.value(v));
    }

    fn tries(&self, Tries { failed }: &mut Tries) {
        failed.iter_mut().for_each(|f| self.value(f));
    }

    fn node(&self, node: &mut Node) {
        match node {
            Node::New {} | Node::Testing { step: _ } => {}
            Node::Calling {
                step: _,
                attempt: _,
                tries,
            }
            | Node::Retrying {
                step: _,
                lock: _,
                attempt: _,
                tries,
            } => self.tries(tries),
            Node::Arming {
                step: _,
                lock: _,
                info,
            }
            | Node::Waiting {
                step: _,
                lock: _,
                info,
            } => self.value(info),
            Node::List { at: _, child } => self.node(child),
            Node::Body {
                step: _,
                branch: _,
                waiting: _,
                list,
            } => self.node(list),
            Node::Parallel {
                step: _,
                waiting: _,
                forks,
            } => forks.iter_mut().for_each(|f| self.fork(f)),
            Node::Repeat {
                step: _,
                index: _,
                item,
                items: _,
                vars,
                waiting: _,
                list,
            } => {
                item.iter_mut().for_each(|i| self.value(i));
                self.members(vars);
                self.node(list);
            }
        }
    }

    fn fork(&self, fork: &mut Fork) {
        let Fork {
            node,
            vars,
            made: _,
            last: _,
            end,
        } = fork;
        self.node(node);
        self.members(vars);
        match end {
            None | Some(ForkEnd::Completed {}) => {}
            Some(ForkEnd::Stopped { reason }) => {
                *reason = reason.take().map(|r| self.0.mask_text(r).into_inner());
            }
            Some(ForkEnd::Failed(entry)) => self.members(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use automation_core::{LockId, StepId};
    use serde_json::json;

    fn uuid(n: u128) -> uuid::Uuid {
        uuid::Uuid::from_u128(n)
    }

    /// Every kind of node, with the secret in whatever is free.
    fn walk(secret: &str) -> Walk {
        let step = StepId::from(uuid(0x4711_4711_4711_4711_4711_4711_4711_4711));
        let lock = LockId::from(uuid(0x0815_4711_0815_4711_0815_4711_0815_4711));
        let free = || json!({"told": format!("it is {secret}"), "n": 4711});
        let vars = || Map::from_iter([("v".to_owned(), free())]);
        let tries = || Tries {
            failed: vec![json!({"attempt": 1, "error": secret})],
        };
        let leaves = [
            Node::Calling {
                step,
                attempt: 2,
                tries: tries(),
            },
            Node::Retrying {
                step,
                lock,
                attempt: 1,
                tries: tries(),
            },
            Node::Testing { step },
            Node::Arming {
                step,
                lock,
                info: free(),
            },
            Node::Waiting {
                step,
                lock,
                info: free(),
            },
        ];
        let mut forks: Vec<Fork> = leaves
            .into_iter()
            .map(|node| Fork {
                node,
                vars: vars(),
                made: vec!["a4711".into()],
                last: Some("actions[4711]".into()),
                end: None,
            })
            .collect();
        forks[0].end = Some(ForkEnd::Stopped {
            reason: Some(secret.into()),
        });
        forks[2].end = Some(ForkEnd::Failed(Map::from_iter([(
            "stopped".to_owned(),
            json!(secret),
        )])));
        let forks = Node::Parallel {
            step,
            waiting: false,
            forks,
        };
        let repeat = Node::Repeat {
            step,
            index: 4711,
            item: Some(free()),
            items: None,
            vars: vars(),
            waiting: false,
            list: Box::new(Node::List {
                at: 4711,
                child: Box::new(forks),
            }),
        };
        let body = Node::Body {
            step,
            branch: None,
            waiting: false,
            list: Box::new(repeat),
        };
        Walk {
            tree: body,
            variables: free(),
            resume: Some(free()),
            steps: 4711,
            ..Walk::new()
        }
    }

    #[test]
    fn a_secret_that_occurs_in_ids_paths_and_counts_leaves_the_checkpoint_readable() {
        let masks = MaskSet::of(["4711", "0815"]);
        let stored = walk("4711").checkpoint(&masks);
        let back: Walk = serde_json::from_value(stored).expect("the checkpoint is read back");
        let mut expected = walk("****");
        // A number that is a secret is masked where it is free.
        let n = |v: &mut Value| v["n"] = json!("****");
        n(&mut expected.variables);
        n(expected.resume.as_mut().unwrap());
        let Node::Body { list, .. } = &mut expected.tree else {
            panic!()
        };
        let Node::Repeat {
            item, vars, list, ..
        } = &mut **list
        else {
            panic!()
        };
        n(item.as_mut().unwrap());
        n(&mut vars["v"]);
        let Node::List { child, .. } = &mut **list else {
            panic!()
        };
        let Node::Parallel { forks, .. } = &mut **child else {
            panic!()
        };
        for fork in forks {
            n(&mut fork.vars["v"]);
            if let Node::Arming { info, .. } | Node::Waiting { info, .. } = &mut fork.node {
                n(info);
            }
        }
        assert_eq!(back, expected);
    }
}
