"""Makes kernel modules that no kernel would load, but whose names, symbols and needs depmod(8) reads."""

import struct
from collections.abc import Sequence

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_X86_64, _RELOCATABLE = 62, 1
_PROGBITS, _SYMTAB, _STRTAB = 1, 2, 3


def module(name: str, *, alias: str = "", exports: Sequence[str] = (), needs: Sequence[str] = ()) -> bytes:
    """Returns an ELF file (elf(5)) with the sections that kmod looks at.

    Args:
        name: The module's name.
        alias: What udev asks for, such as ``cpu:type:x86*``.
        exports: Symbols that it has for others.
        needs: Symbols that it takes from others.
    """
    information = f"name={name}\0license=GPL\0" + (f"alias={alias}\0" if alias else "")
    names = b"\0" + b"".join(symbol.encode() + b"\0" for symbol in needs)
    symbols = _SYMBOL.pack(0, 0, 0, 0, 0, 0) + b"".join(
        _SYMBOL.pack(names.index(symbol.encode() + b"\0"), 1 << 4, 0, 0, 0, 0) for symbol in needs
    )
    sections: list[tuple[str, int, bytes, int, int]] = [
        (".modinfo", _PROGBITS, information.encode(), 0, 0),
        ("__ksymtab_strings", _PROGBITS, b"".join(symbol.encode() + b"\0" for symbol in exports), 0, 0),
        (".strtab", _STRTAB, names, 0, 0),
        (".symtab", _SYMTAB, symbols, 3, _SYMBOL.size),
    ]
    titles = b"\0" + b"".join(title.encode() + b"\0" for title, *_ in sections) + b".shstrtab\0"
    sections.append((".shstrtab", _STRTAB, titles, 0, 0))
    body, table = b"", bytes(_SECTION.size)
    for title, kind, content, link, size in sections:
        start = _HEADER.size + len(body)
        named = titles.index(title.encode() + b"\0")
        table += _SECTION.pack(named, kind, 0, 0, start, len(content), link, 1 if size else 0, 1, size)
        body += content
    count = len(sections) + 1
    header = _HEADER.pack(
        b"\x7fELF\x02\x01\x01" + bytes(9),
        *(_RELOCATABLE, _X86_64, 1, 0, 0, _HEADER.size + len(body), 0, _HEADER.size, 0, 0),
        *(_SECTION.size, count, count - 1),
    )
    return header + body + table
