//! Files of environment variables, as systemd reads them for `EnvironmentFile=` (systemd.exec(5)).

use std::path::Path;

/// Reads the variables of a file. Error messages contain no values, because many are secrets.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = std::fs::read_to_string(path).map_err(|cause| format!("{} can't be read: {cause}.", path.display()))?;
    parse(&text).map_err(|line| format!("{}: line {line} is not a variable; write NAME=value.", path.display()))
}

/// Parses the variables of a text. The error is the number of the first invalid line.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut variables = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(variables);
        }
        if rest.starts_with(['#', ';']) {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        let number = text.len().checked_sub(rest.len()).and_then(|at| text.get(..at)).unwrap_or_default();
        let number = number.matches('\n').count() + 1;
        let (name, value) = rest.split_once('=').ok_or(number)?;
        let name = name.trim_end();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(number);
        }
        let (value, after) = read_value(value);
        variables.push((name.to_owned(), value));
        rest = after;
    }
}

/// Reads a value, and returns it with the text after its line. Quotes preserve their content. A backslash escapes the
/// next character, or continues the line. Within single quotes it is an ordinary character.
fn read_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    // The length of the value without white space at the end of the line.
    let mut kept = 0;
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (None, '\n') => {
                value.truncate(kept);
                return (value, text.get(at..).unwrap_or_default());
            }
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => match characters.next() {
                Some((_, '\n')) | None => {}
                // Between double quotes only these are escaped.
                Some((_, next)) if quote.is_some() && !matches!(next, '"' | '\\' | '`' | '$') => {
                    value.extend(['\\', next]);
                }
                Some((_, next)) => value.push(next),
            },
            (None, _) if character.is_whitespace() && value.is_empty() => {}
            (None, _) if character.is_whitespace() => {
                value.push(character);
                continue;
            }
            _ => value.push(character),
        }
        kept = value.len();
    }
    value.truncate(kept);
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_file_is_parsed_as_by_systemd() {
        let text = "# A comment\n; another\n\nA=1\nB = two words  \nC=\"quoted # not a comment\"\nD='it\\s'\\''s'\nE=\"a\\\"b\\\\c\\d\"\n\
                    F=one\\\n two\nG=\nH=postgres://ann:p\\\\w@host/name?a=b\r\nI=last";
        let read = parse(text).expect("variables");
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            read,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "quoted # not a comment"),
                ("D", "it\\s's"),
                ("E", "a\"b\\c\\d"),
                ("F", "one two"),
                ("G", ""),
                ("H", "postgres://ann:p\\w@host/name?a=b"),
                ("I", "last"),
            ]
        );
    }

    #[test]
    fn a_line_that_is_no_variable_is_reported_by_its_number() {
        assert_eq!(parse("A=1\n\nsecret\n"), Err(3));
        assert_eq!(parse("export A=1"), Err(1));
        assert_eq!(parse("=1"), Err(1));
    }
}
