"""What is remembered of the prompts that were answered: pure, without an engine."""

from __future__ import annotations

from magistrate.backends.transformers.prefix import Prefix, PrefixMemory


def prefix(*of: int) -> Prefix:
    return Prefix(of, ())


def test_the_memory_finds_the_longest_and_keeps_the_latest() -> None:
    memory = PrefixMemory()
    assert memory.longest((1, 2)) == (None, 0)
    kept = [prefix(1, 2, 3), prefix(2, 2), prefix(3, 3), prefix(4, 4)]
    for one in kept:
        memory.keep(one)
    assert memory.longest((1, 2, 9)) == (kept[0], 2)
    memory.use(kept[0])
    memory.keep(prefix(5, 5))  # pushes out (2, 2), the one used least recently
    assert memory.longest((2, 2))[1] == 0
    assert memory.longest((1, 2, 3, 4)) == (kept[0], 3)
    memory.keep(prefix(1, 2, 4, 4))  # says most of what (1, 2, 3) said, as another case under the same policy
    assert memory.longest((1, 2, 3))[1] == 2
    assert memory.longest((3, 3)) == (kept[2], 2)
    memory.clear()
    assert memory.longest((1, 2, 3)) == (None, 0)
