//! Definitions: to a file, from a file.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::{Context, Failure, Reply};
use crate::ctl::client::Ask;
use crate::ctl::exit::Exit;

/// Octets of a file at most.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

fn bad_argument(reason: String) -> Failure {
    Failure::Validation { exit: Exit::Data, reason: format!("Bad argument: {reason}") }
}

fn check_format(context: &Context<'_, '_>) -> Result<(), Failure> {
    match context.line.text("format") {
        Some(format) if !format.eq_ignore_ascii_case("json") => {
            Err(bad_argument("Format should be json".to_owned()))
        }
        _ => Ok(()),
    }
}

pub(super) fn export(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    check_format(context)?;
    let path = context.word(0);
    if path == "-" {
        let definitions = context.get(&["definitions"], "")?;
        return Ok(Reply::Report { text: definitions.to_string(), value: definitions });
    }
    let directory = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.exists()) {
        let directory = directory.display();
        return Err(bad_argument(format!("Directory {directory} does not exist")));
    }
    context.announce(&format!("Exporting definitions in JSON to a file at \"{path}\" ..."));
    let definitions = context.get(&["definitions"], "")?;
    std::fs::write(path, definitions.to_string()).map_err(|error| {
        Failure::refused(Exit::Data, format!("Could not write to file {path}: {error}"))
    })?;
    Ok(Reply::Done)
}

pub(super) fn import(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    check_format(context)?;
    let path = context.line.words.first().map(String::as_str).filter(|path| *path != "-");
    let text = match path {
        None => {
            context.announce("Importing definitions in JSON from standard input ...");
            read(std::io::stdin())
        }
        Some(path) => {
            if !Path::new(path).exists() {
                return Err(bad_argument(format!("File {path} does not exist")));
            }
            let announcement =
                format!("Importing definitions in JSON from a file at \"{path}\" ...");
            context.announce(&announcement);
            std::fs::File::open(path).and_then(read)
        }
    };
    let name = path.unwrap_or("-");
    let text = text.map_err(|error| {
        Failure::refused(Exit::Data, format!("Could not read from file {name}: {error}"))
    })?;
    if text.is_empty() {
        return Err(Failure::refused(Exit::Data, format!("File {name} is zero-sized")));
    }
    let definitions: Value = serde_json::from_slice(&text).map_err(|error| {
        let text = format!("Failed to deserialise input (format: JSON) (error: {error})");
        Failure::refused(Exit::Data, text)
    })?;
    let answer = context.ask(&Ask::post(&["definitions"], definitions))?;
    if !answer.is_success() {
        return Err(Failure::unexpected(&answer));
    }
    Ok(Reply::Said(
        "Successfully started definition import. This process is asynchronous and can take some \
         time.\n"
            .to_owned(),
    ))
}

fn read(source: impl Read) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_FILE_BYTES).read_to_end(&mut text)?;
    Ok(text)
}
