"""What tests import: memory instead of disks, faults on demand."""

from meadowlark.testing.memory_files import Fault, MemoryFiles, PowerCut

__all__ = ["Fault", "MemoryFiles", "PowerCut"]
