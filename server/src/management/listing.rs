//! Lists as clients ask for them: some columns, some order, one page (behaviour section E2).

use axum::Json;
use regex::RegexBuilder;
use serde::Deserialize;
use serde_json::{json, Map, Value};

use super::errors::ApiError;
use super::json::TableStyle;

/// Items of a page if the client does not say how many.
const DEFAULT_PAGE_SIZE: usize = 100;
/// Items of a page at most.
const MAX_PAGE_SIZE: usize = 500;
/// Octets of memory that a compiled filter may take.
const REGEX_SIZE_LIMIT_BYTES: usize = 256 * 1024;

/// Query of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ListQuery {
    columns: Option<String>,
    sort: Option<String>,
    sort_reverse: Option<String>,
    page: Option<String>,
    page_size: Option<String>,
    name: Option<String>,
    use_regex: Option<String>,
    /// `typed`: tables with types and order ([`TableStyle::Typed`]).
    arguments: Option<String>,
}

impl ListQuery {
    pub(super) fn table_style(&self) -> TableStyle {
        match self.arguments.as_deref() {
            Some("typed") => TableStyle::Typed,
            _ => TableStyle::Object,
        }
    }

    /// The answer made of all `items`, which are in their natural order.
    pub(super) fn answer(&self, mut items: Vec<Value>) -> Result<Json<Value>, ApiError> {
        let total = items.len();
        if let Some(key) = self.sort.as_deref().filter(|key| !key.is_empty()) {
            items.sort_by(|a, b| order(at(a, key), at(b, key)));
        }
        if self.sort_reverse.as_deref() == Some("true") {
            items.reverse();
        }
        let Some(page) = &self.page else {
            return Ok(Json(Value::Array(self.project(items))));
        };
        self.filter(&mut items)?;
        let page = positive("page", page)?;
        let size = match &self.page_size {
            None => DEFAULT_PAGE_SIZE,
            Some(size) => positive("page_size", size)?,
        };
        if size > MAX_PAGE_SIZE {
            return Err(ApiError::bad_request(format!(
                "page_size must not be larger than {MAX_PAGE_SIZE}"
            )));
        }
        let filtered = items.len();
        let pages = filtered.div_ceil(size);
        let shown: Vec<Value> =
            items.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect();
        if shown.is_empty() && page > 1 {
            return Err(ApiError::bad_request(format!("page {page} is out of range")));
        }
        Ok(Json(json!({
            "filtered_count": filtered,
            "item_count": shown.len(),
            "items": self.project(shown),
            "page": page,
            "page_count": pages,
            "page_size": size,
            "total_count": total,
        })))
    }

    /// The answer made of one object.
    pub(super) fn answer_one(&self, item: Value) -> Json<Value> {
        Json(self.project(vec![item]).pop().unwrap_or(Value::Null))
    }

    /// Keeps items whose name contains the text, or matches the expression.
    fn filter(&self, items: &mut Vec<Value>) -> Result<(), ApiError> {
        let Some(wanted) = self.name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(());
        };
        let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
        if self.use_regex.as_deref() == Some("true") {
            let regex = RegexBuilder::new(wanted)
                .case_insensitive(true)
                .size_limit(REGEX_SIZE_LIMIT_BYTES)
                .build()
                .map_err(|_| ApiError::bad_request("name is not a regular expression"))?;
            items.retain(|item| regex.is_match(&name(item)));
        } else {
            let wanted = wanted.to_lowercase();
            items.retain(|item| name(item).to_lowercase().contains(&wanted));
        }
        Ok(())
    }

    /// Keeps the wanted columns of each item; `a.b` is the member b of the member a.
    fn project(&self, items: Vec<Value>) -> Vec<Value> {
        let Some(columns) = self.columns.as_deref().filter(|columns| !columns.is_empty()) else {
            return items;
        };
        let columns: Vec<&str> = columns.split(',').collect();
        items.into_iter().map(|item| pick(&item, &columns)).collect()
    }
}

fn pick(item: &Value, columns: &[&str]) -> Value {
    let mut picked = Map::new();
    for column in columns {
        let Some(value) = at(item, column) else { continue };
        let mut place = &mut picked;
        let mut path = column.split('.').peekable();
        while let Some(step) = path.next() {
            if path.peek().is_none() {
                place.insert(step.to_owned(), value.clone());
                break;
            }
            let inner = place.entry(step).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = inner else { break };
            place = inner;
        }
    }
    Value::Object(picked)
}

fn at<'a>(item: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(item, |value, step| value.get(step))
}

/// Numbers by size, texts by alphabet, anything else by kind.
fn order(a: Option<&Value>, b: Option<&Value>) -> std::cmp::Ordering {
    fn rank(value: Option<&Value>) -> u8 {
        match value {
            None | Some(Value::Null) => 0,
            Some(Value::Bool(_)) => 1,
            Some(Value::Number(_)) => 2,
            Some(Value::String(_)) => 3,
            Some(_) => 4,
        }
    }
    match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
            a.total_cmp(&b)
        }
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn positive(name: &str, text: &str) -> Result<usize, ApiError> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(ApiError::bad_request(format!("{name} must be a positive number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Value> {
        vec![
            json!({"name": "b", "messages": 10, "owner": {"name": "x", "port": 1}}),
            json!({"name": "a", "messages": 9, "owner": {"name": "y", "port": 2}}),
            json!({"name": "Ab", "messages": 11, "owner": {"name": "z", "port": 3}}),
        ]
    }

    fn query(pairs: &[(&str, &str)]) -> ListQuery {
        let object: Map<String, Value> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        serde_json::from_value(Value::Object(object)).expect("query")
    }

    #[test]
    fn numbers_sort_by_size() {
        let Json(answer) =
            query(&[("sort", "messages"), ("columns", "messages")]).answer(items()).expect("list");
        assert_eq!(answer, json!([{"messages": 9}, {"messages": 10}, {"messages": 11}]));
    }

    #[test]
    fn a_column_may_be_a_member_of_a_member() {
        let Json(answer) = query(&[("columns", "owner.port,name,absent")])
            .answer(items()[..1].to_vec())
            .expect("list");
        assert_eq!(answer, json!([{"name": "b", "owner": {"port": 1}}]));
    }

    #[test]
    fn a_page_says_how_many_there_are() {
        let page = query(&[("page", "2"), ("page_size", "1"), ("name", "A"), ("columns", "name")]);
        let Json(answer) = page.answer(items()).expect("page");
        assert_eq!(
            answer,
            json!({"filtered_count": 2, "item_count": 1, "items": [{"name": "Ab"}], "page": 2,
                   "page_count": 2, "page_size": 1, "total_count": 3})
        );
    }

    #[test]
    fn a_filter_may_be_a_regular_expression() {
        let page = query(&[("page", "1"), ("name", "^a$"), ("use_regex", "true")]);
        let Json(answer) = page.answer(items()).expect("page");
        assert_eq!(answer["filtered_count"], json!(1));
    }

    #[test]
    fn pages_that_make_no_sense_are_refused() {
        assert!(query(&[("page", "0")]).answer(items()).is_err());
        assert!(query(&[("page", "x")]).answer(items()).is_err());
        assert!(query(&[("page", "9")]).answer(items()).is_err());
        assert!(query(&[("page", "1"), ("page_size", "501")]).answer(items()).is_err());
    }
}
