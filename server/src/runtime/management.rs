//! The management thread, as the main thread sees it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::clock::unix_ms;
use super::mailbox::{Mailbox, MailboxPort};
use super::preflight::{Bound, DataDir, Listening};
use super::shards::{node_name, Shards};
use super::start::Addresses;
use super::StartError;
use crate::config::Settings;
use crate::control::{Control, ControlPort, NodeFacts};
use crate::management;

/// The management thread.
pub(super) struct Management {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Management {
    pub(super) fn start(
        bound: Bound,
        settings: &Settings,
        data_dir: &DataDir,
        shards: &Shards,
        listeners: &Addresses,
    ) -> Result<Management, StartError> {
        let failed = |error: std::io::Error| StartError::Management { what: error.to_string() };
        let Listening { listener, address } = bound.listen()?;
        let token = management::token::create(data_dir.path()).map_err(failed)?;
        let control = control(settings, data_dir, shards, listeners, Some(address));
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            if let Err(error) = management::run(control, listener, token, stopped) {
                tracing::error!(%error, "the management interface has ended");
            }
        };
        let thread = std::thread::Builder::new().name("management".into()).spawn(serve);
        Ok(Management { address, stop, thread: thread.map_err(failed)? })
    }

    pub(super) fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// What the management thread works with.
fn control(
    settings: &Settings,
    data_dir: &DataDir,
    shards: &Shards,
    listeners: &Addresses,
    management: Option<SocketAddr>,
) -> Control {
    let port =
        |mailbox: &Arc<Mailbox>| -> Box<dyn ControlPort> { Box::new(MailboxPort(mailbox.clone())) };
    Control {
        ports: shards.mailboxes().iter().map(port).collect(),
        facts: Arc::new(NodeFacts {
            node: node_name(),
            shards: data_dir.shards(),
            data_dir: data_dir.path().display().to_string(),
            config_file: settings.config_file.as_ref().map(|file| file.display().to_string()),
            listeners: listeners.plain.clone(),
            ssl_listeners: listeners.ssl.clone(),
            management,
            started_unix_ms: unix_ms(),
        }),
    }
}

/// Reads a document of definitions in, before anybody is served. The shards must be at work.
pub(super) fn load_definitions(
    path: &Path,
    settings: &Settings,
    data_dir: &DataDir,
    shards: &Shards,
) -> Result<(), StartError> {
    let failed = |what: String| StartError::LoadDefinitions { path: path.to_owned(), what };
    let document = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let control = control(settings, data_dir, shards, &Addresses::default(), None);
    management::load(control, &document).map_err(failed)
}
