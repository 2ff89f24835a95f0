"""In which words customers are told. Pure; no word that names a person."""

from decimal import Decimal

MINOR_DIGITS = {  # ISO 4217: the currencies whose minor unit is not a hundredth
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}
TEMPLATES = {  # occasion: (subject, body)
    "confirmed": ("Your order {order} is confirmed", "Thank you. {money} will be charged to your card."),
    "cancelled": ("Your order {order} is cancelled", "You pay nothing for it. The reason: {detail}."),
    "shipped": ("Your order {order} is on its way", "It has been handed over{tracking}."),
    "delivered": ("Your order {order} has arrived", "We hope you like it."),
    "refunded": ("You get money back for order {order}", "{money} will be returned to your card."),
}


def render(occasion: str, order_id: str, amount_minor: int, currency: str, detail: str) -> tuple[str, str]:
    """Subject and body; KeyError for an occasion there is no template of."""
    subject, body = TEMPLATES[occasion]
    words = {
        "order": order_id,
        "money": money(amount_minor, currency),
        "detail": detail,
        "tracking": f", tracking number {detail}" if detail else "",
    }
    return subject.format(**words), body.format(**words)


def money(amount_minor: int, currency: str) -> str:
    """`1380 EUR` in minor units as `13.80 EUR`."""
    digits = MINOR_DIGITS.get(currency, 2)
    return f"{Decimal(amount_minor).scaleb(-digits):.{digits}f} {currency}"
