"""What tests import: servers and fresh databases for the tests of users, and memory instead of disks for our own."""

from meadowlark.testing.database import Answer, Database, Unanswered
from meadowlark.testing.memory_files import Fault, MemoryFiles, PowerCut
from meadowlark.testing.people import ADMIN, NOBODY, Person, User, credential_of
from meadowlark.testing.server import DevServer, NotStarted, fresh_database

__all__ = [
    "ADMIN",
    "NOBODY",
    "Answer",
    "Database",
    "DevServer",
    "Fault",
    "MemoryFiles",
    "NotStarted",
    "Person",
    "PowerCut",
    "Unanswered",
    "User",
    "credential_of",
    "fresh_database",
]
