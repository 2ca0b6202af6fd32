"""The bridge to the event loop: whose loop it is, adoption after its end, and storms of cancellations that lose nothing."""

import asyncio
import contextlib
import contextvars
import random
import threading
import time

import pytest
import web_transport
from web_transport import Client, Server

STORM = pytest.mark.parametrize(
    "cancellations",
    [2_000, pytest.param(10_000, marks=pytest.mark.soak)],
)


@pytest.fixture
def endpoints(certificate):
    """A server and a client that have not seen an event loop yet."""
    server = Server(certificate_chain=[certificate[0]], private_key=certificate[1], bind="127.0.0.1:0")
    client = Client(server_certificate_hashes=[web_transport.certificate_hash(certificate[0])])
    yield server, client
    client.close()
    server.close()


async def echo(pair):
    (send, recv), (send_back, recv_there) = await pair.bi()
    async with send:
        await send.write(b"echo")
    async with send_back:
        await send_back.write(await recv_there.read())
    assert await recv.read() == b"echo"


async def timed(coroutine):
    async with asyncio.timeout(20):
        return await coroutine


def test_another_loop_is_refused(endpoints, connect):
    """An endpoint, its sessions and streams belong to the loop that first awaited on one of them."""
    server, client = endpoints

    async def first():
        pair = await connect(client, server)
        (send, recv), _ = await pair.bi()
        errors = []

        def other():
            for call in (
                server.accept,
                lambda: client.connect("https://127.0.0.1:1/"),
                pair.client.accept_bi,
                pair.client.wait_closed,
                lambda: send.write(b"x"),
                lambda: recv.read(1),
                recv.wait_closed,
            ):
                try:
                    asyncio.run(timed(call()))
                except RuntimeError as error:
                    errors.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert len(errors) == 7
        assert all("event loop" in str(error) for error in errors)
        await echo(pair)  # and no harm was done

    asyncio.run(timed(first()))


def test_a_closed_loop_is_succeeded(endpoints, connect):
    """When its loop is closed, the next loop that awaits adopts an endpoint with its sessions and streams."""
    server, client = endpoints

    async def begin():
        pair = await connect(client, server)
        send, recv = await pair.uni()
        readers = [asyncio.ensure_future(recv.read(10)) for _ in range(2)]  # one has the turn, one waits for it
        await asyncio.sleep(0)
        return pair, send, recv, readers

    pair, send, recv, readers = asyncio.run(timed(begin()))
    assert all(reader.cancelled() for reader in readers)

    async def go_on():
        reading = asyncio.create_task(recv.read())
        await asyncio.sleep(0)
        async with send:
            await send.write(b"hello")
        assert await reading == b"hello"
        await echo(pair)
        await echo(await connect(client, server))

    for _ in range(1):
        asyncio.run(timed(go_on()))

    async def end():
        async with server, client:
            pass

    asyncio.run(timed(end()))


def test_an_abandoned_loop_leaves_no_turn_taken(endpoints, connect):
    """Tasks that went with their loop, without even a cancellation, hold no turn that the next loop would wait for."""
    server, client = endpoints
    loop = asyncio.new_event_loop()
    pair = loop.run_until_complete(timed(connect(client, server)))
    send, recv = loop.run_until_complete(timed(pair.uni()))
    abandoned = recv.read(10)
    abandoned_too = recv.read(10)
    with contextlib.suppress(RuntimeError):

        async def park():
            for coroutine in (abandoned, abandoned_too):
                coroutine.send(None)

        loop.run_until_complete(park())
    loop.close()

    async def go_on():
        await send.write(b"hello")
        assert await recv.read(10) == b"hello"

    asyncio.run(timed(go_on()))
    for coroutine in (abandoned, abandoned_too):
        with contextlib.suppress(RuntimeError):
            coroutine.close()


def test_many_loops_one_after_another(endpoints, connect):
    """Each of many short-lived loops can use the endpoints, and what was made under one lives on under the next."""
    server, client = endpoints
    pair = None

    async def one():
        nonlocal pair
        if pair is not None:
            await echo(pair)
        pair = await connect(client, server)
        await echo(pair)

    for _ in range(20):
        asyncio.run(timed(one()))


