//! All commands: names, usage, help, and who carries them out.

use super::super::args::{switch, Kind, Switch};
use super::rules_catalogue::RULES;
use super::{columns, connections, lists, node, permissions, queues, users, vhosts};
use super::{Command, Group};

/// Every command, in the order of the list that `help` prints.
pub(crate) fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().chain(RULES)
}

/// The command of that name.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name == name)
}

pub(super) const LIST_SWITCHES: &[Switch] = &[switch("no-table-headers", None, Kind::Flag)];

const QUEUE_LIST_SWITCHES: &[Switch] = &[
    switch("no-table-headers", None, Kind::Flag),
    switch("online", None, Kind::Flag),
    switch("offline", None, Kind::Flag),
    switch("local", None, Kind::Flag),
];

const VHOST_SWITCHES: &[Switch] = &[
    switch("description", None, Kind::Text),
    switch("tags", None, Kind::Text),
    switch("default-queue-type", None, Kind::Text),
];

const QUEUE_DELETE_SWITCHES: &[Switch] =
    &[switch("if-empty", Some('e'), Kind::Flag), switch("if-unused", Some('u'), Kind::Flag)];

const CLOSE_ALL_SWITCHES: &[Switch] = &[
    switch("global", None, Kind::Flag),
    switch("limit", None, Kind::Number),
    switch("per-connection-delay", None, Kind::Number),
];

const STATUS_SWITCHES: &[Switch] = &[switch("unit", None, Kind::Text)];

