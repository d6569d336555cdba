//! The forms there are. Their files are made from an installed peer, by `tests/contract/forms.py`.

use std::sync::LazyLock;

use crate::Form;

macro_rules! known {
    ( $( $(#[$says:meta])* $name:ident, $text:ident, $file:literal; )* ) => {
        /// The text of a form: a schema with some words of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Text {
            $($text,)*
        }

        impl Text {
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$text => include_str!(concat!("../forms/", $file)),)*
                }
            }
        }

        $(
            $(#[$says])*
            #[must_use]
            pub fn $name() -> &'static Form {
                static FORM: LazyLock<Form> = LazyLock::new(|| ready(Text::$text.as_str()));
                &FORM
            }
        )*

        /// The names and the texts of all forms.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str, fn() -> &'static Form)] =
            &[$((stringify!($name), Text::$text.as_str(), $name)),*];
    };
}

known! {
    /// What an agent of this server is made from.
    openhands_settings, OpenhandsSettings, "openhands_settings.json";
    /// What an agent behind the Agent Client Protocol is made from.
    acp_settings, AcpSettings, "acp_settings.json";
    /// What new conversations begin with.
    conversation_settings, ConversationSettings, "conversation_settings.json";
    /// A model.
    llm, Llm, "llm.json";
    mcp_server, McpServer, "mcp_server.json";
    /// A change of an MCP server.
    mcp_server_patch, McpServerPatch, "mcp_server_patch.json";
    /// An agent profile of this server's agents.
    openhands_profile, OpenhandsProfile, "openhands_profile.json";
    /// An agent profile of an agent behind the Agent Client Protocol.
    acp_profile, AcpProfile, "acp_profile.json";
    /// How a conversation chooses between models.
    meta_profile, MetaProfile, "meta_profile.json";
    hook_config, HookConfig, "hook_config.json";
    /// What an extension of the user interface says of itself.
    canvas_manifest, CanvasManifest, "canvas_manifest.json";
}

fn ready(schema: &str) -> Form {
    #[expect(clippy::expect_used, reason = "a test reads every file")]
    Form::read(schema).expect("the file is a form")
}