def test_uvloop(endpoints, connect):
    """The bridge asks nothing of a loop but add_reader."""
    uvloop = pytest.importorskip("uvloop")
    server, client = endpoints

    async def main():
        await asyncio.gather(*[echo(await connect(client, server)) for _ in range(5)])

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(timed(main()))


async def test_nothing_suspends_when_the_answer_is_there(pair):
    """What can be done at once is done without a turn of the event loop."""

    def at_once(coroutine):
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        coroutine.close()
        raise AssertionError("it was suspended")

    send = await pair.client.open_uni()
    at_once(send.write(b"x" * 1000))
    recv = await pair.server.accept_uni()
    assert len(await recv.read(1)) == 1
    at_once(send.finish())
    await recv.wait_closed()
    assert at_once(recv.read(9)) == b"x" * 9
    assert at_once(recv.read(0)) == b""
    assert at_once(recv.readexactly(90)) == b"x" * 90
    assert at_once(recv.read()) == b"x" * 900
    sending = pair.client.send_datagram(b"x")
    assert list(sending.__await__()) == []


async def test_waiters_leave_nothing_behind(pair):
    """Thousands of cancelled waits leave no trace in the bridge."""
    bridge = pair.client._home.enter()
    for _ in range(2_000):
        waiting = asyncio.create_task(pair.client.receive_datagram())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert not bridge._waiting


async def test_a_woken_task_is_itself(pair):
    """However it is woken, a task runs as the current one, in its own context."""
    name = contextvars.ContextVar("name", default="nobody")

    async def echo(label):
        name.set(label)
        (send, recv), (send_back, recv_there) = await pair.bi()
        reading = asyncio.current_task()
        for _ in range(3):
            await send.write(b"x")
            await send_back.write(await recv_there.read(1))
            assert await recv.read(1) == b"x"
            assert asyncio.current_task() is reading
            assert name.get() == label

    await echo("alone")
    async with asyncio.TaskGroup() as group:
        for label in "abc":
            group.create_task(echo(label))


async def test_calls_that_were_given_up_by_hand_do_not_pile_up(pair):
    """Of calls that are begun without a task, and closed, no more than one is remembered."""
    bridge = pair.client._home.enter()
    for _ in range(100):
        call = pair.client.receive_datagram()
        call.send(None)
        call.close()
    assert sum(len(waits) for waits in bridge._waiting.values()) == 1
    receiving = asyncio.create_task(pair.client.receive_datagram())
    await asyncio.sleep(0)
    pair.server.send_datagram(b"x")
    assert await receiving == b"x"


def test_an_interrupt_of_a_woken_task_ends_the_loop(endpoints, connect):
    """KeyboardInterrupt leaves the loop as it does from any task, and harms nothing."""
    server, client = endpoints
    loop = asyncio.new_event_loop()
    pair = loop.run_until_complete(timed(connect(client, server)))

    async def interrupt():
        await pair.server.receive_datagram()
        raise KeyboardInterrupt

    task = loop.create_task(interrupt())
    loop.run_until_complete(asyncio.sleep(0))
    pair.client.send_datagram(b"now")
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(timed(asyncio.sleep(20)))
    assert isinstance(task.exception(), KeyboardInterrupt)
    loop.run_until_complete(timed(echo(pair)))
    for left in asyncio.all_tasks(loop):
        left.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_debug_mode_names_the_task_that_blocks(endpoints, connect, caplog):
    """asyncio's debug mode blames a task that blocks the loop, and not whoever woke it."""
    server, client = endpoints

    async def main():
        asyncio.get_running_loop().slow_callback_duration = 0.2  # seconds
        pair = await connect(client, server)

        async def dawdle():
            await pair.server.receive_datagram()
            time.sleep(0.3)

        dawdling = asyncio.create_task(dawdle())
        await asyncio.sleep(0)
        pair.client.send_datagram(b"x")
        await dawdling

    asyncio.run(timed(main()), debug=True)
    assert any("Executing <Task" in message and "dawdle" in message for message in caplog.messages)


# Storms. A seed makes each reproducible, as far as two threads are.


async def yields(chance):
    for _ in range(chance.randrange(3)):
        await asyncio.sleep(0)


