"""What the README shows, and the pages it leads to."""

import re
from pathlib import Path

from infra.shop.mesh import CONTEXTS, mesh

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAP = (ROOT / "docs" / "map.md").read_text()
CODE = re.findall(r"<!-- code (\S+) -->\n```python\n(.*?)\n```", README, re.DOTALL)  # file, what is shown of it


def block(name: str) -> str:
    """The fenced block behind `<!-- name -->`."""
    match = re.search(rf"<!-- {name} -->\n```\w*\n(.*?)\n```", README + MAP, re.DOTALL)
    assert match, name
    return match[1]


def of_the_shop(text: str) -> str:
    """The map without contexts that joined the shop's, and their rows."""
    for name in mesh.contexts.keys() - set(CONTEXTS):
        text = re.sub(rf"^{name}\n(  .*\n)+\n", "", text, flags=re.MULTILINE)
        text = re.sub(rf"^  {name} .*\n( {{17}}.*\n)*", "", text, flags=re.MULTILINE)
    return text
