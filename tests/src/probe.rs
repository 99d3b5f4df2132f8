//! Compares what a broker answered to the probe programs in `tests/probe` with what RabbitMQ 3.10.8 answered.
//!
//! What differs between two runs of the same broker is masked: generated names, ids, times, the order of keys in
//! printed dictionaries, whether a closed socket shows as an end or as a reset, and the maker's own words in
//! server-properties. Everything else must agree, or be listed with a reason in `differences.toml`.

use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// Which cases may differ, and why.
#[derive(Debug, Default, Deserialize)]
pub struct Differences {
    /// By name of a case in `cases.py`.
    #[serde(default)]
    pub cases: BTreeMap<String, String>,
    /// By name of a case in `raw.py`.
    #[serde(default)]
    pub raw: BTreeMap<String, String>,
}

/// Answers by the name of their case.
pub type Answers = BTreeMap<String, String>;

/// Reads lines of name, tab, answer.
pub fn read_answers<'a>(lines: impl IntoIterator<Item = &'a str>) -> Answers {
    let split = |line: &'a str| {
        let (name, answer) = line.split_once('\t')?;
        Some((name.to_string(), answer.to_string()))
    };
    lines.into_iter().filter_map(split).collect()
}

/// The outcome of a comparison.
#[derive(Debug, Default)]
pub struct Report {
    /// What kind of cases these are.
    pub kind: &'static str,
    /// How many recorded cases there are.
    pub cases: usize,
    /// How many agree.
    pub agree: usize,
    /// Those that differ as the list says, with its reason.
    pub expected: Vec<(Difference, String)>,
    /// Those that differ and are not listed.
    pub unexpected: Vec<Difference>,
    /// Those that are listed and agree, or are no case at all.
    pub obsolete: Vec<String>,
}

/// Two different answers to the same case, masked.
#[derive(Debug)]
pub struct Difference {
    /// The case.
    pub name: String,
    /// RabbitMQ's answer.
    pub recorded: String,
    /// This broker's answer.
    pub ours: String,
}

/// Compares answers with recorded ones.
pub fn compare(
    kind: &'static str,
    recorded: &Answers,
    ours: &Answers,
    listed: &BTreeMap<String, String>,
) -> Report {
    let mut report = Report { kind, cases: recorded.len(), ..Report::default() };
    for (name, answer) in recorded {
        let recorded = masked(answer);
        let ours =
            ours.get(name).map_or_else(|| "(no answer)".to_string(), |answer| masked(answer));
        if recorded == ours {
            report.agree += 1;
            continue;
        }
        let difference = Difference { name: name.clone(), recorded, ours };
        match listed.get(name) {
            Some(reason) => report.expected.push((difference, reason.clone())),
            None => report.unexpected.push(difference),
        }
    }
    let differs = |name: &String| report.expected.iter().any(|(known, _)| known.name == *name);
    report.obsolete = listed.keys().filter(|name| !differs(name)).cloned().collect();
    report
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} {} cases agree", self.agree, self.cases, self.kind)?;
        for (difference, reason) in &self.expected {
            writeln!(f, "  {} differs: {reason}", difference.name)?;
        }
        for difference in &self.unexpected {
            writeln!(f, "  {} differs and is not listed:", difference.name)?;
            writeln!(f, "    RabbitMQ: {}", difference.recorded)?;
            writeln!(f, "    HareMQ:   {}", difference.ours)?;
        }
        for name in &self.obsolete {
            writeln!(f, "  {name} is listed as different but agrees")?;
        }
        Ok(())
    }
}

