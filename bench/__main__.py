"""`python -m bench [QUESTION …]`: all questions, in the order in which a result is most often wanted."""

from __future__ import annotations

from bench import hot_room, memory, rooms
from bench.harness import main

main([rooms.BENCH, hot_room.BENCH, memory.BENCH])
