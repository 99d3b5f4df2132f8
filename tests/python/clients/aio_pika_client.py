"""What programs with aio-pika do: confirms, returns, transactions, consuming as an iterator, robust connections."""

import asyncio
import os

import aio_pika
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError
from aio_pika.patterns import RPC, Master

URL = f"amqp://guest:guest@127.0.0.1:{os.environ['BROKER_PORT']}/"


async def publish_and_iterate(connection):
    async with connection.channel() as channel:
        await channel.set_qos(prefetch_count=10)
        queue = await channel.declare_queue("aio", durable=True)
        for number in range(50):
            message = aio_pika.Message(
                str(number).encode(),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                headers={"number": number, "nested": {"list": [1, "two", None, True, 2.5]}},
                correlation_id=f"c{number}",
            )
            confirmation = await channel.default_exchange.publish(message, routing_key="aio")
            assert confirmation.delivery_tag is not None
        got = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    assert message.headers["nested"] == {"list": [1, "two", None, True, 2.5]}
                    assert message.correlation_id == f"c{message.headers['number']}"
                    got.append(int(message.body))
                if len(got) == 50:
                    break
        print("iterated", got == list(range(50)))
        print("left", (await channel.declare_queue("aio", durable=True)).declaration_result.message_count)


async def unroutable(connection):
    async with connection.channel(on_return_raises=True) as channel:
        try:
            await channel.default_exchange.publish(aio_pika.Message(b"lost"), routing_key="nowhere")
        except DeliveryError as error:
            print("returned", error.message.delivery.reply_text)


async def refused(connection):
    channel = await connection.channel()
    try:
        await channel.declare_queue("aio", durable=False)
    except ChannelPreconditionFailed as error:
        print("refused", error)


async def transaction(connection):
    async with connection.channel(publisher_confirms=False) as channel:
        queue = await channel.declare_queue("tx", auto_delete=True)
        async with channel.transaction():
            for number in range(3):
                await channel.default_exchange.publish(aio_pika.Message(str(number).encode()), routing_key="tx")
            print("before commit", (await queue.declare()).message_count)
        print("after commit", (await queue.declare()).message_count)
        transaction = channel.transaction()
        await transaction.select()
        await channel.default_exchange.publish(aio_pika.Message(b"never"), routing_key="tx")
        await transaction.rollback()
        print("after rollback", (await queue.declare()).message_count)


async def topic(connection):
    async with connection.channel() as channel:
        exchange = await channel.declare_exchange("aio.topic", aio_pika.ExchangeType.TOPIC, auto_delete=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "#.error")
        for key in ("a.error", "a.info", "error", "a.b.error"):
            await exchange.publish(aio_pika.Message(key.encode()), routing_key=key)
        got = [(await queue.get(no_ack=True)).body.decode() for _ in range(3)]
        print("topic", got, await queue.get(no_ack=True, fail=False))


async def rpc(connection):
    async with connection.channel() as channel:
        server = await RPC.create(channel)

        async def multiply(*, x, y):
            return x * y

        await server.register("multiply", multiply, auto_delete=True)
        print("rpc", [await server.proxy.multiply(x=n, y=2) for n in range(5)])


async def tasks(connection):
    done = asyncio.Event()
    seen = []
    async with connection.channel() as channel:
        master = Master(channel)

        async def work(*, number):
            seen.append(number)
            if len(seen) == 5:
                done.set()

        await master.create_worker("aio_work", work, auto_delete=True)
        for number in range(5):
            await master.proxy.aio_work(number=number)
        await asyncio.wait_for(done.wait(), 30)
        print("worked", sorted(seen))


async def main():
    connection = await aio_pika.connect_robust(URL, client_properties={"connection_name": "aio"})
    async with connection:
        for story in (publish_and_iterate, unroutable, refused, transaction, topic, rpc, tasks):
            await asyncio.wait_for(story(connection), 60)


asyncio.run(main())