@pytest.mark.deadline(300)
@STORM
async def test_cancelled_reads_lose_no_byte(pair, cancellations):
    """Reads of every kind, cancelled at any moment: every byte is returned once and in order."""
    chance = random.Random(1)
    send, recv = await pair.uni()
    sent, received = bytearray(), bytearray()
    stormy = True

    async def write():
        async with send:
            while stormy:
                data = chance.randbytes(chance.randrange(1, 3_000))
                sent.extend(data)
                await send.write(data)
                await yields(chance)

    writing = asyncio.create_task(write())
    cancelled = 0
    while cancelled < cancellations:
        call = chance.choice([recv.read, lambda: recv.read(chance.randrange(2_000)), lambda: recv.readexactly(chance.randrange(9_000))])
        reading = asyncio.create_task(call())
        await yields(chance)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            received += await reading
            continue
        cancelled += 1
    stormy = False
    received += await recv.read()
    await writing
    assert received == sent


@pytest.mark.deadline(300)
@STORM
async def test_cancelled_accepts_lose_no_stream(pair, cancellations):
    """Several tasks accept and are cancelled at any moment: every stream is returned once."""
    chance = random.Random(2)
    streams = cancellations // 4

    async def open_all():
        for index in range(streams):
            async with await pair.client.open_uni() as send:
                await send.write(b"%d" % index)
            await yields(chance)

    opening = asyncio.create_task(open_all())
    received, cancelled = [], 0
    while len(received) < streams:
        accepting = [asyncio.create_task(pair.server.accept_uni()) for _ in range(4)]
        await yields(chance)
        if cancelled < cancellations:
            for task in accepting:
                task.cancel()
        else:
            await asyncio.wait(accepting, return_when=asyncio.FIRST_COMPLETED)
            for task in accepting:
                task.cancel()
        for outcome in await asyncio.gather(*accepting, return_exceptions=True):
            if isinstance(outcome, asyncio.CancelledError):
                cancelled += 1
            else:
                received.append(int(await outcome.read()))
    await opening
    assert sorted(received) == list(range(streams))


@pytest.mark.deadline(300)
@STORM
async def test_cancelled_receives_lose_no_datagram(pair, cancellations):
    """Receives cancelled at any moment: of datagrams that the network does not lose, each is returned once."""
    chance = random.Random(3)
    received, cancelled, sent = [], 0, 0
    while cancelled < cancellations or len(received) < sent:
        if len(received) == sent:  # few on their way at once, so that no buffer overflows
            for _ in range(chance.randrange(1, 8)):
                pair.client.send_datagram(b"%d" % sent)
                sent += 1
        receiving = [asyncio.create_task(pair.server.receive_datagram()) for _ in range(2)]
        if cancelled < cancellations:
            await yields(chance)
        else:
            await asyncio.wait(receiving, return_when=asyncio.FIRST_COMPLETED)
        for task in receiving:
            task.cancel()
        for outcome in await asyncio.gather(*receiving, return_exceptions=True):
            if isinstance(outcome, asyncio.CancelledError):
                cancelled += 1
            else:
                received.append(int(outcome))
    assert sorted(received) == list(range(sent))


@pytest.mark.deadline(300)
@STORM
async def test_cancelled_writes_arrive_as_prefixes(pair, cancellations):
    """Writes cancelled at any moment: what arrives is a prefix of each, once and in order; what returned is complete."""
    chance = random.Random(4)
    send, recv = await pair.uni()
    runs = []  # (size, whether all of it must arrive); the bytes of run i are all i % 251
    received = bytearray()

    async def read():
        while chunk := await recv.read(chance.randrange(1, 100_000)):
            received.extend(chunk)
            await yields(chance)

    reading = asyncio.create_task(read())
    cancelled = 0
    while cancelled < cancellations:
        size = chance.choice([1, 1_000, 300_000, 3_000_000])
        writing = asyncio.create_task(send.write(bytes([len(runs) % 251]) * size))
        await yields(chance)
        writing.cancel()
        await asyncio.wait([writing])
        runs.append((size, not writing.cancelled()))
        cancelled += writing.cancelled()
        if len(runs) % 100 == 0:  # for those before may have queued nothing, and bytes come round again after 251
            await send.write(bytes([len(runs) % 251]))
            runs.append((1, True))
    await send.finish()
    await reading
    position = 0
    for index, (size, complete) in enumerate(runs):
        byte, start = index % 251, position
        end = min(position + size, len(received))
        run = received[start:end]
        position += len(run) - len(run.lstrip(bytes([byte])))
        assert not complete or position - start == size, index
    assert position == len(received)
