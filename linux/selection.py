"""Parses files that offer words and mark the one in force: ``always [madvise] never``.

``/sys/kernel/mm/transparent_hugepage/enabled`` (kernel: Documentation/admin-guide/mm/transhuge.rst),
``/sys/kernel/security/lockdown`` (security/lockdown/lockdown.c).
"""


def chosen(text: str) -> str:
    """Returns the word in brackets, empty where there is none."""
    for word in text.split():
        if len(word) > 2 and word[0] == "[" and word[-1] == "]":
            return word[1:-1]
    return ""
