//! The configuration file: TOML whose tables are the parts of the key names. Unknown keys are errors.

use super::{
    error::ConfigErrors,
    key::{KEYS, Key, Kind},
    setting::{DEFAULT_FILE, Origin, Setting, parts},
};
use std::{
    io,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// Reads the named file, or the default file if it exists.
pub(super) fn read(named: Option<PathBuf>) -> Result<Vec<(&'static Key, Setting)>, ConfigErrors> {
    let must_exist = named.is_some();
    let file = named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    match std::fs::read_to_string(&file) {
        Ok(text) => parse(&file, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => Ok(Vec::new()),
        Err(error) => Err(ConfigErrors::one(format!("cannot read the configuration file {}: {error}", file.display()))),
    }
}

/// Parses the text of a file. The error names every problem with its line.
pub(super) fn parse(file: &Path, text: &str) -> Result<Vec<(&'static Key, Setting)>, ConfigErrors> {
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        ConfigErrors::one(format!("{}:{line}: invalid TOML: {}", file.display(), error.message()))
    })?;
    let mut reader = Reader { file, text, found: Vec::new(), errors: Vec::new() };
    reader.table("", document.get_ref());
    if reader.errors.is_empty() { Ok(reader.found) } else { Err(ConfigErrors(reader.errors)) }
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    found: Vec<(&'static Key, Setting)>,
    errors: Vec<String>,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let line = line_of(self.text, name.span().start);
            let full =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            let is_table_of_keys = KEYS.iter().any(|key| key.name.starts_with(&format!("{full}.")));
            match (Key::named(&full), value.get_ref()) {
                (None, DeValue::Table(inner)) if is_table_of_keys => self.table(&full, inner),
                (Some(key), value) => self.value(key, value, line),
                (None, _) if is_table_of_keys => {
                    self.refuse(line, &format!("{full} is a table: write [{full}] and its keys below"))
                }
                (None, _) => self.refuse(line, &format!("unknown key {full}")),
            }
        }
    }

    fn value(&mut self, key: &'static Key, value: &DeValue<'_>, line: usize) {
        let texts = match value {
            DeValue::Array(items) if key.kind.separator().is_some() => {
                items.iter().map(|item| scalar(item.get_ref())).collect()
            }
            other => scalar(other).map(|text| vec![text]),
        };
        let Some(texts) = texts else {
            let wanted =
                if key.kind.separator().is_some() { "a text or a list of texts" } else { "a text or a number" };
            return self.refuse(line, &format!("{} must be {wanted}", key.name));
        };
        let values = match key.kind {
            // An item of a list is not split: a password may contain a comma.
            Kind::Words(_) | Kind::Properties if !matches!(value, DeValue::Array(_)) => {
                texts.iter().flat_map(|text| parts(key.kind, text)).collect()
            }
            Kind::Path | Kind::Paths => texts.into_iter().map(|text| self.beside_file(text)).collect(),
            _ => texts,
        };
        self.found.push((key, Setting { values, origin: Origin::File { file: self.file.to_owned(), line } }));
    }

    /// Resolves a relative path from the folder of the file.
    fn beside_file(&self, text: String) -> String {
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or_else(|| text.clone(), |folder| folder.join(&text).to_string_lossy().into_owned())
    }

    fn refuse(&mut self, line: usize, problem: &str) {
        self.errors.push(format!("{}:{line}: {problem}", self.file.display()));
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_dotted_keys_mean_the_same() {
        let parsed = |text| {
            let found = parse(Path::new("m.toml"), text).expect("it is valid");
            found.into_iter().map(|(key, setting)| (key.name, setting.values)).collect::<Vec<_>>()
        };
        let expected = vec![("api.listen", vec!["127.0.0.1:1".to_owned()])];
        assert_eq!(parsed("[api]\nlisten = \"127.0.0.1:1\""), expected);
        assert_eq!(parsed("api.listen = \"127.0.0.1:1\""), expected);
    }

    #[test]
    fn unknown_keys_are_all_named_with_file_and_line() {
        let errors = parse(Path::new("m.toml"), "[api]\nlisten = \"127.0.0.1:1\"\nlistne = 1\n[kafak]\nurl = 'x'\n")
            .expect_err("two keys are unknown");
        let reasons: Vec<&str> = errors.iter().collect();
        assert_eq!(reasons, ["m.toml:3: unknown key api.listne", "m.toml:4: unknown key kafak"]);
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let errors =
            parse(Path::new("m.toml"), "[api]\nlisten = true\n[queue]\ndir = ['a']\n").expect_err("both are wrong");
        assert_eq!(errors.iter().count(), 2, "{errors}");
        assert!(errors.to_string().contains("m.toml:2: api.listen must be a text or a number"), "{errors}");
    }

    #[test]
    fn a_table_given_as_a_value_says_what_to_write() {
        let errors = parse(Path::new("m.toml"), "api = 'x'").expect_err("api is a table");
        assert_eq!(errors.to_string(), "m.toml:1: api is a table: write [api] and its keys below");
    }

    #[test]
    fn invalid_toml_is_refused_with_its_line() {
        let errors = parse(Path::new("m.toml"), "[api]\nlisten = \n").expect_err("a value is missing");
        assert!(errors.to_string().starts_with("m.toml:2: invalid TOML"), "{errors}");
    }

    #[test]
    fn relative_paths_start_from_the_folder_of_the_file() {
        let found = parse(Path::new("/etc/millstream/m.toml"), "schema = ['core.json', '/srv/x.json']").expect("valid");
        assert_eq!(found[0].1.values, ["/etc/millstream/core.json", "/srv/x.json"]);
    }
}
