//! The forms there are. Their files are made from an installed peer, by `tests/contract/forms.py`.

use std::sync::LazyLock;

use crate::Form;

macro_rules! known {
    ( $( $(#[$says:meta])* $name:ident, $file:literal; )* ) => {
        $(
            $(#[$says])*
            #[must_use]
            pub fn $name() -> &'static Form {
                static FORM: LazyLock<Form> = LazyLock::new(|| ready(include_str!(concat!("../forms/", $file))));
                &FORM
            }
        )*

        /// The names and the texts of all forms.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str, fn() -> &'static Form)] =
            &[$((stringify!($name), include_str!(concat!("../forms/", $file)), $name)),*];
    };
}

known! {
    /// What an agent of this server is made from.
    openhands_settings, "openhands_settings.json";
    /// What an agent behind the Agent Client Protocol is made from.
    acp_settings, "acp_settings.json";
    /// What new conversations begin with.
    conversation_settings, "conversation_settings.json";
    /// A model.
    llm, "llm.json";
    mcp_server, "mcp_server.json";
    /// A change of an MCP server.
    mcp_server_patch, "mcp_server_patch.json";
    /// An agent profile of this server's agents.
    openhands_profile, "openhands_profile.json";
    /// An agent profile of an agent behind the Agent Client Protocol.
    acp_profile, "acp_profile.json";
    /// How a conversation chooses between models.
    meta_profile, "meta_profile.json";
    hook_config, "hook_config.json";
    /// What an extension of the user interface says of itself.
    canvas_manifest, "canvas_manifest.json";
}

fn ready(schema: &str) -> Form {
    #[expect(clippy::expect_used, reason = "a test reads every file")]
    Form::read(schema).expect("the file is a form")
}
