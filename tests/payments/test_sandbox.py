"""The sandbox gateway declines what it should, and says why."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from infra.shop.outside.gateway import CARDS, Gateway, Ledger


async def authorise(directory: Path, card: str) -> dict[str, Any]:
    body = {"amount_minor": 1380, "currency": "EUR", "card": card, "reference": "order-1"}
    async with TestClient(TestServer(Gateway(Ledger(directory / "ledger.jsonl")).app())) as http:
        answer = await http.post("/v1/authorisations", json=body, headers={"Idempotency-Key": "k"})
        content: dict[str, Any] = await answer.json()
        return content


async def test_a_card_there_is_can_pay(tmp_path: Path) -> None:
    assert (await authorise(tmp_path, "card_ok"))["outcome"] == "ok"


@pytest.mark.parametrize("card", ["card_no", "", "4111111111111111"])
async def test_a_card_nobody_knows_is_declined_and_the_cards_there_are_named(tmp_path: Path, card: str) -> None:
    answer = await authorise(tmp_path, card)
    assert answer["outcome"] == "declined"
    assert all(known in answer["reason"] for known in CARDS) and (not card or card not in answer["reason"])
