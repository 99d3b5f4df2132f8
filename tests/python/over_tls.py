"""Sends 500 messages over TLS, waiting for the confirm of each, and takes them back.

Arguments: port, file of authorities, and to log in by certificate: its file, and that of its key.
"""

import ssl
import sys

import pika

port, authorities, *own = sys.argv[1:]
context = ssl.create_default_context(cafile=authorities)
credentials = pika.PlainCredentials("guest", "guest")
if own:
    context.load_cert_chain(*own)
    credentials = pika.credentials.ExternalCredentials()
connection = pika.BlockingConnection(
    pika.ConnectionParameters(
        "localhost",
        int(port),
        "/",
        credentials,
        ssl_options=pika.SSLOptions(context, "localhost"),
    )
)
channel = connection.channel()
channel.queue_declare(queue="over-tls", durable=True)
channel.confirm_delivery()
for number in range(500):
    channel.basic_publish(
        exchange="",
        routing_key="over-tls",
        body=f"{number} ".encode() * 50,
        properties=pika.BasicProperties(delivery_mode=2),
        mandatory=True,
    )
taken = 0
for method, _, body in channel.consume("over-tls", inactivity_timeout=30):
    if method is None:
        break
    assert body == f"{taken} ".encode() * 50, body
    channel.basic_ack(method.delivery_tag)
    taken += 1
    if taken == 500:
        break
channel.cancel()
connection.close()
print(f"{taken} of 500")
