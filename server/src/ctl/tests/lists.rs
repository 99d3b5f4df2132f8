//! `list_*`: columns, quiet modes, formatters.

use super::*;

#[test]
fn lists_of_what_is_in_a_vhost() {
    let broker = demo();
    for (line, expected) in [
        (
            "list_queues",
            "Timeout: 60.0 seconds ...\nListing queues for vhost / ...\nname\tmessages\ndemo\t3\n",
        ),
        ("list_queues -q", "name\tmessages\ndemo\t3\n"),
        ("list_queues -s", "demo\t3\n"),
        ("--no-table-headers -q list_queues", "demo\t3\n"),
        (
            "list_queues -t 5 -p nonex",
            "Timeout: 5.0 seconds ...\nListing queues for vhost nonex ...\n",
        ),
        ("list_queues -q --offline", ""),
        ("list_queues -q --local --online name", "name\ndemo\n"),
        (
            "list_queues --formatter json name messages",
            "[\n{\"name\":\"demo\",\"messages\":3}\n]\n",
        ),
        (
            "-q list_queues name messages_ready messages_unacknowledged consumers durable \
             arguments policy type state",
            "name\tmessages_ready\tmessages_unacknowledged\tconsumers\tdurable\targuments\tpolicy\
             \ttype\tstate\ndemo\t1\t2\t1\ttrue\t[{\"x-message-ttl\",60000}]\t\tclassic\trunning\n",
        ),
        (
            "-s list_queues name,messages memory pid",
            "demo\t3\t\t<haremq@localhost.1795344891.1.65536>\n",
        ),
        (
            "list_exchanges",
            "Listing exchanges for vhost / ...\nname\ttype\n\tdirect\namq.direct\tdirect\n\
             amq.fanout\tfanout\namq.headers\theaders\namq.match\theaders\n\
             amq.rabbitmq.trace\ttopic\namq.topic\ttopic\n",
        ),
        (
            "list_bindings",
            "Listing bindings for vhost /...\nsource_name\tsource_kind\tdestination_name\t\
             destination_kind\trouting_key\targuments\n\texchange\tdemo\tqueue\tdemo\t[]\n",
        ),
        (
            "list_consumers",
            "Listing consumers in vhost / ...\nqueue_name\tchannel_pid\tconsumer_tag\tack_required\
             \tprefetch_count\tactive\targuments\ndemo\t<haremq@localhost.1795344891.12896.1>\tct1\
             \ttrue\t7\ttrue\t[]\n",
        ),
    ] {
        assert_eq!(record(&broker, line), format!("{expected}[exit 0]"), "{line}");
    }
}

#[test]
fn lists_of_clients() {
    let broker = demo();
    for (line, expected) in [
        (
            "list_connections",
            "Listing connections ...\nuser\tpeer_host\tpeer_port\tstate\n\
             guest\t127.0.0.1\t50168\trunning\n",
        ),
        (
            "list_connections name state channels",
            "Listing connections ...\nname\tstate\tchannels\n\
             127.0.0.1:50168 -> 127.0.0.1:5672\trunning\t1\n",
        ),
        ("list_connections -s pid", "<haremq@localhost.1795344891.12896.0>\n"),
        (
            "list_connections -s protocol ssl ssl_protocol timeout client_properties",
            "{0,9,1}\tfalse\t\t60\t[{\"product\",\"pika\"}]\n",
        ),
        (
            "list_connections --formatter json",
            "[\n{\"user\":\"guest\",\"peer_host\":[127,0,0,1],\"peer_port\":50168,\
             \"state\":\"running\"}\n]\n",
        ),
        (
            "list_channels",
            "Listing channels ...\npid\tuser\tconsumer_count\tmessages_unacknowledged\n\
             <haremq@localhost.1795344891.12896.1>\tguest\t1\t0\n",
        ),
    ] {
        assert_eq!(record(&broker, line), format!("{expected}[exit 0]"), "{line}");
    }
    broker.world().connections.clear();
    assert_eq!(record(&broker, "list_connections"), "Listing connections ...\n[exit 0]");
}
