//! Formatters against what rabbitmqctl 3.10.8 was recorded to print for the same values.

use serde_json::{json, Value};

use super::super::command::{List, Reply};
use super::super::term::Term;
use super::*;

fn queues() -> List {
    let ttl = json!([["x-message-ttl", "signedint", 60000]]);
    let mixed = json!([
        ["x-max-length", "signedint", 10],
        ["x-foo", "longstr", "b\"a\\r"],
        ["x-bool", "bool", true],
        [
            "x-tab",
            "table",
            [
                ["a", "signedint", 1],
                [
                    "b",
                    "array",
                    [
                        ["signedint", 1],
                        ["longstr", "z"],
                        ["bool", true],
                        ["table", [["n", "void", null]]]
                    ]
                ]
            ]
        ],
        ["x-umlaut", "longstr", "ä"],
        ["x-dead-letter-exchange", "longstr", ""]
    ]);
    let row = |name: &str, messages: u64, arguments: &Value| {
        vec![Term::Text(name.to_owned()), Term::Number(messages.into()), Term::table(arguments)]
    };
    List {
        columns: ["name", "messages", "arguments"].map(str::to_owned).to_vec(),
        rows: vec![
            row("demo", 3, &ttl),
            row("odd \"q\", ä\ttab", 0, &json!([])),
            row("args", 1, &mixed),
        ],
        streamed: true,
    }
}

fn show(list: List, formatter: Formatter, headers: bool) -> String {
    reply(&Reply::List(list), formatter, headers, None)
}

#[test]
fn table_is_tab_separated_with_a_header_row() {
    let rows = "demo\t3\t[{\"x-message-ttl\",60000}]\n\
                odd \"q\", ä\ttab\t0\t[]\n\
                args\t1\t[{\"x-max-length\",10},{\"x-foo\",\"b\\\"a\\\\r\"},{\"x-bool\",true},\
                {\"x-tab\",[{\"a\",1},{\"b\",[1,\"z\",true,[{\"n\",undefined}]]}]},\
                {\"x-umlaut\",\"ä\"},{\"x-dead-letter-exchange\",[]}]\n";
    let headers = "name\tmessages\targuments\n";
    assert_eq!(show(queues(), Formatter::Table, true), format!("{headers}{rows}"));
    assert_eq!(show(queues(), Formatter::Table, false), rows);
}

#[test]
fn json_has_one_object_a_line_and_leading_commas() {
    let mut list = queues();
    list.rows.truncate(2);
    assert_eq!(
        show(list, Formatter::Json, true),
        "[\n\
         {\"name\":\"demo\",\"messages\":3,\"arguments\":[[\"x-message-ttl\",\"signedint\",60000]]}\n\
         ,{\"name\":\"odd \\\"q\\\", ä\\ttab\",\"messages\":0,\"arguments\":[]}\n\
         ]\n"
    );
    let empty = List { columns: Vec::new(), rows: Vec::new(), streamed: true };
    assert_eq!(show(empty, Formatter::Json, true), "[\n]\n");
}

#[test]
fn csv_quotes_every_cell() {
    let mut list = queues();
    list.rows.truncate(2);
    assert_eq!(
        show(list, Formatter::Csv, true),
        "\"name\",\"messages\",\"arguments\"\n\
         \"demo\",\"3\",\"[{\"\"x-message-ttl\"\",60000}]\"\n\
         \"odd \"\"q\"\", ä\ttab\",\"0\",\"[]\"\n"
    );
}

#[test]
fn pretty_table_is_drawn_in_terminal_line_characters() {
    let mut list = queues();
    list.rows.truncate(2);
    let text = show(list, Formatter::PrettyTable, true);
    let text = text.replace("\x1b(0", "<").replace("\x1b(B", ">").replace('\x1b', "^");
    assert_eq!(
        text,
        "<lqqqqqqqqqqqqqqqqqqqqqwqqqqqqqqqqwqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqk>\n\
         <x> ^[1mname^[0m                <x> ^[1mmessages^[0m <x> \
         ^[1marguments^[0m                             <x>\n\
         <tqqqqqqqqqqqqqqqqqqqqqnqqqqqqqqqqnqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqu>\n\
         <x> demo                <x> 3        <x> {<<\"x-message-ttl\">>,signedint,60000} <x>\n\
         <tqqqqqqqqqqqqqqqqqqqqqnqqqqqqqqqqnqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqu>\n\
         <x> odd \"q\", ä      tab <x> 0        <x>                                       <x>\n\
         <mqqqqqqqqqqqqqqqqqqqqqvqqqqqqqqqqvqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqj>\n"
    );
}

#[test]
fn addresses_and_versions_are_terms_where_rabbitmqctl_has_terms() {
    let list = || List {
        columns: ["peer_host", "protocol", "policy", "tags"].map(str::to_owned).to_vec(),
        rows: vec![vec![
            Term::address(&json!("127.0.0.1")),
            Term::Version([0, 9, 1]),
            Term::Nothing,
            Term::words(&json!(["a", "administrator"])),
        ]],
        streamed: true,
    };
    assert_eq!(show(list(), Formatter::Table, false), "127.0.0.1\t{0,9,1}\t\t[a, administrator]\n");
    assert_eq!(
        show(list(), Formatter::Json, false),
        "[\n{\"peer_host\":[127,0,0,1],\"protocol\":[0,9,1],\"policy\":\"\",\
         \"tags\":[\"a\",\"administrator\"]}\n]\n"
    );
    let v6 = Term::address(&json!("::1"));
    assert_eq!(table::cell(&v6), "::1");
}

#[test]
fn an_absent_list_in_one_piece_is_an_empty_line() {
    let empty = |streamed| List { columns: vec!["x".to_owned()], rows: Vec::new(), streamed };
    assert_eq!(show(empty(true), Formatter::Table, true), "");
    assert_eq!(show(empty(false), Formatter::Table, true), "\n");
    assert_eq!(show(empty(false), Formatter::Json, true), "[]\n");
}

#[test]
fn what_is_done_is_said_in_json_only() {
    let node = Some("haremq@host");
    assert_eq!(reply(&Reply::Done, Formatter::Table, true, node), "");
    assert_eq!(
        reply(&Reply::Done, Formatter::Json, true, node),
        "{\"node\":\"haremq@host\",\"result\":\"ok\"}\n"
    );
    let said = Reply::Said("Success".to_owned());
    assert_eq!(reply(&said, Formatter::Json, true, node), "{\"message\":\"Success\"}\n");
    assert_eq!(reply(&said, Formatter::Table, true, node), "Success\n");
}

#[test]
fn an_unknown_formatter_is_refused() {
    assert!(Formatter::named(Some("bogus")).is_err());
    assert_eq!(Formatter::named(Some("json")), Ok(Formatter::Json));
}
