//! Looks a model up in the table of well-known models, `models.txt`.

const TABLE: &str = include_str!("models.txt");

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Known {
    /// Most input tokens.
    pub context: u64,
    /// Most output tokens.
    pub output: u64,
    pub prices: Prices,
    pub vision: bool,
    pub reasoning_effort: bool,
    pub refuses_sampling: bool,
}

/// US dollars per token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prices {
    pub input: f64,
    pub output: f64,
    pub cache_read: f64,
    pub cache_write: f64,
}

/// What is known about a model, by its name with or without provider prefixes.
pub(crate) fn find(model: &str) -> Option<Known> {
    let name = bare_name(model);
    TABLE.lines().find_map(|line| line.strip_prefix(name.as_str()).and_then(row))
}

/// Lower case, without provider, version suffix or date; Claude names with dashes only.
pub(crate) fn bare_name(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    let name = name.split(['@', ':']).next().unwrap_or(&name);
    let name = name.strip_suffix("-latest").unwrap_or(name);
    let name = without_date(name);
    if name.starts_with("claude") { name.replace('.', "-") } else { name.to_owned() }
}

/// Cuts `-20250929`, `-2025-09-29` and the four-digit `-2512`.
fn without_date(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    let Some(tail) = name.strip_prefix(stem) else { return name };
    let dates = [("-dddddddd", 9), ("-dddd-dd-dd", 11), ("-dddd", 5)];
    for (form, length) in dates {
        let Some((head, date)) = tail.len().checked_sub(length).and_then(|at| tail.split_at_checked(at))
        else {
            continue;
        };
        let fits =
            date.bytes().zip(form.bytes()).all(|(c, f)| if f == b'd' { c.is_ascii_digit() } else { c == f });
        if fits {
            return name.get(..stem.len() + head.len()).unwrap_or(name);
        }
    }
    name
}

/// Reads the columns after the name; `None` where the name goes on.
fn row(columns: &str) -> Option<Known> {
    if !columns.starts_with(' ') {
        return None;
    }
    let mut columns = columns.split_ascii_whitespace();
    let context = columns.next()?.parse().ok()?;
    let output = columns.next()?.parse().ok()?;
    let input_price: f64 = columns.next()?.parse().ok()?;
    let mut price = || -> Option<f64> {
        match columns.next()? {
            "-" => Some(input_price),
            text => text.parse().ok(),
        }
    };
    let (output_price, read, write) = (price()?, price()?, price()?);
    let flags = columns.next()?;
    Some(Known {
        context,
        output,
        prices: Prices {
            input: input_price / 1e6,
            output: output_price / 1e6,
            cache_read: read / 1e6,
            cache_write: write / 1e6,
        },
        vision: flags.contains('v'),
        reasoning_effort: flags.contains('r'),
        refuses_sampling: flags.contains('s'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_found_by_its_own_name() {
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(' ').next().unwrap();
            assert!(find(name).is_some(), "{line}");
        }
    }

    #[test]
    fn prefixes_dates_and_dots_do_not_hide_a_model() {
        let sonnet = find("claude-sonnet-4-5").unwrap();
        for name in [
            "anthropic/claude-sonnet-4-5-20250929",
            "openrouter/anthropic/claude-sonnet-4.5",
            "litellm_proxy/claude-sonnet-4-5@20250929",
        ] {
            assert_eq!(find(name), Some(sonnet), "{name}");
        }
        assert_eq!(find("openai/gpt-4o-2024-08-06"), find("gpt-4o"));
        assert_eq!(find("mistral/devstral-medium-2507"), find("devstral-medium"));
    }

    #[test]
    fn a_longer_name_is_another_model() {
        assert_eq!(find("gpt-4o-audio"), None);
        assert_eq!(find("gpt"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn prices_are_per_token() {
        let prices = find("claude-opus-4-5").unwrap().prices;
        assert_eq!(prices, Prices { input: 5e-6, output: 25e-6, cache_read: 0.5e-6, cache_write: 6.25e-6 });
    }
}
