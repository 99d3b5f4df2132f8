//! Users, vhosts, queues and connections from their making to their end.

use super::*;

#[test]
fn the_recorded_life_of_a_user() {
    let broker = FakeBroker::start();
    let done = "Done. Don't forget to grant the user permissions to some virtual hosts! See \
                'haremqctl help set_permissions' to learn more.\n";
    let added = format!("Adding user \"u1\" ...\n{done}[exit 0]");
    for (line, expected) in [
        ("add_user u1 p1", added.as_str()),
        ("add_user u1 p1", "Adding user \"u1\" ...\nError:\nUser \"u1\" already exists\n[exit 70]"),
        (
            "set_permissions -p / u1 .* .* .*",
            "Setting permissions for user \"u1\" in vhost \"/\" ...\n[exit 0]",
        ),
        (
            "set_user_tags u1 administrator",
            "Setting tags for user \"u1\" to [administrator] ...\n[exit 0]",
        ),
        (
            "list_users",
            "Listing users ...\nuser\ttags\nguest\t[administrator]\nu1\t[administrator]\n[exit 0]",
        ),
        (
            "list_user_permissions u1",
            "Listing permissions for user \"u1\" ...\nvhost\tconfigure\twrite\tread\n\
             /\t.*\t.*\t.*\n[exit 0]",
        ),
        (
            "list_permissions",
            "Listing permissions for vhost \"/\" ...\nuser\tconfigure\twrite\tread\n\
             guest\t.*\t.*\t.*\nu1\t.*\t.*\t.*\n[exit 0]",
        ),
        (
            "clear_permissions u1",
            "Clearing permissions for user \"u1\" in vhost \"/\" ...\n[exit 0]",
        ),
        (
            "clear_permissions u1",
            "Clearing permissions for user \"u1\" in vhost \"/\" ...\n[exit 0]",
        ),
        ("list_user_permissions u1", "Listing permissions for user \"u1\" ...\n\n[exit 0]"),
        ("change_password u1 new", "Changing password for user \"u1\" ...\n[exit 0]"),
        ("authenticate_user u1 new", "Authenticating user \"u1\" ...\nSuccess\n[exit 0]"),
        ("clear_password u1", "Clearing password for user \"u1\" ...\n[exit 0]"),
        (
            "authenticate_user u1 new",
            "Authenticating user \"u1\" ...\nError:\nError: failed to authenticate user \"u1\"\n\
             user 'u1' - invalid credentials\n[exit 65]",
        ),
        ("delete_user u1", "Deleting user \"u1\" ...\n[exit 0]"),
        (
            "delete_user u1",
            "Deleting user \"u1\" ...\nError:\nUser \"u1\" does not exist\n[exit 67]",
        ),
    ] {
        assert_eq!(record(&broker, line), expected, "{line}");
    }
}

#[test]
fn a_user_without_tags_authenticates() {
    let broker = FakeBroker::start();
    broker.world().add_user("plain", &[], None);
    let expected = "Authenticating user \"plain\" ...\nSuccess\n[exit 0]";
    assert_eq!(record(&broker, "authenticate_user plain p"), expected);
}

