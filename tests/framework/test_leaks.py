"""What is closed is gone: no task, and nothing that the framework keeps of it."""

import asyncio
import gc
import weakref

from tests.framework.meeting import join


async def test_closed_sessions_leave_nothing(serve, make_client):
    """After many sessions with streams, datagrams and listeners, there are the tasks of before, and none of the sessions."""
    server, client = await serve(), make_client()
    before = asyncio.all_tasks()
    kept = weakref.WeakSet()
    for _ in range(50):
        ends = await join(client, server)
        ours, theirs = await ends.bi()
        ours.events.on("stream_closed", lambda event: None)
        ends.server.events.on("datagram_received", lambda event: None)
        ends.client.events.on("session_draining", lambda event: None)
        await ends.client.send_datagram(b"x")
        await ours.write_all(b"x")
        await theirs.write_all(await theirs.read_all())
        await ours.read_all()
        await ends.client.close()
        await ends.server.wait_closed()
        for each in (ends.client, ends.server, ours, theirs, ends.client.connection, ends.server.connection):
            kept.add(each)
    assert len(kept) > 0
    del ends, ours, theirs, each
    while asyncio.all_tasks() != before:  # tasks that have ended are forgotten in the turns after
        await asyncio.sleep(0)
    gc.collect()
    assert len(kept) == 0


async def test_a_listener_is_no_task_any_more_when_it_has_gone(ends):
    """Listening to datagrams takes a task, and only while somebody listens."""
    before = asyncio.all_tasks()
    ends.server.events.on("datagram_received", print)
    assert len(asyncio.all_tasks()) == len(before) + 1
    ends.server.events.off("datagram_received", print)
    while asyncio.all_tasks() != before:
        await asyncio.sleep(0)
