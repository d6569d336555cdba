//! The environment of commands: what programs of this process inherit, and who runs them.

use child_environment::Variable;

pub(super) fn for_commands(inherited: impl Iterator<Item = Variable>) -> Vec<Variable> {
    inherited.chain([("AI_AGENT".into(), "openhands".into())]).collect()
}
