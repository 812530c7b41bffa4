//! `variables`: all values are taken from the scope before the block, so entries do not see each
//! other; an error sets nothing (`dispatch §13.6`).

use super::{End, Failure, Step, Walker};
use automation_core::compiled::ConfigTemplate;
use serde_json::{Value, json};

impl Walker<'_> {
    pub(super) fn variables(&mut self, step: &Step, values: &ConfigTemplate) -> End {
        let id = self.new_step();
        let set = match values.render(&self.view(), &self.env()) {
            Ok(Value::Object(set)) => set,
            Ok(_) => return super::list::corrupt("variables are no mapping"),
            Err(e) => {
                let failure = Failure::new("render_failed", format!("variables.{e}"));
                return self.fail_step(step, id, 1, failure);
            }
        };
        let names: Vec<&String> = set.keys().collect();
        let defined = json!({"defined": names});
        self.step(step, id, "success").result = Some(defined);
        self.set_variables(set);
        End::Ok
    }
}
