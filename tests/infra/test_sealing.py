"""What names a person: sealed for them, opened with their key, and found in every message that carries it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.users import ChangeContactChannels, RegisterUser
from infra.shop.mesh import mesh
from infra.wire.sealing import digest, is_sealed, personal, seal, seal_payload, subject_of, unseal, unsealed
from schemas.users import Channel

KEY, OTHER, SECRET = b"k" * 32, b"o" * 32, b"s" * 32


@given(st.text(max_size=100), st.text(max_size=50))
def test_what_is_sealed_opens_with_the_key(text: str, subject: str) -> None:
    sealed = seal(KEY, subject, text)
    assert is_sealed(sealed)
    assert (unseal(KEY, sealed), subject_of(sealed)) == (text, subject)


def test_equal_texts_are_sealed_differently() -> None:
    assert seal(KEY, "ada", "x") != seal(KEY, "ada", "x")


def test_another_key_opens_nothing() -> None:
    with pytest.raises(ValueError, match="does not open"):
        unseal(OTHER, seal(KEY, "ada", "x"))


def test_a_text_cannot_be_passed_off_as_somebody_elses() -> None:
    with pytest.raises(ValueError, match="does not open"):
        unseal(KEY, seal(KEY, "ada", "x").replace("ada", "bob"))


@pytest.mark.parametrize("text", ["", "weft1:ada:", "weft1:ada:!!!", "plain"])
def test_what_was_never_sealed_does_not_open(text: str) -> None:
    with pytest.raises(ValueError, match="does not open"):
        unseal(KEY, text)


def test_addresses_of_one_mailbox_have_one_digest() -> None:
    assert digest(SECRET, " Ada@Example.org") == digest(SECRET, "ada@example.org")
    assert digest(SECRET, "ada@example.org") != digest(SECRET, "bob@example.org")
    assert digest(SECRET, "ada@example.org") != digest(OTHER, "ada@example.org")


def test_every_message_that_names_a_person_says_so() -> None:
    naming = {name for name in mesh.types if personal(mesh.codec.schemas[name])}
    assert naming == {
        *(f"users.{name}" for name in ("RegisterUser", "ChangeProfile", "ChangeContactChannels")),
        *(
            f"users.{name}"
            for name in ("RegistrationRequested", "UserRegistered", "ProfileChanged", "ContactChannelsChanged")
        ),
        *(f"notifications.{name}" for name in ("RecordContact", "RequestNotification")),
        *(f"notifications.{name}" for name in ("ContactRecorded", "ChannelChosen", "NotificationRequested")),
    }


def spec(name: str) -> object:
    fields = personal(mesh.codec.schemas[name])
    assert fields
    return fields


def test_a_command_in_plain_is_sealed_and_its_digest_added() -> None:
    plain = {"email": "ada@example.org", "name": "Ada"}
    sealed = seal_payload(spec("users.RegisterUser"), "ada", plain, KEY, SECRET)
    assert unseal(KEY, sealed["email"]) == "ada@example.org"
    assert unseal(KEY, sealed["name"]) == "Ada"
    assert sealed["email_key"] == digest(SECRET, "ada@example.org")
    assert plain == {"email": "ada@example.org", "name": "Ada"}


def sealed_name(name: str, command_id: str | None) -> str:
    plain = {"email": "a@b", "name": name}
    return seal_payload(spec("users.RegisterUser"), "ada", plain, KEY, SECRET, command_id)["name"]


def test_under_one_command_id_the_same_text_is_sealed_the_same_way() -> None:
    assert sealed_name("Ada", "first") == sealed_name("Ada", "first")
    assert unseal(KEY, sealed_name("Ada", "first")) == "Ada"


@pytest.mark.parametrize(
    "other",
    [sealed_name("Eve", "first"), sealed_name("Ada", "second"), sealed_name("Ada", None)],
    ids=["text", "id", "no id"],
)
def test_another_text_and_under_another_id_the_same_is_sealed_otherwise(other: str) -> None:
    nonce = slice(len("weft1:ada:"), len("weft1:ada:") + 16)
    assert other[nonce] != sealed_name("Ada", "first")[nonce]


def test_what_is_sealed_already_stays_as_it_is() -> None:
    once = seal_payload(spec("users.RegisterUser"), "ada", {"email": "a@b", "name": "Ada"}, KEY, SECRET)
    assert seal_payload(spec("users.RegisterUser"), "ada", once, KEY, SECRET) == once


def test_every_item_of_a_list_is_sealed() -> None:
    channels = [{"kind": "sms", "address": "+491511234567"}, {"kind": "email", "address": "a@b"}]
    sealed = seal_payload(spec("users.ChangeContactChannels"), "ada", {"channels": channels}, KEY, SECRET)
    assert [unseal(KEY, channel["address"]) for channel in sealed["channels"]] == ["+491511234567", "a@b"]
    assert [channel["kind"] for channel in sealed["channels"]] == ["sms", "email"]


def test_what_is_not_sealed_is_found() -> None:
    mine, theirs = seal(KEY, "ada", "x"), seal(KEY, "bob", "x")
    register = RegisterUser(user_id="ada", email="ada@example.org", email_key="k", name=theirs)
    assert unsealed(spec("users.RegisterUser"), register) == ["email", "name"]
    channels = (Channel(kind="sms", address=mine), Channel(kind="sms", address="+49"))
    change = ChangeContactChannels(user_id="ada", channels=channels)
    assert unsealed(spec("users.ChangeContactChannels"), change) == ["channels.address"]