/// An answer without what differs from run to run.
pub fn masked(answer: &str) -> String {
    // In this order: later patterns see what earlier ones left.
    const MASKS: [(&str, &str); 12] = [
        (r"p\.[0-9a-f]{8}", "<name>"),
        (r"amq\.gen-[A-Za-z0-9_-]{22}", "amq.gen-<id>"),
        (r"amq\.ctag-[A-Za-z0-9_-]{22}", "amq.ctag-<id>"),
        (r"ctag1\.[0-9a-f]{32}", "ctag1.<id>"),
        (r"amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/_=-]+", "amq.rabbitmq.reply-to.<id>"),
        (r"datetime\.datetime\([^()]*(\([^()]*\))?[^()]*\)", "<time>"),
        (r#""(cluster_name|copyright|information|platform)": "[^"]*""#, r#""$1": "<words>""#),
        // The client's words for a connection that was closed without a close method.
        (r"StreamLostError: \(.*\)", "<closed>"),
        (r"EXC (ConnectionResetError|BrokenPipeError).*|EOF after b''", "<closed>"),
        (r"'ConnectionResetError'|'EOF'", "'<closed>'"),
        // The size of connection.start, which depends on the server properties.
        (
            r"b'\\x01\\x00\\x00\\x00\\x00\\x0[0-9].*\\x00\\n\\x00\\n",
            r"b'<frame header>\x00\n\x00\n",
        ),
        (r"mech=b'(PLAIN AMQPLAIN|AMQPLAIN PLAIN)'", "mech=<PLAIN and AMQPLAIN>"),
    ];
    let mut text = answer.to_string();
    for (pattern, replacement) in &MASKS {
        let pattern = Regex::new(pattern).expect("a valid pattern");
        text = pattern.replace_all(&text, *replacement).into_owned();
    }
    with_sorted_keys(&paced_heartbeats(&text))
}

/// Replaces a list of heartbeats with their times by their pace, which is what is compared.
fn paced_heartbeats(text: &str) -> String {
    let beat = Regex::new(r"\('frame type=8 ch=0 len=0', ([0-9.]+)\)").expect("a valid pattern");
    let end = Regex::new(r"\('<closed>', ([0-9.]+)\)").expect("a valid pattern");
    let times: Vec<f64> =
        beat.captures_iter(text).filter_map(|found| found[1].parse().ok()).collect();
    let ended = end.captures(text).and_then(|found| found[1].parse::<f64>().ok());
    let (Some(first), Some(last), Some(ended)) = (times.first(), times.last(), ended) else {
        return text.to_string();
    };
    if times.len() < 2 {
        return text.to_string();
    }
    let intervals = u32::try_from(times.len() - 1).expect("few heartbeats");
    let pace = ((last - first) / f64::from(intervals) * 4.0).round() / 4.0;
    format!("a heartbeat every {pace} s, closed after {} s", ended.round())
}

/// Sorts the entries of every printed dictionary, inner ones included.
fn with_sorted_keys(text: &str) -> String {
    let Some(open) = text.find('{') else { return text.to_string() };
    let Some((entries, after)) = dictionary(&text[open + 1..]) else {
        return format!("{}{{{}", &text[..open], with_sorted_keys(&text[open + 1..]));
    };
    let mut entries: Vec<String> =
        entries.iter().map(|entry| with_sorted_keys(entry.trim())).collect();
    let keyed = |entry: &String| entry.starts_with(['\'', '"']) && entry.contains(": ");
    if entries.iter().all(keyed) {
        entries.sort();
    }
    format!("{}{{{}}}{}", &text[..open], entries.join(", "), with_sorted_keys(after))
}

/// The entries up to the brace that closes, and what follows it.
fn dictionary(text: &str) -> Option<(Vec<&str>, &str)> {
    let (mut depth, mut start, mut quote) = (0, 0, None);
    let mut entries = Vec::new();
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '{' | '[' | '(') => depth += 1,
            (None, '}') if depth == 0 => {
                entries.push(&text[start..at]);
                return Some((entries, &text[at + 1..]));
            }
            (None, '}' | ']' | ')') => depth -= 1,
            (None, ',') if depth == 0 => {
                entries.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ids_and_times_are_masked_and_words_are_not() {
        let answer = "CH 404 NOT_FOUND - no queue 'p.0123abcd' in vhost '/'";
        assert_eq!(masked(answer), "CH 404 NOT_FOUND - no queue '<name>' in vhost '/'");
        assert_eq!(masked("OK amq.gen-XbmIDRfvWtYbVQ_aOr7qdg"), "OK amq.gen-<id>");
        assert_ne!(masked("OK amq.gen-short"), "OK amq.gen-<id>");
        let time = "datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)";
        assert_eq!(masked(&format!("{{'time': {time}}}")), "{'time': <time>}");
    }

    #[test]
    fn the_order_of_keys_does_not_matter_at_any_depth() {
        let one = "OK {'b': [{'y': 1, 'x': 'a, b'}], 'a': 2}";
        let other = "OK {'a': 2, 'b': [{'x': 'a, b', 'y': 1}]}";
        assert_eq!(masked(one), masked(other));
        assert_ne!(masked(one), masked("OK {'a': 2, 'b': [{'x': 'a, c', 'y': 1}]}"));
    }

    #[test]
    fn tuples_of_the_broker_keep_their_order() {
        assert_ne!(
            masked("{frame_too_large,200000,131064}"),
            masked("{frame_too_large,131064,200000}")
        );
    }

    #[test]
    fn heartbeats_are_compared_by_their_pace() {
        let beats = |times: &[&str], end: &str| {
            let beats: Vec<String> =
                times.iter().map(|time| format!("('frame type=8 ch=0 len=0', {time})")).collect();
            masked(&format!("[{}, ('ConnectionResetError', {end})]", beats.join(", ")))
        };
        let recorded = beats(&["0.5", "1.0", "1.5", "2.0", "2.5"], "3.0");
        assert_eq!(recorded, "a heartbeat every 0.5 s, closed after 3 s");
        assert_eq!(beats(&["0.5", "1.0", "1.5", "2.1"], "2.6"), recorded);
        assert_ne!(beats(&["1.0", "2.0"], "3.0"), recorded);
        assert_ne!(beats(&["0.5", "1.0", "1.5"], "6.0"), recorded);
    }

    #[test]
    fn a_difference_is_unexpected_unless_listed_and_a_list_must_shrink() {
        let recorded = read_answers(["a\t1", "b\t2", "c\t3"]);
        let ours = read_answers(["a\t1", "b\tother"]);
        let listed = BTreeMap::from([("a".into(), "why".into()), ("b".into(), "why".into())]);
        let report = compare("probe", &recorded, &ours, &listed);
        assert_eq!((report.cases, report.agree), (3, 1));
        assert_eq!(report.expected.len(), 1);
        assert_eq!(report.unexpected.len(), 1, "c has no answer");
        assert_eq!(report.obsolete, ["a"]);
    }
}
