"""Guards of the one look: sizes, colours, the theme, targets on a phone, the demo's picture."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant

STYLES: Final = "xeenet_site/static/xeenet"
OF_STYLES: Final = ("tests/pages/test_look.py",)
OF_THEMES: Final = ("tests/browser/test_look.py", "-k", "chosen or share")
OF_PHONE: Final = ("tests/browser/test_phone.py", "-k", "lists")
OF_COMPRESSION: Final = ("tests/access/test_security_headers.py", "-k", "compressed")
OF_PICTURES: Final = ("tests/running/test_pictures.py", "-k", "install")

LOOK: Final = (
    Mutant(
        "look: what is completed is green",
        f"{STYLES}/tokens.css",
        "--completed: light-dark(#5f656c, #a3abb3);",
        "--completed: light-dark(#14713d, #5cc98a);",
        OF_STYLES,
    ),
    Mutant(
        "look: the best is yellow in the dark",
        f"{STYLES}/tokens.css",
        "--best: light-dark(#0b5cad, #6cb2f5);",
        "--best: light-dark(#0b5cad, #ffea46);",
        OF_STYLES,
    ),
    Mutant(
        "look: soft text is too pale",
        f"{STYLES}/tokens.css",
        "--text-soft: light-dark(#5a6068, #a0a8b0);",
        "--text-soft: light-dark(#8a9098, #a0a8b0);",
        OF_STYLES,
    ),
    Mutant(
        "look: a sixth size",
        f"{STYLES}/tokens.css",
        "--size-title: 1.25rem;",
        "--size-title: 1.375rem;",
        OF_STYLES,
    ),
    Mutant(
        "look: Swagger stays white in the dark",
        f"{STYLES}/theme.js",
        '    page.classList.toggle("dark-mode", xeenetTheme.isDark());\n',
        "",
        OF_THEMES,
    ),
    Mutant(
        "look: the admin does not follow the theme",
        f"{STYLES}/admin-theme.js",
        '  document.addEventListener("xeenet:theme", follow);\n',
        "",
        OF_THEMES,
    ),
    Mutant(
        "look: links are lower than a finger hits",
        f"{STYLES}/components.css",
        "    min-height: 24px;\n  }\n  input",
        "    min-height: 16px;\n  }\n  input",
        OF_PHONE,
    ),
    Mutant(
        "look: pages are sent uncompressed",
        "xeenet_site/settings.py",
        '    "xeenet_site.middleware.CompressPagesMiddleware",\n',
        "",
        OF_COMPRESSION,
    ),
    Mutant(
        "look: answers to programs are compressed, too",
        "xeenet_site/middleware.py",
        '        if not response.headers.get("Content-Type", "").startswith("text/html"):',
        "        if False:",
        OF_COMPRESSION,
    ),
    Mutant(
        "look: a demo without a browser ends with a traceback",
        "xeenet_site/running/pictures.py",
        "    if problem := missing_program():",
        '    if problem := "":',
        OF_PICTURES,
    ),
)
