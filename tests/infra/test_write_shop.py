"""What the counter lacks, on the shop: personal fields, aggregates of two kinds, and fields with fields of their own."""

from infra.shop.mesh import mesh
from infra.wire.record import Read
from infra.write.aggregates import Aggregates
from infra.write.decision import CommandHandler

DAY = 86_400_000


def fresh(context: str) -> Aggregates:
    return Aggregates(mesh.context(context), mesh.codec, 0, 1, DAY)


def test_what_names_a_person_in_plain_is_kept_by_nobody() -> None:
    plain = b'{"email": "ada@example.org", "email_key": "k", "name": "Ada"}'
    headers = [("ce_type", b"users.RegisterUser")]
    record = Read("users.commands", 0, 0, 1000, b"ada", plain, headers)
    decision = CommandHandler(fresh("users")).decide([record])
    assert b"ada@example.org" not in b"".join(r.value or b"" for r in (*decision.dead, *decision.records))
    assert mesh.codec.decode(decision.records[0].value or b"").code == "not_sealed"
