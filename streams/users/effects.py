"""Erasing a person: their password goes, and their key in the vault is destroyed, and with it all that names them,
in every topic and backup.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from commands.users import RecordErasure
from infra.edge import vault
from infra.edge.identity import service as identity
from infra.model import Attempt, Perform
from streams.users.decider.user import DestroyKey
from streams.users.needs import Needs


def target(intent: DestroyKey) -> str:
    return "vault"


@asynccontextmanager
async def connect(needs: Needs) -> AsyncIterator[Perform[DestroyKey, RecordErasure]]:
    """The vault and the identity; performing raises Unknown when one does not answer."""
    async with vault.opened(needs) as keys, identity.opened(needs) as logins:

        async def perform(intent: DestroyKey, attempt: Attempt) -> RecordErasure:
            await logins.forget(intent.user_id)
            await keys.destroy(intent.user_id)
            return RecordErasure(user_id=intent.user_id)

        yield perform
