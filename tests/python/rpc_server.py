"""Computes Fibonacci numbers for whoever asks on rpc_queue."""

import os

import pika

connection = pika.BlockingConnection(
    pika.ConnectionParameters("127.0.0.1", int(os.environ.get("BROKER_PORT", "5672")))
)
channel = connection.channel()
channel.queue_declare(queue="rpc_queue")


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def on_request(channel, method, properties, body):
    answer = fib(int(body))
    channel.basic_publish(
        exchange="",
        routing_key=properties.reply_to,
        properties=pika.BasicProperties(correlation_id=properties.correlation_id),
        body=str(answer),
    )
    channel.basic_ack(delivery_tag=method.delivery_tag)


channel.basic_qos(prefetch_count=1)
channel.basic_consume(queue="rpc_queue", on_message_callback=on_request)
print("awaiting requests")
channel.start_consuming()
