//! Which node is spoken to and with which token: flags, then environment, then defaults.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::ClientError;
use super::output::Format;
use super::target::Target;
use crate::limits::SECRET_BYTES_MAX;

/// The node asked where nothing else is said.
const URL_DEFAULT: &str = "http://127.0.0.1:4000";

/// What a token may be.
const TOKEN_ALLOWED: &str = "1 to 4096 visible ASCII characters";

/// Arguments every client command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClientArgs {
    /// The node to ask; otherwise SMACHE_URL, otherwise http://127.0.0.1:4000
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A file with the token to present; otherwise the file named by SMACHE_TOKEN_FILE, otherwise
    /// the token in SMACHE_TOKEN, otherwise none
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}

impl ClientArgs {
    /// Reads what is not in the arguments from the environment and checks all of it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Setting`] or [`ClientError::File`].
    pub(super) fn settings(&self) -> Result<Settings, ClientError> {
        self.settings_with(|name| std::env::var_os(name).map(|value| value.into_string().ok()))
    }

    /// Whom to print for.
    pub(super) fn format(&self) -> Format {
        match self.json {
            true => Format::Json,
            false => Format::Text,
        }
    }

    /// As [`Self::settings`], with the environment as an argument: `None` for a variable that is
    /// not set, `Some(None)` for one that is not UTF-8.
    fn settings_with(
        &self,
        environment: impl Fn(&str) -> Option<Option<String>>,
    ) -> Result<Settings, ClientError> {
        let variable = |name: &'static str| match environment(name) {
            None => Ok(None),
            // Set to nothing is how many tools leave a variable out.
            Some(Some(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
            Some(None) => Err(ClientError::Setting {
                setting: name,
                value: "not UTF-8".to_owned(),
                allowed: "UTF-8".to_owned(),
            }),
        };
        let target = match (&self.url, variable("SMACHE_URL")?) {
            (Some(url), _) => Target::parse("--url", url)?,
            (None, Some(url)) => Target::parse("SMACHE_URL", &url)?,
            (None, None) => Target::parse("--url", URL_DEFAULT)?,
        };
        if let Some(path) = &self.token_file {
            let token = Some(Token::read("--token-file", path)?);
            return Ok(Settings { target, token });
        }
        if let Some(path) = variable("SMACHE_TOKEN_FILE")? {
            let token = Some(Token::read("SMACHE_TOKEN_FILE", Path::new(&path))?);
            return Ok(Settings { target, token });
        }
        let token = match variable("SMACHE_TOKEN")? {
            Some(text) => Some(Token::parse("SMACHE_TOKEN", &text)?),
            None => None,
        };
        Ok(Settings { target, token })
    }
}

/// Where to connect and what to present.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The node.
    pub(super) target: Target,
    /// The token, if the node wants one.
    pub(super) token: Option<Token>,
}

/// A secret that a node wants to see. It never shows in any output.
#[derive(Clone)]
pub(super) struct Token(String);

impl Token {
    /// The value of the `Authorization` header.
    pub(super) fn authorization(&self) -> String {
        format!("Bearer {}", self.0)
    }

    fn read(setting: &'static str, path: &Path) -> Result<Self, ClientError> {
        let shown = || path.display().to_string();
        let failed = |source| ClientError::File { setting, path: shown(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        // One byte more than allowed tells a file that is too long from one that just fits.
        file.take(SECRET_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
        Self::parse(setting, &text)
    }

    fn parse(setting: &'static str, text: &str) -> Result<Self, ClientError> {
        let token = text.trim();
        let fits = !token.is_empty() && token.len() <= SECRET_BYTES_MAX;
        match fits && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(token.to_owned())),
            false => Err(ClientError::Setting {
                setting,
                value: "not a token".to_owned(),
                allowed: TOKEN_ALLOWED.to_owned(),
            }),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn settings(args: &ClientArgs, set: &[(&str, &str)]) -> Result<Settings, ClientError> {
        args.settings_with(|name| {
            let found = set.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| Some((*value).to_owned()))
        })
    }

    fn token_of(args: &ClientArgs, set: &[(&str, &str)]) -> Option<String> {
        settings(args, set).unwrap().token.map(|token| token.0)
    }

    #[test]
    fn a_flag_goes_before_the_environment_and_that_before_the_default() {
        let url = |args: &ClientArgs, set: &[(&str, &str)]| {
            settings(args, set).unwrap().target.to_string()
        };
        let flag = ClientArgs { url: Some("http://flag".to_owned()), ..ClientArgs::default() };
        assert_eq!(url(&flag, &[("SMACHE_URL", "http://env")]), "http://flag");
        assert_eq!(url(&ClientArgs::default(), &[("SMACHE_URL", "http://env")]), "http://env");
        assert_eq!(url(&ClientArgs::default(), &[("SMACHE_URL", "")]), URL_DEFAULT);
    }

    #[test]
    fn the_token_comes_from_the_first_place_that_names_one() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "from-file").unwrap();
        let path = file.path().to_owned();
        let shown = path.to_str().unwrap();
        let all = [("SMACHE_TOKEN_FILE", shown), ("SMACHE_TOKEN", "from-variable")];
        let flag = ClientArgs { token_file: Some(path.clone()), ..ClientArgs::default() };
        assert_eq!(token_of(&flag, &[]).unwrap(), "from-file");
        assert_eq!(token_of(&ClientArgs::default(), &all).unwrap(), "from-file");
        assert_eq!(token_of(&ClientArgs::default(), &all[1..]).unwrap(), "from-variable");
        assert_eq!(token_of(&ClientArgs::default(), &[]), None);
    }

    #[test]
    fn a_token_that_is_none_is_refused_without_being_shown() {
        let long = "x".repeat(SECRET_BYTES_MAX + 1);
        for text in ["two words", "hé", " ", &long] {
            let error = settings(&ClientArgs::default(), &[("SMACHE_TOKEN", text)]).unwrap_err();
            let line = error.to_string();
            assert_eq!(line, format!("SMACHE_TOKEN is not a token; allowed: {TOKEN_ALLOWED}"));
        }
        let token = Token::parse("SMACHE_TOKEN", "secret").unwrap();
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn a_token_file_that_is_not_there_is_named() {
        let path = Some(PathBuf::from("no/such/file"));
        let args = ClientArgs { token_file: path, ..ClientArgs::default() };
        let error = settings(&args, &[]).unwrap_err();
        assert!(
            error.to_string().starts_with("--token-file is no/such/file, which cannot be read")
        );
        assert_eq!(error.exit_code(), 2);
    }
}
