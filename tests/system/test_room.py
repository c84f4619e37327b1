"""Room: what is in it is at most all of it, and who waits comes in as soon as there is room."""

import asyncio

from pipeline.system.room import Room


async def test_who_finds_no_room_waits_until_enough_has_left() -> None:
    room, entered = Room(), []

    async def enter(share: float) -> None:
        await room.enter(share)
        entered.append(share)

    await enter(0.5)
    await enter(0.4)
    waiting = asyncio.create_task(enter(0.6))
    await asyncio.sleep(0)
    room.leave(0.4)
    await asyncio.sleep(0.01)
    assert entered == [0.5, 0.4]
    room.leave(0.5)
    await waiting
    assert entered == [0.5, 0.4, 0.6]


async def test_what_is_larger_than_all_of_it_is_in_it_alone() -> None:
    room = Room()
    await room.enter(2.0)
    waiting = asyncio.create_task(room.enter(0.1))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    room.leave(2.0)
    await waiting
