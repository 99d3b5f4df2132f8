// What programs with amqplib do, story by story; each prints what came of it.
'use strict';

const amqp = require('amqplib');

const url = `amqp://guest:guest@127.0.0.1:${process.env.BROKER_PORT}/?heartbeat=5`;

const event = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve));

async function confirmsAndOrder(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('node', { durable: true, messageTtl: 600000, maxPriority: 3 });
  for (let number = 0; number < 100; number += 1) {
    channel.sendToQueue('node', Buffer.from(String(number)), {
      persistent: true,
      headers: { number, nested: { list: [1, 'two', null, true, 2.5] }, when: { '!': 'timestamp', value: 1234567890 } },
    });
  }
  await channel.waitForConfirms();
  console.log('queued', (await channel.checkQueue('node')).messageCount);
  await channel.prefetch(7);
  const got = [];
  await new Promise((resolve) => {
    channel.consume('node', (message) => {
      got.push(Number(message.content));
      if (JSON.stringify(message.properties.headers.nested) !== '{"list":[1,"two",null,true,2.5]}') {
        console.log('headers differ', JSON.stringify(message.properties.headers));
      }
      channel.ack(message);
      if (got.length === 100) resolve();
    }, { consumerTag: 'mine' });
  });
  console.log('in order', got.every((number, index) => number === index));
  await channel.cancel('mine');
  await channel.close();
}

async function redelivery(connection) {
  const channel = await connection.createChannel();
  await channel.assertQueue('again', { autoDelete: true });
  channel.sendToQueue('again', Buffer.from('a'));
  channel.sendToQueue('again', Buffer.from('b'));
  const first = await channel.get('again');
  const second = await channel.get('again');
  channel.nackAll(true);
  const third = await channel.get('again');
  console.log('again', [first, second, third].map((m) => `${m.content} ${m.fields.redelivered}`).join(', '));
  channel.reject(third, false);
  await channel.recover();
  console.log('left', await channel.deleteQueue('again'));
  await channel.close();
}

async function unroutable(connection) {
  const channel = await connection.createConfirmChannel();
  const order = [];
  channel.on('return', (message) => order.push(`return ${message.fields.replyCode} ${message.fields.replyText}`));
  await new Promise((resolve) => {
    channel.publish('amq.direct', 'nowhere', Buffer.from('x'), { mandatory: true }, () => { order.push('ack'); resolve(); });
  });
  console.log('unroutable', order.join(', '));
  await channel.close();
}

async function refusals(connection) {
  const channel = await connection.createChannel();
  const closed = event(channel, 'error');
  channel.checkQueue('missing').catch(() => {});
  console.log('missing', (await closed).message);
  const next = await connection.createChannel();
  const error = event(next, 'error');
  next.assertQueue('node', { durable: true }).catch(() => {});
  console.log('differs', (await error).message);
}

async function remoteCall(connection) {
  const channel = await connection.createChannel();
  await channel.assertQueue('square', { autoDelete: true });
  await channel.consume('square', (message) => {
    channel.sendToQueue(message.properties.replyTo, Buffer.from(String(Number(message.content) ** 2)), {
      correlationId: message.properties.correlationId,
    });
  }, { noAck: true });
  const answers = [];
  await new Promise((resolve) => {
    channel.consume('amq.rabbitmq.reply-to', (message) => {
      answers.push(`${message.properties.correlationId}=${message.content}`);
      if (answers.length === 3) resolve();
    }, { noAck: true }).then(() => {
      for (const number of [2, 3, 4]) {
        channel.sendToQueue('square', Buffer.from(String(number)), {
          replyTo: 'amq.rabbitmq.reply-to', correlationId: `n${number}`,
        });
      }
    });
  });
  console.log('squares', answers.join(' '));
  await channel.close();
}

async function topology(connection) {
  const channel = await connection.createChannel();
  await channel.assertExchange('node.source', 'topic', { autoDelete: true, alternateExchange: 'node.rest' });
  await channel.assertExchange('node.rest', 'fanout', { autoDelete: true });
  await channel.assertExchange('node.inner', 'fanout', { autoDelete: true, internal: true });
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const rest = await channel.assertQueue('', { exclusive: true });
  await channel.bindExchange('node.inner', 'node.source', 'in.*');
  await channel.bindQueue(queue, 'node.inner', '');
  await channel.bindQueue(rest.queue, 'node.rest', '');
  channel.publish('node.source', 'in.one', Buffer.from('inner'));
  channel.publish('node.source', 'out', Buffer.from('rest'));
  const inner = await channel.get(queue, { noAck: true });
  const other = await channel.get(rest.queue, { noAck: true });
  console.log('routed', String(inner.content), String(other.content), await channel.get(queue, { noAck: true }));
  const cancelled = new Promise((resolve) => { channel.consume(queue, (message) => { if (message === null) resolve(true); }); });
  await channel.purgeQueue(queue);
  await channel.deleteQueue(queue);
  console.log('told of the end', await cancelled);
  await channel.close();
}

async function large(connection) {
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('large', { durable: true });
  const body = Buffer.alloc(5 * 1024 * 1024 + 3);
  for (let at = 0; at < body.length; at += 1) body[at] = (at * 31) & 255;
  channel.sendToQueue('large', body, { persistent: true });
  await channel.waitForConfirms();
  const back = await channel.get('large', { noAck: true });
  console.log('large', back.content.equals(body));
  await channel.deleteQueue('large');
  await channel.close();
}

async function main() {
  const connection = await amqp.connect(url, { clientProperties: { connection_name: 'node' } });
  for (const story of [confirmsAndOrder, redelivery, unroutable, refusals, remoteCall, topology, large]) {
    await story(connection);
  }
  const closed = event(connection, 'close');
  await connection.close();
  await closed;
  console.log('closed');
}

main().catch((error) => { console.error(error); process.exit(1); });