#[test]
fn the_recorded_life_of_a_vhost() {
    let broker = FakeBroker::start();
    for (line, expected) in [
        ("add_vhost v1", "Adding vhost \"v1\" ...\n[exit 0]"),
        ("add_vhost v1", "Adding vhost \"v1\" ...\n[exit 0]"),
        (
            "list_vhosts name tracing",
            "Listing vhosts ...\nname\ttracing\n/\tfalse\nv1\tfalse\n[exit 0]",
        ),
        ("list_vhosts", "Listing vhosts ...\nname\n/\nv1\n[exit 0]"),
        (
            "set_vhost_tags v1 production eu",
            "Setting tags for virtual host \"v1\" to [production, eu] ...\n[exit 0]",
        ),
        (
            "list_vhosts name tags",
            "Listing vhosts ...\nname\ttags\n/\t[]\nv1\t[production, eu]\n[exit 0]",
        ),
        (
            "set_vhost_tags v2 none",
            "Setting tags for virtual host \"v2\" to [none] ...\nVirtual host 'v2' does not exist\n\
             [exit 65]",
        ),
        (
            "enable_vhost_deletion_protection v1",
            "Protecting virtual host \"v1\" from removal by marking it as protected in metadata ...\n\
             [exit 0]",
        ),
        (
            "list_vhosts name protected_from_deletion",
            "Listing vhosts ...\nname\tprotected_from_deletion\n/\tfalse\nv1\ttrue\n[exit 0]",
        ),
        (
            "delete_vhost v1",
            "Deleting vhost \"v1\" ...\nError:\nRefusing to delete virtual host 'v1' because it is \
             protected from deletion\n[exit 69]",
        ),
        (
            "disable_vhost_deletion_protection v2",
            "Removing deletion protection from virtual host \"v2\" by updating its metadata ...\n\
             Virtual host 'v2' does not exist\n[exit 65]",
        ),
        (
            "disable_vhost_deletion_protection v1",
            "Removing deletion protection from virtual host \"v1\" by updating its metadata ...\n\
             [exit 0]",
        ),
        ("delete_vhost v1", "Deleting vhost \"v1\" ...\n[exit 0]"),
        (
            "delete_vhost v1",
            "Deleting vhost \"v1\" ...\nVirtual host 'v1' does not exist\n[exit 65]",
        ),
    ] {
        assert_eq!(record(&broker, line), expected, "{line}");
    }
}

#[test]
fn queues_are_purged_and_deleted() {
    let broker = demo();
    for (line, expected) in [
        (
            "delete_queue demo --if-empty",
            "Deleting queue 'demo' on vhost '/' if queue is empty ...\nError:\nQueue is not empty\n\
             [exit 64]",
        ),
        (
            "delete_queue demo -u",
            "Deleting queue 'demo' on vhost '/' if queue is unused ...\nError:\n\
             Queue is in use\n[exit 64]",
        ),
        ("purge_queue demo", "Purging queue 'demo' in vhost '/' ...\n[exit 0]"),
        (
            "delete_queue demo -e",
            "Deleting queue 'demo' on vhost '/' if queue is empty ...\n\
             Queue was successfully deleted with 0 ready messages\n[exit 0]",
        ),
    ] {
        assert_eq!(record(&broker, line), expected, "{line}");
    }
    broker.world().add_queue("full", Table::default(), [1, 0]);
    let expected = "Deleting queue 'full' on vhost '/' ...\n\
                    Queue was successfully deleted with 1 ready messages\n[exit 0]";
    assert_eq!(record(&broker, "delete_queue full"), expected);
}

#[test]
fn a_connection_is_closed_by_the_pid_that_the_list_shows() {
    let broker = demo();
    let pid = call(&broker, "list_connections -s pid").out.trim().to_owned();
    let line = ["close_connection".to_owned(), pid.clone(), "go away".to_owned()];
    let outcome = run_with(&environment(&broker), &line, None);
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
    assert_eq!(outcome.out, format!("Closing connection {pid}, reason: go away...\n"));
    let closed: Vec<String> =
        broker.world().closed.iter().map(|(_, reason)| reason.clone()).collect();
    assert_eq!(closed, ["go away"]);
    // Gone already is as good as closed.
    assert_eq!(run_with(&environment(&broker), &line, None).exit, 0);
    let expected = "Closing connection <0.0.0>, reason: bye...\nError:\nError:\n\
                    {:invalid_pid_syntax, \"<0.0.0>\"}\n[exit 69]";
    assert_eq!(record(&broker, "close_connection <0.0.0> bye"), expected);
}

#[test]
fn all_connections_are_closed_up_to_a_limit() {
    let broker = demo();
    broker.world().add_connection(12900, "guest");
    for (line, expected) in [
        ("-p nov bye", "Closing all connections in vhost nov, reason: bye...\nClosed 0 connections\n"),
        ("--limit 1 bye", "Closing 1 connections in vhost /, reason: bye...\nClosed 1 connections\n"),
        (
            "--global bye",
            "Closing all connections to node haremq@localhost (across all vhosts), reason: bye...\n\
             Closed 1 connections\n",
        ),
        ("-q bye", "Closed 0 connections\n"),
    ] {
        let line = format!("close_all_connections {line}");
        assert_eq!(record(&broker, &line), format!("{expected}[exit 0]"), "{line}");
    }
}
