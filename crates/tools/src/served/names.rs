//! What the model calls the tools of servers.

use std::collections::HashSet;

use regex::Regex;

/// What providers take.
const LONGEST: usize = 64;

/// Gives names. One server alone gives its tools the names that it has for them; of several, the server's name stands in front,
/// also where the others cannot be reached, so that a name stays what it is.
pub struct Naming {
    several: bool,
    /// Tools whose names do not begin like this are not offered.
    wanted: Option<Regex>,
    taken: HashSet<String>,
}

impl Naming {
    /// `taken` are the names of the conversation's own tools.
    ///
    /// # Errors
    /// Where `filter` is no pattern.
    pub fn new<'a>(
        several: bool,
        filter: Option<&str>,
        taken: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let wanted = filter.map(|filter| Regex::new(&format!("^(?:{filter})"))).transpose();
        let wanted = wanted.map_err(|_| "filter_tools_regex is no pattern that is understood".to_owned())?;
        Ok(Self { several, wanted, taken: taken.map(str::to_owned).collect() })
    }

    /// The name, if the tool is wanted.
    ///
    /// # Errors
    /// The name that another tool has.
    pub fn name(&mut self, server: &str, tool: &str) -> Result<Option<String>, String> {
        let name = fit(&if self.several { format!("{server}_{tool}") } else { tool.to_owned() });
        if self.wanted.as_ref().is_some_and(|wanted| !wanted.is_match(&name)) {
            return Ok(None);
        }
        if self.taken.insert(name.clone()) { Ok(Some(name)) } else { Err(name) }
    }
}

/// Letters, digits, `_` and `-`, and not too many.
fn fit(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    name.chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(several: bool, filter: Option<&str>) -> Naming {
        Naming::new(several, filter, ["terminal"].into_iter()).unwrap()
    }

    fn offered(name: &str) -> Result<Option<String>, String> {
        Ok(Some(name.to_owned()))
    }

    #[test]
    fn a_server_alone_names_its_tools_itself_and_several_are_told_apart() {
        assert_eq!(naming(false, None).name("a", "echo"), offered("echo"));
        let mut several = naming(true, None);
        assert_eq!(several.name("a", "echo"), offered("a_echo"));
        assert_eq!(several.name("b", "echo"), offered("b_echo"));
    }

    #[test]
    fn a_name_is_given_once_and_as_providers_take_it() {
        assert_eq!(naming(false, None).name("a", "terminal"), Err("terminal".to_owned()));
        let mut several = naming(true, None);
        assert_eq!(several.name("a.b", "do it!"), offered("a_b_do_it_"));
        assert_eq!(several.name("a b", "do it?"), Err("a_b_do_it_".to_owned()));
        assert_eq!(naming(false, None).name("a", &"x".repeat(100)), offered(&"x".repeat(LONGEST)));
    }

    #[test]
    fn only_tools_are_offered_whose_names_begin_as_they_shall() {
        let mut naming = naming(false, Some("read|list"));
        assert_eq!(naming.name("a", "read_file"), offered("read_file"));
        assert_eq!(naming.name("a", "spread"), Ok(None));
        assert!(Naming::new(false, Some("("), std::iter::empty()).is_err());
    }
}
