"""Declares a queue and an exchange again, with another durability; prints what the broker says."""

import os

import pika
from pika.exceptions import ChannelClosedByBroker

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)


def declare(what):
    channel = connection.channel()
    try:
        what(channel)
    except ChannelClosedByBroker as refusal:
        print(refusal.reply_code, refusal.reply_text)
    else:
        print("accepted")
        channel.close()


declare(lambda channel: channel.queue_declare("ledger", durable=True))
declare(lambda channel: channel.queue_declare("ledger", durable=True))
declare(lambda channel: channel.queue_declare("ledger", durable=False))
declare(lambda channel: channel.queue_declare("ledger", durable=True, auto_delete=True))
declare(lambda channel: channel.queue_declare("ledger", durable=True, exclusive=True))
declare(lambda channel: channel.exchange_declare("books", "direct", durable=False))
declare(lambda channel: channel.exchange_declare("books", "direct", durable=True))
declare(lambda channel: channel.exchange_declare("books", "fanout", durable=False))
connection.close()
