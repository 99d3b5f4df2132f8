//! Class and method ids by name.

/// A (class id, method id) pair.
pub type Method = (u16, u16);

pub const CONNECTION_START: Method = (10, 10);
pub const CONNECTION_START_OK: Method = (10, 11);
pub const CONNECTION_TUNE: Method = (10, 30);
pub const CONNECTION_TUNE_OK: Method = (10, 31);
pub const CONNECTION_OPEN: Method = (10, 40);
pub const CONNECTION_OPEN_OK: Method = (10, 41);
pub const CONNECTION_CLOSE: Method = (10, 50);
pub const CONNECTION_CLOSE_OK: Method = (10, 51);
pub const CHANNEL_OPEN: Method = (20, 10);
pub const CHANNEL_OPEN_OK: Method = (20, 11);
pub const CHANNEL_FLOW: Method = (20, 20);
pub const CHANNEL_FLOW_OK: Method = (20, 21);
pub const CHANNEL_CLOSE: Method = (20, 40);
pub const CHANNEL_CLOSE_OK: Method = (20, 41);
pub const ACCESS_REQUEST: Method = (30, 10);
pub const ACCESS_REQUEST_OK: Method = (30, 11);
pub const EXCHANGE_DECLARE: Method = (40, 10);
pub const EXCHANGE_DECLARE_OK: Method = (40, 11);
pub const EXCHANGE_BIND: Method = (40, 30);
pub const QUEUE_DECLARE: Method = (50, 10);
pub const QUEUE_DECLARE_OK: Method = (50, 11);
pub const QUEUE_BIND: Method = (50, 20);
pub const QUEUE_BIND_OK: Method = (50, 21);
pub const QUEUE_DELETE: Method = (50, 40);
pub const QUEUE_DELETE_OK: Method = (50, 41);
pub const BASIC_QOS: Method = (60, 10);
pub const BASIC_QOS_OK: Method = (60, 11);
pub const BASIC_CONSUME: Method = (60, 20);
pub const BASIC_CONSUME_OK: Method = (60, 21);
pub const BASIC_CANCEL: Method = (60, 30);
pub const BASIC_PUBLISH: Method = (60, 40);
pub const BASIC_DELIVER: Method = (60, 60);
pub const BASIC_GET: Method = (60, 70);
pub const BASIC_GET_OK: Method = (60, 71);
pub const BASIC_GET_EMPTY: Method = (60, 72);
pub const BASIC_REJECT: Method = (60, 90);
pub const BASIC_ACK: Method = (60, 80);
pub const BASIC_NACK: Method = (60, 120);
pub const CONFIRM_SELECT: Method = (85, 10);
pub const CONFIRM_SELECT_OK: Method = (85, 11);
pub const TX_SELECT: Method = (90, 10);
pub const TX_SELECT_OK: Method = (90, 11);
pub const TX_COMMIT: Method = (90, 20);
pub const TX_COMMIT_OK: Method = (90, 21);
pub const TX_ROLLBACK: Method = (90, 30);
pub const TX_ROLLBACK_OK: Method = (90, 31);

/// Every method of AMQP 0-9-1 with RabbitMQ's extensions, in both directions.
pub const ALL: [Method; 66] = [
    (10, 10),
    (10, 11),
    (10, 20),
    (10, 21),
    (10, 30),
    (10, 31),
    (10, 40),
    (10, 41),
    (10, 50),
    (10, 51),
    (10, 60),
    (10, 61),
    (10, 70),
    (10, 71),
    (20, 10),
    (20, 11),
    (20, 20),
    (20, 21),
    (20, 40),
    (20, 41),
    (30, 10),
    (30, 11),
    (40, 10),
    (40, 11),
    (40, 20),
    (40, 21),
    (40, 30),
    (40, 31),
    (40, 40),
    (40, 51),
    (50, 10),
    (50, 11),
    (50, 20),
    (50, 21),
    (50, 30),
    (50, 31),
    (50, 40),
    (50, 41),
    (50, 50),
    (50, 51),
    (60, 10),
    (60, 11),
    (60, 20),
    (60, 21),
    (60, 30),
    (60, 31),
    (60, 40),
    (60, 50),
    (60, 60),
    (60, 70),
    (60, 71),
    (60, 72),
    (60, 80),
    (60, 90),
    (60, 100),
    (60, 110),
    (60, 111),
    (60, 120),
    (85, 10),
    (85, 11),
    (90, 10),
    (90, 11),
    (90, 20),
    (90, 21),
    (90, 30),
    (90, 31),
];
