//! A document of definitions, read in (behaviour E15): what it has is added, or takes the place of
//! what has its name; nothing is ever removed.
//!
//! The whole document is understood before anything is asked for, so that one that makes no sense
//! changes nothing. Then its parts are asked for in the order in which they need each other.

use std::sync::Arc;

use haremq_engine::topology::{
    BindingTarget, GlobalParameter, TopologyError, TopologyOutcome, TopologyRequest,
};
use serde_json::{json, Map, Value};
use tokio::task::JoinSet;

use super::errors::ApiError;
use super::import_error::{ImportError, Place};
use super::shards::Shards;
use super::{json as body_json, limits, policies, topic_permissions, users, vhosts};
use crate::control::Stopping;

/// Requests under way at a time: they share the writes of the log.
const UNDER_WAY: usize = 256;

type Object = Map<String, Value>;
/// What an item asks for.
type Requests = Vec<TopologyRequest>;
/// Requests that need not wait for each other, and where in the document they stand.
type Stage = Vec<(Place, TopologyRequest)>;

/// Reads a document in; into `vhost` if one is given.
pub(super) async fn run(
    shards: &Shards,
    document: &Object,
    vhost: Option<&str>,
) -> Result<(), ImportError> {
    for stage in stages(document, vhost)? {
        carry_out(shards, stage).await?;
    }
    Ok(())
}

async fn carry_out(shards: &Shards, stage: Stage) -> Result<(), ImportError> {
    let mut under_way = JoinSet::new();
    let mut failed = None;
    for (place, request) in stage {
        if under_way.len() >= UNDER_WAY {
            failed = failed.or(under_way.join_next().await.and_then(ended));
        }
        let shards = shards.clone();
        under_way.spawn(async move {
            let error = failure(shards.topology(request).await)?;
            Some(ImportError { place, error })
        });
    }
    while let Some(done) = under_way.join_next().await {
        failed = failed.or(ended(done));
    }
    failed.map_or(Ok(()), Err)
}

type Answer = Result<Result<TopologyOutcome, TopologyError>, Stopping>;

/// What exists already as something else stays as it is.
fn failure(answer: Answer) -> Option<ApiError> {
    match answer {
        Ok(Ok(_)) => None,
        Ok(Err(
            TopologyError::Inequivalent { .. }
            | TopologyError::InequivalentArgument { .. }
            | TopologyError::Locked { .. },
        )) => None,
        Ok(Err(error)) => Some(error.into()),
        Err(error) => Some(error.into()),
    }
}

/// How a task ended that asked for one change. None of them panics or is taken back.
fn ended(task: Result<Option<ImportError>, tokio::task::JoinError>) -> Option<ImportError> {
    task.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The requests of a document.
pub(super) fn stages(document: &Object, vhost: Option<&str>) -> Result<Vec<Stage>, ImportError> {
    let each = |key: &'static str, read: &dyn Fn(&Object) -> Result<Requests, ApiError>| {
        let mut stage = Stage::new();
        for (index, item) in list(document, key)?.iter().enumerate() {
            let object = item.as_object().ok_or_else(|| {
                let place = Place { list: key, item: Some((index, item.to_string())) };
                ImportError { place, error: bad(key, item) }
            })?;
            let place = Place::item(key, index, object);
            match read(object) {
                Ok(requests) => {
                    stage.extend(requests.into_iter().map(|request| (place.clone(), request)));
                }
                Err(error) => return Err(ImportError { place, error }),
            }
        }
        Ok(stage)
    };
    // A vhost's own document has nothing of the others in it.
    let whole = vhost.is_none();
    let mut stages = Vec::new();
    if whole {
        stages.push(each("users", &user)?);
        stages.push(each("vhosts", &one_vhost)?);
        stages.push(each("vhosts", &vhost_protection)?);
        stages.push(each("users", &user_limits)?);
        stages.push(each("permissions", &permission)?);
        stages.push(each("topic_permissions", &|item| {
            let (vhost, user) = (text(item, "vhost")?, text(item, "user")?);
            Ok(vec![topic_permissions::request(vhost, user, item)?])
        })?);
        stages.push(each("global_parameters", &global_parameter)?);
    }
    stages.push(each("parameters", &|item| parameter(item, vhost))?);
    stages.push(each("policies", &|item| {
        let (place, name) = (vhost_of(item, vhost)?, text(item, "name")?);
        Ok(vec![policies::request(place, name.into(), false, item)?])
    })?);
    stages.push(each("queues", &|item| queue(item, vhost))?);
    stages.push(each("exchanges", &|item| exchange(item, vhost))?);
    stages.push(each("bindings", &|item| binding(item, vhost))?);
    Ok(stages)
}

/// The items of a list of the document; an absent one is empty.
fn list<'a>(document: &'a Object, key: &'static str) -> Result<&'a [Value], ImportError> {
    match document.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => {
            Err(ImportError { place: Place { list: key, item: None }, error: bad(key, other) })
        }
    }
}

fn bad(key: &str, value: &Value) -> ApiError {
    ApiError::BadRequest(json!([format!("bad_{key}"), value]))
}

/// A text that must be there.
fn text<'a>(item: &'a Object, name: &str) -> Result<&'a str, ApiError> {
    body_json::require(item, &[name])?;
    Ok(body_json::text(item, name)?.unwrap_or_default())
}

