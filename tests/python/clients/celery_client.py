"""Calls tasks of `celery_app` and prints what came of them; the argument names the story."""

import sys
import time

from celery import chain, group

from celery_app import add, app, failing, flaky, slow

PATIENCE = 60


def results():
    print("add", add.delay(2, 3).get(timeout=PATIENCE))
    print("retried", flaky.delay(2).get(timeout=PATIENCE))
    try:
        failing.delay().get(timeout=PATIENCE)
    except ValueError as error:
        print("failed", error)
    print("group", group(add.s(n, n) for n in range(20)).apply_async().get(timeout=PATIENCE))
    print("chain", chain(add.s(1, 1), add.s(10), add.s(100)).apply_async().get(timeout=PATIENCE))


def later():
    """More tasks with an ETA than the prefetch count: the worker raises its prefetch to hold them all."""
    due = time.time() + 2
    waiting = [add.apply_async((n, 1), countdown=2) for n in range(12)]
    print("now", add.delay(40, 2).get(timeout=PATIENCE))
    print("was in time", time.time() < due + PATIENCE)
    print("later", [result.get(timeout=PATIENCE) for result in waiting])
    print("not before", time.time() >= due)


def remote_control():
    def answers(replies):
        return [answer["ok"] for reply in replies for answer in reply.values()]

    control = app.control
    print("ping", answers(control.ping(timeout=PATIENCE, limit=1)))
    inspect = control.inspect(timeout=PATIENCE, limit=1)
    names = [name for names in inspect.registered().values() for name in names]
    print("registered", sorted(name for name in names if name.startswith("celery_app.")))
    print("queues", [queue["name"] for queues in inspect.active_queues().values() for queue in queues])
    once = {"reply": True, "timeout": PATIENCE, "limit": 1}
    print("limit", answers(control.rate_limit("celery_app.failing", "10/s", **once)))
    print("consumers", answers(control.add_consumer("extra", **once)))
    print("extra", add.apply_async((5, 6), queue="extra").get(timeout=PATIENCE))


def worker_lost(path):
    print("slow", slow.delay(path, 60).get(timeout=PATIENCE))


def call_only(count):
    for number in range(int(count)):
        add.apply_async((number, number), ignore_result=True)
    print("called", count)


stories = {story.__name__: story for story in (results, later, remote_control, worker_lost, call_only)}
stories[sys.argv[1]](*sys.argv[2:])