/// Those of daily use; the others are [`RULES`].
const COMMANDS: &[Command] = &[
    Command {
        name: "help",
        group: Group::Help,
        usage: "[<command>]",
        about: "Displays usage information for a command",
        arguments: &[],
        own_switches: &[],
        arity: (0, Some(1)),
        columns: None,
        run: node::help,
    },
    Command {
        name: "version",
        group: Group::Help,
        usage: "",
        about: "Displays the version of this program",
        arguments: &[],
        own_switches: &[],
        arity: (0, Some(0)),
        columns: None,
        run: node::version,
    },
    Command {
        name: "add_user",
        group: Group::Users,
        usage: "<username> <password>",
        about: "Creates a new user. This user will have no permissions for any virtual hosts by \
                default",
        arguments: &[
            ("<username>", "Self-explanatory"),
            (
                "<password>",
                "Password this user will authenticate with; asked for if it is not given. Use a \
                 blank string to disable password-based authentication.",
            ),
        ],
        own_switches: &[],
        arity: (1, Some(2)),
        columns: None,
        run: users::add,
    },
    Command {
        name: "authenticate_user",
        group: Group::Users,
        usage: "<username> <password>",
        about: "Attempts to authenticate a user. Exits with a non-zero code if authentication \
                fails",
        arguments: &[
            ("<username>", "Username to use"),
            ("<password>", "Password to use; asked for if it is not given"),
        ],
        own_switches: &[],
        arity: (1, Some(2)),
        columns: None,
        run: users::authenticate,
    },
    Command {
        name: "change_password",
        group: Group::Users,
        usage: "<username> <password>",
        about: "Changes the user password",
        arguments: &[
            ("<username>", "Name of the user whose password should be changed"),
            ("<password>", "New password to set; asked for if it is not given"),
        ],
        own_switches: &[],
        arity: (1, Some(2)),
        columns: None,
        run: users::change_password,
    },
    Command {
        name: "clear_password",
        group: Group::Users,
        usage: "<username>",
        about: "Clears (resets) password and disables password login for a user",
        arguments: &[("<username>", "Name of the user whose password should be cleared")],
        own_switches: &[],
        arity: (1, Some(1)),
        columns: None,
        run: users::clear_password,
    },
    Command {
        name: "delete_user",
        group: Group::Users,
        usage: "<username>",
        about: "Removes a user",
        arguments: &[("<username>", "Name of the user to delete.")],
        own_switches: &[],
        arity: (1, Some(1)),
        columns: None,
        run: users::delete,
    },
    Command {
        name: "list_users",
        group: Group::Users,
        usage: "[--no-table-headers] [--timeout <timeout>]",
        about: "List user names and tags",
        arguments: &[],
        own_switches: LIST_SWITCHES,
        arity: (0, Some(0)),
        columns: None,
        run: lists::users,
    },
    Command {
        name: "set_user_tags",
        group: Group::Users,
        usage: "<username> <tag> [...]",
        about: "Sets user tags",
        arguments: &[
            ("<username>", "Self-explanatory"),
            ("<tags>", "Space separated list of tags"),
        ],
        own_switches: &[],
        arity: (1, None),
        columns: None,
        run: users::set_tags,
    },
    Command {
        name: "clear_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username>",
        about: "Revokes user permissions for a vhost",
        arguments: &[("<username>", "Name of the user whose permissions should be revoked")],
        own_switches: &[],
        arity: (1, Some(1)),
        columns: None,
        run: permissions::clear,
    },
    Command {
        name: "list_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] [--no-table-headers] [--timeout <timeout>]",
        about: "Lists user permissions in a virtual host",
        arguments: &[],
        own_switches: LIST_SWITCHES,
        arity: (0, Some(0)),
        columns: None,
        run: lists::permissions,
    },
    Command {
        name: "list_user_permissions",
        group: Group::AccessControl,
        usage: "[--no-table-headers] <username> [--timeout <timeout>]",
        about: "Lists permissions of a user across all virtual hosts",
        arguments: &[("<username>", "Name of the user")],
        own_switches: LIST_SWITCHES,
        arity: (1, Some(1)),
        columns: None,
        run: lists::user_permissions,
    },
    Command {
        name: "list_vhosts",
        group: Group::AccessControl,
        usage: "[--no-table-headers] [<column> ...] [--timeout <timeout>]",
        about: "Lists virtual hosts",
        arguments: &[],
        own_switches: LIST_SWITCHES,
        arity: (0, None),
        columns: Some(columns::VHOSTS),
        run: lists::vhosts,
    },
    Command {
        name: "set_permissions",
        group: Group::AccessControl,
        usage: "[--vhost <vhost>] <username> <conf> <write> <read>",
        about: "Sets user permissions for a vhost",
        arguments: &[
            ("<username>", "Self-explanatory"),
            ("<conf>", "Configuration permission pattern"),
            ("<write>", "Write permission pattern"),
            ("<read>", "Read permission pattern"),
        ],
        own_switches: &[],
        arity: (4, Some(4)),
        columns: None,
        run: permissions::set,
    },
    Command {
        name: "list_bindings",
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
        about: "Lists all bindings on a vhost",
        arguments: &[],
        own_switches: LIST_SWITCHES,
        arity: (0, None),
        columns: Some(columns::BINDINGS),
        run: lists::bindings,
    },
    Command {
        name: "list_channels",
        group: Group::Monitoring,
        usage: "[--no-table-headers] [<column> ...]",
        about: "Lists all channels in the node",
        arguments: &[],
        own_switches: LIST_SWITCHES,
        arity: (0, None),
        columns: Some(columns::CHANNELS),
        run: lists::channels,
    },
    Command {
        name: "list_connections",
        group: Group::Monitoring,
        usage: "[--no-table-headers] [<column> ...] [--timeout <timeout>]",
        about: "Lists AMQP 0.9.1 connections for the node",
        arguments: &[],
        own_switches: LIST_SWITCHES,
        arity: (0, None),
        columns: Some(columns::CONNECTIONS),
        run: lists::connections,
    },
    Command {
        name: "list_consumers",
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
        about: "Lists all consumers for a vhost",
        arguments: &[],
        own_switches: LIST_SWITCHES,
        arity: (0, None),
        columns: Some(columns::CONSUMERS),
        run: lists::consumers,
    },
    Command {
        name: "list_exchanges",
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--no-table-headers] [<column> ...] [--timeout <timeout>]",
        about: "Lists exchanges",
        arguments: &[],
        own_switches: LIST_SWITCHES,
        arity: (0, None),
        columns: Some(columns::EXCHANGES),
        run: lists::exchanges,
    },
    Command {
        name: "list_queues",
        group: Group::Monitoring,
        usage: "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] \
                [<column>, ...] [--timeout <timeout>]",
        about: "Lists queues and their properties",
        arguments: &[
            ("--online", "lists only queues on online (reachable) nodes"),
            ("--offline", "lists only queues on offline (unreachable) nodes"),
            ("--local", "only return queues hosted on the target node"),
        ],
        own_switches: QUEUE_LIST_SWITCHES,
        arity: (0, None),
        columns: Some(columns::QUEUES),
        run: lists::queues,
    },
    Command {
        name: "ping",
        group: Group::Monitoring,
        usage: "[--timeout <timeout>]",
        about: "Checks that the broker's management port answers and lets this program in",
        arguments: &[],
        own_switches: &[],
        arity: (0, Some(0)),
        columns: None,
        run: node::ping,
    },
    Command {
        name: "status",
        group: Group::Monitoring,
        usage: "[--unit <unit>] [--timeout <timeout>]",
        about: "Displays status of a node",
        arguments: &[("--unit <bytes | kb | mb | gb>", "byte multiple to use")],
        own_switches: STATUS_SWITCHES,
        arity: (0, Some(0)),
        columns: None,
        run: node::status,
    },
    Command {
        name: "add_vhost",
        group: Group::Vhosts,
        usage: "<vhost> [--description <description> --tags \"<tag1>,<tag2>,<...>\" \
                --default-queue-type <classic>]",
        about: "Creates a virtual host",
        arguments: &[
            ("<vhost>", "Virtual host name"),
            ("--description <description>", "Virtual host description"),
            ("--tags <tags>", "Comma separated list of tags"),
            ("--default-queue-type <classic>", "classic is the only queue type there is"),
        ],
        own_switches: VHOST_SWITCHES,
        arity: (1, Some(1)),
        columns: None,
        run: vhosts::add,
    },
    Command {
        name: "delete_vhost",
        group: Group::Vhosts,
        usage: "<vhost>",
        about: "Deletes a virtual host",
        arguments: &[("<vhost>", "Name of the virtual host to delete.")],
        own_switches: &[],
        arity: (1, Some(1)),
        columns: None,
        run: vhosts::delete,
    },
    Command {
        name: "close_all_connections",
        group: Group::Operations,
        usage: "[--vhost <vhost> --limit <limit>] [--global] [--per-connection-delay <delay>] \
                <explanation>",
        about: "Instructs the broker to close all connections for the specified vhost or entire \
                node",
        arguments: &[
            ("--global", "consider connections across all virtual hosts"),
            ("--limit <number>", "close up to this many connections"),
            ("--per-connection-delay <milliseconds>", "inject a delay between closures"),
        ],
        own_switches: CLOSE_ALL_SWITCHES,
        arity: (1, Some(1)),
        columns: None,
        run: connections::close_all,
    },
    Command {
        name: "close_connection",
        group: Group::Operations,
        usage: "<connection pid> <explanation>",
        about: "Instructs the broker to close one connection",
        arguments: &[
            ("<connection pid>", "connection identifier, see list_connections pid"),
            ("<explanation>", "reason for connection closure"),
        ],
        own_switches: &[],
        arity: (2, Some(2)),
        columns: None,
        run: connections::close,
    },
    Command {
        name: "delete_queue",
        group: Group::Queues,
        usage: "[--vhost <vhost>] <queue_name> [--if-empty|-e] [--if-unused|-u] \
                [--timeout <timeout>]",
        about: "Deletes a queue",
        arguments: &[
            ("<queue_name>", "name of the queue to delete"),
            ("--if-empty", "delete the queue if it is empty (has no messages ready for delivery)"),
            ("--if-unused", "delete the queue only if it has no consumers"),
        ],
        own_switches: QUEUE_DELETE_SWITCHES,
        arity: (1, Some(1)),
        columns: None,
        run: queues::delete,
    },
    Command {
        name: "purge_queue",
        group: Group::Queues,
        usage: "[--vhost <vhost>] <queue> [--timeout <timeout>]",
        about: "Purges a queue (removes all messages in it)",
        arguments: &[("<queue>", "Name of the queue to purge")],
        own_switches: &[],
        arity: (1, Some(1)),
        columns: None,
        run: queues::purge,
    },
];
