"""Every text on a page is escaped, and a page needs nothing from elsewhere."""

from daemon.html import Markup, badge, document, element, facts, hint, table

EVIL = "<script>alert('x')</script>\"&"
SAFE = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;"


def test_texts_and_attributes_are_escaped_once() -> None:
    assert element("b", EVIL, title=EVIL, class_="x") == f'<b title="{SAFE}" class="x">{SAFE}</b>'
    assert element("i", element("b", "&")) == "<i><b>&amp;</b></i>"


def test_every_part_of_a_page_escapes() -> None:
    whole = document(
        EVIL, badge(EVIL, "good"), hint(EVIL), facts({EVIL: EVIL, "empty": ""}), table([EVIL], [[EVIL]])
    )
    assert "<script" not in whole
    assert whole.count(SAFE) == 7
    assert "empty" not in whole


def test_markup_stays_markup() -> None:
    assert isinstance(facts({"a": "b"}), Markup)
    assert facts({"a": "b"}) == "<dl><dt>a</dt><dd>b</dd></dl>"


def test_document_links_only_to_our_own_paths() -> None:
    whole = document("t", links=("/metrics",))
    assert '<a href="/metrics">/metrics</a>' in whole
    assert "http" not in whole
    assert "src=" not in whole
