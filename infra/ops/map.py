"""The map of a mesh: who is asked what, who says what, who listens to whom. Read from the annotations."""

from collections.abc import Iterable

from infra.mesh import Mesh


def text_map(mesh: Mesh) -> str:
    """Who is asked what and asks itself what, who says what, who listens to whom."""
    lines: list[str] = []
    for c in mesh.contexts.values():
        lines += [
            c.name,
            *(_wrap("asked", (t.__name__ for t in c.asked)) if c.asked else []),
            *(_wrap("itself", (t.__name__ for t in c.own)) if c.own else []),
            *_wrap("says", (t.__name__ for t in c.events)),
        ]
        lines += _wrap("hears", map(mesh.type_name, c.hears)) if c.hears else []
        lines += _wrap("does", ["effects, driven by its state"]) if c.connect else []
        lines.append("")
    lines.append("projections")
    for p in mesh.projections.values():
        lines += _wrap(p.name, [mesh.type_name(t) for t in p.events] or ["every event"], width=14)
    return "\n".join(lines)


def mermaid_map(mesh: Mesh) -> str:
    """The same as a Mermaid flow chart: an arrow is labelled with what the listener hears."""
    lines = ["flowchart LR"]
    for c in mesh.contexts.values():
        lines.append(f"    {c.name}([{c.name}])")
    for c in mesh.contexts.values():
        by_speaker: dict[str, list[str]] = {}
        for t in c.hears:
            by_speaker.setdefault(mesh.owner(t).name, []).append(t.__name__)
        lines += [f'    {speaker} -- "{"<br/>".join(heard)}" --> {c.name}' for speaker, heard in by_speaker.items()]
    for p in mesh.projections.values():
        lines.append(f"    {p.name}_rows[({p.name})]")
        lines += [f"    {c.name} --> {p.name}_rows" for c in mesh.speakers(p)]
    return "\n".join(lines)


def _wrap(label: str, words: Iterable[str], width: int = 6, limit: int = 108) -> list[str]:
    lines, current = [], f"  {label:{width}} "
    indent = " " * len(current)
    for i, word in enumerate(words):
        piece = word if i == 0 else f", {word}"
        if len(current) + len(piece) > limit:
            lines.append(current + ",")
            current, piece = indent, word
        current += piece
    return [*lines, current]