fn vhost_of(item: &Object, vhost: Option<&str>) -> Result<Arc<str>, ApiError> {
    Ok(match vhost {
        Some(vhost) => vhost.into(),
        None => text(item, "vhost")?.into(),
    })
}

fn user(item: &Object) -> Result<Requests, ApiError> {
    let (password_hash, hashing) =
        users::wanted_hash(item)?.unwrap_or_else(|| (Arc::from([]), Default::default()));
    Ok(vec![TopologyRequest::PutUser {
        name: text(item, "name")?.into(),
        password_hash,
        hashing,
        tags: body_json::tags(item)?,
        replace: true,
    }])
}

fn user_limits(item: &Object) -> Result<Requests, ApiError> {
    match item.get("limits") {
        Some(Value::Object(object)) if !object.is_empty() => {
            let (user, limits) = (text(item, "name")?.into(), limits::user_limits(object)?);
            Ok(vec![TopologyRequest::SetUserLimits { user, limits }])
        }
        _ => Ok(Vec::new()),
    }
}

fn one_vhost(item: &Object) -> Result<Requests, ApiError> {
    let none = Object::new();
    let metadata = item.get("metadata").and_then(Value::as_object).unwrap_or(&none);
    Ok(vec![TopologyRequest::AddVhost {
        name: text(item, "name")?.into(),
        description: body_json::text(metadata, "description")?.map(Arc::from),
        tags: body_json::tags(metadata)?,
        default_queue_type: vhosts::default_queue_type(metadata)?,
    }])
}

fn vhost_protection(item: &Object) -> Result<Requests, ApiError> {
    let Some(metadata) = item.get("metadata").and_then(Value::as_object) else {
        return Ok(Requests::new());
    };
    let protected = body_json::flag(metadata, "protected_from_deletion")?;
    let name = text(item, "name")?.into();
    Ok(Vec::from_iter(protected.then_some(TopologyRequest::ProtectVhost { name, protected })))
}

fn permission(item: &Object) -> Result<Requests, ApiError> {
    Ok(vec![TopologyRequest::SetPermission {
        vhost: text(item, "vhost")?.into(),
        user: text(item, "user")?.into(),
        configure: text(item, "configure")?.into(),
        write: text(item, "write")?.into(),
        read: text(item, "read")?.into(),
    }])
}

fn global_parameter(item: &Object) -> Result<Requests, ApiError> {
    let value = item.get("value").unwrap_or(&Value::Null).to_string().into();
    let parameter = GlobalParameter { name: text(item, "name")?.into(), value };
    Ok(vec![TopologyRequest::SetGlobalParameter(parameter)])
}

/// Limits and operator policies. Parameters of plugins that are not there are refused, as they
/// would have no effect.
fn parameter(item: &Object, vhost: Option<&str>) -> Result<Requests, ApiError> {
    let vhost = vhost_of(item, vhost)?;
    let component = text(item, "component")?;
    let value = item
        .get("value")
        .and_then(Value::as_object)
        .ok_or_else(|| bad("parameters", &Value::Object(item.clone())))?;
    match component {
        "vhost-limits" => {
            let limits = limits::vhost_limits(value)?;
            Ok(vec![TopologyRequest::SetVhostLimits { vhost, limits }])
        }
        "operator_policy" => {
            let name = text(item, "name")?.into();
            Ok(vec![policies::request(vhost, name, true, value)?])
        }
        other => Err(ApiError::bad_request(format!(
            "Validation failed\n\ncomponent {other} not found\n"
        ))),
    }
}

fn queue(item: &Object, vhost: Option<&str>) -> Result<Requests, ApiError> {
    Ok(vec![TopologyRequest::DeclareQueue {
        vhost: vhost_of(item, vhost)?,
        name: text(item, "name")?.into(),
        durable: body_json::flag(item, "durable")?,
        auto_delete: body_json::flag(item, "auto_delete")?,
        exclusive_to: None,
        connection: None,
        arguments: Arc::new(body_json::arguments(item)?),
    }])
}

fn exchange(item: &Object, vhost: Option<&str>) -> Result<Requests, ApiError> {
    let name = text(item, "name")?;
    if name.is_empty() || name.starts_with("amq.") {
        // They are there already.
        return Ok(Vec::new());
    }
    Ok(vec![TopologyRequest::DeclareExchange {
        vhost: vhost_of(item, vhost)?,
        name: name.into(),
        kind: text(item, "type")?.into(),
        durable: body_json::flag(item, "durable")?,
        auto_delete: body_json::flag(item, "auto_delete")?,
        internal: body_json::flag(item, "internal")?,
        arguments: Arc::new(body_json::arguments(item)?),
    }])
}

fn binding(item: &Object, vhost: Option<&str>) -> Result<Requests, ApiError> {
    let source = text(item, "source")?;
    if source.is_empty() {
        return Ok(Vec::new());
    }
    let destination = text(item, "destination")?.into();
    let target = match text(item, "destination_type")? {
        "queue" => BindingTarget::Queue(destination),
        "exchange" => BindingTarget::Exchange(destination),
        _ => return Err(bad("bindings", &Value::Object(item.clone()))),
    };
    Ok(vec![TopologyRequest::Bind {
        vhost: vhost_of(item, vhost)?,
        source: source.into(),
        target,
        key: text(item, "routing_key")?.into(),
        arguments: Arc::new(body_json::arguments(item)?),
        connection: None,
    }])
}
