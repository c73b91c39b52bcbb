//! What changes while a node runs when its settings are read again, and what has to wait.

use tracing::level_filters::LevelFilter;

use super::{Config, Effective};

/// Names of the settings that are taken over by a node that runs.
const RELOADED: [&str; 1] = ["log"];

/// What is different in settings that were read again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What is to be logged from now on.
    pub log: Option<LevelFilter>,
    /// Settings that changed and are not taken over before the node is started again.
    pub waiting: Vec<&'static str>,
}

impl Config {
    /// What `again` changes of this configuration; beside each are its settings as text.
    #[must_use]
    pub fn changes(
        &self,
        settings: &[Effective],
        again: &Self,
        settings_again: &[Effective],
    ) -> Changes {
        let is_changed = |(before, after): &(&Effective, &Effective)| before.value != after.value;
        let changed = settings.iter().zip(settings_again).filter(is_changed);
        let mut waiting: Vec<_> = changed.map(|(_, after)| after.name).collect();
        waiting.retain(|name| !RELOADED.contains(name));
        let cookie = |config: &Self| config.cluster.as_ref().and_then(|c| c.cookie.clone());
        let secrets = [
            ("token-file", self.token != again.token),
            ("cookie-file", cookie(self) != cookie(again)),
        ];
        // The file of a secret may be the same and the secret another.
        for (name, is_changed) in secrets {
            if is_changed && !waiting.contains(&name) {
                waiting.push(name);
            }
        }
        Changes { log: (self.log != again.log).then_some(again.log), waiting }
    }
}
